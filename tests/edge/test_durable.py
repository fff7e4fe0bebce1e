"""Files that are replaced as a whole, by several writers."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.durable import write_durably

FIRST, SECOND = b"{" + b"a" * 200_000 + b"}", b"[" + b"b" * 100_000 + b"]"
_OTHER = """
import sys
from pathlib import Path
from edge.durable import write_durably
for _ in range(40):
    write_durably(Path(sys.argv[1]), b"(" + b"c" * 50_000 + b")")
"""


def test_several_threads_and_processes_leave_one_of_their_files_whole(tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    write_durably(path, FIRST)
    failed: list[OSError] = []

    def write(data: bytes) -> None:
        try:
            for _ in range(40):
                write_durably(path, data)
        except OSError as exc:
            failed.append(exc)

    threads = [threading.Thread(target=write, args=(data,)) for data in (FIRST, SECOND)]
    with subprocess.Popen([sys.executable, "-c", _OTHER, str(path)]) as other:
        for thread in threads:
            thread.start()
        seen = set[bytes]()
        while other.poll() is None or any(t.is_alive() for t in threads):
            seen.add(path.read_bytes())
    assert other.returncode == 0
    assert not failed
    assert seen <= {FIRST, SECOND, b"(" + b"c" * 50_000 + b")"}
    assert [p.name for p in tmp_path.iterdir()] == ["camera.json"]


def test_files_whose_names_differ_in_their_ending_have_drafts_of_their_own(tmp_path: Path) -> None:
    left = tmp_path / "model.new"
    left.write_bytes(b"of somebody else")
    for name in ("model.toml", "model.onnx"):
        write_durably(tmp_path / name, name.encode())
    assert left.read_bytes() == b"of somebody else"


def test_a_write_that_fails_leaves_no_draft_and_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "camera.json").mkdir()
    (tmp_path / "camera.json" / "x").touch()
    with pytest.raises(IsADirectoryError):
        write_durably(tmp_path / "camera.json", b"data")
    assert [p.name for p in tmp_path.iterdir()] == ["camera.json"]


def test_a_draft_that_a_power_cut_left_does_not_reach_into_the_next_file(tmp_path: Path) -> None:
    (tmp_path / "camera.json.new").write_bytes(b"x" * 1000)
    write_durably(tmp_path / "camera.json", b"data")
    assert (tmp_path / "camera.json").read_bytes() == b"data"
    assert [p.name for p in tmp_path.iterdir()] == ["camera.json"]
