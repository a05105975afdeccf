"""The grammar of triggers: what is read is what was meant, and what cannot be is refused with a place and a remedy."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeekspy.errors import UsageError
from zeekspy.rolling.grammar import All, Any, Condition, Expression, Not, conditions, parse, truth

EXAMPLES = {
    "drops>0.1%": Condition("drops", 0.001, "%"),
    "drops>100/s": Condition("drops", 100, "/s"),
    "drops>1%/10s": Condition("drops", 0.01, "%", 10),
    "lag>2s": Condition("lag", 2, "s"),
    "stall>200ms": Condition("stall", 0.2, "s"),
    "cpu>90%/10s": Condition("cpu", 0.9, "%", 10),
    "cpu>90%": Condition("cpu", 0.9, "%", 10),
    "cpu>90%/2m": Condition("cpu", 0.9, "%", 120),
    "rss>4GB": Condition("rss", 4e9, "B"),
    "rss>+500MB/60s": Condition("rss", 5e8, "B", 60, growth=True),
    "rss>+1GiB": Condition("rss", 1 << 30, "B", 60, growth=True),
    "frame~http_.*>30%/10s": Condition("frame", 0.3, "%", 10, pattern="http_.*"),
    "frame~(a|b)>30%": Condition("frame", 0.3, "%", 10, pattern="(a|b)"),
    'frame~"a \\" >1 b">30%': Condition("frame", 0.3, "%", 10, pattern='a " >1 b'),
    "signal": Condition("signal"),
}
CPU, LAG, STALL = EXAMPLES["cpu>90%"], EXAMPLES["lag>2s"], EXAMPLES["stall>200ms"]


@pytest.mark.parametrize("text", EXAMPLES)
def test_a_condition(text: str) -> None:
    found = parse(text)
    assert found == EXAMPLES[text]
    assert parse(str(found)) == found


def test_what_is_shown_is_as_people_write_it() -> None:
    for text in ("stall>200ms", "rss>4GB", "rss>+500MB/60s", "cpu>90%/10s", "drops>100/s", "lag>2s", "rss>1500kB"):
        assert str(parse(text)) == text


def test_how_strong_the_words_bind() -> None:
    assert parse("lag>2s or cpu>90% and not stall>200ms") == Any((LAG, All((CPU, Not(STALL)))))
    assert parse("(lag>2s or cpu>90%) and stall>200ms") == All((Any((LAG, CPU)), STALL))
    assert parse("  not(lag>2s)  ") == Not(LAG)
    assert list(conditions(parse("lag>2s or cpu>90% and not lag>2s"))) == [LAG, CPU, LAG]


numbers = st.integers(0, 10**6).map(lambda n: n / 1000)
patterns = st.text(st.sampled_from('ab_<>1 "().*|:\\[]'), min_size=1, max_size=12).map(re.escape) | st.sampled_from(
    ["http_.*", "^<idle>$", ".*", '"']
)
leaves = st.one_of(
    st.builds(lambda n: Condition("drops", n / 100, "%"), numbers),
    st.builds(lambda n, s: Condition("drops", n, "/s", s), numbers, st.sampled_from([0.0, 0.5, 10.0, 3600.0])),
    st.builds(lambda k, n: Condition(k, n, "s"), st.sampled_from(["lag", "stall"]), numbers),
    st.builds(lambda n: Condition("rss", n, "B"), numbers),
    st.builds(lambda n, s: Condition("rss", n, "B", s, True), numbers, st.sampled_from([0.5, 60.0])),
    st.builds(lambda n, s: Condition("cpu", n / 100, "%", s), numbers, st.sampled_from([0.5, 10.0])),
    st.builds(lambda n, p: Condition("frame", n / 100, "%", 10.0, pattern=p), numbers, patterns),
    st.just(Condition("signal")),
)


def joined(parts: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(parts, min_size=2, max_size=3).map(tuple)
    return st.builds(Not, parts) | st.builds(All, several) | st.builds(Any, several)


expressions: st.SearchStrategy[Expression] = st.recursive(leaves, joined, max_leaves=8)


def close(a: Expression, b: Expression) -> bool:
    """Equal, but for the last bit of a percentage."""
    if isinstance(a, Condition) and isinstance(b, Condition):
        same = (a.kind, a.unit, a.over_s, a.growth) == (b.kind, b.unit, b.over_s, b.growth)
        return same and abs(a.limit - b.limit) < 1e-9 and a.pattern == b.pattern
    if isinstance(a, Not) and isinstance(b, Not):
        return close(a.operand, b.operand)
    if isinstance(a, All | Any) and type(a) is type(b):
        return len(a.operands) == len(b.operands) and all(map(close, a.operands, b.operands))
    return False


@given(expressions)
def test_what_is_printed_is_read_back(expression: Expression) -> None:
    try:
        back = parse(str(expression))
    except UsageError:
        # A pattern that only a quoted text could hold, with a quote that is escaped already.
        assert '\\"' in str(expression)
        return
    assert close(back, expression)


@given(expressions, st.data())
def test_the_unknown_decides_nothing(expression: Expression, data: st.DataObject) -> None:
    known = {c: data.draw(st.sampled_from([True, False, None])) for c in set(conditions(expression))}
    whole = truth(expression, known)
    unknown = [c for c, met in known.items() if met is None]
    answers = {
        truth(expression, {**known, **dict(zip(unknown, values, strict=True))}) for values in _all_of(len(unknown))
    }
    if whole is not None:
        assert answers == {whole}  # whatever the unknown are
    assert None not in answers


def _all_of(n: int) -> list[tuple[bool, ...]]:
    return [tuple(bool(i >> k & 1) for k in range(n)) for i in range(1 << n)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "lag",
        "lag>2",
        "lag>2%",
        "lag<2s",
        "stall>200ms and",
        "and stall>200ms",
        "(stall>200ms",
        "stall>200ms)",
        "stall>200ms cpu>90%",
        "not",
        "cpu>90",
        "cpu>90%/1ms",
        "cpu>90%/2h",
        "rss>+500/60s",
        "rss>4GB/60s",
        "frame~(>30%",
        "frame~>30%",
        "frame~a",
        "signals",
        "drops>-1%",
        "drops>1e9%",
        "lag>99999999999999999999s",
        "not " * 40 + "signal",
        "(" * 40 + "signal" + ")" * 40,
        "signal or " * 1000 + "signal",
    ],
)
def test_what_is_no_trigger(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.hint


@given(st.text(st.sampled_from('drops lag>2%/s().~"\\0123'), max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert list(conditions(found))
