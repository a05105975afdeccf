"""The counters of Series in Prometheus's format, under the names that esnet's zeek-exporter gives them."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from zeekspy.serve.series import Name, NodeSums

BODY = ("node", "name", "type", "script")
PARTIAL = ("torn", "unreadable", "lineless", "truncated")
"""Samples that were not whole, by why: csrc/zs.h, struct zs_stats. One may be several of these."""
STATES = ("script", "core", "idle")


@dataclass(frozen=True, slots=True)
class Own:
    """How the profiler itself is."""

    cpu_s: float
    sampling_cpu_s: float
    """Of this, all but answering requests."""
    resident_bytes: int
    open_files: int
    stacks: int
    folded: int
    """Stacks that lost their node or name for want of room."""
    bodies: int
    """With series of their own."""
    waiting: int
    """Requests whose window is not over."""
    last_tick_s: float
    """How long ago something was sampled last."""


class Collector:
    """For one registry of prometheus-client."""

    def __init__(self, sums: Callable[[], Mapping[str, NodeSums]], own: Callable[[], Own]) -> None:
        self._sums, self._own = sums, own

    def collect(self) -> Iterator[Metric]:
        nodes = self._sums()
        yield _bodies(
            "zeek_cpu_time_per_function_seconds",
            "CPU time of the main thread in a function or in what it called, from samples",
            nodes,
            lambda s: s.total_ns,
            1e9,
        )
        yield _bodies(
            "zeek_absolute_cpu_time_per_function_seconds",
            "CPU time of the main thread in a function itself, from samples",
            nodes,
            lambda s: s.own_ns,
            1e9,
        )
        yield _bodies(
            "zeek_function_calls_total", "Executions of a function, as Zeek counts them", nodes, lambda s: s.calls, 1
        )
        yield from _health(nodes)
        yield from _of_its_own(self._own())


def exposition(collector: Collector, accept: str, *, gzipped: bool = False) -> tuple[bytes, str]:
    """All metrics in the format that ``accept`` asks for, and its content type."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    encode, content_type = choose_encoder(accept)
    data = encode(registry)
    return gzip.compress(data, 6) if gzipped else data, content_type


def _bodies(
    name: str,
    said: str,
    nodes: Mapping[str, NodeSums],
    of: Callable[[NodeSums], Mapping[Name, int]],
    unit: float,
) -> Metric:
    # zeek-exporter's names lack the suffix that prometheus-client gives to counters; it leaves untyped ones alone.
    metric = Metric(name, said, "unknown")
    for node, sums in sorted(nodes.items()):
        for key, n in sorted(of(sums).items()):
            metric.add_sample(name, dict(zip(BODY, (node, key.name, key.type, key.script), strict=True)), n / unit)
    return metric


def _health(nodes: Mapping[str, NodeSums]) -> Iterable[Metric]:
    samples = CounterMetricFamily("zeekspy_samples", "Samples taken, by what was seen", labels=("node", "state"))
    partial = CounterMetricFamily("zeekspy_partial_samples", "Samples that were not whole", labels=("node", "why"))
    missed = CounterMetricFamily("zeekspy_missed_samples", "Samples that were due and not taken", labels=("node",))
    stale = CounterMetricFamily("zeekspy_stale_entries", "Entries left behind on Zeek's stack", labels=("node",))
    cpu = CounterMetricFamily("zeekspy_target_cpu_seconds", "CPU time of the node's main thread", labels=("node",))
    starts = CounterMetricFamily("zeekspy_attaches", "Processes of the node that were attached to", labels=("node",))
    attached = GaugeMetricFamily("zeekspy_attached", "Processes of the node that are sampled now", labels=("node",))
    rate = GaugeMetricFamily("zeekspy_rate_hertz", "Samples a second that are tried, 0 for none", labels=("node",))
    for node, sums in sorted(nodes.items()):
        counters = sums.counters
        for state in STATES:
            samples.add_metric((node, state), counters.get(state, 0))
        for why in PARTIAL:
            partial.add_metric((node, why), counters.get(why, 0))
        missed.add_metric((node,), counters.get("missed", 0))
        stale.add_metric((node,), counters.get("stale", 0))
        cpu.add_metric((node,), counters.get("cpu_ns", 0) / 1e9)
        starts.add_metric((node,), counters.get("attaches", 0))
        attached.add_metric((node,), sums.attached)
        rate.add_metric((node,), sums.hz if sums.attached else 0)
    return samples, partial, missed, stale, cpu, starts, attached, rate


def _of_its_own(own: Own) -> Iterable[Metric]:
    cpu = CounterMetricFamily("zeekspy_cpu_seconds", "CPU time of the profiler itself", labels=("of",))
    cpu.add_metric(("sampling",), own.sampling_cpu_s)
    cpu.add_metric(("answering",), max(0.0, own.cpu_s - own.sampling_cpu_s))
    return (
        cpu,
        GaugeMetricFamily("zeekspy_resident_memory_bytes", "Memory of the profiler", own.resident_bytes),
        GaugeMetricFamily("zeekspy_open_files", "Open files of the profiler", own.open_files),
        GaugeMetricFamily("zeekspy_stacks", "Different stacks that are kept", own.stacks),
        CounterMetricFamily("zeekspy_folded_stacks", "Stacks that became others for want of room", own.folded),
        GaugeMetricFamily("zeekspy_bodies", "Bodies that have series of their own", own.bodies),
        GaugeMetricFamily("zeekspy_waiting_requests", "Requests for profiles whose time is not over", own.waiting),
        GaugeMetricFamily("zeekspy_last_tick_seconds", "Since something was sampled last", own.last_tick_s),
    )
