"""The HTTP server: uvicorn on a socket that is bound before this process gives up the network (confine.py)."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from zeekspy.errors import UsageError, ZeekspyError
from zeekspy.serve import metrics
from zeekspy.serve.feed import Feed
from zeekspy.serve.guard import App, Guard
from zeekspy.serve.render import Renderer
from zeekspy.serve.series import Series
from zeekspy.serve.store import Store
from zeekspy.serve.web import LONGEST_S, Web

CONNECTIONS = 512
HEAD = 16384
"""Bytes of a request's first line and headers."""
QUIET_S = 10.0
"""How long a connection may be without a whole request."""
SLOW_S = 60.0
"""How long an answer may take beyond its window: for clients that do not read it."""
LAST_S = 2
"""For answers to be written at the end."""


class Bounded(H11Protocol):
    """A connection that cannot stay for ever: uvicorn bounds the time between two requests, not that of one."""

    _quiet: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._busy_since = 0.0
        self._timer = self.loop.call_later(QUIET_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if hasattr(self, "_timer"):
            self._timer.cancel()

    def _look(self) -> None:
        now, cycle = self.loop.time(), self.cycle
        busy = cycle is not None and not cycle.response_complete
        if self._quiet is not cycle or self._busy_since == 0.0:
            self._quiet, self._busy_since = cycle, now
        elif not busy or now - self._busy_since > LONGEST_S + SLOW_S:
            self.transport.abort()
            return
        self._timer = self.loop.call_later(QUIET_S, self._look)


def listen(address: str, port: int) -> socket.socket:
    """A socket bound there. Raises ZeekspyError with the remedy."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        return socket.create_server((address, port), family=family, backlog=CONNECTIONS)
    except OSError as e:
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        if e.errno == errno.EADDRINUSE:
            raise ZeekspyError(
                f"cannot listen on {where}: the port is in use",
                f"Give another one with --listen; ss -ltnp 'sport = :{port}' shows who has it.",
            ) from None
        if e.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                f"cannot listen on {where}: this host has no such address", "ip address lists those it has."
            ) from None
        raise ZeekspyError(f"cannot listen on {where}: {e.strerror or e}", "Give another one with --listen.") from None


class Service:
    """Feed, Store and Series behind a server. ``run`` it in the main thread."""

    def __init__(self, store: Store, series: Series, about: dict[str, Any], token: str | None) -> None:
        self._store, self._series, self._token = store, series, token
        self._renders: list[int] = []
        self._pool = ThreadPoolExecutor(
            1, "zeekspy-rendering", initializer=lambda: self._renders.append(threading.get_ident())
        )
        self._main = threading.get_ident()
        self._feed: Feed | None = None
        self._renderer = Renderer(store, lambda: self._feed.attached if self._feed is not None else (), about)

    def sampling_cpu(self) -> float:
        """CPU time of this process so far without that of the threads that answer, seconds."""
        answering = sum(
            time.clock_gettime(time.pthread_getcpuclockid(thread)) for thread in (self._main, *self._renders)
        )
        return max(0.0, time.process_time() - answering)

    def run(
        self, feed: Feed, sock: socket.socket, confine: Callable[[], None], stopped: Callable[[], bool] = lambda: False
    ) -> None:
        """Serves until SIGINT, SIGTERM, ``stopped`` or the end of ``feed``, which it starts.

        ``confine`` is called when the event loop exists, which needs sockets of its own, and before any thread starts.
        """
        self._feed = feed
        try:
            asyncio.run(self._serve(feed, sock, confine, stopped))
        finally:
            feed.stop()
            self._pool.shutdown(wait=False, cancel_futures=True)

    async def _serve(
        self, feed: Feed, sock: socket.socket, confine: Callable[[], None], stopped: Callable[[], bool]
    ) -> None:
        loop = asyncio.get_running_loop()
        web = Web(
            self._store,
            self._renderer,
            lambda: sorted(self._series.look()),
            lambda web: metrics.Collector(self._series.look, lambda: self._own(web)),
            lambda: feed.alive,
            self._pool,
        )
        app: App = web.app()
        config = uvicorn.Config(
            Guard(app, self._token),
            http=Bounded,
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=CONNECTIONS,
            timeout_graceful_shutdown=LAST_S,
            h11_max_incomplete_event_size=HEAD,
        )
        config.load()
        server = uvicorn.Server(config)
        confine()

        def ticked() -> None:
            web.ticked()
            if not feed.alive:
                server.should_exit = True

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(ticked)

        feed.on_tick = tell
        feed.start()
        stopping = loop.create_task(_when_stopping(server, web, stopped))
        await server.serve(sockets=[sock])
        stopping.cancel()

    def _own(self, web: Web) -> metrics.Own:
        return metrics.Own(
            cpu_s=time.process_time(),
            sampling_cpu_s=self.sampling_cpu(),
            resident_bytes=_resident(),
            open_files=len(os.listdir("/proc/self/fd")),
            stacks=self._store.stacks,
            folded=self._store.folded,
            bodies=self._series.shown,
            waiting=web.waiting,
            last_tick_s=time.monotonic() - self._store.last.at,
        )


async def _when_stopping(server: uvicorn.Server, web: Web, stopped: Callable[[], bool]) -> None:
    while not server.should_exit:
        server.should_exit = stopped()
        await asyncio.sleep(0.25)
    web.stop()


def _resident() -> int:
    with open("/proc/self/statm", "rb") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()
