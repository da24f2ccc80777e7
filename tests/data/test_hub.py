"""hf:// addresses, against folders laid out as on the Hub: parquet shards with a card, picture folders, and what the
Hub's library refuses."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pervade
from pervade.core import download, files
from pervade.core.errors import DataError
from pervade.core.types import Rows
from pervade.data.read import embedded, hub
from pervade.domains.image import Image
from pervade.run import workflow
from pervade.run.progress import Silent
from pervade.run.training import Options
from tests.data.drawing import class_folders, encoded, pixels
from tests.data.small_hub import COMMIT, serving

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SETTINGS = ("domain.size=16", "domain.train_scale=1", "model.width=16", "batch_size=8", "init=random")
CARD = """---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*
  - split: test
    path: data/test-*
dataset_info:
  features:
  - name: img
    dtype: image
  - name: label
    dtype:
      class_label:
        names:
          '0': cat
          '1': dog
  splits:
  - name: train
    num_bytes: 100
    num_examples: 24
  - name: test
    num_bytes: 100
    num_examples: 8
---
# Animals
"""
TWO_CONFIGS = """---
configs:
- config_name: small
  data_files:
  - split: train
    path: small/*.parquet
- config_name: large
  data_files:
  - split: train
    path: large/*.parquet
---
"""


@pytest.fixture(autouse=True)
def library_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "library")
    monkeypatch.setattr(download, "reachable", lambda host, seconds=2.0: False)
    return tmp_path / "library"


def shard(path: Path, start: int, count: int, **columns: list[Any]) -> None:
    """Pictures of two classes, every row different, as the Hub's library writes them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = range(start, start + count)
    pictures = [{"bytes": encoded(pixels(n % 2, n)), "path": f"{n}.png"} for n in numbers]
    table = {"img": pa.array(pictures, STRUCT), "label": pa.array([n % 2 for n in numbers], pa.int64()), **columns}
    pq.write_table(pa.table(table), path, row_group_size=4)


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    folder = tmp_path / "animals"
    shard(folder / "data" / "train-00000-of-00002.parquet", 0, 12)
    shard(folder / "data" / "train-00001-of-00002.parquet", 12, 12)
    shard(folder / "data" / "test-00000-of-00001.parquet", 24, 8)
    (folder / "README.md").write_text(CARD)
    return folder


class Heard(Silent):
    """A screen that keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def read(source: str | Path) -> tuple[Rows, list[Any]]:
    return Image(size=16).read(f"hf://{source}" if isinstance(source, Path) else source)


def test_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub.parse("hf://mnist") == hub.Address("mnist")
    assert hub.parse("hf://ylecun/mnist@v1/big") == hub.Address("ylecun/mnist", "v1", "big")
    assert hub.parse("hf://datasets/ylecun/mnist") == hub.Address("ylecun/mnist")
    assert hub.parse("hf://a/b@refs%2Fpr%2F1") == hub.Address("a/b", "refs/pr/1")
    for text in ("hf://a/b@refs%2Fpr%2F1/c", "hf://a", f"hf://{tmp_path}"):
        assert str(hub.parse(text)) == text
    monkeypatch.chdir(tmp_path)
    assert hub.parse("hf://./x") == hub.Address(str(tmp_path), config="x")
    assert hub.title("hf://ylecun/mnist@v1/big") == "mnist"
    for wrong in ("hf://", "hf://a/b/c/d", "hf://a b/c", "hf://a@"):
        with pytest.raises(DataError, match="is no address of a data set; write hf://owner/name"):
            hub.parse(wrong)
    with pytest.raises(DataError, match=r"is not there; .* name any other folder itself"):
        hub.parse("hf:///no/such/folder")


def test_shards_with_a_card(animals: Path) -> None:
    rows, left_out = read(animals)
    assert left_out == []
    assert list(rows.column("id"))[10:13] == ["train/00010", "train/00011", "train/00012"]
    assert list(rows.column("id"))[-1] == "test/00007"
    assert list(rows.column("split")) == ["train"] * 24 + ["test"] * 8
    assert list(rows.column("target")) == ["cat", "dog"] * 16
    for number, path in enumerate(rows.column("path")):
        assert embedded.read(path) == encoded(pixels(number % 2, number))


def test_a_clone_is_named_as_any_folder(animals: Path, tmp_path: Path) -> None:
    """Shards are joined and splits read as the card says; two configurations are named."""
    found = pervade.open_data(animals, init="random")
    splits = list(found.rows.column("split"))
    assert (len(splits), splits.count("test"), found.rows.column("id")[-1]) == (32, 8, "test/00007")
    assert f"hf://{animals}: laid out as on the Hub: train (24 rows), test (8 rows)" in found.account
    (animals / "README.md").unlink()
    assert hub.located(animals) == f"hf://{animals}"
    for config in ("small", "large"):
        shard(tmp_path / "two" / config / "train-00000-of-00001.parquet", 0, 12)
    assert hub.located(tmp_path / "two") == tmp_path / "two"
    (tmp_path / "two" / "README.md").write_text(TWO_CONFIGS)
    with pytest.raises(DataError, match=r"several configurations; choose one: hf://.*/two/small, hf://.*/two/large"):
        pervade.open_data(tmp_path / "two", init="random")
    (tmp_path / "two" / "small" / "train-00000-of-00001.parquet").write_text("version https://git-lfs.github.com/spec")
    with pytest.raises(DataError, match="run git lfs pull"):
        hub.located(tmp_path / "two")


@pytest.mark.parametrize(
    "card", ["---\nlicense: mit\n---\n", "configs:\n  path: a.csv\n", "---\nconfigs:\n  path: /a.csv"]
)
def test_folders_that_are_no_clones(card: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\na,b\n")
    (tmp_path / "README.md").write_text(card)
    assert hub.located(tmp_path) == tmp_path


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
def test_a_folder_of_pictures_with_a_table(tmp_path: Path) -> None:
    """metadata.csv beside the files, as the library's picture folders have it: nothing is copied."""
    lines = ["file_name,label"]
    for split in ("train", "validation"):
        place = tmp_path / "set" / split
        place.mkdir(parents=True)
        for number in range(6):
            (place / f"{number}.png").write_bytes(encoded(pixels(number % 2, number + 10 * len(split))))
        (place / "metadata.csv").write_text("\n".join([*lines, *(f"{n}.png,{'ab'[n % 2]}" for n in range(6))]) + "\n")
    rows, left_out = read(tmp_path / "set")
    assert left_out == []
    assert list(rows.column("split")) == ["train"] * 6 + ["validation"] * 6
    assert list(rows.column("target")) == ["a", "b"] * 6
    assert rows.column("path")[0] == str(tmp_path / "set" / "train" / "0.png")
    gc.collect()  # the library leaves metadata.csv open, which must not be said in the next test


def test_class_folders(tmp_path: Path) -> None:
    rows, _ = read(class_folders(tmp_path / "set" / "train").parent)
    assert set(rows.column("target")) == {"cat", "dog"}
    assert set(rows.column("split")) == {"train"}


def test_a_run_remembers_where_its_rows_are(animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained and evaluated; going on needs neither network nor library; a lost cache is said."""
    screen = Heard()
    run = pervade.fit(
        f"hf://{animals}",
        runs=tmp_path / "runs",
        epochs=1,
        settings=SETTINGS,
        ladder=["trained"],
        options=Options(screen),
    )
    assert run.evaluate()["n"] == 8
    assert sum("reading it into" in each for each in screen.said) == 1
    stored = files.read_json(run.directory.data)
    assert stored["source"] == f"hf://{animals}"
    assert "animals" in run.path.name
    monkeypatch.setitem(sys.modules, "datasets", None)
    pervade.resume(run.path, options=Options())
    rows = workflow.load_rows(run.directory, run.recipe().domain)
    place = embedded.place(rows.column("path")[0])
    assert place is not None
    assert place.column == "img"
    Path(place.file).unlink()
    with pytest.raises(DataError, match="is not there any more"):
        run.evaluate()


def test_pinned_addresses_stay(animals: Path) -> None:
    assert hub.pinned(f"hf://{animals}") == f"hf://{animals}"
    commit = "0123456789" * 4
    assert hub.pinned(f"hf://a/b@{commit}/c") == f"hf://a/b@{commit}/c"


def test_splits_that_are_not_used(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for name in ("train", "extra"):
        shard(folder / f"{name}.parquet", len(name), 6)
    data = "\n".join(f"  - split: {name}\n    path: {name}.parquet" for name in ("train", "extra"))
    (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{data}\n---\n")
    rows, left_out = read(folder)
    assert len(rows) == 6
    assert [(e.source, e.reason) for e in left_out] == [("split extra", "called neither train, validation nor test")]
    (folder / "README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{data.replace('split: train', 'split: half')}\n---\n"
    )
    with pytest.raises(DataError, match="has the splits half, extra, and none of them is called train"):
        read(folder)


def test_configurations(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shard(folder / "small" / "a.parquet", 0, 4)
    shard(folder / "large" / "a.parquet", 0, 6)
    (folder / "README.md").write_text(TWO_CONFIGS)
    with pytest.raises(DataError, match=r"several configurations; choose one: hf://.*/set/small, hf://.*/set/large"):
        read(folder)
    with pytest.raises(DataError, match="has no configuration 'smal'; did you mean 'small'"):
        read(f"hf://{folder}/smal")
    assert len(read(f"hf://{folder}/small")[0]) == 4
    assert len(read(f"hf://{folder}/large")[0]) == 6


def test_a_corrupt_row(animals: Path) -> None:
    path = animals / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(path).to_pydict()
    table["img"][2]["bytes"] = table["img"][2]["bytes"][:50]
    pq.write_table(pa.table({"img": pa.array(table["img"], STRUCT), "label": table["label"]}), path)
    domain = Image(size=16)
    rows, left_out = domain.prepare(domain.read(f"hf://{animals}")[0], lambda done, total: None)
    assert len(rows) == 31
    assert [each.source for each in left_out] == ["test/00002"]
    assert "damaged or cut off" in left_out[0].reason


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ({"set.py": b"import os"}, "is a program and not data"),
        ({}, "cannot be read .*; look at the data set's files"),
        ({"train.parquet": b"PAR1 no"}, "cannot be read .*; look at the data set's files"),
        ({"README.md": b"---\nconfigs: [\n---\n", "train.csv": b"a,b\n1,2\n"}, "cannot be read"),
        ({"train.csv": b"a,b\n1,2\n"}, "no column of texts, and none of files .*; its 3 columns are a .numbers., b"),
    ],
)
def test_what_is_no_data_set_of_pictures(content: dict[str, bytes], fault: str, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    with pytest.raises(DataError, match=fault):
        read(folder)


def test_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of the same name beside us is not taken for the data set; the message says what to do."""
    monkeypatch.setenv("PERVADE_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "nobody" / "nothing")
    with pytest.raises(DataError, match=r"PERVADE_OFFLINE=1 forbids downloads, and it is not in the cache.*hf:///path"):
        read("hf://nobody/nothing")
    monkeypatch.delenv("PERVADE_OFFLINE")
    with pytest.raises(DataError, match=r"cannot be downloaded \(no answer\).*HF_ENDPOINT"):
        hub.pinned("hf://nobody/nothing")


READ = """
import sys
from pervade.core.errors import DataError
from pervade.data.read import hub
for source in sys.argv[1:]:
    try:
        print(hub.pinned(source), *hub.records(hub.pinned(source))[1][-1:])
    except DataError as error:
        print(error)
"""


def test_over_the_network(animals: Path, tmp_path: Path) -> None:
    """A Hub on this machine: the commit is remembered, the download announced, a second reading needs no network.

    It takes more than 5 s, since the Hub's libraries read where it is when they are loaded: two processes load them.
    """

    def said(*sources: str, **more: str) -> tuple[list[str], str]:
        own = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "home"), "no_proxy": "127.0.0.1"}
        own |= {"PERVADE_OFFLINE": "", "HF_HUB_OFFLINE": "", **more}
        command = [sys.executable, "-c", READ, *sources]
        done = subprocess.run(command, env={**os.environ, **own}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines(), done.stderr

    with serving(animals, "zoo/animals") as address:
        sources = (
            "hf://zoo/animals",
            "hf://zoo/animals@v9",
            "hf://zoo/animals/big",
            "hf://zoo/none",
            "hf://locked/set",
        )
        lines, errors = said(*sources)
    assert lines[0] == f"hf://zoo/animals@{COMMIT} test/00007"
    assert "it has no revision 'v9'" in lines[1]
    assert "has no configuration 'big'; allowed: default" in lines[2]
    assert "there is no such data set" in lines[3]
    assert "it is gated; accept its conditions at https://huggingface.co/datasets/locked/set" in lines[4]
    size = sum(each.stat().st_size for each in (animals / "data").iterdir())
    announced = f"downloading the data set zoo/animals, revision {COMMIT}: {download.megabytes(size)} to {tmp_path}"
    assert errors.count(announced) == 1
    lines, _ = said("hf://zoo/animals", f"hf://zoo/animals@{'a' * 40}", "hf://zoo/none", PERVADE_OFFLINE="1")
    assert lines[0] == f"hf://zoo/animals@{COMMIT} test/00007"
    assert f"the cache has another revision, {COMMIT}; mend the way there" in lines[1]
    assert "PERVADE_OFFLINE=1 forbids downloads, and it is not in the cache" in lines[2]
