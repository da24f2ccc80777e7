"""The verbs that only tell, and what the command line reads of texts."""

from __future__ import annotations

import errno
import inspect
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from pervade import cli, recipes
from pervade.cli.options import seconds
from pervade.core import registry
from pervade.core.errors import ConfigError


def test_doctor(pervade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outcome = pervade("doctor")
    assert outcome.status == 0
    assert outcome.out.splitlines()[-1] == "ready"
    assert str(tmp_path / "cache") in outcome.out


def test_doctor_sees_a_cache_that_cannot_be_written(pervade, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PERVADE_CACHE", str(tmp_path / "file"))
    outcome = pervade("doctor")
    assert outcome.status == 1
    assert "problem: the cache folder" in outcome.err
    assert "set PERVADE_CACHE to another" in outcome.err


def test_models(pervade) -> None:
    outcome = pervade("models")
    assert outcome.status == 0
    groups: dict[str, list[str]] = {}
    for line in outcome.out.splitlines()[:-2]:
        if line.startswith("for "):
            group = groups.setdefault(line.removeprefix("for ").rstrip(":"), [])
        else:
            group.append(line.split()[0])
    assert {"reference-cnn", "reference-mlp", "resnet18", "timm:NAME"} <= set(groups["pictures"])
    assert set(groups["texts"]) >= {"transformer", "gpt-tiny"}
    assert groups["recordings"][:2] == ["conformer", "conformer-medium"]
    assert groups["pictures, texts or recordings"] == ["hf:NAME"]


def test_tasks(pervade) -> None:
    outcome = pervade("tasks")
    assert outcome.status == 0
    assert [line.split()[0] for line in outcome.out.splitlines()] == list(recipes.tasks())
    assert "image-classification" in recipes.tasks()


def test_help_and_version(pervade) -> None:
    from pervade import __version__

    assert pervade("--version").out.strip() == __version__
    whole = pervade("--help")
    assert whole.status == 0
    assert "predict" in whole.out
    assert pervade().status == 2
    verbs = "train tune resume evaluate predict compare compress export merge push pull report models tasks doctor demo"
    for verb in verbs.split():
        assert pervade(verb, "--help").status == 0


def test_help_says_which_data_a_flag_is_for(pervade) -> None:
    train = " ".join(pervade("train", "--help").out.split())
    for words in (
        "--label-pattern REGEX Folders of pictures or recordings:",
        "--group-pattern REGEX Pictures and recordings, with transcripts too:",
        "--group-by COLUMN Tables: which column says what belongs together",
        "--tta Judge each picture mirrored too, each recording slower and faster too",
    ):
        assert words in train
    assert "LABEL/SPEAKER, as in seven/anna" in " ".join(pervade("predict", "--help").out.split())


def test_help_does_not_load_torch() -> None:
    code = "import sys; from pervade.cli import main\ntry: main()\nexcept SystemExit: print('torch' in sys.modules)"
    start = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code, "train", "--help"], capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1] == "False"
    assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("text", "value"), [(None, None), ("90", 90), ("90s", 90), ("10m", 600), ("1.5h", 5400), (" 2 min ", 120)]
)
def test_time_limit(text: str | None, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "soon", "-5", "0", "1d", "1h30", "1e3"])
def test_time_limit_that_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration; write for example 90s, 10m or"):
        seconds(text)


def test_evaluate_and_report(pervade, run: Path) -> None:
    outcome = pervade("evaluate", run, "--split", "validation")
    assert outcome.status == 0
    assert "accuracy" in outcome.out
    outcome = pervade("report", run)
    assert outcome.status == 0
    assert Path(outcome.out.strip()).is_file()


def test_interrupted(pervade, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(kind: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "names", interrupt)
    assert pervade("models").status == 130


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES])
def test_fault_of_the_machine_is_one_line(number: int, pervade, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(kind: str) -> None:
        raise OSError(number, "the machine says no", "some/file")

    monkeypatch.setattr(registry, "names", fail)
    pervade("models").refuses("cannot write or read some/file: the machine says no; free some space or mend")


class Panic(BaseException):
    """As pyo3 raises it: no Exception."""


@pytest.mark.parametrize(
    "fault",
    [
        KeyError("a"),
        RecursionError("deep"),
        Panic("called unwrap\non None"),
        OSError(errno.EINVAL, "odd"),
        GeneratorExit(),
    ],
)
def test_what_nobody_foresaw_is_one_line_and_a_file(pervade, monkeypatch, tmp_path: Path, fault: BaseException) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(registry, "names", lambda kind: (_ for _ in ()).throw(fault))
    outcome = pervade("models")
    assert outcome.status == 1
    (line,) = outcome.err.splitlines()
    (details,) = tmp_path.glob("pervade-fault-*.txt")
    assert line.startswith(f"pervade: {cli.NET} ({type(fault).__name__}: ")
    assert f"the details lie in {details}. " in line
    assert "Traceback (most recent call last)" in details.read_text()
    assert details.stat().st_mode & 0o77 == 0


def test_what_nobody_foresaw_is_told_where_no_file_can_be_made(pervade, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    monkeypatch.setattr(registry, "names", lambda kind: 1 / 0)
    outcome = pervade("models")
    assert outcome.status == 1
    assert "ZeroDivisionError: division by zero" in outcome.err
    assert outcome.err.splitlines()[-1].startswith(f"pervade: {cli.NET}")


@pytest.mark.parametrize(("asked", "status"), [("models", 0), ("nonsense", 2)])
def test_the_command_is_out_at_once(asked: str, status: int) -> None:
    """What was printed is out, what was registered for the end is done, and the status is that of `main`."""
    code = "import atexit; from pervade.cli import run; atexit.register(print, 'the end'); run()"
    told = subprocess.run([sys.executable, "-c", code, asked], capture_output=True, text=True, check=False)
    assert told.returncode == status
    assert told.stdout.endswith("the end\n")
    assert ("resnet" in told.stdout) == (status == 0) == (not told.stderr)


def test_a_search_takes_what_a_training_takes() -> None:
    """Options are declared once: whatever says how data are read or how one training goes, a search says too."""
    from pervade.cli.train import train
    from pervade.cli.tune import tune

    of_train, of_tune = (set(inspect.signature(verb).parameters) for verb in (train, tune))
    assert of_train - of_tune == {"seeds", "folds", "best_of", "tensorboard", "dry_run"}
    assert of_tune - of_train == {"trials", "search"}
