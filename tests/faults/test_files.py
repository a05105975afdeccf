"""What was sampled is not lost when it cannot be written where it should go."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import profile_of, sampling, start
from zeekspy.profile import Profile

pytestmark = pytest.mark.live
HZ = ("--hz", 250)


def rescued(profiler: subprocess.Popen[bytes], why: str) -> tuple[Path, str]:
    """Where it says the recording is."""
    _, err = profiler.communicate(timeout=60)
    assert profiler.returncode == 1, err
    said = err.decode()
    assert "Traceback" not in said
    found = re.match(rf"zeekspy: cannot write .*: {why}; it is in (\S+)\n", said)
    assert found, said
    return Path(found[1]), said


def whole(path: Path) -> Profile:
    profile = profile_of(path)
    assert profile.total().count == profile.meta["samples"] > 20
    return profile


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for nothing."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "none", place], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a small file system")
    try:
        (place / "filler").write_bytes(bytes(4096))
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_disk_that_is_full(target: subprocess.Popen[bytes], small_disk: Path, elsewhere: Path) -> None:
    out = small_disk / "z.pb.gz"
    out.write_bytes(b"as before")
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 0.5, "-o", out)
    where, _ = rescued(profiler, "No space left on device")
    assert where.parent == elsewhere
    assert where.name.endswith(".pb.gz")
    assert whole(where)
    assert where.stat().st_mode & 0o077 == 0
    assert out.read_bytes() == b"as before"
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "z.pb.gz"]


def test_a_disk_and_a_temporary_folder_that_are_full(
    target: subprocess.Popen[bytes], small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (small_disk / "filler").unlink()
    monkeypatch.setenv("TMPDIR", str(small_disk))
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 1.5, "-o", small_disk / "z.pb.gz")
    assert sampling(profiler)
    (small_disk / "filler").write_bytes(bytes(8192))
    where, _ = rescued(profiler, "No space left on device")
    try:
        assert where.parent == Path("/dev/shm")
        assert whole(where)
    finally:
        where.unlink()
    assert [p.name for p in small_disk.iterdir()] == ["filler"]


def test_a_limit_on_the_size_of_files(target: subprocess.Popen[bytes], elsewhere: Path, tmp_path: Path) -> None:
    """Nothing can be written anywhere: that is said, and nothing half is left."""
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 1.5, "-o", tmp_path / "z.pb.gz")
    assert sampling(profiler)
    resource.prlimit(profiler.pid, resource.RLIMIT_FSIZE, (16, 16))
    _, err = profiler.communicate(timeout=60)
    assert profiler.returncode == 1
    assert b"File too large, nor a file in" in err
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == list(elsewhere.iterdir()) == []


def test_a_folder_that_is_removed(target: subprocess.Popen[bytes], elsewhere: Path, tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 1, "-o", folder / "z.pb.gz")
    assert sampling(profiler)
    shutil.rmtree(folder)
    where, _ = rescued(profiler, "No such file or directory")
    assert where.parent == elsewhere
    assert whole(where)


def test_a_folder_that_is_renamed_keeps_the_file(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 1, "-o", folder / "z.pb.gz")
    assert sampling(profiler)
    folder.rename(tmp_path / "there")
    _, err = profiler.communicate(timeout=60)
    assert profiler.returncode == 0, err
    assert whole(tmp_path / "there" / "z.pb.gz")


def test_a_reader_that_leaves(target: subprocess.Popen[bytes], elsewhere: Path) -> None:
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 1, "-o", "-", "-f", "collapsed")
    assert profiler.stdout is not None
    assert profiler.stderr is not None
    profiler.stdout.close()
    with profiler.stderr as err:
        said = err.read().decode()
    profiler.wait(60)
    assert profiler.returncode == 1, said
    found = re.match(r"zeekspy: cannot write standard output: Broken pipe; it is in (\S+)\n", said)
    assert found, said
    assert Path(found[1]).parent == elsewhere
    assert sum(int(line.rpartition(" ")[2]) for line in Path(found[1]).read_text().splitlines()) > 20


def test_standard_error_that_is_closed(target: subprocess.Popen[bytes], tmp_path: Path) -> None:
    out = tmp_path / "z.pb.gz"
    profiler = start("record", "--pid", target.pid, *HZ, "--duration", 1, "-o", out)
    assert profiler.stderr is not None
    profiler.stderr.close()
    profiler.wait(60)
    assert profiler.stdout is not None
    profiler.stdout.close()
    assert whole(out)
    assert os.listdir(tmp_path) == ["z.pb.gz"]
