"""Hypothesis strategies for script stacks."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.support.image import Body, Entry, Function, Place, Script
from tests.support.layouts import STMT_LIST_TAGS

_PRINTABLE = st.characters(blacklist_categories=("Cs", "Cc"))
_NAMES = st.one_of(
    st.sampled_from(
        ["zeek_init", "http_header", "Log::write", "connection_state_remove", "lambda_<7>", "f" * 15, "g" * 16]
    ),
    st.sampled_from(["h" * 22, "i" * 23, "SSL::" + "j" * 300, "k" * 1024]),
    st.text(_PRINTABLE, min_size=1, max_size=40),
)
_FILES = st.one_of(
    st.sampled_from([f"/opt/zeek/share/zeek/base/{name}.zeek" for name in ("main", "utils", "./dns/main")]),
    st.sampled_from(["a.zeek", "/" + "deep/" * 200 + "z.zeek"]),
    st.text(_PRINTABLE, min_size=1, max_size=20),
)
_LINES = st.one_of(st.integers(1, 60), st.integers(0, 10_000_000))


def places() -> st.SearchStrategy[Place]:
    return st.builds(Place, _FILES, _LINES, _LINES)


_MAYBE = st.one_of(st.none(), places(), places(), places())


def bodies() -> st.SearchStrategy[Body]:
    plain = st.builds(Body, _MAYBE, st.sampled_from([0, 1, 9, 19, 254]))
    lists = st.builds(Body, _MAYBE, st.sampled_from(STMT_LIST_TAGS), st.lists(_MAYBE, max_size=5).map(tuple))
    return st.one_of(plain, lists)


def functions(*kinds: str) -> st.SearchStrategy[Function]:
    def build(kind: str) -> st.SearchStrategy[Function]:
        many = st.just(()) if kind == "bif" else st.lists(bodies(), max_size=4).map(tuple)
        return st.builds(Function, _NAMES, st.just(kind), many)

    return st.sampled_from(kinds or ("function", "event", "hook", "bif")).flatmap(build)


@st.composite
def scripts(draw: st.DrawFn, max_depth: int = 8, stale: bool = True) -> Script:
    """Stacks as Zeek can have them: events at the bottom, or called from a script; recursion; entries left behind."""
    pool = draw(st.lists(functions(), min_size=1, max_size=4))
    left = _stale(draw, pool) if stale and draw(st.integers(0, 3)) == 0 else ()
    entries = []
    for i in range(draw(st.integers(0, max_depth)) if not left else draw(st.integers(1, max_depth))):
        # Whatever lies below an event that C++ dispatched is stale, so a live stack has one at the bottom only.
        function = draw(st.sampled_from(pool))
        if left and not i:
            function = draw(functions("event"))
        call = bool(i) and (function.kind == "event" or draw(st.integers(0, 3)) > 0)
        entries.append(Entry(function, call, draw(_MAYBE) if call else None, draw(_MAYBE), draw(st.integers(0, 5)) > 0))
    entering = None
    scripted = [entry.function for entry in entries if entry.function.kind != "bif"]
    if scripted and draw(st.integers(0, 3)) == 0:
        entering = next((f for f in pool if f.kind != "bif" and f != scripted[-1]), None)
    return Script(tuple(entries), left, draw(st.integers(0, 4)) == 0, entering)


def _stale(draw: st.DrawFn, pool: list[Function]) -> tuple[Entry, ...]:
    depth = draw(st.integers(1, 5))
    return tuple(Entry(draw(st.sampled_from(pool)), bool(i), None, draw(_MAYBE)) for i in range(depth))
