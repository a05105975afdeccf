"""Draws docs/top.svg: ``python docs/top.py`` shows zeekspy top on the stand-in target of ``zeekspy demo``."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from pathlib import Path

from zeekspy import session, standin
from zeekspy.cli.top import Source
from zeekspy.top.app import TopApp
from zeekspy.watch import Watch

SIZE = (100, 24)
SECONDS = 9.5


async def picture(app: TopApp, watch: Watch) -> str:
    async with app.run_test(size=SIZE) as pilot:
        watch.start()
        await asyncio.sleep(SECONDS)
        await pilot.press("down", "down")
        await pilot.pause()
        return app.export_screenshot(title="zeekspy top")


def main() -> None:
    target = subprocess.Popen([standin.path("2"), "--core", "0.35", "--idle", "0.1"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(1)
        watch = Watch([session.Session(session.attach(target.pid), 100)])
        app = TopApp([Source(watch.watched[0], 1, 1)], lambda: watch.done)
        drawn = asyncio.run(picture(app, watch))
        watch.stop()
    finally:
        target.kill()
        target.wait()
    Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg")).write_text(drawn)


if __name__ == "__main__":
    main()
