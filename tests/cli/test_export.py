"""pervade export: a graph and what stands beside it, which answer as the run does, or are not kept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from pervade import api
from pervade.core.contracts import Signature, TensorSpec
from pervade.core.errors import ConfigError
from pervade.run import exporting, parity, standalone
from pervade.run.parity import Bound
from pervade.run.progress import Silent
from pervade.run.training import Options
from tests.cli.small import SETTINGS
from tests.cli.test_full_disk import file_limit
from tests.data.drawing import class_folders, encoded, pixels


@pytest.fixture(scope="session")
def exported(session_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with its export, that nobody changes."""
    run = shutil.copytree(session_run, tmp_path_factory.mktemp("exported") / "pets")
    api.load(run).export(rows=6)
    return run


@pytest.fixture
def artefact(exported: Path, tmp_path: Path) -> Path:
    return shutil.copytree(exported / "export" / "onnx", tmp_path / "onnx")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "new.png"
    path.write_bytes(encoded(pixels(1, 99)))
    return path


def test_what_is_written(exported: Path) -> None:
    folder = exported / "export" / "onnx"
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.onnx", "signature.json", "parity.json", "run.py", "pervade"}
    told = json.loads((folder / "parity.json").read_text())
    assert told["decoded"]["rows"] == 4  # all that the test split has
    assert told["files"]["rows"] == 4
    assert told["decoded"]["difference"] <= told["tolerance"] == 1e-5
    assert told["decoded"]["changed"] == told["files"]["changed"] == 0
    about = json.loads((folder / "signature.json").read_text())
    assert about["inputs"][0]["shape"] == ["n", "height", "width", 3]
    assert about["labels"] == list(api.load(exported).labels)
    assert about["decided"] == {}  # too few rows to settle a temperature by
    assert "photos" in about["licence"]
    assert set(about["files"]) == {"model.onnx", "run.py", "pervade/preprocess.json", "pervade/decision.json"}


def test_run_py_answers_as_the_run_without_it(exported: Path, picture: Path, tmp_path: Path) -> None:
    """And says of a file that it cannot read what and how, in a line."""
    script = exported / "export" / "onnx" / "run.py"
    assert len(script.read_text().splitlines()) <= 40
    blocked = "import runpy, sys; sys.modules['torch'] = sys.modules['pervade'] = None; "
    (bad := tmp_path / "bad.png").write_text("no picture")
    blocked += f"sys.argv = {['run.py', str(picture), str(bad)]}; "
    code = f"{blocked}runpy.run_path({str(script)!r}, run_name='__main__')"
    ended = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{bad}: cannot identify image file")
    assert len(ended.stderr.splitlines()) == 1
    told = json.loads(ended.stdout)
    (wanted,) = api.load(exported).predict(picture, top=1)
    assert told["label"] == wanted["top"][0]["label"]
    assert max(told["probabilities"]) == pytest.approx(wanted["top"][0]["probability"], abs=1e-5)


@pytest.mark.parametrize("broken", ["model.onnx", "signature.json"])
def test_run_py_says_in_a_line_that_what_is_beside_it_cannot_be_opened(
    broken: str, exported: Path, picture: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported / "export" / "onnx", tmp_path / "moved")
    (folder / broken).write_bytes(b"half of it")
    command = [sys.executable, "-I", folder / "run.py", picture]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{folder / 'model.onnx'}: ") and "needs numpy, onnxruntime" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_predict_by_the_graph_prints_what_predict_prints(pervade, exported: Path, picture: Path) -> None:
    folder = exported / "export" / "onnx"
    wanted = json.loads(pervade("predict", exported, picture, "--json").out)
    for given in (folder, folder / "model.onnx"):
        outcome = pervade("predict", given, picture, "--json")
        assert outcome.status == 0
        told = json.loads(outcome.out)
        assert told.keys() == wanted.keys()
        assert [one["label"] for one in told["top"]] == [one["label"] for one in wanted["top"]]
        np.testing.assert_allclose(
            [one["probability"] for one in told["top"]], [one["probability"] for one in wanted["top"]], atol=1e-5
        )
    assert pervade("predict", folder, picture).out == pervade("predict", exported, picture).out
    pervade("predict", folder).refuses("give some behind it")


def test_a_graph_is_asked_without_torch(pervade, exported: Path, picture: Path) -> None:
    """So that who has a graph need not wait for torch, or have it."""
    folder = exported / "export" / "onnx"
    code = "import sys; sys.modules['torch'] = None; from pervade import cli; cli.main()"
    command = [sys.executable, "-c", code, "predict", str(folder), str(picture), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == pervade("predict", folder, picture, "--json").out


def test_what_reads_and_answers_imports_no_torch() -> None:
    """Of the domains and tasks of which there are graphs that answer as `predict` does."""
    parts = ["domains.image", "domains.text", "domains.sound", "tasks.classify", "tasks.tag", "tasks.regress"]
    parts += [f"promises.{name}" for name in ("cost", "coverage", "max_risk", "threshold")]
    code = f"import sys; sys.modules['torch'] = None; import {', '.join(f'pervade.{part}' for part in parts)}"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_a_damaged_or_foreign_graph_is_one_line(pervade, artefact: Path, picture: Path, tmp_path: Path) -> None:
    graph = artefact / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:1000])
    pervade("predict", graph, picture).refuses("model.onnx is missing or damaged", "export it again")
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"other")
    pervade("predict", foreign, picture).refuses("was not written by `pervade export`")
    pervade("predict", tmp_path / "gone.onnx", picture).refuses("is not there", "pervade export RUN")
    signature = artefact / "signature.json"
    whole = json.loads(signature.read_text())
    for text in ('{"format": 1, "graph": 3}', '{"format": 1, "graph": 3, "files": {}, "task": {}}', '{"format'):
        signature.write_text(text)
        outcome = pervade("predict", artefact, picture)
        outcome.refuses("signature.json is damaged", "export it again")
        assert "train again" not in outcome.err
    signature.write_text(json.dumps({name: whole[name] for name in whole if name not in ("inputs", "outputs")}))
    pervade("predict", artefact, picture).refuses("it has no 'inputs'", "export it again")
    signature.unlink()
    pervade("predict", artefact, picture).refuses("was not written by `pervade export`", "signature.json")


def test_another_form_is_not_called_damaged(pervade, artefact: Path, picture: Path) -> None:
    signature = artefact / "signature.json"
    about = json.loads(signature.read_text()) | {"graph": "model.pt2", "files": {}}
    signature.write_text(json.dumps({name: about[name] for name in about if name not in ("inputs", "outputs")}))
    (artefact / "model.pt2").write_bytes(b"")
    for given in (artefact, artefact / "model.pt2"):
        outcome = pervade("predict", given, picture)
        outcome.refuses("holds model.pt2", "takes the form onnx", "pervade export RUN")
        assert "damaged" not in outcome.err


def test_what_a_graph_does_not_heed_is_refused(pervade, artefact: Path, picture: Path) -> None:
    outcome = pervade("predict", artefact, picture, "--checkpoint", "best", "--seed", 3, "--top", 1)
    outcome.refuses("takes no --seed, --checkpoint; leave that out")
    for given in (artefact, artefact / "model.onnx"):
        pervade("evaluate", given, picture).refuses("what `pervade export` wrote", "give the run that it was made of")


def test_export_says_how_far_answers_are(pervade, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def told(difference: float, changed: int) -> str:
        parity = {"decoded": {"rows": 9, "difference": difference, "changed": changed}}
        monkeypatch.setattr(exporting, "of_run", lambda *_, **__: exporting.Exported(run, parity))
        return pervade("export", run).err.strip()

    assert told(1e-6, 0) == "same answers as the run: 9 rows, largest difference 1.0e-06, 0 decisions changed"
    moved = "answers within what is allowed: 9 rows, largest difference 1.5e-02, 4 decisions changed"
    assert told(0.015, 4) == moved


def test_an_answer_that_differs_is_not_kept(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph's last bias is moved: the export fails, names a row, and leaves the earlier one."""
    run = shutil.copytree(exported, tmp_path / "pets")
    before = (run / "export" / "onnx" / "parity.json").read_bytes()

    def bent(self, loaded, folder):
        place = folder / "model.onnx"
        model = onnx.load(exported / "export" / "onnx" / "model.onnx")
        bias = next(one for one in model.graph.initializer if one.name.endswith("bias") and list(one.dims) == [2])
        bias.CopyFrom(
            onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float32([0.0, 1e-3]), bias.name)
        )
        onnx.save(model, place)
        return place

    monkeypatch.setattr(exporting.Onnx, "__call__", bent)
    with pytest.raises(ConfigError, match=r"answers otherwise than the run, first \S+: .* differ by") as caught:
        api.load(run).export(rows=3)
    assert "\n" not in str(caught.value)
    assert (run / "export" / "onnx" / "parity.json").read_bytes() == before
    assert [path.name for path in (run / "export").iterdir()] == ["onnx"]


def test_a_full_disk_leaves_the_earlier_export(
    exported: Path, tmp_path: Path, pervade, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(exported, tmp_path / "pets")
    stored = exported / "export" / "onnx" / "model.onnx"
    monkeypatch.setattr(exporting.Onnx, "__call__", lambda self, loaded, folder: Path(shutil.copy(stored, folder)))
    before = (run / "export" / "onnx" / "model.onnx").read_bytes()
    with file_limit(2000):
        pervade("export", run, "--rows", 3).refuses("cannot write", "onnx", "free some space")
    assert (run / "export" / "onnx" / "model.onnx").read_bytes() == before
    assert [path.name for path in (run / "export").iterdir()] == ["onnx"]


def test_what_is_refused(pervade, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pervade("export", run, "--format", "onx").refuses("'onx'", "did you mean 'onnx'")
    pervade("export").refuses("name the run to export")
    pervade("export", run, "-o", tmp_path).refuses("holds other things than an export")
    pervade("export", run, "--checkpoint", "bst").refuses("did you mean 'best'")
    assert "classify" in pervade("export", "--list").out
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    pervade("export", run).refuses("pip install 'pervade[deploy]'")
    assert not (run / "export").exists()


@pytest.mark.slow  # a ladder is climbed
def test_what_a_ladder_delivers_is_a_graph_that_answers_files(pervade, tmp_path: Path) -> None:
    """A blend of a plain model and a network, or the plain model, as its rows say."""
    data = class_folders(tmp_path / "photos", count=10)
    asked = {"model": "reference-cnn", "ladder": ["plain", "trained"], "settings": SETTINGS}
    run = api.fit(data, name="run", runs=tmp_path, options=Options(Silent()), **asked)
    picture = next(data.rglob("*.png"))
    for place in (run.path, run.path / "members" / "plain"):
        assert pervade("export", place, "--rows", 4).status == 0
        told = json.loads((place / "export" / "onnx" / "parity.json").read_text())
        assert told["decoded"]["changed"] == told["files"]["changed"] == 0
        assert pervade("predict", place / "export" / "onnx" / "model.onnx", picture).status == 0


@pytest.mark.slow  # a ladder is climbed
def test_a_ladder_whose_rung_has_no_graph_names_one_that_has(pervade, tmp_path: Path) -> None:
    """What it says to do works: a plain model sees one cut of a picture, of which a network answers five."""
    data = class_folders(tmp_path / "photos", count=10)
    asked = {"model": "reference-cnn", "ladder": ["plain", "trained"], "settings": (*SETTINGS, "domain.views=5")}
    run = api.fit(data, name="run", runs=tmp_path, options=Options(Silent()), **asked)
    place = run.path / "ladder.json"
    ladder = json.loads(place.read_text())
    if ladder["taken"] == "plain":  # as if few rows had said otherwise
        shutil.rmtree(run.path / "checkpoints")
        shutil.copytree(run.path / "members" / "trained" / "checkpoints", run.path / "checkpoints")
        for name in ("recipe.yaml", "preprocess.json"):
            shutil.copy(run.path / "members" / "trained" / name, run.path / name)
        place.write_text(json.dumps({**ladder, "taken": "trained"}))
    plain = run.path / "members" / "plain"
    outcome = pervade("export", run.path)
    outcome.refuses("its rung plain can be exported", f"`pervade export {plain} --format onnx`", "on the valid")
    assert pervade("export", plain, "--format", "onnx", "--rows", 2).status == 0
    shutil.rmtree(plain / "checkpoints")
    pervade("export", run.path).refuses("several cuts")


def test_rows_are_compared_by_hand() -> None:
    wanted = [{"probabilities": np.array([[0.2, 0.8]]), "prediction": np.array([1])}] * 3
    other = {"probabilities": np.array([[0.6, 0.4]]), "prediction": np.array([0])}
    near = {"probabilities": np.array([[0.2 + 5e-6, 0.8]]), "prediction": np.array([1])}
    told = parity.compare(wanted, [wanted[0], near, other], ["a", "b", "c"], Bound(1e-5))
    assert told["changed"] == 1
    assert told["difference"] == pytest.approx(0.4)
    assert told["first"].startswith("c: probabilities or numbers differ by 0.4")
    told = parity.compare(wanted[:2], [wanted[0], near], ["a", "b"], Bound(1e-5))
    assert told["first"] is None
    assert parity.compare(wanted, [near, near, other], list("abc"), Bound(1, 0.01, one=True))["first"] is None
    assert parity.compare(wanted, [near, other, other], list("abc"), Bound(1, 0.01, one=True))["first"].startswith("b:")
    numbers = [{"prediction": np.array([2000.0]), "low": np.array([np.nan])}]
    moved = [{"prediction": np.array([2000.01]), "low": np.array([np.nan])}]
    assert parity.compare(numbers, moved, ["a"], Bound(1e-5))["first"] is None
    logits = [{"logits": np.array([[[0.0, 100.0]]])}]
    assert parity.compare(logits, [{"logits": logits[0]["logits"] + 7}], ["a"], Bound(1e-12))["difference"] == 0


def test_long_answers_are_compared_as_far_as_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "MOST", 100)
    signature = Signature((), (TensorSpec("logits", "float32", ("n", "tokens", 4), ""),))
    part = {"input_ids": np.zeros((1, 10), np.int64)}  # 40 numbers
    assert [len(parts) for parts in parity._affordable([[part], [part], [part]], signature)] == [1, 1]
    assert [len(parts) for parts in parity._affordable([[part] * 9, [part]], signature)] == [2]


def test_quantised_checkpoints_have_a_bound_of_their_own() -> None:
    class Integers:
        def finish(self, model):
            return model

    class Loaded:
        changes = (Integers(),)

    assert parity.bound_of(Loaded(), None) == Bound(parity.QUANTISED, parity.CHANGED_QUANTISED, one=True)


def test_every_run_py_is_short_and_compiles() -> None:
    from pervade.data.text import vocabulary
    from pervade.domains.image import Image
    from pervade.domains.sound import Sound
    from pervade.domains.text import Text

    digest = vocabulary.keep(vocabulary.learn(["the film was fun", "the film was dull"] * 20, "wordpiece", 300))
    said = {"type": "int64", "shape": ("n", "tokens"), "meaning": ""}
    tokens = [TensorSpec(name, **said) for name in ("input_ids", "attention_mask", "inside")]
    waves = (TensorSpec("waveform", "float32", ("n", "samples"), ""), TensorSpec("lengths", "int64", ("n",), ""))
    shown = (TensorSpec("pixels", "uint8", ("n", "height", "width", 1), ""),)
    text = Text(tokenizer=digest)
    for domain, inputs, needs in (
        (text, tuple(tokens[:2]), "from tokenizers"),
        (text, tuple(tokens), "inside"),
        (Sound(views=1), waves, "import soxr"),
        (Sound(views=1, masked=True), waves, "import soxr"),
        (Sound(views=3, speed=0.1), waves, "for factor in ("),
        (Image(size=16), shown, '"L"'),
        (text, (TensorSpec("input", "float32", ("n", 4), ""),), "np.load"),
    ):
        script = standalone.script(domain, Signature(inputs, ()), "model.onnx")
        compile(script, "run.py", "exec")
        assert needs in script
        assert len(script.splitlines()) <= 40
        assert ("s: the graph hears the middle alone" in script) == (isinstance(domain, Sound) and not domain.masked)
