"""Files and folders are whole or not there, wherever the process dies."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pervade.core import files
from pervade.core.errors import CheckpointError, ResourceError
from pervade.core.run import RunDirectory

CALLS = ("fsync", "rename", "replace")  # of the os: what a save does that a crash can fall between


def killed_at(number: int, work: Callable[[], None]) -> bool:
    """Runs `work` in a child process that dies, without cleaning up, before its n-th such call; whether it died."""
    child = os.fork()
    if child == 0:
        count = 0
        for name in CALLS:
            original = getattr(os, name)

            def counted(*arguments, original=original, **settings):
                nonlocal count
                count += 1
                if count == number:
                    os._exit(9)
                return original(*arguments, **settings)

            setattr(os, name, counted)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def write_folder(path: Path, text: str) -> None:
    with files.replacing_folder(path) as folder:
        (folder / "one").write_text(text)
        (folder / "two").write_text(text)


def read_folder(path: Path) -> str:
    files.settle(path)
    one, two = (path / "one").read_text(), (path / "two").read_text()
    assert one == two
    return one


def test_folder_is_old_or_new_wherever_a_crash_falls(tmp_path: Path) -> None:
    path = tmp_path / "best"
    seen = []
    for number in range(1, 100):
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        write_folder(path, "old")
        died = killed_at(number, lambda: write_folder(path, "new"))
        seen.append(read_folder(path))
        # What the crash left behind does not hinder the next save, nor outlive it (but for the dead one's own).
        write_folder(path, "newer")
        assert read_folder(path) == "newer"
        left = {each.name for each in tmp_path.iterdir()}
        assert {name for name in left if not name.endswith(".tmp")} == {"best"}
        if not died:
            break
    assert seen == sorted(seen, reverse=True)  # old up to some point, new from there on
    assert set(seen) == {"old", "new"}


def test_first_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    for number in range(1, 100):
        path = tmp_path / str(number)
        died = killed_at(number, lambda path=path: write_folder(path, "new"))
        files.settle(path)
        assert not path.exists() or read_folder(path) == "new"
        if not died:
            assert path.exists()
            break


def test_file_is_old_or_new_wherever_a_crash_falls(tmp_path: Path) -> None:
    path = tmp_path / "data.json"
    seen = []
    for number in range(1, 100):
        files.write_json(path, {"value": "old"})
        died = killed_at(number, lambda: files.write_json(path, {"value": "new"}))
        seen.append(files.read_json(path)["value"])
        if not died:
            break
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"old", "new"}


def test_a_fault_while_writing_leaves_what_was_there(tmp_path: Path) -> None:
    write_folder(tmp_path / "best", "old")
    files.write_text(tmp_path / "file", "old")
    with pytest.raises(RuntimeError), files.replacing_folder(tmp_path / "best") as folder:
        (folder / "one").write_text("new")
        raise RuntimeError
    with pytest.raises(RuntimeError), files.replacing(tmp_path / "file") as temporary:
        temporary.write_text("new")
        raise RuntimeError
    assert read_folder(tmp_path / "best") == "old"
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["best", "file"]


def test_reader_does_not_disturb_a_writer(tmp_path: Path) -> None:
    """`settle` while another process is between its two renames: the new folder is there afterwards, and no error."""
    path = tmp_path / "best"
    write_folder(path, "old")
    rename = os.rename

    def slow(source, target):
        rename(source, target)
        assert read_folder(path) in ("old", "new")  # a reader comes at every moment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", slow)
        write_folder(path, "new")
    assert read_folder(path) == "new"


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for write in (write_folder, files.write_text):
        with pytest.raises(ResourceError, match=r"cannot write .*file/best: File exists; choose a folder that can be"):
            write(tmp_path / "file" / "best", "new")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1', "null", "[" * 100_000, b"\xff\xfe"])
def test_damaged_json(content: str | bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CheckpointError, match=r"x\.json is damaged \(.*\); use another checkpoint or train again"):
        files.read_json(path)


@pytest.mark.parametrize("version", [files.FORMAT + 1, 10**30])
def test_json_of_another_version(version: object, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"format": version}))
    with pytest.raises(CheckpointError, match=r"x\.json has format .* update Pervade"):
        files.read_json(tmp_path / "x.json")


def test_json_that_is_missing_or_lacks_a_key(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"x\.json is missing; the folder is not a complete run"):
        files.read_json(tmp_path / "x.json")
    files.write_json(tmp_path / "x.json", {"a": 1})
    assert files.read_json(tmp_path / "x.json", "a")["a"] == 1
    with pytest.raises(CheckpointError, match="has no 'b'"):
        files.read_json(tmp_path / "x.json", "a", "b")


def test_json_has_no_nan(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(tmp_path / "x.json", {"a": float("nan")})
    assert not (tmp_path / "x.json").exists()


def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    files.write_json(tmp_path / "x.json", {"name": "caf\udce9"})
    assert files.read_json(tmp_path / "x.json")["name"] == "caf\udce9"


def test_what_a_living_writer_holds_is_not_removed(tmp_path: Path) -> None:
    """Two that write the same file at once, or one that cleans up beside one that writes."""
    path = tmp_path / "file"
    with files.temporary(path) as one, files.temporary(path) as two:
        files.clean(tmp_path)
        assert one != two
        assert one.parent.is_dir()
        assert two.parent.is_dir()
        files.write_text(path, "third")
        assert sorted(tmp_path.iterdir()) == sorted([path, one.parent, two.parent])
    assert list(tmp_path.iterdir()) == [path]


def test_what_kills_left_in_a_run_is_removed_by_whoever_holds_it(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run")
    for folder in (run.state, run.checkpoint("best"), run.path / "members" / "seed-0"):
        write_folder(folder, "whole")
    gone = [".state.old", ".recipe.yaml.12.tmp", "checkpoints/.best.new", "predictions/.best@test.parquet.ab.tmp"]
    for name in (*gone, "members/seed-0/.state.7.tmp"):
        (run.path / name).mkdir(parents=True)
    with run.lock():
        assert not [name for name in gone if (run.path / name).exists()]
        assert (run.path / "members" / "seed-0" / ".state.7.tmp").exists()  # which has a lock of its own
    assert read_folder(run.state) == read_folder(run.checkpoint("best")) == "whole"


def test_a_reader_finds_one_folder_while_it_is_replaced(tmp_path: Path) -> None:
    """Two files of one save, and the folder in every list of checkpoints, whatever the writer does meanwhile."""
    run = RunDirectory(tmp_path)
    path = run.checkpoint("best")
    write_folder(path, "0")
    child = os.fork()
    if child == 0:
        try:
            for number in range(60):
                write_folder(path, str(number))
        finally:
            os._exit(0)
    reads = 0
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        found = files.steady(path, lambda: ((path / "one").read_text(), (path / "two").read_text()))
        assert found[0] == found[1]
        assert run.checkpoints() == ["best"]
        reads += 1
    assert reads > 5


def test_a_fault_of_the_folder_itself_is_told(tmp_path: Path) -> None:
    write_folder(tmp_path / "best", "x")
    with pytest.raises(CheckpointError, match=r"x\.json is missing"):
        files.steady(tmp_path / "best", lambda: files.read_json(tmp_path / "best" / "x.json"))
    with pytest.raises(CheckpointError, match=r"x\.json is missing"):
        files.steady(tmp_path / "none", lambda: files.read_json(tmp_path / "none" / "x.json"))


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".state.999999.tmp"
    left.mkdir()
    (left / "half").write_bytes(b"x")
    with files.replacing_folder(tmp_path / "state") as folder:
        (folder / "whole").write_bytes(b"y")
    assert [each.name for each in tmp_path.iterdir()] == ["state"]


def test_a_lock_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    holds, says = os.pipe()
    child = os.fork()
    if child == 0:
        with files.locked(tmp_path / "lock"):
            os.write(says, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(holds, 1)
    with files.locked(tmp_path / "lock") as held:
        assert not held
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    for _ in range(2):  # the file is left behind
        with files.locked(tmp_path / "lock") as held:
            assert held
