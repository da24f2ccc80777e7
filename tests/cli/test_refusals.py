"""What cannot be used is refused with exit status 2 and one line that names file, fault and remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from pervade import api
from pervade.core.errors import ConfigError
from pervade.recipes import transcription
from tests.cli.small import SMALL
from tests.data.drawing import class_folders, encoded, pixels


def empty(root: Path) -> Path:
    root.mkdir()
    return root


def not_there(root: Path) -> Path:
    return root


def no_picture_readable(root: Path) -> Path:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("these are words " + name)
    return root


def one_class(root: Path) -> Path:
    return class_folders(root, ("cat",))


def class_with_one_picture(root: Path) -> Path:
    class_folders(root, ("cat", "dog"))
    class_folders(root, ("newt",), count=1)
    return root


def class_left_with_one_picture(root: Path) -> Path:
    class_folders(root)
    for file in sorted((root / "dog").iterdir())[1:]:
        file.write_bytes(b"")
    return root


def no_class_folders(root: Path) -> Path:
    class_folders(root, (".",))
    return root


def no_train_split(root: Path) -> Path:
    class_folders(root / "val")
    class_folders(root / "test")
    return root


def class_only_tested(root: Path) -> Path:
    class_folders(root / "train")
    class_folders(root / "test", ("cat", "dog", "newt"))
    return root


def split_folders_without_classes(root: Path) -> Path:
    return class_folders(root, ("train", "test"))


def single_picture(root: Path) -> Path:
    root.mkdir()
    (root / "cat.png").write_bytes(encoded(pixels(0, 0)))
    return root / "cat.png"


def only_words(root: Path) -> Path:
    (root / "cat").mkdir(parents=True)
    (root / "cat" / "notes.odt").write_text("hello")
    return root


def name_not_utf8(root: Path) -> Path:
    path = Path(os.fsdecode(os.fsencode(root) + b"\xff"))
    class_folders(path)
    return path


def name_too_long(root: Path) -> Path:
    return root / ("x" * 300)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (not_there, "is not there; give a folder of pictures, recordings or texts, a table"),
        (name_too_long, "is not there; give a folder of pictures, recordings or texts, a table"),
        (empty, "is an empty folder; put pictures, recordings or texts into it, those of each class into a folder"),
        (only_words, "holds nothing that is read (1 .odt)"),
        (no_picture_readable, "no picture can be read; the first, cat/1.jpg: this is not a picture"),
        (one_class, "there is only one class, 'cat'; to classify takes at least two"),
        (class_left_with_one_picture, "only one class, 'cat'; to classify takes at least two, and of 'dog' there is a"),
        (no_class_folders, "holds 8 pictures but no class folders; put the pictures of each class into a folder"),
        (split_folders_without_classes, "holds 16 pictures but no class folders (splits: the folders"),
        (no_train_split, "has test and validation but no train split; add one"),
        (
            class_only_tested,
            "class 'newt' stands in the test split (test/newt/0.png) but never in train, which has 'cat', 'dog'",
        ),
        (single_picture, "cat.png is a single file; training needs a folder"),
        (name_not_utf8, "\\xff: its name is not valid UTF-8; rename it"),
    ],
)
def test_data(make, fault: str, pervade, tmp_path: Path, workplace: Path) -> None:
    pervade("train", make(tmp_path / "photos"), *SMALL).refuses(fault)
    # A name that was refused is free again, and nothing lies about.
    assert not (workplace / "runs").exists() or not list((workplace / "runs").iterdir())


def test_a_class_of_one_row_where_nothing_may_be_left_out(pervade, tmp_path: Path) -> None:
    data = class_with_one_picture(tmp_path / "photos")
    pervade("train", data, *SMALL, "--on-bad-file", "fail").refuses("newt/0.png: the only row of class 'newt'")
    outcome = pervade("train", data, *SMALL, "--dry-run")
    assert outcome.status == 0
    assert "of 2 classes (cat and dog)" in outcome.err
    assert "newt/0.png: the only row of class 'newt'" in outcome.err


@pytest.mark.parametrize("flags", [[], ["--model", "hf:nobody/nothing"], ["--task", "text-to-audio"]])
def test_a_path_that_leads_nowhere_is_said_first(flags: list[str], pervade, tmp_path: Path) -> None:
    outcome = pervade("train", tmp_path / "nowhere", *flags)
    outcome.refuses(f"{tmp_path / 'nowhere'} is not there; give a folder")
    assert outcome.err.splitlines() == outcome.complaints  # nothing of weights, whether there are any or not


@pytest.mark.parametrize(
    "arguments", [["train", "gym://" + "x" * 5000], ["resume", "r", "--runs", "n" * 5000], ["train", "n" * 300]]
)
def test_a_name_that_no_file_can_have(arguments: list[str], pervade) -> None:
    outcome = pervade(*arguments)
    assert outcome.status == 2
    assert len(outcome.complaints) == 1
    assert len(outcome.complaints[0]) < 1000
    assert "a fault of Pervade" not in outcome.complaints[0]


def test_no_data_at_all(pervade) -> None:
    pervade("train", "").refuses("DATA is empty; give a folder")
    pervade("train").refuses("Missing argument 'DATA'")


def test_output_folder_is_a_file(pervade, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "below"):
        pervade("train", photos, *SMALL, "--runs", runs).refuses(f"cannot write to {runs}", "with --runs")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_output_folder_cannot_be_written(pervade, photos: Path) -> None:
    pervade("train", photos, *SMALL, "--runs", "/proc/runs").refuses("cannot write to /proc/runs", "with --runs")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--model", "resnet81"], "unknown model 'resnet81'; did you mean 'resnet18'?"),
        (["--task", "image-clasification"], "unknown task 'image-clasification'; did you mean 'image-classification'?"),
        (["--modle", "resnet18"], "No such option: --modle (Possible options: --model"),
        (
            ["--init", "randon"],
            "--init 'randon' is neither a way to start (pretrained, random) nor a file, folder or run",
        ),
        (["-o", "optimizer.momentun=1"], "unknown setting 'optimizer.momentun'; did you mean 'optimizer.momentum'?"),
        (["-o", "momentum"], "setting 'momentum' is not of the form path.to.field=value"),
        (["-o", "epochs.x=3"], "setting 'epochs.x': 'epochs' has no fields"),
        (["--epochs", "many"], "Invalid value for '--epochs'"),
        (["--batch-size", "0"], "Invalid value for '--batch-size'"),
        (["--seed", "-1"], "Invalid value for '--seed'"),
        (["--lr", "-1"], "optimizer.lr: -1.0 does not fit; it must be a number above 0 up to 1,000"),
        (["--time-limit", "1d"], "--time-limit '1d' is not a duration; write for example 90s, 10m or 1.5h"),
        (
            ["--time-limit", "99999h"],
            "--time-limit '99999h' is not a duration; write for example",
        ),
        (["--seed", str(2**70)], "Invalid value for '--seed': Input should be less than"),
        (["--workers", "10000"], "Invalid value for '--workers': Input should be less than or equal to 256"),
        (["-o", "threads=100000"], "threads: 100000 does not fit; it must be "),
        (["--epochs", str(10**12)], "Invalid value for '--epochs'"),
        (["--init", "/dev/zero"], "--init '/dev/zero' is no regular file; give a file of weights, a folder or a run"),
        (["--on-bad-file", "ignore"], "--on-bad-file 'ignore' is unknown; allowed: leave-out, fail"),
        (["--device", "gpu"], "device is 'gpu'; did you mean 'cpu'?"),
        (["--name", "a/b"], "--name 'a/b' cannot be a folder's name"),
        (["--name", "n" * 300], "cannot write to runs: File name too long"),
        (["-o", "batch_size=0"], "batch_size: 0 does not fit"),
        (["-o", "epochs=-1"], "epochs: -1 does not fit"),
        (["-o", "micro_batch=0"], "micro_batch: 0 does not fit"),
        (["-o", "seed=-1"], "seed: -1 does not fit"),
        (["-o", "workers=-1"], "workers: -1 does not fit"),
        (["-o", "clip_norm=-1"], "clip_norm: -1 does not fit"),
        (["-o", "validation=0.9", "-o", "test=0.9"], "leave nothing to train on"),
        (["--precision", "fp61"], "precision: 'fp61' does not fit"),
        (["--imbalance", "wieghts"], "unknown imbalance 'wieghts'; did you mean 'weights'?"),
        (["--imbalance", "weights", "-o", "imbalance.scheme=root"], "imbalance.scheme: 'root' does not fit"),
    ],
)
def test_settings(arguments: list[str], fault: str, pervade, photos: Path) -> None:
    pervade("train", photos, *arguments).refuses(fault)


def test_all_mistakes_of_a_recipe_at_once(pervade, photos: Path) -> None:
    outcome = pervade("train", photos, "-o", "modle=x", "-o", "domain.sise=3", "--lr", "-1", "-o", "validation=some")
    assert outcome.status == 2
    assert len(outcome.complaints) == 4
    told = "\n".join(outcome.complaints)
    for fault in (
        "'modle'; did you mean 'model'?",
        "'domain.sise'; did you mean 'domain.size'?",
        "optimizer.lr",
        "validation",
    ):
        assert fault in told


@pytest.mark.parametrize(
    ("flags", "fault"),
    [
        (["--label-pattern", "^(.)_"], "--label-pattern '^(.)_' is not for environments to act in; it is for pictures"),
        (["--group-by", "speaker"], "--group-by 'speaker' is not for environments to act in; it is for"),
        (["--tta"], "--tta is not for environments to act in; it is for pictures"),
    ],
)
def test_flags_of_other_data(flags: list[str], fault: str, pervade) -> None:
    """The flag is named that was typed, and not the setting it stands for."""
    pervade("train", "gym://CartPole-v1", *flags).refuses(fault, "leave it out, or say with --task")


def test_flags_of_other_data_than_transcripts() -> None:
    """Together with whatever else is wrong."""
    with pytest.raises(ConfigError) as caught:
        api.configure(transcription.scratch(), ["optimizer.lr=-1"], label_pattern="^(.)_", label_column="digit")
    told = caught.value.problems
    assert [each.split()[0] for each in told] == ["--label-column", "--label-pattern", "optimizer.lr:"]
    assert all("not for recordings with transcripts; it is for " in each for each in told[:2])
    assert all("pictures, recordings" in each for each in told[:2])
    assert all("texts with labels" in each for each in told[:1])


def test_unknown_verb(pervade) -> None:
    pervade("tarin", "photos").refuses("No such command 'tarin'. Did you mean 'train'?")


def test_name_is_taken(pervade, photos: Path, run: Path) -> None:
    pervade("train", photos, *SMALL, "--name", "pets", "--runs", run.parent).refuses(
        f"{run} is there already; choose another --name, or go on with `pervade resume"
    )


# runs and checkpoints


def test_no_such_run(pervade, run: Path, photos: Path) -> None:
    pervade("predict", "pest", photos, "--runs", run.parent).refuses("there is no run 'pest'", "did you mean 'pets'?")
    pervade("predict", photos, photos).refuses("is a folder but not a run")
    pervade("predict", "x" * 300, photos).refuses("there is no run")


def test_no_such_checkpoint(pervade, run: Path, photos: Path) -> None:
    pervade("predict", run, photos, "--checkpoint", "bets").refuses("no checkpoint 'bets'; did you mean 'best'?")


def test_no_such_split(pervade, run: Path) -> None:
    pervade("evaluate", run, "--split", "tset").refuses("'tset'", "train, validation")


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip_one_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [cut_off, flip_one_bit, Path.unlink, lambda path: path.write_bytes(b"")])
def test_damaged_weights(damage, pervade, run: Path, photos: Path) -> None:
    damage(run / "checkpoints" / "best" / "model.safetensors")
    for verb in (["predict", run, photos], ["evaluate", run]):
        pervade(*verb).refuses("checkpoints/best/model.safetensors is")


@pytest.mark.parametrize("name", ["architecture.json", "preprocess.json", "decision.json", "recipe.yaml"])
@pytest.mark.parametrize("damage", [cut_off, Path.unlink, lambda path: path.write_text("[]")])
def test_damaged_description(damage, name: str, pervade, run: Path, photos: Path) -> None:
    damage(run / "checkpoints" / "best" / name)
    pervade("predict", run, photos).refuses(f"checkpoints/best/{name}")


@pytest.mark.parametrize("key", ["inputs", "outputs", "sha256", "tied"])
def test_description_lacks_a_part(key: str, pervade, run: Path, photos: Path) -> None:
    path = run / "checkpoints" / "best" / "architecture.json"
    description = json.loads(path.read_text())
    del description[key]
    path.write_text(json.dumps(description))
    pervade("predict", run, photos).refuses(f"architecture.json is damaged (it has no '{key}'); use another checkpoint")


def test_weights_of_another_architecture(pervade, run: Path, photos: Path) -> None:
    path = run / "checkpoints" / "best" / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["model"]["dense"] = 9
    path.write_text(yaml.safe_dump(recipe))
    pervade("predict", run, photos).refuses("checkpoints/best does not fit its architecture", "of another shape")


def test_damaged_state(pervade, run: Path) -> None:
    cut_off(run / "state" / "state.safetensors")
    pervade("resume", run).refuses("state/state.safetensors is damaged")


def newer_json(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 99}))


@pytest.mark.parametrize(
    "name", ["data.json", "checkpoints/best/architecture.json", "checkpoints/best/preprocess.json"]
)
def test_json_of_a_newer_version(name: str, pervade, run: Path) -> None:
    newer_json(run / name)
    pervade("evaluate", run).refuses(f"{name} has format 99, and this version", "update Pervade")


def test_recipe_of_a_newer_version(pervade, run: Path) -> None:
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    (run / "recipe.yaml").write_text(yaml.safe_dump({**recipe, "format": 99}))
    pervade("resume", run).refuses("recipe.yaml has format 99, and this version", "update Pervade")


def test_recipe_names_an_unknown_model(pervade, run: Path, photos: Path) -> None:
    """Nothing is imported that a file names: only registered names load."""
    path = run / "checkpoints" / "best" / "recipe.yaml"
    recipe = yaml.safe_load(path.read_text())
    recipe["model"]["use"] = "os.system"
    path.write_text(yaml.safe_dump(recipe))
    pervade("predict", run, photos).refuses("checkpoints/best/recipe.yaml: model: unknown model 'os.system'")


def test_run_is_at_work(pervade, run: Path) -> None:
    from pervade.core.run import RunDirectory

    with RunDirectory(run).lock():
        pervade("resume", run).refuses(f"another process is working on {run}; wait for it")


def test_data_changed_since(pervade, run: Path) -> None:
    data = json.loads((run / "data.json").read_text())
    data["columns"]["path"][0] += ".gone"
    (run / "data.json").write_text(json.dumps(data))
    pervade("evaluate", run).refuses(".gone is not there any more", "put the data back")
