"""The app, driven by its keys: what is on the screen at 80x24 and 200x50, and that no size is too small.

The screens are in tests/golden/top; ZEEKSPY_WRITE_GOLDEN=1 writes them anew, to be looked at before they are kept.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.support.live import Still, tick
from tests.support.profiles import SITE
from zeekspy import confine
from zeekspy.live import Live
from zeekspy.profile import Values
from zeekspy.top.app import TopApp

GOLDEN = Path(__file__).parents[1] / "golden" / "top"
SIZES = ((80, 24), (200, 50))
Script = Callable[[Pilot[None]], Awaitable[None]]


def screen(app: TopApp) -> str:
    return "".join(strip.text.rstrip() + "\n" for strip in app.screen._compositor.render_strips())


def driven(app: TopApp, script: Script, size: tuple[int, int] = (80, 24)) -> TopApp:
    async def drive() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await script(pilot)

    asyncio.run(drive())
    return app


def app_of(*sources: Still, interval: float = 60.0) -> TopApp:
    return TopApp(sources or (Still(),), lambda: False, interval)


async def presses(pilot: Pilot[None], *keys: str) -> str:
    await pilot.press(*keys)
    await pilot.pause()
    assert isinstance(pilot.app, TopApp)
    return screen(pilot.app)


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("body", ()),
        ("line", ("l",)),
        ("file", ("f", "s")),
        ("search", ("slash", *"foo")),
        ("neighbours", ("down", "down", "enter")),
        ("paused-wall", ("c", "i", "p")),
        ("help", ("question_mark",)),
    ],
)
def test_screens(name: str, keys: tuple[str, ...], size: tuple[int, int]) -> None:
    shown = ""

    async def look(pilot: Pilot[None]) -> None:
        nonlocal shown
        shown = await presses(pilot, *keys)

    driven(app_of(), look, size)
    kept = GOLDEN / f"{name}-{size[0]}x{size[1]}.txt"
    if os.environ.get("ZEEKSPY_WRITE_GOLDEN"):
        kept.write_text(shown)
    assert shown == kept.read_text()


@pytest.mark.parametrize("size", SIZES, ids=lambda s: f"{s[0]}x{s[1]}")
def test_two_targets(size: tuple[int, int]) -> None:
    """Side by side where there is room, else one at a time."""
    sources = Still(number=(1, 2)), Still(number=(2, 2), ended="the target has exited")

    async def look(pilot: Pilot[None]) -> None:
        first = await presses(pilot)
        assert "1/2 pid 4711" in first
        assert ("2/2 pid 4712" in first) == (size[0] >= 120)
        second = await presses(pilot, "tab")
        assert "2/2 pid 4712  the target has exited" in second
        assert ("1/2 pid 4711" in second) == (size[0] >= 120)
        assert "2/2" not in await presses(pilot, "tab") or size[0] >= 120

    driven(app_of(*sources), look, size)


@pytest.mark.parametrize("size", [(20, 24), (20, 5), (1, 1), (3, 2), (400, 3), (60, 200)], ids=str)
def test_sizes_and_what_becomes_of_them(size: tuple[int, int]) -> None:
    async def look(pilot: Pilot[None]) -> None:
        for to in (size, (80, 24), size, (200, 50), size):
            await pilot.resize_terminal(*to)
            for key in ("down", "pagedown", "enter", "enter", "slash", "x", "escape", "question_mark", "escape"):
                await pilot.press(key)
            await pilot.pause()
            lines = screen(pilot.app).splitlines()  # type: ignore[arg-type]
            assert len(lines) == to[1]
            assert max(map(len, lines)) <= to[0]
        await pilot.resize_terminal(80, 24)
        assert "pid 4711" in await presses(pilot)

    driven(app_of(), look, size)


def test_the_cursor_stays_with_its_row_and_in_view() -> None:
    async def look(pilot: Pilot[None]) -> None:
        pane = pilot.app.pane  # type: ignore[attr-defined]
        await presses(pilot, "down", "down")
        chosen = pane.rows[1].frame
        assert pane.selected == chosen
        await presses(pilot, "s", "s", "s")
        assert pane.selected == chosen
        await presses(pilot, *["pagedown"] * 6)
        assert pane.selected == pane.rows[-1].frame
        assert pane.rows[-1].name in screen(pilot.app)  # type: ignore[arg-type]
        await presses(pilot, "home")
        assert pane.selected == pane.rows[0].frame

    driven(app_of(), look, (80, 9))


def test_search_ends_with_escape() -> None:
    async def look(pilot: Pilot[None]) -> None:
        everything = await presses(pilot)
        assert "Log::__write" in everything
        assert "Log::__write" not in await presses(pilot, "slash", *"detect")
        kept = await presses(pilot, "enter")
        assert "detect" in kept.splitlines()[-1]
        assert "Log::__write" not in kept
        assert await presses(pilot, "escape") == everything
        assert "Nothing has 'zzz'" in await presses(pilot, "slash", *"zzz")
        assert await presses(pilot, "escape") == everything

    driven(app_of(), look)


def test_pause_keeps_the_picture_and_reset_clears_it() -> None:
    source = Still()

    async def look(pilot: Pilot[None]) -> None:
        await presses(pilot, "p")
        source.live.add(tick(11.0, {((SITE,), ()): Values(1000, 10**12, 10**12)}, samples=1605))
        pilot.app._tick()  # type: ignore[attr-defined]
        assert "550 samples" in await presses(pilot)
        assert "1605 samples" in await presses(pilot, "p")
        reset = await presses(pilot, "r")
        assert "0 samples" in reset
        assert "No samples yet." in reset

    driven(app_of(source), look)


def test_views_are_asked_for_as_often_as_said() -> None:
    source = Still()

    async def look(pilot: Pilot[None]) -> None:
        while source.views < 5:
            await asyncio.sleep(0.02)

    driven(app_of(source, interval=0.05), look)


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
def test_keys_that_end_it(key: str) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await pilot.press(key)

    app = driven(app_of(), look)
    assert app.return_code == 0


def test_it_ends_when_there_is_no_more_to_come() -> None:
    over = False

    async def look(pilot: Pilot[None]) -> None:
        nonlocal over
        over = True
        for _ in range(500):
            if pilot.app._exit:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it went on")

    driven(TopApp([Still()], lambda: over, 0.05), look)


def test_a_stop_before_it_has_begun() -> None:
    app = app_of()
    app.stopping = True

    async def look(pilot: Pilot[None]) -> None:
        for _ in range(500):
            if pilot.app._exit:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it went on")

    driven(app, look)


def test_nothing_sampled_yet() -> None:
    async def look(pilot: Pilot[None]) -> None:
        assert "No samples yet." in await presses(pilot)
        assert "callees" not in await presses(pilot, "enter")  # there is no row to look into

    driven(app_of(Still(Live(4711, 5.0, tick(0.0)))), look)


def test_the_loop_is_woken_without_sockets() -> None:
    """By another thread and by a signal, in a confined process: by itself it would sleep for ten minutes."""
    program = """
import os, signal, sys, threading
from zeekspy.confine import confine
from zeekspy.top.loop import PipeLoop
loop = PipeLoop()
confined = confine([os.getpid()]).confined
signal.signal(signal.SIGTERM, lambda *_: loop.call_soon_threadsafe(loop.stop))
for wake in (lambda: loop.call_soon_threadsafe(loop.stop), lambda: os.kill(os.getpid(), signal.SIGTERM)):
    sleeping = loop.call_later(600, sys.exit, 9)
    threading.Timer(0.2, wake).start()
    loop.run_forever()
    sleeping.cancel()
loop.close()
print("woken", confined)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stderr == ""
    assert done.stdout == f"woken {confine.available()}\n"
