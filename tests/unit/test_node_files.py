"""A file for each node: names that stay in their folder, and nodes that come later."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

import pytest

from zeekspy import node_files
from zeekspy.errors import UsageError
from zeekspy.node_files import NodeFiles


def written(files: NodeFiles, node: str) -> Path | None:
    def content(out: BinaryIO) -> None:
        out.write(node.encode())

    return files.write(node, content)


def test_one_for_each_and_one_for_all(tmp_path: Path) -> None:
    files = NodeFiles(f"{tmp_path}/new/", ".pb.gz", ["worker-1", "manager"])
    files.all.write(lambda out: None)
    for node in ("worker-1", "manager"):
        assert written(files, node) == tmp_path / "new" / f"{node}.pb.gz"
    assert (tmp_path / "new" / "manager.pb.gz").read_bytes() == b"manager"


def test_a_node_called_all_has_a_file_of_its_own(tmp_path: Path) -> None:
    files = NodeFiles(f"{tmp_path}/", ".pb.gz", ["all"])
    assert {o.path.name for o in files.outputs} == {"all.pb.gz", "all_2.pb.gz"}
    files.discard()


def test_a_pattern(tmp_path: Path) -> None:
    files = NodeFiles(f"{tmp_path}/x-{{node}}.folded", ".folded", ["w"])
    assert written(files, "w") == tmp_path / "x-w.folded"
    files.discard()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x-w.folded"]


def test_nodes_that_come_later(tmp_path: Path) -> None:
    files = NodeFiles(f"{tmp_path}/", ".pb.gz", [], spares=2)
    assert [written(files, n) for n in ("a", "b", "c")] == [tmp_path / "a.pb.gz", tmp_path / "b.pb.gz", None]
    files.discard()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pb.gz", "b.pb.gz"]


def test_names_choose_no_folder_and_no_other_file(tmp_path: Path) -> None:
    hostile = ["../../etc/passwd", "/abs", "..", ".hidden", "a/b", "a_b", "x" * 500, "\n"]
    files = NodeFiles(f"{tmp_path}/", ".pb.gz", hostile)
    paths = [o.path for o in files.outputs]
    files.discard()
    assert len(set(paths)) == len(paths)
    assert {p.parent for p in paths} == {tmp_path}
    assert all(len(p.name) < 120 and not p.name.startswith(".") for p in paths)


def test_a_folder_is_not_made_of_a_node(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        NodeFiles(f"{tmp_path}/{{node}}/x.pb.gz", ".pb.gz", ["w"])


def test_what_asks_for_it(tmp_path: Path) -> None:
    assert [node_files.wanted(p) for p in (f"{tmp_path}", "x/", "a-{node}.svg", "a.svg", "")] == [0, 1, 1, 0, 0]
