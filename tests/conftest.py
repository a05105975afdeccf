"""Fixtures for every test; tests marked live or zeek are skipped, with the remedy, where they cannot run."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support import targets
from zeekspy import standin

# A machine that is busy with something else is no failure. The same code gets the same examples, so that no change is
# refused for what another one did; --hypothesis-profile=fresh draws new ones, deep many of them.
settings.register_profile("zeekspy", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("fresh", settings.get_profile("zeekspy"), derandomize=False)
settings.register_profile("deep", settings.get_profile("fresh"), max_examples=3000)
settings.load_profile("zeekspy")

# Started by nohup, all processes of the tests would ignore SIGHUP, and those that are to end by it would not.
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("live") and (why := targets.why_not_live()):
        pytest.skip(why)
    if item.get_closest_marker("zeek") and not targets.zeeks():
        pytest.skip("no Zeek here: install one, or name executables in ZEEKSPY_TEST_ZEEK (colons between)")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where tables made from DWARF are kept during the tests: never the user's own cache."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(place))
        yield place


@pytest.fixture(params=standin.ERAS, ids=lambda era: f"era{era}")
def era(request: pytest.FixtureRequest) -> str:
    """Each era of the stand-in target in turn."""
    return str(request.param)


@pytest.fixture
def target(era: str) -> Iterator[subprocess.Popen[bytes]]:
    """A running stand-in of each era, busy in scripts all the time, past its first event."""
    with targets.running(era) as process:
        yield process
