"""Numbers in few columns."""

from __future__ import annotations

import time


def percent(share: float | None) -> str:
    """``12.3``, ``0.04``, ``100``; ``-`` where there is none."""
    if share is None:
        return "-"
    value = 100 * share
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 0.95 or value == 0 else f"{value:.2f}"


def short(value: float | None) -> str:
    """Three digits, or four: ``0.25``, ``12.3``, ``1234``, ``56.7k``, ``8.90M``."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    for unit in ("", "k", "M", "G"):
        if value < (9999.5 if not unit else 999.5) or unit == "G":
            break
        value /= 1000
    return (f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}") + unit


def clock(seconds: float) -> str:
    """``0:59``, ``1:02:03``."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
