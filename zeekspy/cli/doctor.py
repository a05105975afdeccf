"""``zeekspy doctor``: an attach step by step, each with what was seen, as far as it goes."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeekspy.cli import selecting
from zeekspy.errors import NoSuchTarget, UnknownBuild, ZeekspyError

if TYPE_CHECKING:
    from zeekspy._core import Memory
    from zeekspy.layout import Layout
    from zeekspy.target import Target

NAMESPACES = ("pid", "mnt", "user")


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an attach. ``exit_code`` is 0 where it went well; ``hint`` says what to do where it did not."""

    step: str
    evidence: str
    exit_code: int = 0
    hint: str = ""
    details: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.exit_code == 0


def add_parser(subparsers: Any) -> None:
    p = subparsers.add_parser(
        "doctor",
        help="show every step of an attach, and which one fails",
        description="Attaches to a Zeek step by step and shows what each step saw. Ends with the exit code of the "
        "first step that failed.",
    )
    selecting.add_arguments(p, many=False)
    p.add_argument("--offsets", type=Path, metavar="FILE", help="table of offsets to use")
    p.add_argument("--json", action="store_true", help="as one JSON object")
    p.set_defaults(func=run)


def run(args: argparse.Namespace) -> int:
    args.pid = selecting.one(args)
    steps = []
    for step in attach(args.pid, args.offsets):
        steps.append(step)
        if not args.json:
            print(f"{'ok' if step.ok else 'FAILED':7} {step.step}: {step.evidence}")
            for line in [*step.details, *([step.hint] if step.hint else [])]:
                print(f"{'':10}{line}")
    code = next((s.exit_code for s in steps if not s.ok), 0)
    if args.json:
        rows = [{"ok": s.ok, **asdict(s)} for s in steps]
        print(json.dumps({"pid": args.pid, "exit_code": code, "steps": rows}, indent=2))
    return code


def attach(pid: int, offsets: Path | None) -> Iterator[Step]:
    """The steps of an attach to ``pid``; those that need what a failed one would have given are left out."""
    from zeekspy import session, target

    try:
        target.start_time(pid)
        yield Step("process", _process(pid))
    except ZeekspyError as e:
        yield _failed("process", e)
        return
    memory: Memory | None = None
    found: Target | None = None
    try:
        memory = session.open_memory(pid)
        yield Step("permissions", f"zeekspy runs as uid {os.geteuid()} and may read the memory")
    except ZeekspyError as e:
        yield _failed("permissions", e)
    yield Step("namespaces", _namespaces(pid))
    try:
        found = target.find(pid)
    except ZeekspyError as e:
        yield _failed("binary", e)
    table: Layout | None = None
    fits = False
    if found is not None:
        yield from _binary(found)
        yield (choice := _table(found, offsets))[0]
        table = choice[1]
        if table is not None and memory is not None:
            yield (checked := _self_check(found, table, memory))
            fits = checked.ok
    if memory is not None:
        yield Step("read method", memory.method)
        yield Step("engines", _engines(pid))
        yield Step("confinement", _confinement(pid))
    if fits and found is not None and table is not None and memory is not None:
        yield _stack(session.Attachment(found, table, memory, ()))


def _failed(step: str, error: ZeekspyError) -> Step:
    return Step(step, str(error), error.exit_code, error.hint)


def _process(pid: int) -> str:
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        raise NoSuchTarget(f"process {pid} has gone") from None
    status = dict(line.partition(":\t")[::2] for line in text.splitlines())
    name, uid, state, threads = (status.get(k, "?").split("\t")[0] for k in ("Name", "Uid", "State", "Threads"))
    return f"{pid} ({name}), uid {uid}, state {state}, {threads} threads"


def _namespaces(pid: int) -> str:
    words = []
    for name in NAMESPACES:
        try:
            same = os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/self/ns/{name}")
            words.append(f"{name} {'as ours' if same else 'another than ours'}")
        except OSError:
            words.append(f"{name} cannot be seen")
    return ", ".join(words)


def _binary(target: Target) -> Iterator[Step]:
    yield Step("binary", f"{target.exe} ({target.arch}), loaded at {target.bias:#x}")
    yield Step("build-id", target.build_id or "none: a table cannot be kept in the cache")
    yield Step("version", target.version)
    yield Step("C++ library", target.stdlib)
    yield Step(
        "build", "with -DDEBUG: its classes have more members" if target.debug else "a release build, no -DDEBUG"
    )
    symbols = [f"{name}: {at:#x}, {target.sizes[name]} bytes" for name, at in target.symbols.items()]
    yield Step("symbols", f"{len(symbols)} found", details=symbols)


def _table(target: Target, offsets: Path | None) -> tuple[Step, Layout | None]:
    from zeekspy import choice

    looked_at: list[choice.Candidate] = []
    try:
        looked_at.extend(choice.candidates(target, offsets))
    except ZeekspyError as e:
        return _failed("table", e), None
    lines = [f"{c.place}: {c.why}{' (taken)' if c.layout is not None else ''}" for c in looked_at]
    found = looked_at[-1].layout
    if found is None:
        error = choice.unknown(target, looked_at[-1])
        return Step("table", str(error), error.exit_code, error.hint, lines), None
    return Step(
        "table", f"{found.origin}, for Zeek {found.since} - {found.until}, {found.stdlib}", details=lines
    ), found


def _self_check(target: Target, table: Layout, memory: Memory) -> Step:
    from zeekspy import selfcheck, stackcheck

    try:
        checks = stackcheck.everything(target, table, memory)
    except ZeekspyError as e:
        return _failed("self-check", e)
    lines = [f"{c.verdict} {c.what}: {c.evidence}" for c in checks]
    failed = [c for c in checks if not c.passed]
    if failed:
        hint = selfcheck.HINT.format(exe=target.exe, pid=target.pid)
        what = f"{table.origin} does not fit this Zeek {target.version}: {failed[0].what}: {failed[0].evidence}"
        return Step("self-check", what, UnknownBuild.exit_code, hint, lines)
    unproven = [c.what for c in checks if not c.proven]
    left = f"; no stack has shown yet that these are right: {', '.join(unproven)}" if unproven else ""
    return Step("self-check", f"{len(checks) - len(unproven)} checks passed{left}", details=lines)


def _engines(pid: int) -> str:
    from zeekspy import engines

    try:
        choice = engines.choose("auto", engines.look(pid), 100.0)
    except NoSuchTarget:
        return "the process has gone"
    return f"{choice.engine}: {choice.reason}"


def _confinement(pid: int) -> str:
    from zeekspy import confine

    if not confine.available():
        return "this kernel has no seccomp filters: recordings run without one"
    kept = confine.needed([pid], frozenset(), (), 0)
    return f"seccomp filter; capabilities that stay: {', '.join(kept) or 'none'}"


def _stack(attachment: Any) -> Step:
    from zeekspy.cli import dump

    try:
        stack, stale = dump.now(attachment)
    except ZeekspyError as e:
        return _failed("script stack", e)
    lines = list(dump.as_text(stack)) if stack else []
    left = f", {stale} stale entries left out" if stale else ""
    return Step("script stack", f"{len(stack)} frames{left}" if stack else f"no script is running{left}", details=lines)
