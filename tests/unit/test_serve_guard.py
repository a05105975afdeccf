"""Who may ask: tokens and their files, addresses, names of hosts."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from zeekspy.errors import FileError, UsageError
from zeekspy.serve import guard

TOKEN = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "token"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_token_is_the_line_of_a_file_that_is_ours_alone(tmp_path: Path) -> None:
    assert guard.read_token(written(tmp_path, TOKEN + "\n")) == TOKEN
    assert guard.read_token(written(tmp_path, "a" * 16, 0o400)) == "a" * 16


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        ("a" * 15 + "\n", 0o600, "has 15 characters"),
        ("", 0o600, "has 0 characters"),
        (TOKEN, 0o640, "mode 0640"),
        (TOKEN, 0o604, "mode 0604"),
        (f"{TOKEN}\n{TOKEN}\n", 0o600, "one line"),
        ("ä" * 20, 0o600, "letters"),
        ("a" * 5000, 0o600, "4096 at most"),
    ],
)
def test_a_token_that_protects_nothing_is_refused(tmp_path: Path, text: str, mode: int, said: str) -> None:
    with pytest.raises(FileError, match=said) as e:
        guard.read_token(written(tmp_path, text, mode))
    assert e.value.hint
    assert TOKEN not in str(e.value)


def test_a_token_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("/dev/null")):
        with pytest.raises(FileError):
            guard.read_token(path)


@pytest.mark.parametrize(
    ("text", "address", "loopback"),
    [
        ("127.0.0.1:6060", ("127.0.0.1", 6060), True),
        ("localhost:1", ("127.0.0.1", 1), True),
        (":6060", ("127.0.0.1", 6060), True),
        ("[::1]:0", ("::1", 0), True),
        ("127.3.2.1:80", ("127.3.2.1", 80), True),
        ("0.0.0.0:6060", ("0.0.0.0", 6060), False),
        ("[::]:6060", ("::", 6060), False),
        ("192.0.2.7:6060", ("192.0.2.7", 6060), False),
    ],
)
def test_addresses(text: str, address: tuple[str, int], loopback: bool) -> None:
    assert guard.parse_address(text) == address
    assert guard.is_loopback(address[0]) is loopback


@pytest.mark.parametrize(
    "text", ["", "6060", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x", "1.2.3.4.5:1", "::1:80", "a:1"]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="not an address"):
        guard.parse_address(text)


@pytest.mark.parametrize("host", [b"127.0.0.1:6060", b"localhost", b"[::1]:6060", b"127.9.9.9"])
def test_names_of_this_host(host: bytes) -> None:
    assert guard.local(host)


@pytest.mark.parametrize(
    "host",
    [b"", b"evil.example", b"192.0.2.1", b"localhost.evil.example", b"127.0.0.1.evil.example", b"127.0.0.1:6060, x"],
)
def test_names_of_others(host: bytes) -> None:
    assert not guard.local(host)


def status(token: str | None, *headers: tuple[bytes, bytes]) -> int:
    sent: list[MutableMapping[str, Any]] = []

    async def app(scope: guard.Scope, receive: guard.Receive, send: guard.Send) -> None:
        await send({"type": "http.response.start", "status": 200})

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    asyncio.run(guard.Guard(app, token)({"type": "http", "headers": list(headers)}, receive, send))
    found: int = sent[0]["status"]
    return found


def bearer(token: str) -> tuple[bytes, bytes]:
    return b"authorization", f"Bearer {token}".encode()


HERE = b"host", b"127.0.0.1:6060"


def test_with_a_token_only_it_counts() -> None:
    assert status(TOKEN, bearer(TOKEN)) == 200
    assert status(TOKEN, bearer(TOKEN), (b"host", b"profiles.example")) == 200
    assert status(TOKEN, (b"authorization", b"bearer " + TOKEN.encode())) == 200
    assert status(TOKEN, HERE) == 401
    for wrong in (TOKEN[:-1], TOKEN + "x", "", "x" * len(TOKEN), "\xff" * 20):
        assert status(TOKEN, bearer(wrong)) == 401
    assert status(TOKEN, (b"authorization", b"Basic " + TOKEN.encode())) == 401
    assert status(TOKEN, bearer("x" * 20), bearer(TOKEN)) == 401


def test_without_a_token_only_this_hosts_names_do() -> None:
    assert status(None, HERE) == 200
    assert status(None, (b"host", b"evil.example")) == 421
    assert status(None) == 421
    assert status(None, HERE, (b"host", b"evil.example")) == 421
