"""The same samples by something else than bodies: by script line, or by script file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from zeekspy.profile import CORE, IDLE, Body, Frame, Profile, Stack, display_name, short_file
from zeekspy.timeline import Timeline

BY = ("body", "line", "file")


def regrouped(profile: Profile, by: str) -> Profile:
    """``profile`` with frames for ``by``, one of BY, and without what was counted by body.

    By line, every line of a body is a frame. By file, calls within a file are one frame; what has no file stays.
    """
    if by == "body":
        return profile
    change: Callable[[Stack], Stack] = _lines if by == "line" else _files
    result = replace(profile, samples={}, times=None, calls={}, calls_ns=0)
    changed: dict[Stack, Stack] = {}
    for stack, labels, values in profile:
        changed[stack] = change(stack)
        result.add(changed[stack], labels, values.count, values.cpu_ns, values.wall_ns)
    if profile.times is not None:
        result.times = times = Timeline()
        slots = [times.slot(changed.get(stack, stack), labels) for stack, labels in profile.times.keys]
        times.dropped = profile.times.dropped
        for t_us, slot, count in profile.times:
            times.add(t_us, slots[slot], count)
    return result


def _lines(stack: Stack) -> Stack:
    return tuple(_line(frame) for frame in stack)


def _line(frame: Frame) -> Frame:
    if not frame.file or not frame.line:
        return frame
    name = f"{display_name(frame)}:{frame.line}"
    return replace(frame, name=name, body=Body(frame.file, frame.line, frame.line), bodies=1)


def _files(stack: Stack) -> Stack:
    result: list[Frame] = []
    for frame in stack:
        file = frame.file or (frame.body.file if frame.body else None)
        if not file:
            result.append(replace(frame, line=None))
        elif not result or result[-1].body is None or result[-1].body.file != file:
            result.append(Frame(short_file(file, 3) or file, None, None, None, Body(file, 1, 0)))
    return tuple(result) if stack not in ((CORE,), (IDLE,)) else stack
