"""Runs on the Hugging Face Hub: what is pushed there, and how it comes back.

What goes is a list of files that is settled before anything is sent: the folder for transformers that the run was
exported to, or, where there is none, one checkpoint with what a run needs to answer, its figures and its card. No rows,
no predictions, and no paths of this machine: every text is written anew without them. `pervade.json` lists the SHA-256
of each file, by which what is pulled is checked; nothing else that lies in the repository is taken, and no pickle.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from pervade.core import download, files, plain_yaml
from pervade.core.errors import CheckpointError, ConfigError, PervadeError
from pervade.core.run import RunDirectory
from pervade.engine.checkpoint import load_checkpoint
from pervade.report import card
from pervade.report.record import Record
from pervade.report.record import read as read_record

PREFIX = "hf://"
MANIFEST = "pervade.json"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
# A path from the root on, not the end of an address; what is kept of it is its last part.
PATH = re.compile(r"(?<![\w:/.>])(?:file://)?/(?:[^\s/'\"`,;:()<>]+/)+([^\s/'\"`,;:()<>]*)")
KINDS = (".json", ".yaml", ".yml", ".md", ".txt", ".jinja", ".safetensors", ".py", "MLmodel")  # that are taken back
OF_A_RESULT = ("meter", "checkpoint", "split", "n", "metrics")  # the rest shows rows
OF_A_CHECKPOINT = ("architecture.json", "preprocess.json", "decision.json", "recipe.yaml", "model.safetensors")
EXPORTED = "huggingface"  # the folder for transformers, in RUN/export/
LISTED = 12  # names of files in a line


@dataclass(frozen=True)
class Parcel:
    """What is pushed: by its name in the repository a file of this machine, or what is written in its place."""

    kind: str  # "run", or "transformers": a folder of that library
    contents: Mapping[str, bytes | Path]

    @property
    def size(self) -> int:
        return sum(c.stat().st_size if isinstance(c, Path) else len(c) for c in self.contents.values())

    def told(self) -> list[str]:
        """Every file with its size, a line each."""
        sizes = {n: c.stat().st_size if isinstance(c, Path) else len(c) for n, c in sorted(self.contents.items())}
        return [f"{name} ({download.megabytes(size)})" for name, size in sizes.items()]


def repository(address: str) -> str:
    """owner/name of hf://owner/name. Raises ConfigError where it is none."""
    name = address.removeprefix(PREFIX)
    if not address.startswith(PREFIX) or not NAME.fullmatch(name):
        raise ConfigError(f"{address!r} is no repository of the Hub; write hf://owner/name")
    return name


# what goes


def parcel(run: RunDirectory, checkpoint: str | None) -> Parcel:
    """Raises ConfigError where a part of the run lies elsewhere on this machine."""
    name = run.require_checkpoint(checkpoint)
    record = read_record(run)
    folder = run.path / "export" / (EXPORTED if checkpoint is None else f"{EXPORTED}-{checkpoint}")
    if folder.is_dir():
        kind, contents = "transformers", _exported(folder, record)
    else:
        kind, contents = "run", _checkpoint(run, name, record)
    contents |= _eval_results(record)
    digests = {path: _sha256(content) for path, content in sorted(contents.items())}
    manifest = {"format": files.FORMAT, "kind": kind, "name": run.name, "checkpoint": name, "files": digests}
    return Parcel(kind, {**contents, MANIFEST: _json(manifest)})


def _exported(folder: Path, record: Record) -> dict[str, bytes | Path]:
    """All of it but the account of rows by which it was compared, the run's card before its own."""
    contents: dict[str, bytes | Path] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name.endswith(KINDS) and name != "parity.json":
            contents[name] = path
    own = files.read_text(folder / "README.md") if (folder / "README.md").exists() else "---\n{}\n---\n"
    front, usage = plain_yaml.parse(own.split("---\n", 2)[1]), own.split("---\n", 2)[2]
    _, known, told = card.build(record).split("---\n", 2)
    metadata = {**plain_yaml.parse(known), **front}
    metadata["tags"] = list(dict.fromkeys([*plain_yaml.parse(known).get("tags", ()), *front.get("tags", ())]))
    whole = f"---\n{yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)}---\n{told}\n{usage}"
    return {**contents, "README.md": scrubbed(whole).encode()}


def _checkpoint(run: RunDirectory, name: str, record: Record) -> dict[str, bytes | Path]:
    folder, loaded = run.checkpoint(name), load_checkpoint(run, name)
    base = loaded.architecture.get("base", {}).get("place", "")
    if (base and not base.startswith("hf:")) or Path(base.removeprefix("hf:")).is_absolute():
        raise ConfigError(
            f"{folder} holds adapters alone, beside weights of this machine ({base}); `pervade merge {run.path}`, "
            "then push --checkpoint merged"
        )
    contents: dict[str, bytes | Path] = {"README.md": scrubbed(card.build(record)).encode()}
    for file in OF_A_CHECKPOINT:
        place = f"checkpoints/{name}/{file}"
        contents[place] = folder / file if file.endswith(".safetensors") else _without_paths(folder / file)
    for file, text in loaded.domain.assets().items():
        contents |= {f"checkpoints/{name}/{file}": text.encode(), file: text.encode()}
    for path in (run.recipe, run.preprocess, run.words):
        if path.exists():
            contents[path.name] = _without_paths(path)
    data = files.read_json(run.data, most=files.ROWS)
    empty: dict[str, list[str]] = {"id": [], "split": [], "path": [], "target": [], "hash": []}
    kept = {"format": data["format"], "source": scrubbed(str(data.get("source", ""))), "rows": 0, "columns": empty}
    contents["data.json"] = _json({**kept, "left_out": []})
    about = files.read_json(run.environment)
    versions = {key: about.get("environment", {}).get(key) for key in ("python", "packages")}
    known = {"format": about["format"], "task": about.get("task"), "source": kept["source"], "environment": versions}
    contents["environment.json"] = _json(known)
    for meter, of, path in run.results():
        if of == name and meter == "evaluate":
            stored = files.read_json(path, most=files.ROWS)
            figures = {key: stored[key] for key in ("format", *OF_A_RESULT) if key in stored}
            contents[f"results/{path.name}"] = _json(figures)
    return contents


def _eval_results(record: Record) -> dict[str, bytes | Path]:
    """The Hub's own form of figures, of data that lie there."""
    data, result = card.of_hub(str(record.data.get("source", ""))), record.main
    if not data or result is None:
        return {}
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(
            dataset_id=str(data["name"]),
            dataset_revision=data["revision"] if re.fullmatch(r"[0-9a-f]{40}", data["revision"] or "") else None,
            task_id=figure.words.hub or figure.name,
            value=figure.value,
            notes=f"{result.split} split, n = {figure.n}, measured by Pervade",
        )
        for figure in result.overall.values()
        if figure.value is not None
    ]
    text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False, allow_unicode=True)
    return {".eval_results/pervade.yaml": text.encode()} if entries else {}


def scrubbed(text: str) -> str:
    """Without the folders that a path lies in, which are nobody's business.

    >>> scrubbed("trained on /home/ann/photos/cats (https://example.org/a/b), see ./here/it and 3/4")
    'trained on cats (https://example.org/a/b), see ./here/it and 3/4'
    """
    return PATH.sub(lambda match: match[1] or match[0].rstrip("/").rpartition("/")[2], text)


def _without_paths(path: Path) -> bytes:
    """A JSON or YAML file of ours; its comments, which tell of the data, are left out."""
    if path.suffix == ".json":
        return _json(_each_text(files.read_json(path, most=files.ROWS)))
    parsed = {"format": files.FORMAT, **_each_text(plain_yaml.read(path))}
    return yaml.safe_dump(parsed, sort_keys=False, allow_unicode=True).encode()


def _each_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _each_text(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_each_text(part) for part in value]
    return scrubbed(value) if isinstance(value, str) else value


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()


def _sha256(content: bytes | Path) -> str:
    return files.sha256(content) if isinstance(content, Path) else hashlib.sha256(content).hexdigest()


# there and back


class Hub:
    """The Hub as this machine reaches it. Raises ConfigError where the network is forbidden or, to push, there is no
    token: HF_TOKEN, or what `hf auth login` left."""

    def __init__(self, push: bool) -> None:
        import huggingface_hub
        from huggingface_hub import constants

        if forbidden := download.offline():
            raise ConfigError(f"{forbidden} forbids the network; unset it to push or pull")
        self.token = huggingface_hub.get_token()
        if push and not self.token:
            raise ConfigError("there is no token for the Hub; set HF_TOKEN, or log in with `hf auth login`")
        huggingface_hub.utils.disable_progress_bars()
        huggingface_hub.utils.logging.set_verbosity_error()
        self.address = constants.ENDPOINT
        self.api: Any = huggingface_hub.HfApi(endpoint=self.address, token=self.token or False)

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Whatever goes wrong there is one line, which never holds the token."""
        from huggingface_hub import errors

        try:
            yield
        except PervadeError:
            raise
        except (errors.HfHubHTTPError, errors.HTTPError, OSError, ValueError, RuntimeError) as error:
            reason = error.__cause__ or error  # of a file that could not be sent
            status = getattr(getattr(reason, "response", None), "status_code", None)
            first = next((line.strip() for line in str(reason).splitlines() if line.strip()), type(reason).__name__)
            first = first.replace(self.token, "…") if self.token else first
            if _has_no_network(error):
                first = f"no network, or nothing answers at {self.address} ({first[:200]})"
            why = {
                401: "the token is not accepted; look at HF_TOKEN, or log in anew by `hf auth login`",
                403: "the token may not do so; take one with the right to write, or another owner",
                404: "there is no such repository",
            }.get(status or 0, f"{first[:200]}; try again")
            raise CheckpointError(f"{what}: {why}") from None

    def there(self, name: str) -> Any | None:
        """What the Hub says of a repository, None where there is none that this token sees."""
        from huggingface_hub.errors import RepositoryNotFoundError

        with self.asking(f"{PREFIX}{name}"):
            try:
                return self.api.model_info(name, files_metadata=True, timeout=download.PATIENCE)
            except RepositoryNotFoundError:
                return None


def _has_no_network(error: BaseException | None) -> bool:
    """Whether that is where it began: a name that is not resolved, or a connection that is not made."""
    while error is not None:
        if isinstance(error, (socket.gaierror, ConnectionRefusedError)):
            return True
        error = error.__cause__ or error.__context__
    return False


def before(hub: Hub, name: str, parcel: Parcel, private: bool) -> list[str]:
    """What is to be said before anything goes. Raises CheckpointError where the token is not accepted, ConfigError
    where a repository that all can see is there already, and that was not asked for."""
    with hub.asking(hub.address):
        hub.api.whoami()
    info = hub.there(name)
    if info is not None and private and not info.private:
        raise ConfigError(f"{PREFIX}{name} is there already, and everybody can see it; add --public, or name another")
    seen = "only you can see" if private else "everybody can see"
    where = f"{hub.address}/{name}, which {seen}"
    lines = [f"to {where}: {len(parcel.contents)} files, {download.megabytes(parcel.size)}", *parcel.told()]
    others = sorted(f.rfilename for f in (info.siblings or ()) if f.rfilename != ".gitattributes") if info else []
    if others:
        shown = ", ".join(others[:LISTED]) + (" …" if len(others) > LISTED else "")
        lines.append(f"there already: {shown}; what has the same name is replaced, the rest stays")
    return lines


def push(hub: Hub, name: str, parcel: Parcel, private: bool) -> str:
    """Makes the repository where there is none, and puts everything there in one commit; returns its address."""
    from huggingface_hub import CommitOperationAdd

    with hub.asking(f"{PREFIX}{name}"):
        hub.api.create_repo(name, private=private, exist_ok=True)
        operations = [
            CommitOperationAdd(path, str(content) if isinstance(content, Path) else content)
            for path, content in parcel.contents.items()
        ]
        hub.api.create_commit(name, operations, commit_message="Push a model by Pervade")
    return f"{hub.address}/{name}"


def pull(hub: Hub, name: str, runs: Path, called: str | None) -> Path:
    """A run into `runs`, or a folder for transformers into the current one; whole, or not at all.

    Raises CheckpointError where the repository was not pushed by Pervade, a file is missing, of a kind that is not
    taken, or not what its SHA-256 says; ConfigError where the place is taken.
    """
    info = hub.there(name)
    if info is None:
        raise CheckpointError(f"{PREFIX}{name} is not there, or this token may not see it; look at the name")
    there = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    if MANIFEST not in there:
        raise CheckpointError(f"{PREFIX}{name} was not pushed by Pervade; use it by --model hf:{name}")
    kept = Path(called or name.partition("/")[2])
    with TemporaryDirectory() as beside, hub.asking(f"{PREFIX}{name}"):
        manifest = files.read_json(_fetch(hub, name, MANIFEST, info.sha, Path(beside)), "kind", "files")
        place = runs / kept if manifest["kind"] == "run" else kept
    if place.exists():
        raise ConfigError(f"{place} is there already; take another --name")
    digests: dict[str, str] = manifest["files"]
    for path in digests:
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts or "\\" in path or not path.endswith(KINDS):
            raise CheckpointError(f"{PREFIX}{name} lists {path!r}, which is no file of a model and is not taken")
        if path not in there:
            raise CheckpointError(f"{PREFIX}{name} is not whole: {path} is missing; push it again")
    total = download.megabytes(sum(there[path] for path in digests))
    download.announce(f"downloading {len(digests)} files: {total} from {hub.address}/{name} to {place}")
    place.parent.mkdir(parents=True, exist_ok=True)
    with files.replacing_folder(place) as work:
        for path, digest in digests.items():
            with hub.asking(f"{PREFIX}{name}"):
                file = _fetch(hub, name, path, info.sha, work)
            if files.sha256(file) != digest:
                raise CheckpointError(
                    f"{path} of {PREFIX}{name} is not what was pushed (its SHA-256 differs); nothing was kept"
                )
        shutil.rmtree(work / ".cache", ignore_errors=True)
    return place


def _fetch(hub: Hub, name: str, path: str, revision: str, work: Path) -> Path:
    return Path(hub.api.hf_hub_download(name, path, revision=revision, local_dir=work))
