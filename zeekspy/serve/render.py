"""Windows of a Store as the files and pages that are asked for. All of it may take a tenth of a second of CPU."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from zeekspy.export import bodies, flamegraph, page, pprof
from zeekspy.profile import CORE, IDLE, Profile
from zeekspy.serve.feed import Attached
from zeekspy.serve.store import Store

ROWS, NODES = 30, 64
"""Of the page's tables."""


class Renderer:
    """``attached`` says who is sampled now; ``about`` is what is known of the recording: Profile.meta."""

    def __init__(self, store: Store, attached: Callable[[], Sequence[Attached]], about: dict[str, Any]) -> None:
        self._store, self._attached, self._about = store, attached, about

    def profile(self, after: int, until: int, node: str | None) -> bytes:
        """The window as a pprof file."""
        return self._pprof(self._store.window(after, until, node), node)

    def total(self, least: int, node: str | None) -> tuple[int, bytes]:
        """All since the start as a pprof file, and the last tick that is in it: tick ``least`` or a later one."""
        until, profile = self._store.total(node)
        return until, self._pprof(profile, node)

    def flamegraph(self, after: int, until: int, node: str | None) -> bytes:
        """The window as a page."""
        profile = self._described(self._store.window(after, until, node), node)
        out = io.BytesIO()
        flamegraph.write(profile, out)
        return out.getvalue()

    def live(self, after: int, until: int, node: str | None) -> bytes:
        """What the page's tables show of the window, as JSON: nodes, and the bodies with the most CPU time."""
        profile = self._store.window(after, until, node)
        total = profile.total()
        found = [r for r in bodies.rows(profile) if r.frame != IDLE]
        attached = {row.node: row for row in self._attached()}
        shares: dict[str, list[int]] = {name: [0, 0, 0, 0] for name in attached}
        for stack, labels, values in profile:
            share = shares.setdefault(dict(labels).get("node", ""), [0, 0, 0, 0])
            share[0 if stack == (IDLE,) else 1 if stack == (CORE,) else 2] += values.count
            share[3] += values.cpu_ns
        seconds = profile.duration_ns / 1e9
        nodes = [
            {
                "node": name,
                "role": row.role if row else "",
                "pid": row.pid if row else None,
                "version": row.version if row else "",
                "samples": sum(share[:3]),
                **{key: _part(share[i], sum(share[:3])) for i, key in enumerate(("idle", "core", "script"))},
                "cpu": _part(share[3], profile.duration_ns),
            }
            for name, share, row in sorted((n, s, attached.get(n)) for n, s in shares.items())[:NODES]
        ]
        data = {
            "seconds": round(seconds, 1),
            "samples": total.count,
            "attached": len(attached),
            "more_nodes": max(0, len(shares) - NODES),
            "nodes": nodes,
            "bodies": [
                {
                    "name": r.name,
                    "kind": r.frame.kind or "",
                    "place": r.place,
                    "own": _part(r.own_cpu_ns, total.cpu_ns),
                    "total": _part(r.total_cpu_ns, total.cpu_ns),
                }
                for r in found[:ROWS]
            ],
        }
        return json.dumps(data).encode()

    def page(self) -> bytes:
        """The page itself, which fetches the rest."""
        return page.filled("service.html", {"about": self._about.get("zeekspy_version", "")})

    def _pprof(self, profile: Profile, node: str | None) -> bytes:
        out = io.BytesIO()
        pprof.write(self._described(profile, node), out)
        return out.getvalue()

    def _described(self, profile: Profile, node: str | None) -> Profile:
        rows = [row for row in self._attached() if node in (None, row.node)]
        profile.meta = dict(self._about)
        for key in ("zeek_version", "engine", "exe", "build_id"):
            found = sorted({getattr(row, "version" if key == "zeek_version" else key) for row in rows})
            if len(found) == 1 or (found and key == "exe"):
                profile.meta[key] = found[0]
        profile.period_ns = round(1e9 / self._about["hz_asked"])
        counts = {"core": 0, "idle": 0, "script": 0}
        for stack, _, values in profile:
            counts["core" if stack == (CORE,) else "idle" if stack == (IDLE,) else "script"] += values.count
        profile.meta.update(samples=sum(counts.values()), **counts)
        return profile


def _part(n: int, of: int) -> float:
    return round(n / of, 5) if of > 0 else 0.0
