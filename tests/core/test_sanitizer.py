"""Under ``make check-asan`` a fault in the C core ends the run; this shows that it would."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.core.build_core import ROOT, SANITIZE

pytestmark = pytest.mark.skipif(not SANITIZE, reason="only with sanitizers: make check-asan")

OVERFLOW = """
from tests.core.binding import Reader, ffi
reader = Reader.image([(0x1000, bytes(32))])
reader._keep[0][0].len = 4096
reader.read((0x1000, 4096))
"""
UNDEFINED = """
from tests.core.binding import ffi, lib
lib.zs_cost_ns(1 << 30)
"""


@pytest.mark.parametrize(
    ("program", "report"), [(OVERFLOW, "heap-buffer-overflow"), (UNDEFINED, "runtime error: shift exponent")]
)
def test_a_fault_is_caught(program: str, report: str) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert report in done.stderr
