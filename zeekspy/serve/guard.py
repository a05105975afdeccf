"""Who may ask: the token of a file, or without one whoever reaches the loopback address under its own name."""

from __future__ import annotations

import hmac
import ipaddress
import os
import re
import stat
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from zeekspy.errors import FileError, UsageError

LEAST, MOST = 16, 4096
"""Characters of a token."""
_MAKE = "head -c 24 /dev/urandom | base64 > FILE; chmod 600 FILE makes one."

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def read_token(path: Path) -> str:
    """The token in the file at ``path``: its one line. FileError where others could have read or guessed it."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            data = os.read(fd, MOST + 2) if stat.S_ISREG(found.st_mode) else None
        finally:
            os.close(fd)
    except OSError as e:
        raise FileError(f"cannot read the token in {path}: {e.strerror or e}", _MAKE) from None
    if data is None:
        raise FileError(f"the token in {path} cannot be used: that is no regular file", _MAKE)
    if found.st_mode & 0o077:
        raise FileError(
            f"the token in {path} is no secret: its mode {stat.S_IMODE(found.st_mode):04o} lets others at it",
            f"chmod 600 {path}, and use a new token where others may have read this one.",
        )
    token = data.decode("ascii", "replace").strip()
    if len(token) < LEAST:
        raise FileError(f"the token in {path} has {len(token)} characters, and at least {LEAST} are needed", _MAKE)
    # What RFC 6750 lets a bearer token be made of; no other could be sent.
    if len(token) > MOST or not re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token):
        raise FileError(
            f"the token in {path} cannot be sent: it is to be one line of letters, digits and ._~+/-, {MOST} at most",
            _MAKE,
        )
    return token


def parse_address(text: str) -> tuple[str, int]:
    """``127.0.0.1:6060``, ``[::1]:6060``, ``localhost:6060`` or ``:6060`` as (address, port). Raises UsageError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}|localhost|)):([0-9]{1,5})", text)
    host = (match[1] or match[2] or "127.0.0.1").replace("localhost", "127.0.0.1") if match else ""
    try:
        if match is None or int(match[3]) > 65535:
            raise ValueError(text)
        return str(ipaddress.ip_address(host)), int(match[3])
    except ValueError:
        raise UsageError(
            f"{text!r} is not an address to listen on", "Give one like 127.0.0.1:6060, [::1]:6060 or 0.0.0.0:6060."
        ) from None


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


class Guard:
    """An ASGI application around another: refuses who may not ask, in constant time as to the token.

    Without a token, the Host of a request must be a loopback one: else a page of another site whose name was made
    to mean 127.0.0.1 could read the answers in the browser of someone on this host.
    """

    def __init__(self, app: App, token: str | None) -> None:
        self._app, self._token = app, token.encode() if token is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = scope["headers"]
        if self._token is None:
            if local(_one(headers, b"host")):
                await self._app(scope, receive, send)
            else:
                await _refuse(send, 421, b"this is asked for by a name that is not this host's: use 127.0.0.1\n")
        elif hmac.compare_digest(_bearer(_one(headers, b"authorization")), self._token):
            await self._app(scope, receive, send)
        else:
            await _refuse(
                send,
                401,
                b"a token is needed: the header Authorization: Bearer TOKEN\n",
                (b"www-authenticate", b'Bearer realm="zeekspy"'),
            )


def local(host: bytes) -> bool:
    """Whether a Host header names the loopback interface."""
    match = re.fullmatch(rb"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}|localhost))(?::[0-9]{1,5})?", host)
    if match is None:
        return False
    name = (match[1] or match[2]).decode()
    try:
        return name == "localhost" or is_loopback(name)
    except ValueError:
        return False


def _one(headers: list[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The value of a header that must be there once; nothing otherwise."""
    found = [value for key, value in headers if key == name]
    return found[0] if len(found) == 1 else b""


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else b""


async def _refuse(send: Send, status: int, said: bytes, *headers: tuple[bytes, bytes]) -> None:
    common = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*common, *headers]})
    await send({"type": "http.response.body", "body": said})
