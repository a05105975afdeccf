"""How often each fault happens, and to which engine.

The short form is part of every test run; ``make soak`` sets ZEEKSPY_SOAK to how often each kind of fault is to happen
in all, over every engine and era.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.commands import ZEEKSPY
from tests.support.targets import running
from zeekspy import standin

SOAK = int(os.environ.get("ZEEKSPY_SOAK", "0"))


@cache
def engines() -> tuple[str, ...]:
    """Those that ``zeekspy record --help`` offers, without auto."""
    text = subprocess.run([*ZEEKSPY, "record", "--help"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"--engine \{([\w,]+)\}", text)
    assert found, text
    return tuple(name for name in found[1].split(",") if name != "auto")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", engines())
    if "an_era" in metafunc.fixturenames:  # where the engine matters and the era hardly can
        metafunc.parametrize("an_era", standin.ERAS if SOAK else standin.ERAS[-1:])


@pytest.fixture
def rounds() -> Callable[[int], int]:
    """How often, where the short form does it that often for each engine and era."""
    return lambda short: max(short, SOAK // (len(engines()) * len(standin.ERAS)))


@pytest.fixture
def target() -> Iterator[subprocess.Popen[bytes]]:
    """A stand-in, of one era: for faults that have nothing to do with what is read."""
    with running("2") as process:
        yield process


@pytest.fixture
def elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of every zeekspy that the test starts."""
    folder = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder
