"""Data sets of the Hugging Face Hub: `hf://owner/name[@revision][/config]`, read by the Hub's own library.

    hf://ylecun/mnist                     the newest revision; the run remembers its commit
    hf://uoft-cs/cifar100@a1b2c3/cifar100 one revision, one configuration
    hf:///data/pets, hf://./pets          a folder laid out as on the Hub: README.md, data/train-00000-of-00001.parquet

Nothing of a data set is ever run: the library reads data files only, and refuses data sets that are scripts. It keeps
what it downloads as Arrow files in its cache (HF_HOME), from which pictures are read when they are needed
(data/read/embedded.py), so going on with a run needs neither network nor library.
"""

from __future__ import annotations

import os
import re
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pervade.core import download
from pervade.core.errors import DataError, nearest
from pervade.core.types import LeftOut
from pervade.data.read import account, embedded, tables
from pervade.data.rows.split import SHARD, named

PREFIX = "hf://"
_ON_HUB = re.compile(r"(?:datasets/)?([\w.-]+(?:/[\w.-]+)?)(?:@([^/@]+))?(?:/([^/]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_PATHS = re.compile(r"^[ \t-]*(?:(?:path|data_files):|-)[ \t]*[\"']?([^\s\"':\[\]]+)[\"']?[ \t]*$", re.MULTILINE)
LONGEST_CARD = 1 << 20  # bytes
ITSELF = "hf:// is for a folder laid out as on the Hub; name any other folder itself, without hf://"


@dataclass(frozen=True)
class Address:
    name: str  # owner/name, or the absolute path of a folder
    revision: str | None = None  # branch, tag or commit; None: the newest
    config: str | None = None  # None: the only one, or the one that is marked as default

    @property
    def local(self) -> bool:
        return self.name.startswith(os.sep)

    def __str__(self) -> str:
        revision = f"@{urllib.parse.quote(self.revision, safe='')}" if self.revision else ""
        return f"{PREFIX}{self.name}{revision}{f'/{self.config}' if self.config else ''}"


def is_address(source: Any) -> bool:
    return isinstance(source, str) and source.startswith(PREFIX)


def located(source: Any) -> Any:
    """The address of a folder that was cloned or downloaded from the Hub, with shards in data/ or a README.md that says
    which tables are which splits; anything else as it is. Raises DataError where the data are not in it yet."""
    if is_address(source) or not isinstance(source, (str, os.PathLike)) or not os.path.isdir(source):  # noqa: PTH112
        return source
    folder, card = Path(source), Path(source, "README.md")
    head = card.read_bytes()[:LONGEST_CARD].decode("utf-8", "replace") if card.is_file() else ""
    header = head.split("\n---", 1)[0] if head.startswith("---") and "\nconfigs:" in head else ""
    patterns = [pattern for pattern in _PATHS.findall(header) if not pattern.startswith(("/", "..", "hf:", "http"))]
    files = [path for pattern in patterns for path in folder.glob(pattern)]
    files += [path for path in folder.glob("data/*") if SHARD.search(path.stem)]
    tables_there = [path for path in files if path.is_file() and tables.is_table(path)]
    if not tables_there:
        return source
    with tables_there[0].open("rb") as file:
        if file.read(30).startswith(b"version https://git-lfs"):
            raise DataError(f"{tables_there[0]} is where Git LFS will put data, and holds none; run git lfs pull there")
    return str(Address(str(folder.absolute())))


def parse(source: str) -> Address:
    """Raises DataError where it is no such address, or of a folder that is not there."""
    rest = source.removeprefix(PREFIX)
    if rest.startswith(("/", "./", "../", "~")) or rest in (".", ".."):
        folder = Path(os.path.abspath(Path(rest).expanduser()))  # noqa: PTH100  (resolve would follow links)
        if folder.is_dir():
            return Address(str(folder))
        if folder.parent.is_dir() and folder.parent != Path("/"):
            return Address(str(folder.parent), config=folder.name)
        raise DataError(f"{source}: the folder {folder} is not there; {ITSELF}")
    match = _ON_HUB.fullmatch(rest)
    if not match:
        raise DataError(
            f"{source!r} is no address of a data set; write hf://owner/name, hf://owner/name@revision or "
            "hf://owner/name/config, or hf:///path for a folder laid out as on the Hub"
        )
    return Address(match[1], match[2] and urllib.parse.unquote(match[2]), match[3])


def pinned(source: str) -> str:
    """The address with the commit that it stands for now, so that a run can be repeated. Raises DataError."""
    address = parse(source)
    if address.local or (address.revision and _COMMIT.fullmatch(address.revision)):
        return str(address)
    with _library_errors(address):
        return str(replace(address, revision=_builder(address).hash))


def title(source: str) -> str:
    """A short name: the data set's, without its owner."""
    return parse(source).name.rpartition("/")[2]


def read(
    source: str, content: tables.Content, wanted: tables.Wanted | None = None
) -> tuple[list[tables.Record], list[LeftOut]]:
    """Entries as data/read/tables.py gives them, with an "id" such as "train/00017". Raises DataError."""
    rows, ids, left_out = records(source)
    entries, lost = tables.entries_of(rows, source, content, ids, wanted)
    return entries, [*left_out, *lost]


def records(source: str) -> tuple[list[tables.Record], list[str], list[LeftOut]]:
    """The rows of all splits by column, an id for each, and splits that are not used.

    Downloads what is not in the library's cache, and says so first. Raises DataError.
    """
    address = parse(source)
    with _library_errors(address):
        builder = _builder(address)
        if not Path(builder.cache_dir).is_dir():
            _announce(address, builder)
        builder.download_and_prepare()
        sets = dict(builder.as_dataset())
    known_splits = [name for name in sets if named(name)]
    if not known_splits and len(sets) > 1:
        raise DataError(
            f"{source} has the splits {', '.join(sets)}, and none of them is called train; "
            "choose another configuration, or rename one"
        )
    made: list[tables.Record] = []
    ids: list[str] = []
    left_out = []
    for name, rows in sets.items():
        if known_splits and name not in known_splits:
            left_out.append(LeftOut(f"split {name}", "called neither train, validation nor test"))
            continue
        # A column of the rows' own says which of the training rows are for something else.
        own = "split" in rows.column_names and named(name) == "train"
        more = {"split": name} if known_splits and not own else {}
        made += [{**record, **more} for record in _records(rows)]
        ids += [f"{name}/{number:05d}" for number in range(len(rows))]
    account.note(
        f"{source}: laid out as on the Hub: {', '.join(f'{name} ({len(sets[name]):,} rows)' for name in sets)}"
    )
    if not made:
        raise DataError(f"{source} has no rows; choose another data set or configuration")
    return made, ids, left_out


def _records(rows: Any) -> Iterator[tables.Record]:
    """One split, row by row; a place in an Arrow file, or the name of a file, stands where bytes would."""
    schema = rows.features.arrow_schema
    columns: dict[str, list[Any]] = {}
    for field in schema:
        values = rows.data.column(field.name)
        columns[field.name] = _places(rows, field.name) if embedded.holds_bytes(field.type) else values.to_pylist()
    columns = embedded.named(columns, embedded.class_names(schema))
    for number in range(len(rows)):
        yield {name: values[number] for name, values in columns.items()}


def _places(rows: Any, column: str) -> list[str | None]:
    import pyarrow as pa

    files = [str(cache_file["filename"]) for cache_file in rows.cache_files]
    places = [
        str(embedded.Place(file, column, number)) for file in files for number in range(embedded.rows_of_arrow(file))
    ]
    if len(places) != len(rows):
        raise OSError(f"its Arrow files hold {len(places)} rows and not {len(rows)}; remove {Path(files[0]).parent}")
    names_there: list[str | None] = []
    for chunk in rows.data.column(column).chunks:
        parts = {"bytes": chunk}
        if pa.types.is_struct(chunk.type):
            parts = dict(zip([field.name for field in chunk.type], chunk.flatten(), strict=True))
        # Of the bytes themselves only their being there is looked at: they stay on the disk.
        there = parts["bytes"].is_valid().to_pylist()
        names = parts["path"].to_pylist() if "path" in parts else [None] * len(chunk)
        names_there += [
            places[len(names_there) + number] if inside else name
            for number, (inside, name) in enumerate(zip(there, names, strict=True))
        ]
    return names_there


def _library(address: Address) -> Any:
    """The library, told whether it may use the network and where to be quiet."""
    import datasets
    import huggingface_hub.constants

    if sys.stderr is None or not sys.stderr.isatty():
        datasets.disable_progress_bars()
    if address.local:
        return datasets
    # Both look at the environment only once, when they are imported, and do not know PERVADE_OFFLINE.
    host = urllib.parse.urlsplit(datasets.config.HF_ENDPOINT)
    cut_off = download.offline() is not None or (host.port is None and not download.reachable(host.hostname or ""))
    datasets.config.HF_HUB_OFFLINE = huggingface_hub.constants.HF_HUB_OFFLINE = cut_off
    return datasets


def _builder(address: Address) -> Any:
    datasets = _library(address)
    # The prefix keeps a folder ./owner/name from being taken for the data set.
    name = address.name if address.local else f"{PREFIX}datasets/{address.name}"
    try:
        builder = datasets.load_dataset_builder(name, address.config, revision=address.revision)
    except ValueError as error:
        if "config" not in str(error).lower():
            raise
        choices = datasets.get_dataset_config_names(name, revision=address.revision)
        if address.config is None:
            several = ", ".join(f"{address}/{choice}" for choice in choices)
            raise DataError(f"{address} has several configurations; choose one: {several}") from None
        raise DataError(
            f"{address} has no configuration {address.config!r}; {nearest(address.config, choices)}"
        ) from None
    # Without a network the library takes what its cache holds, whatever revision was asked for.
    from_cache = type(builder).__module__.startswith("datasets.packaged_modules.cache")
    if from_cache and address.revision not in (None, builder.hash):
        raise DataError(f"{address} cannot be reached, and the cache has another revision, {builder.hash}; {REMEDIES}")
    return builder


def _announce(address: Address, builder: Any) -> None:
    what = f"{address}: reading it into"
    if not address.local:
        size = download.megabytes(_size(builder))
        what = f"downloading the data set {address.name}, revision {builder.hash}: {size} to"
    download.announce(f"{what} {builder.cache_dir}")


def _size(builder: Any) -> int | None:
    """Bytes to download: of all data files, unless the data set's card says it; None where neither is known."""
    from huggingface_hub import HfFileSystem

    if builder.info.download_size:
        return int(builder.info.download_size)
    files = [str(file) for split in (builder.config.data_files or {}).values() for file in split]
    hub = HfFileSystem()  # has listed them already, while the library looked for them
    return sum(int(hub.info(file)["size"]) for file in files) if files else None


REMEDIES = (
    "mend the way there (https_proxy for a proxy, HF_ENDPOINT for a mirror of the Hub), download it where there is a "
    "network and point HF_HOME at that cache, or copy it here and give hf:///path/to/it"
)


@contextmanager
def _library_errors(address: Address) -> Iterator[None]:
    """The library's faults in our words."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:  # it raises almost anything at damaged data sets
        import datasets

        first = " ".join(str(error.__cause__ or error).split())[:500] or type(error).__name__
        if "scripts are no longer supported" in first:
            reason = "it is a program and not data, and programs are not run; take a copy that is in parquet"
        elif isinstance(error, datasets.exceptions.DatasetNotFoundError):
            reason = _refused(address, first)
        elif isinstance(error, ConnectionError):
            forbidden = download.offline()
            reason = f"{forbidden} forbids downloads, and it is not in the cache" if forbidden else "no answer"
            reason = f"it cannot be downloaded ({reason}); {REMEDIES}"
        else:
            reason = f"it cannot be read ({first}); look at the data set's files{f'; {ITSELF}' * address.local}"
        raise DataError(f"{address}: {reason}") from None


def _refused(address: Address, first: str) -> str:
    if "gated" in first.lower():
        return (
            f"it is gated; accept its conditions at https://huggingface.co/datasets/{address.name}, then log in with "
            "`hf auth login` or set HF_TOKEN"
        )
    if "revision" in first.lower():
        return f"it has no revision {address.revision!r}; leave it away for the newest"
    return "there is no such data set, or it is private; look at its name, or log in with `hf auth login`"
