"""Pictures inside parquet tables: as the Hub writes them, as plain bytes, and what can be wrong with them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pervade
from pervade.core import files
from pervade.core.errors import DataError
from pervade.data.read import embedded
from pervade.domains.image import Image
from pervade.run.training import Options
from tests.data.drawing import encoded, pixels

STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SETTINGS = ("domain.size=16", "domain.train_scale=1", "model.width=16", "batch_size=8", "init=random")


def quiet(done: int, total: int) -> None:
    pass


def hub_like(pictures: list[bytes | None], labels: list[Any], names: list[str] | None = None) -> pa.Table:
    """A table as the library datasets writes it, with its note about the classes."""
    values = [
        None if each is None else {"bytes": each, "path": f"{number}.png"} for number, each in enumerate(pictures)
    ]
    table = pa.table({"image": pa.array(values, STRUCT), "label": labels})
    if names:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    return table


@pytest.fixture
def pictures() -> list[bytes]:
    return [encoded(pixels(number % 2, number)) for number in range(24)]


@pytest.mark.parametrize("kind", ["struct", "binary", "large binary", "fixed"])
def test_every_kind_of_column(kind: str, pictures: list[bytes], tmp_path: Path) -> None:
    values: pa.Array
    if kind == "struct":
        values = hub_like(pictures, [0] * 24).column("image").combine_chunks()
    elif kind == "fixed":
        pictures = [b"12345678"] * 24
        values = pa.array(pictures, pa.binary(8))
    else:
        values = pa.array(pictures, pa.binary() if kind == "binary" else pa.large_binary())
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"image": values, "label": ["a", "b"] * 12}), path, row_group_size=5)
    rows, left_out = Image(size=16).read(path)
    assert left_out == []
    assert [embedded.read(each) for each in rows.column("path")] == pictures
    assert list(rows.column("id"))[:2] == ["t.parquet#1", "t.parquet#2"]
    assert list(rows.column("target")) == ["a", "b"] * 12


def test_pixels_are_those_of_files(pictures: list[bytes], tmp_path: Path) -> None:
    """Through the cache of decoded pictures and without it, in any order and from several threads."""
    path = tmp_path / "t.parquet"
    pq.write_table(hub_like(pictures, ["a", "b"] * 12), path, row_group_size=7)
    for number, each in enumerate(pictures):
        place = tmp_path / "folder" / "ab"[number % 2] / f"{number:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(each)
    domain = Image(size=16)
    inside, _ = domain.prepare(domain.read(path)[0], quiet)
    apart, _ = domain.prepare(domain.read(tmp_path / "folder")[0], quiet)
    of = dict(zip(apart.column("hash"), apart.column("pixels"), strict=True))
    assert set(inside.column("hash")) == set(of)
    for row in inside:
        assert np.array_equal(row["pixels"], of[row["hash"]])
    fresh, _ = domain.prepare(domain.read(path)[0], quiet, keep=False)
    assert all(np.array_equal(a, b) for a, b in zip(fresh.column("pixels"), inside.column("pixels"), strict=True))
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(24), 4)).tolist()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda i: embedded.read(inside.column("path")[i]), order)) == [pictures[i] for i in order]


def test_only_a_few_row_groups_are_held(pictures: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading from front to back reads each group once, building the cache of decoded pictures too."""
    path = tmp_path / "t.parquet"
    pq.write_table(hub_like(pictures, ["a", "b"] * 12), path, row_group_size=4)
    groups: list[int] = []
    read = pq.ParquetFile.read_row_group

    def counted(self: Any, number: int, **settings: Any) -> Any:
        groups.append(number)
        return read(self, number, **settings)

    domain = Image(size=16)
    rows, _ = domain.read(path)
    assert groups == []  # the statistics of the file say that every row has bytes
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    monkeypatch.setattr("pervade.data.rows.cache.os.cpu_count", lambda: 1)
    domain.prepare(rows, quiet)
    assert groups == [*range(6), *range(6)]


def test_names_of_classes_and_rows_without(pictures: list[bytes], tmp_path: Path) -> None:
    """Classes by name where the file says their names; -1 is no class; a missing picture is left out."""
    table = hub_like([None, *pictures[1:]], [0, 1, -1, *[0, 1] * 10, 1], ["cat", "dog"])
    pq.write_table(table, tmp_path / "t.parquet")
    rows, left_out = Image(size=16).read(tmp_path / "t.parquet")
    assert set(rows.column("target")) == {"cat", "dog"}
    assert len(rows) == 22
    assert [(each.source, each.reason) for each in left_out] == [
        ("t.parquet, row 1", "it has no image"),
        ("t.parquet, row 3", "it has no label"),
    ]


def test_names_of_files_beside_bytes(pictures: list[bytes], tmp_path: Path) -> None:
    """A row with no bytes but a path is a file beside the table."""
    (tmp_path / "0.png").write_bytes(pictures[0])
    values = [{"bytes": None, "path": "0.png"}, {"bytes": pictures[1], "path": "x"}, {"bytes": None, "path": "no.png"}]
    table = pa.table({"image": pa.array(values, STRUCT), "label": ["a", "b", "b"]})
    pq.write_table(table, tmp_path / "t.parquet")
    rows, left_out = Image(size=16).read(tmp_path / "t.parquet")
    assert rows.column("path")[0] == str(tmp_path / "0.png")
    assert embedded.read(rows.column("path")[1]) == pictures[1]
    assert [each.reason for each in left_out] == ["the file 'no.png' is not there"]


def test_a_corrupt_row_is_left_out_with_the_reason(pictures: list[bytes], tmp_path: Path) -> None:
    pictures[3], pictures[5] = pictures[3][:40], b""
    path = tmp_path / "t.parquet"
    pq.write_table(hub_like(pictures, ["a", "b"] * 12), path)
    domain = Image(size=16)
    rows, left_out = domain.prepare(domain.read(path)[0], quiet)
    assert len(rows) == 22
    reasons = {each.source: each.reason for each in left_out}
    assert reasons["t.parquet#6"] == "the file is empty (0 bytes)"
    assert "t.parquet#4" in reasons


def test_a_file_that_is_no_parquet_any_more(pictures: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(hub_like(pictures, ["a", "b"] * 12), path)
    rows, _ = Image(size=16).read(path)
    path.write_bytes(b"PAR1 no more")
    with pytest.raises(OSError, match=r"t\.parquet cannot be read"):
        embedded.read(rows.column("path")[0])
    pq.write_table(pa.table({"other": [1]}), path)
    with pytest.raises(OSError, match="has no row 0 in a column 'image'"):
        embedded.read(rows.column("path")[0])


def test_a_run_on_one_file(pictures: list[bytes], tmp_path: Path) -> None:
    """Trained, evaluated, reported and resumed; data.json has no bytes; a changed or lost file is noticed."""
    path = tmp_path / "animals.parquet"
    pq.write_table(hub_like(pictures, [0, 1] * 12, ["cat", "dog"]), path, row_group_size=5)
    run = pervade.fit(path, runs=tmp_path / "runs", epochs=1, settings=SETTINGS, ladder=["trained"], options=Options())
    assert run.evaluate()["n"] > 0
    assert run.report().exists()
    stored = files.read_json(run.directory.data)["columns"]
    assert sorted(stored["path"])[0] == f"{path}#image#0"
    assert set(stored["target"]) == {"cat", "dog"}
    pervade.resume(run.path, options=Options())
    pq.write_table(hub_like([pictures[1], *pictures[1:]], [0, 1] * 12, ["cat", "dog"]), path)
    with pytest.raises(DataError, match=r"animals\.parquet#1 changed"):
        run.evaluate()
    path.unlink()
    with pytest.raises(DataError, match=r"animals\.parquet is not there any more"):
        run.evaluate()
