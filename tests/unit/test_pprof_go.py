"""What ``go tool pprof`` shows of our files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.profiles import (
    HOOK,
    HTTP,
    LABELS,
    LAMBDA,
    SITE,
    SMALL,
    kept,
    read_back,
    small_profile,
    timed,
    written,
)
from zeekspy.export import pprof_read
from zeekspy.profile import Profile, display_name


def go_pprof(tmp_path: Path, profile: Profile, *args: str) -> str:
    if not shutil.which("go"):
        pytest.skip("go tool pprof is not here: the package golang-go of Debian and Ubuntu has it")
    file = tmp_path / "zeek.pb.gz"
    file.write_bytes(written(profile))
    env = os.environ | {"HOME": str(tmp_path), "PPROF_TMPDIR": str(tmp_path)}
    command = ["go", "tool", "pprof", "-nodecount=1000", "-nodefraction=0", *args, str(file)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr in ("", f"Generating report in {tmp_path}/merged.pb.gz\n"), "pprof complained"
    return done.stdout


def test_go_pprof_shows_every_body_under_its_name(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-top", "-sample_index=samples")
    table = {line.split(maxsplit=5)[5]: line.split()[0] for line in out.partition("flat%")[2].splitlines()[1:]}
    assert table == {
        "<idle>": "9",
        "<top-level statements>": "6",
        "<unreadable>": "0",
        "<zeek core>": "7",
        "Foo::bar": "13",
        "Foo::small (inline)": "4",
        "Log::__write": "1",
        "http_request [http/main.zeek:100]": "0",
        "http_request [site/detect.zeek:12]": "12",
        "lambda@x.zeek:3": "3",
    }
    assert out.startswith("File: zeek\nBuild ID: 5bd7a9f0\nzeekspy 0.1.0, Zeek 8.0, layout zeek-8.0-libstdc++\n")
    assert "engine: preempt, asked 100 Hz, achieved 99.8765 Hz\n" in out
    assert "#" not in out, "comments that are not for people stay hidden"


def test_go_pprof_shows_cpu_unless_told_otherwise(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-top")
    assert "Type: cpu\n" in out
    assert "Duration: 2s, Total samples = 460ms (23.00%)" in out


def test_go_pprof_shows_lines(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-lines", "-top")
    for f in (HTTP, SITE, LAMBDA, HOOK):
        assert f"{display_name(f)} {f.file}:{f.line}\n" in out
    assert f"Foo::small {SMALL.file}:21 (inline)\n" in out


def test_go_pprof_reads_all_the_tables(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-raw")
    assert "samples/count cpu/nanoseconds[dflt] wall/nanoseconds\n" in out
    assert "PeriodType: cpu nanoseconds\nPeriod: 10000000\n" in out
    assert "node:[worker-1] pid:[42]" in out
    assert "node:[worker-2]" in out
    assert f"lambda@x.zeek:3 {LAMBDA.file}:4 s=3()" in out
    assert "/opt/zeek/bin/zeek 5bd7a9f0 [FN][FL][LN][IN]" in out


def test_go_pprof_tags_focus_on_a_node(tmp_path: Path) -> None:
    out = go_pprof(tmp_path, small_profile(), "-top", "-sample_index=samples", "-tagfocus=node=worker-2")
    assert [line.split()[0] for line in out.splitlines() if "detect.zeek" in line] == ["10"]


def test_go_pprof_opens_an_empty_profile(tmp_path: Path) -> None:
    assert "0 total" in go_pprof(tmp_path, Profile(), "-top")


def test_a_merge_by_go_pprof_can_be_read(tmp_path: Path) -> None:
    other = small_profile()
    other.meta |= {"samples": 7, "engine": "ptrace"}
    other.add((LAMBDA, LAMBDA), LABELS, 1, 1, 1)
    (tmp_path / "other.pb.gz").write_bytes(written(other))
    merged = tmp_path / "merged.pb.gz"
    go_pprof(tmp_path, small_profile(), "-proto", f"-output={merged}", str(tmp_path / "other.pb.gz"))
    with merged.open("rb") as f:
        back = pprof_read.read(f)
    for profile in (small_profile(), read_back(other)):
        for stack, labels, values in profile:
            other.add(stack, labels, 0, 0, 0)
            back.add(kept(stack), labels, -values.count, -values.cpu_ns, -values.wall_ns)
    assert {(v.count, v.cpu_ns, v.wall_ns) for _, _, v in back} == {(0, 0, 0)}
    assert back.meta["zeek_version"] == "8.0"
    assert "engine" not in back.meta
    assert "samples" not in back.meta


def test_go_pprof_does_not_show_times(tmp_path: Path) -> None:
    recorded = timed([(5, 3, 1), (30_000_000, 1, 2)])
    assert "#" not in go_pprof(tmp_path, recorded, "-top")
    go_pprof(tmp_path, recorded, "-proto", f"-output={tmp_path}/merged.pb.gz")
    with (tmp_path / "merged.pb.gz").open("rb") as f:
        back = pprof_read.read(f)
    assert back.total() == recorded.total()
