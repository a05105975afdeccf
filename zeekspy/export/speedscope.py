"""speedscope's own JSON, with a frame for every line of a body.

The format: github.com/jlfwong/speedscope, src/lib/file-format-spec.ts. Every process has three profiles: cpu, wall and
samples. In cpu and wall the samples are in order of time where times were kept (speedscope's "Time Order"); samples
without a time come first, one for each stack. The order of samples in the third has no meaning.
"""

from __future__ import annotations

import json
from typing import BinaryIO

from zeekspy.export.sequence import runs
from zeekspy.export.words import headline, process, why_empty
from zeekspy.profile import Frame, Labels, Profile, display_name

SCHEMA = "https://www.speedscope.app/file-format-schema.json"


def write(profile: Profile, out: BinaryIO) -> None:
    """One JSON object. Weights are nanoseconds, and numbers of samples in the third profile."""
    frames: dict[Frame, int] = {}
    stacks: list[str] = []
    parts: dict[Labels, tuple[_Part, _Part, _Part]] = {}
    part_of: list[tuple[_Part, _Part, _Part]] = []
    for stack, labels, _ in profile:
        numbers = [frames.setdefault(frame, len(frames)) for frame in stack]
        stacks.append(f"[{','.join(map(str, numbers))}]")
        if labels not in parts:
            who = process(labels)
            cpu, wall, samples = (f"{name} {who}".rstrip() for name in ("cpu", "wall", "samples"))
            parts[labels] = _Part(cpu, "nanoseconds"), _Part(wall, "nanoseconds"), _Part(samples, "none")
        part_of.append(parts[labels])
    for _, number, _, cpu_ns, wall_ns, _ in runs(profile):
        cpu_part, wall_part, _ = part_of[number]
        cpu_part.add(stacks[number], cpu_ns)
        wall_part.add(stacks[number], wall_ns)
    for number, values in enumerate(profile.samples.values()):
        part_of[number][2].add(stacks[number], values.count)
    profiles = [part for group in parts.values() for part in group if part.total] or [_Part("empty", "none")]
    name = headline(profile) + (f" - {why_empty(profile)}" if not parts else "")
    head = {"$schema": SCHEMA, "name": name, "exporter": f"zeekspy {profile.meta.get('zeekspy_version', '')}".strip()}
    out.write(json.dumps(head)[:-1].encode())
    out.write(b',"activeProfileIndex":0,"shared":{"frames":[')
    out.write(",".join(map(_frame, frames)).encode())
    out.write(b']},"profiles":[')
    for i, part in enumerate(profiles):
        out.write(b"," if i else b"")
        part.write(out)
    out.write(b"]}\n")


class _Part:
    """One profile of the file."""

    def __init__(self, name: str, unit: str) -> None:
        self.name, self.unit, self.total = name, unit, 0
        self._samples: list[str] = []
        self._weights: list[int] = []

    def add(self, stack: str, weight: int) -> None:
        if weight:
            self._samples.append(stack)
            self._weights.append(weight)
            self.total += weight

    def write(self, out: BinaryIO) -> None:
        head = {"type": "sampled", "name": self.name, "unit": self.unit, "startValue": 0, "endValue": self.total}
        out.write(json.dumps(head)[:-1].encode())
        out.write(b',"samples":[')
        out.write(",".join(self._samples).encode())
        out.write(b'],"weights":[')
        out.write(",".join(map(str, self._weights)).encode())
        out.write(b"]}")


def _frame(frame: Frame) -> str:
    described: dict[str, str | int] = {"name": display_name(frame) or "?"}
    body = frame.body
    file, line = (frame.file, frame.line) if frame.file else (body.file, body.first_line) if body else (None, None)
    if "inlined" in frame.flags:
        described["name"] = f"{described['name']} (inlined)"
    if file:
        described["file"] = file
        if line is not None and line > 0:
            described["line"] = line
    return json.dumps(described)
