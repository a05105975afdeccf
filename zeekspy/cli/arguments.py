"""Types of arguments that several commands take."""

from __future__ import annotations

import argparse
import math
import re

MAX_HZ = 20000.0
MAX_PID = 1 << 22


def pid(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 0 < int(text) <= MAX_PID:
        raise argparse.ArgumentTypeError(f"{text!r} is not a process id")
    return int(text)


def hz(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.01 <= value <= MAX_HZ:
        raise argparse.ArgumentTypeError(f"{text!r} is not a rate; give samples a second, from 0.01 to {MAX_HZ:.0f}")
    return value


def seconds(text: str) -> float:
    """``90``, ``1.5``, ``200ms``, ``90s``, ``5m`` or ``1h``."""
    match = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)(|ms|s|m|h)", text, re.ASCII)
    value = float(match[1]) * {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}[match[2]] if match else 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; give seconds, or 5m, or 1h")
    return value


def percent(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d{1,6})?", text, re.ASCII) or float(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a percentage; give a number above 0")
    return float(text)


def count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 999999")
    return int(text)
