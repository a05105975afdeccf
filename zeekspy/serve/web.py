"""What can be asked for over HTTP. A request for a window waits in a coroutine: there may be hundreds."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zeekspy.serve import metrics
from zeekspy.serve.render import Renderer
from zeekspy.serve.store import Store, WindowGone

LONGEST_S = 300.0
"""Of a window."""
WINDOW_S = 30.0
"""Where none is asked for: that of Go's net/http/pprof."""
PAGE_S = 60.0
WAITING = 400
"""Requests that wait for the end of a window at once."""
KEPT = 8
"""Answers that are kept: many may ask for the same window."""
STALLED_S = 10.0
"""Without a tick, sampling has stopped."""
NAMED = 20
"""Nodes that a message names at most."""
HTML = "text/html; charset=us-ascii"
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; frame-src 'self'; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
}
INDEX = b"""/debug/pprof/ of zeekspy

profile?seconds=N[&node=NAME]   the next N seconds of all nodes or of one: gzipped pprof
profile?seconds=N&after=TICK    as above, but it begins where the answer with X-Zeekspy-Until: TICK ended
total[?node=NAME]               all since the start

/metrics   for Prometheus
/healthz   whether sampling goes on
/          a page
"""


class Refused(Exception):
    """An answer that is an error: its status and a sentence."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status, self.said = status, said


class Web:
    """The answers. ``ticked`` is to be called in the loop's thread when a tick was added to the Store."""

    def __init__(
        self,
        store: Store,
        renderer: Renderer,
        nodes: Callable[[], list[str]],
        collector: Callable[[Web], metrics.Collector],
        sampling: Callable[[], bool],
        pool: Executor,
    ) -> None:
        """``nodes`` are those there are or were, ``sampling`` whether it goes on; ``pool`` renders."""
        self._store, self._renderer, self._nodes, self._sampling, self._pool = store, renderer, nodes, sampling, pool
        self._collector = collector(self)
        self._tick = asyncio.Event()
        self._answers: OrderedDict[tuple[Any, ...], asyncio.Future[Any]] = OrderedDict()
        self._stopping = asyncio.Event()
        self.waiting = 0

    def app(self) -> Starlette:
        routes = {
            "/": self.page,
            "/live.json": self.live,
            "/flamegraph": self.flamegraph,
            "/debug/pprof": self.index,
            "/debug/pprof/": self.index,
            "/debug/pprof/profile": self.profile,
            "/debug/pprof/total": self.total,
            "/metrics": self.metrics,
            "/healthz": self.health,
        }
        app = Starlette(routes=[Route(path, answer, methods=["GET"]) for path, answer in routes.items()])
        app.add_exception_handler(Refused, _refused)
        app.router.redirect_slashes = False
        return app

    def ticked(self) -> None:
        waiting, self._tick = self._tick, asyncio.Event()
        waiting.set()

    def stop(self) -> None:
        """What waits is answered with what there is."""
        self._stopping.set()
        self.ticked()

    async def index(self, request: Request) -> Response:
        return _response(INDEX, "text/plain; charset=utf-8")

    async def page(self, request: Request) -> Response:
        return _response(await self._render("page"), HTML)

    async def live(self, request: Request) -> Response:
        return _response(await self._last(request, "live"), "application/json")

    async def flamegraph(self, request: Request) -> Response:
        return _response(await self._last(request, "flamegraph"), HTML)

    async def profile(self, request: Request) -> Response:
        """The window of ``seconds`` from now on, or from the end of tick ``after`` on."""
        seconds, node = _seconds(request, WINDOW_S), self._node(request)
        after, begin = self._store.last.number, time.monotonic()
        if (given := self._after(request)) is not None:
            after, begin = given, self._store.end_of(given)
        if self.waiting >= WAITING:
            raise Refused(503, f"{WAITING} requests are waiting already")
        self.waiting += 1
        try:
            if not await self._until(request, begin + seconds):
                return Response(status_code=499)  # nobody is there to read it
        finally:
            self.waiting -= 1
        until = self._store.last.number
        data = await self._render("profile", after, until, node)
        return _file(data, "zeek.pb.gz", after, until)

    async def total(self, request: Request) -> Response:
        """All since the start."""
        until, data = await self._render("total", self._store.last.number, self._node(request))
        return _file(data, "zeek-total.pb.gz", 0, until)

    async def metrics(self, request: Request) -> Response:
        gzipped = "gzip" in re.split(r"[ ,]+", request.headers.get("accept-encoding", ""))
        make = partial(metrics.exposition, self._collector, request.headers.get("accept", ""), gzipped=gzipped)
        data, kind = await asyncio.get_running_loop().run_in_executor(self._pool, make)
        response = _response(data, kind)
        response.headers["Vary"] = "Accept-Encoding"
        if gzipped:
            response.headers["Content-Encoding"] = "gzip"
        return response

    async def health(self, request: Request) -> Response:
        late = time.monotonic() - self._store.last.at
        if not self._sampling() or late > STALLED_S:
            raise Refused(503, f"nothing has been sampled for {late:.0f} s")
        return _response(b"ok\n", "text/plain; charset=utf-8")

    async def _until(self, request: Request, end: float) -> bool:
        """Waits for the tick that ends at that time or later. False if whoever asked has left."""
        left = asyncio.ensure_future(_left(request))
        waits = asyncio.ensure_future(self._ticks(end))
        try:
            await asyncio.wait((left, waits), return_when=asyncio.FIRST_COMPLETED)
            return waits.done()
        finally:
            for task in (left, waits):
                task.cancel()

    async def _ticks(self, end: float) -> None:
        # Hundreds of requests are not to be woken by every tick: that is for those whose time is over.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), max(0.0, end - time.monotonic()))
        while not self._stopping.is_set() and self._store.last.at < end and self._sampling():
            await self._tick.wait()

    async def _last(self, request: Request, what: str) -> Any:
        seconds = _seconds(request, PAGE_S)
        return await self._render(what, self._store.since(seconds), self._store.last.number, self._node(request))

    async def _render(self, what: str, *args: Any) -> Any:
        """Made once for all that ask for the same."""
        key = what, *args
        answer = self._answers.get(key)
        if answer is None:
            while len(self._answers) >= KEPT:
                self._answers.popitem(last=False)
            loop = asyncio.get_running_loop()
            answer = self._answers[key] = loop.run_in_executor(self._pool, getattr(self._renderer, what), *args)
        try:
            return await asyncio.shield(answer)
        except WindowGone as e:
            self._answers.pop(key, None)
            raise Refused(
                503, f"so much is sampled that {e}: ask for a shorter window, of one node, or lower --hz"
            ) from None

    def _node(self, request: Request) -> str | None:
        node = _parameter(request, "node")
        if node is None:
            return None
        there = self._nodes()
        if node not in there:
            more = f" and {len(there) - NAMED} more" if len(there) > NAMED else ""
            said = f"There are {', '.join(there[:NAMED])}{more}." if there else "There is none yet."
            raise Refused(404, f"no node is called {node[:128]!r}. {said}")
        return node

    def _after(self, request: Request) -> int | None:
        text = _parameter(request, "after")
        if text is None:
            return None
        if not re.fullmatch(r"[0-9]{1,15}", text) or int(text) > self._store.last.number:
            raise Refused(400, "after= is the number of a tick: that of an answer's X-Zeekspy-Until")
        return int(text)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _seconds(request: Request, usual: float) -> float:
    text = _parameter(request, "seconds")
    value = usual
    if text is not None:
        value = float(text) if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,9})?", text) else math.nan
    if not 0 < value <= LONGEST_S:
        raise Refused(400, f"seconds= is a number above 0, and {LONGEST_S:.0f} at most")
    return value


def _parameter(request: Request, name: str) -> str | None:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise Refused(400, f"{name}= is given {len(values)} times")
    return values[0] if values else None


async def _refused(request: Request, e: Exception) -> Response:
    status, said = (e.status, e.said) if isinstance(e, Refused) else (500, "")
    return _response(f"{said}\n".encode("utf-8", "backslashreplace"), "text/plain; charset=utf-8", status)


def _response(data: bytes, kind: str, status: int = 200) -> Response:
    return Response(data, status_code=status, headers={**HEADERS, "Content-Type": kind})


def _file(data: bytes, name: str, after: int, until: int) -> Response:
    response = _response(data, "application/octet-stream")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["X-Zeekspy-After"], response.headers["X-Zeekspy-Until"] = str(after), str(until)
    return response
