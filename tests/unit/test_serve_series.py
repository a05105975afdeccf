"""Series and their exposition: counters never go back, are never too many, and add up to all there was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from zeekspy.profile import CORE, IDLE, Body, Frame, Stack, Values
from zeekspy.serve import metrics
from zeekspy.serve.series import FORGOTTEN_S, OTHER, Name, NodeSums, Series, name_of

EVIL = 'a"b\\c\nd\x1b[2J{},\udcff'


def frame(name: str, line: int = 1) -> Frame:
    return Frame(name, "function", "a.zeek", line, Body("a.zeek", 1, 9))


names = st.sampled_from([f"f{i}" for i in range(12)])
stacks = st.one_of(
    st.lists(names, min_size=1, max_size=4).map(lambda found: tuple(frame(n) for n in found)),
    st.sampled_from([(CORE,), (IDLE,)]),
)
rounds = st.lists(st.lists(st.tuples(stacks, st.integers(1, 50), st.integers(0, 10**9)), max_size=6), max_size=40)


def own(count: int = 0) -> metrics.Own:
    return metrics.Own(1.5, 1.0, 1 << 20, 12, count, 0, 3, 0, 0.1)


@given(rounds)
def test_counters_only_grow_and_add_up(found: list[list[tuple[Stack, int, int]]]) -> None:
    series = Series(bodies=4)
    before: dict[Name, int] = {}
    spent = 0
    for second, those in enumerate(found):
        series.add_samples(20.0 * second, "w", [(s, Values(n, 0 if s == (IDLE,) else ns, 0)) for s, n, ns in those])
        series.add_calls("w", {name_of(frame("f1")): second})
        spent += sum(ns for s, _, ns in those if s != (IDLE,))
        now = series.look()["w"]
        assert sum(now.own_ns.values()) == spent
        assert all(now.own_ns.get(key, 0) >= n for key, n in before.items())
        assert all(now.total_ns.get(key, 0) >= n for key, n in now.own_ns.items())
        assert len(now.own_ns) <= 4 + 1
        before = now.own_ns
    assert series.shown <= 4


def test_a_body_has_series_once_it_has_shown_that_it_matters() -> None:
    series = Series(bodies=3)
    hot, rare = (frame("hot"),), (frame("rare"),)
    series.add_samples(0.0, "w", [(hot, Values(2, 2000, 0))])
    assert series.look()["w"].own_ns == {OTHER: 2000}
    series.add_samples(1.0, "w", [(hot, Values(2, 2000, 0)), (rare, Values(1, 1, 0))])
    series.add_samples(2.0, "w", [(hot, Values(1, 1000, 0)), (rare, Values(1, 1, 0))])
    assert series.look()["w"].own_ns == {OTHER: 4002, name_of(hot[0]): 1000}


def test_with_callees_counts_recursion_once() -> None:
    series = Series()
    stack = (frame("outer"), frame("inner", 3), frame("outer", 5))
    for second in range(2):
        series.add_samples(float(second), "w", [(stack, Values(5, 1000, 0))])
    now = series.look()["w"]
    assert now.total_ns[name_of(frame("outer"))] == 1000
    assert now.total_ns[name_of(frame("inner"))] == 1000
    assert now.own_ns == {OTHER: 1000, name_of(frame("outer")): 1000}
    assert now.total_ns[OTHER] == 1000


def test_nodes_are_bounded_and_the_longest_gone_goes_first() -> None:
    series = Series(nodes=3)
    for i in range(1000):
        series.come(f"zeek-{i}", float(i))
        series.add_samples(float(i), f"zeek-{i}", [((CORE,), Values(1, 1, 0))])
        if i:
            series.go(f"zeek-{i}", float(i))
    assert set(series.look()) == {"zeek-0", "zeek-998", "zeek-999"}


def test_a_node_that_went_a_day_ago_is_forgotten() -> None:
    series = Series()
    for node in ("old", "new"):
        series.come(node, 0.0)
    series.go("old", 100.0)
    series.add_samples(FORGOTTEN_S, "new", [((CORE,), Values(1, 1, 0))])
    assert set(series.look()) == {"old", "new"}
    series.add_samples(FORGOTTEN_S + 200, "new", [((CORE,), Values(1, 1, 0))])
    assert set(series.look()) == {"new"}


def test_a_node_that_starts_again_goes_on() -> None:
    series = Series()
    for at in range(3):
        series.come("w", float(at))
        series.add_counters("w", {"samples": 10, "attaches": 1})
        series.go("w", float(at))
    now = series.look()["w"]
    assert now.counters == {"samples": 30, "attaches": 3}
    assert now.attached == 0


def test_the_exposition_is_what_prometheus_reads() -> None:
    node = NodeSums(
        {name_of(CORE): 2_000_000_000, Name("f", "event", "x.zeek"): 500_000_000},
        {Name("f", "event", "x.zeek"): 750_000_000},
        {Name("f", "event", "x.zeek"): 42},
        {"script": 5, "core": 20, "torn": 1, "missed": 2, "cpu_ns": 2_500_000_000},
        1,
    )
    collector = metrics.Collector(lambda: {"worker-1": node}, own)
    data, kind = metrics.exposition(collector, "text/plain")
    assert kind.startswith("text/plain; version=")
    found = {
        (s.name, *(s.labels.get(k) for k in ("node", "name", "type", "script"))): s.value
        for family in text_string_to_metric_families(data.decode())
        for s in family.samples
    }
    labels = ("worker-1", "f", "event", "x.zeek")
    assert found["zeek_cpu_time_per_function_seconds", *labels] == 0.75
    assert found["zeek_absolute_cpu_time_per_function_seconds", *labels] == 0.5
    assert found["zeek_function_calls_total", *labels] == 42
    assert found["zeek_absolute_cpu_time_per_function_seconds", "worker-1", "<zeek core>", "core", ""] == 2.0
    assert found["zeekspy_target_cpu_seconds_total", "worker-1", None, None, None] == 2.5
    assert found["zeekspy_missed_samples_total", "worker-1", None, None, None] == 2
    openmetrics, kind = metrics.exposition(collector, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert openmetrics.endswith(b"# EOF\n")


def test_names_of_the_target_cannot_break_the_exposition() -> None:
    series = Series()
    stack = (Frame(EVIL, "event", None, None, Body(EVIL * 100, 1, 2)), Frame("e" * 5000, "bif", None, None, None))
    for second in range(2):
        series.add_samples(float(second), EVIL[:3], [(stack, Values(5, 1000, 0))])
    data, _ = metrics.exposition(metrics.Collector(series.look, own), "")
    text = data.decode()
    assert "\x1b" not in text
    families = {f.name: f for f in text_string_to_metric_families(text)}
    samples = families["zeek_cpu_time_per_function_seconds"].samples
    assert len(samples) == 3
    assert all(len(s.labels["name"]) <= 200 and len(s.labels["script"]) <= 200 for s in samples)
    assert {s.labels["node"] for s in samples} == {EVIL[:3]}
