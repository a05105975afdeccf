"""What ``watch --on`` takes: conditions with values and units, joined by ``and``, ``or``, ``not`` and parentheses.

    trigger    = term { "or" term }            term = factor { "and" factor }
    factor     = "not" factor | "(" trigger ")" | condition
    condition  = "drops>" share | "drops>" number "/s" | "lag>" time | "stall>" time | "cpu>" share
               | "rss>" size | "rss>+" size "/" time | "frame~" regex ">" share | "signal"
    share      = number "%" [ "/" time ]

Times are in ms, s, m or h; sizes in kB, MB, GB (thousands) or KiB, MiB, GiB. A regex is taken as it stands up to the
first ``>`` with a digit behind it, or stands in double quotes, in which ``\\"`` is a quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zeekspy.errors import UsageError

KINDS = ("drops", "lag", "stall", "cpu", "rss", "frame", "signal")
OVER_S = {"cpu": 10.0, "frame": 10.0, "rss": 60.0}
"""The time a condition is about where none is given."""
SHORTEST_S, LONGEST_S = 0.5, 3600.0
"""Of the time behind the slash: some looks at least, and no more than is kept for it."""
MOST, DEEPEST = 4096, 32
"""Characters of a trigger, and parentheses and ``not`` within each other."""
HINT = (
    "Conditions are drops>0.1%, drops>100/s, lag>2s, stall>200ms, cpu>90%/10s, rss>4GB, rss>+500MB/60s, "
    "frame~REGEX>30%/10s and signal; join them with and, or, not and parentheses."
)
TIMES = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZES = {"B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
UNITS: Mapping[str, float] = {**TIMES, **SIZES}
_SHOWN = {"B": ("GB", "MB", "kB")}
"""In which of these a limit is shown, if it is a whole number of them."""

_NUMBER = r"(?P<number>\d{1,12}(?:\.\d{1,6})?)"
_OVER = r"(?:/(?P<over>\d{1,9}(?:\.\d{1,6})?)(?P<time>ms|s|m|h))?"
_SHARE = rf">{_NUMBER}(?P<unit>%){_OVER}"
_FORMS = {
    "drops": re.compile(rf"drops>{_NUMBER}(?P<unit>%|/s){_OVER}", re.ASCII),
    "lag": re.compile(rf"lag>{_NUMBER}(?P<unit>ms|s|m|h)", re.ASCII),
    "stall": re.compile(rf"stall>{_NUMBER}(?P<unit>ms|s|m|h)", re.ASCII),
    "cpu": re.compile(rf"cpu{_SHARE}", re.ASCII),
    "rss": re.compile(rf"rss>(?P<plus>\+?){_NUMBER}(?P<unit>{'|'.join(SIZES)}){_OVER}", re.ASCII),
    "frame": re.compile(rf'frame~(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<bare>[^\s"]\S*?)){_SHARE}', re.ASCII),
    "signal": re.compile(r"signal"),
}
_END = re.compile(r"(?=[\s()]|$)")
_WORD = re.compile(r"\s*(\(|\)|(?:and|or|not)(?=[\s()]|$))")
_BARE = re.compile(r'[^\s"]\S*')


@dataclass(frozen=True, slots=True)
class Condition:
    """One measure of a node, and above what it is met."""

    kind: str
    """One of KINDS."""
    limit: float = 0.0
    """A share 0 … 1 and more, seconds, bytes, or packets a second, as ``unit`` says."""
    unit: str = ""
    """``%``, ``/s``, ``s``, ``B``, or nothing."""
    over_s: float = 0.0
    """The time it is about; 0: this moment."""
    growth: bool = False
    """Of rss: how much it has grown in that time."""
    pattern: str = ""
    """Of frame: the regular expression."""

    def __str__(self) -> str:
        if self.kind == "signal":
            return "signal"
        over = f"/{_plain(self.over_s)}s" if self.over_s else ""
        unit = next((u for u in _SHOWN.get(self.unit, ()) if self.limit and self.limit % UNITS[u] == 0), self.unit)
        if self.unit == "s" and self.limit < 1:
            unit = "ms"
        value = _plain(self.limit * 100 if unit == "%" else self.limit / UNITS.get(unit, 1))
        if self.kind == "frame":
            bare = _BARE.fullmatch(self.pattern) and not re.search(r">\d", self.pattern, re.ASCII)
            regex = self.pattern if bare else '"' + self.pattern.replace('"', '\\"') + '"'
            return f"frame~{regex}>{value}%{over}"
        return f"{self.kind}>{'+' if self.growth else ''}{value}{unit}{over}"


@dataclass(frozen=True, slots=True)
class Not:
    operand: Expression

    def __str__(self) -> str:
        return f"not {_within(self.operand)}"


@dataclass(frozen=True, slots=True)
class All:
    """All of them, ``and``; two at least."""

    operands: tuple[Expression, ...]

    def __str__(self) -> str:
        return " and ".join(map(_within, self.operands))


@dataclass(frozen=True, slots=True)
class Any:
    """One of them, ``or``; two at least."""

    operands: tuple[Expression, ...]

    def __str__(self) -> str:
        return " or ".join(map(_within, self.operands))


Expression = Condition | Not | All | Any


def parse(text: str) -> Expression:
    """The expression that ``text`` is; its str() is the same expression again. UsageError says where it is none."""
    if len(text) > MOST:
        raise UsageError(f"a trigger of {len(text)} characters is too long", f"{MOST} are the most.")
    parser = _Parser(text)
    found = parser.trigger(0)
    if parser.rest():
        raise parser.error("an end, 'and' or 'or'")
    return found


def conditions(expression: Expression) -> Iterator[Condition]:
    """All there are in it, from left to right."""
    if isinstance(expression, Condition):
        yield expression
    elif isinstance(expression, Not):
        yield from conditions(expression.operand)
    else:
        for operand in expression.operands:
            yield from conditions(operand)


def truth(expression: Expression, met: Mapping[Condition, bool | None]) -> bool | None:
    """Whether it is met. None where that hangs on a condition of which nothing is known."""
    if isinstance(expression, Condition):
        return met.get(expression)
    if isinstance(expression, Not):
        found = truth(expression.operand, met)
        return None if found is None else not found
    decides = isinstance(expression, Any)
    parts = [truth(operand, met) for operand in expression.operands]
    if decides in parts:
        return decides
    return None if None in parts else not decides


class _Parser:
    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def trigger(self, depth: int) -> Expression:
        return self._joined("or", depth)

    def rest(self) -> str:
        return self._text[self._at :].strip()

    def error(self, wanted: str) -> UsageError:
        rest = self.rest()
        place = f"at {rest[:40]!r}" if rest else "at its end"
        return UsageError(f"the trigger {self._text!r} is not understood {place}: {wanted} is wanted", HINT)

    def _joined(self, word: str, depth: int) -> Expression:
        def part() -> Expression:
            return self._joined("and", depth) if word == "or" else self._factor(depth)

        operands = [part()]
        while self._take(word):
            operands.append(part())
        if len(operands) == 1:
            return operands[0]
        return Any(tuple(operands)) if word == "or" else All(tuple(operands))

    def _factor(self, depth: int) -> Expression:
        if depth > DEEPEST:
            raise UsageError("the trigger has too many parentheses or 'not' within each other", HINT)
        if self._take("not"):
            return Not(self._factor(depth + 1))
        if self._take("("):
            inner = self.trigger(depth + 1)
            if not self._take(")"):
                raise self.error("a closing parenthesis")
            return inner
        return self._condition()

    def _take(self, word: str) -> bool:
        match = _WORD.match(self._text, self._at)
        if match is None or match[1] != word:
            return False
        self._at = match.end()
        return True

    def _condition(self) -> Condition:
        start = len(self._text) - len(self._text[self._at :].lstrip())
        for kind, form in _FORMS.items():
            match = form.match(self._text, start)
            if match is not None and _END.match(self._text, match.end()):
                found = _made(kind, match)
                self._at = match.end()
                return found
        raise self.error("a condition")


def _made(kind: str, match: re.Match[str]) -> Condition:
    if kind == "signal":
        return Condition("signal")
    part = match.groupdict()
    number, unit, over = float(part["number"]), part["unit"], OVER_S.get(kind, 0.0)
    if part.get("over"):
        over = float(part["over"]) * TIMES[part["time"]]
        if not SHORTEST_S <= over <= LONGEST_S:
            raise UsageError(
                f"{match[0]!r}: the time must be from {SHORTEST_S:g} s to {LONGEST_S / 3600:g} h", "As in cpu>90%/10s."
            )
    growth = bool(part.get("plus"))
    if kind == "rss" and not growth:
        if part["over"]:
            raise UsageError(f"{match[0]!r}: a size has no time behind it", "rss>+500MB/60s is growth, rss>4GB a size.")
        over = 0.0
    if unit == "%":
        return Condition(kind, number / 100, "%", over, pattern=_pattern(part) if kind == "frame" else "")
    if unit in TIMES and kind in ("lag", "stall"):
        return Condition(kind, number * TIMES[unit], "s")
    if unit in SIZES:
        return Condition(kind, number * SIZES[unit], "B", over, growth)
    return Condition(kind, number, unit, over)


def _pattern(part: Mapping[str, str | None]) -> str:
    quoted = part["quoted"]
    pattern = part["bare"] or "" if quoted is None else re.sub(r"\\(.)", _unescaped, quoted, flags=re.DOTALL)
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as e:
        raise UsageError(
            f"{pattern!r} is not a regular expression: {e}", "Python's re module describes them."
        ) from None
    return pattern


def _unescaped(match: re.Match[str]) -> str:
    return '"' if match[1] == '"' else match[0]


def _within(expression: Expression) -> str:
    return f"({expression})" if isinstance(expression, All | Any) else str(expression)


def _plain(value: float) -> str:
    """A number without an exponent, exact enough to be read back as the same."""
    text = f"{value:.9f}".rstrip("0").rstrip(".")
    return text or "0"
