"""Runs with adapters beside published weights: what is saved, what is read again, and what is said where it is gone."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import pervade
from pervade.core import files
from pervade.core.contracts import Recipe, Tokens
from pervade.core.errors import CheckpointError, ConfigError
from pervade.core.run import RunDirectory
from pervade.engine import predictions
from pervade.engine.checkpoint import load_checkpoint
from pervade.init.pretrained import Pretrained
from pervade.recipes import choose as choose_recipe
from pervade.recipes import language, text
from pervade.run.training import Options
from pervade.train.tuning.lora import Lora, adaptable
from tests.texts import encoder_folder, reviews, write, writer_folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    for number in range(20):
        (folder / f"{number:02d}.txt").write_text("\n".join(text for text, _ in reviews(12, seed=number)))
    return folder


def recipe(folder: Path, **fields) -> Recipe:
    torch.set_num_threads(1)
    made = language.tuned(language.recipe(f"hf:{folder}"), "lora")
    small = replace(
        made,
        domain=replace(made.domain, length=24),
        tuning=Lora(rank=2, dropout=0.1, alone=True),
        optimizer=replace(made.optimizer, lr=1e-2),
        epochs=2,
        batch_size=8,
        validation=0.1,
        test=0.2,
    )
    return replace(small, **fields)


def trained(folder: Path, texts: Path, runs: Path, name: str = "a", **fields) -> pervade.Run:
    return pervade.fit(texts, recipe=recipe(folder, **fields), name=name, runs=runs, options=Options())


def saved(run: pervade.Run, name: str = "last") -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(run.directory.checkpoint(name) / "model.safetensors")


def state_of(run: pervade.Run) -> list[str]:
    return list(safetensors.torch.load_file(run.directory.state / "state.safetensors"))


@pytest.fixture(scope="module")
def run(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> pervade.Run:
    root = tmp_path_factory.mktemp("whole")
    made = trained(writer_folder(root / "gpt2"), texts, root / "runs")
    made.evaluate()
    return made


@pytest.fixture
def own(run: pervade.Run, tmp_path: Path) -> tuple[pervade.Run, Path]:
    """A copy of the run, and the folder of its base, which is put back afterwards."""
    folder = Path(run.recipe().model.name)
    kept = shutil.copytree(folder, tmp_path / "kept")
    copied = shutil.copytree(run.path, tmp_path / "runs" / "a")
    yield pervade.load(copied), folder
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept, folder)


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
@pytest.mark.parametrize("average", [None, 0.5])
def test_the_adapters_alone_are_saved(
    texts: Path,
    tmp_path: Path,
    kind: str,
    average: float | None,
) -> None:
    """In checkpoints and in the state."""
    folder = writer_folder(tmp_path / kind, kind)
    whole = trained(folder, texts, tmp_path, "whole", average=average)
    assert saved(whole).keys() == saved(whole, "best").keys()
    assert saved(whole)
    assert all(".lora_" in name for name in saved(whole))
    assert all(".lora_" in name for name in state_of(whole) if name.startswith(("learner.network", "learner.average")))
    architecture = json.loads((whole.directory.checkpoint("best") / "architecture.json").read_text())
    assert architecture["base"]["place"] == str(folder / "model.safetensors")
    base = safetensors.torch.load_file(folder / "model.safetensors")
    network = whole.load().network.state_dict()
    there = {name.replace(".base_layer.", "."): value for name, value in network.items()}
    for name, value in base.items():
        assert torch.equal(there[f"body.network.{name}"], value)
    moved = [name for name in network if ".lora_B" in name and network[name].any()]
    assert len(moved) == len([name for name in network if ".lora_B" in name])


def test_it_learns_and_is_merged(run: pervade.Run) -> None:
    """The merged checkpoint is complete, needs no base and says the same."""
    losses = [each["loss"] for each in run.directory.read_log() if each["event"] == "step"]
    assert losses[-1] < losses[0]
    made = run.merge()
    assert made == run.directory.checkpoint("merged")
    assert not any(".lora_" in name or "base_layer" in name for name in saved(run, "merged"))
    architecture = json.loads((made / "architecture.json").read_text())
    assert "base" not in architecture
    assert (architecture["changes"], architecture["merged_from"]) == ([], "best")
    assert run.load("best").changes == (run.recipe().tuning,)
    assert run.load("merged").changes == ()
    assert files.read_json(made / "decision.json").keys() == {"format"}
    tables = []
    for name in ("best", "merged"):
        run.evaluate(name)
        tables.append(predictions.read_columns(run.directory.predictions(name, "test")))
    np.testing.assert_allclose(tables[0]["bits"], tables[1]["bits"], rtol=1e-5)
    tokens = torch.randint(0, 300, (2, 9))
    outputs = []
    for name in ("best", "merged"):
        with torch.no_grad():
            outputs.append(run.load(name).network(tokens)["logits"])
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-5 * float(outputs[0].abs().max()))
    assert run.predict("the film", checkpoint="merged", temperature=0)
    with pytest.raises(ConfigError, match="has no adapters to merge"):
        run.merge("merged")


def test_checkpoints_that_list_no_adapters(own: tuple[pervade.Run, Path]) -> None:
    """Those of before: adapters stood in their recipes alone, and "merged" was in the list of what was done."""
    made, _ = own
    made.merge()
    tokens = torch.randint(0, 300, (2, 9))
    for name, before in (("best", []), ("merged", ["merged"])):
        with torch.no_grad():
            known = made.load(name)
            logits = known.network(tokens)["logits"]
            path = made.directory.checkpoint(name) / "architecture.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "changes": before}))
            assert made.load(name).changes == known.changes
            assert torch.equal(made.load(name).network(tokens)["logits"], logits)


def test_a_base_that_is_gone(own: tuple[pervade.Run, Path]) -> None:
    made, folder = own
    made.merge()
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError) as caught:
        made.load()
    said = str(caught.value)
    assert "checkpoints/best holds adapters alone" in said
    assert f"cannot be read again from {folder / 'model.safetensors'}" in said
    assert "pervade merge" in said
    assert made.predict("the film", checkpoint="merged", length=3)[0]["text"] is not None


def test_a_base_that_is_another(own: tuple[pervade.Run, Path]) -> None:
    made, folder = own
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    next(iter(weights.values())).view(-1)[0] += 1
    safetensors.torch.save_file(weights, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match=r"holds other weights now than .* put those back there, or train again"):
        made.load()
    with pytest.raises(CheckpointError, match=r"state holds adapters alone, and .* holds other weights now"):
        pervade.resume(made.path, options=Options())


def test_another_run_goes_on_from_what_adapters_learnt(run: pervade.Run, texts: Path, tmp_path: Path) -> None:
    """All of its weights with what the adapters add, though its checkpoint holds these alone."""
    made = replace(recipe(Path(run.recipe().model.name)), tuning=None, init=Pretrained(str(run.path)), epochs=1)
    made = replace(made, optimizer=replace(made.optimizer, lr=1e-12))
    on = pervade.fit(texts, recipe=made, name="on", runs=tmp_path, options=Options())
    tokens = torch.randint(0, 300, (2, 9))
    with torch.no_grad():
        one, other = (each.load().network(tokens)["logits"] for each in (run, on))
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    assert not any(".lora_" in name for name in saved(on))


def test_weights_of_nobody_else_are_saved_whole(texts: Path, tmp_path: Path) -> None:
    """Random ones, a run's of our own, and those of a file that lies alone."""
    folder = writer_folder(tmp_path / "gpt2")
    first = trained(folder, texts, tmp_path, "first", tuning=None, epochs=1)
    alone = tmp_path / "alone.safetensors"
    shutil.copy(folder / "model.safetensors", alone)
    for name, init in (("run", Pretrained(str(first.path))), ("file", Pretrained(str(alone)))):
        made = trained(folder, texts, tmp_path, name, init=init, epochs=1)
        assert any("base_layer" in each for each in saved(made))
        assert "base" not in json.loads((made.directory.checkpoint("best") / "architecture.json").read_text())
        made.load()


def test_an_encoder_keeps_its_new_head(tmp_path: Path) -> None:
    """The same for texts to be classified, where it is asked for: adapters, the head, and nothing of the encoder."""
    folder = encoder_folder(tmp_path / "bert")
    data = write(tmp_path / "reviews.tsv", reviews(80))
    made = text.tuned(text.recipe(f"hf:{folder}"), "lora")
    assert not made.tuning.alone
    made = replace(made, domain=replace(made.domain, length=16), epochs=1, tuning=Lora(alone=True))
    run = pervade.fit(data, recipe=made, name="a", runs=tmp_path, options=Options())
    names = saved(run)
    assert {name for name in names if ".lora_" not in name} == {"head.logits.weight", "head.logits.bias"}
    answer = run.predict("a lovely film")[0]["top"]
    run.merge()
    merged = run.predict("a lovely film", checkpoint="merged")[0]["top"]
    assert [each["label"] for each in answer] == [each["label"] for each in merged]
    assert answer[0]["probability"] == pytest.approx(merged[0]["probability"], abs=1e-5)


def test_what_is_adapted_of_a_model_that_writes(tmp_path: Path) -> None:
    """GPT-2's layers that hold their weights the other way round too, and nowhere the layer tied to the embedding."""
    for kind, count in (("gpt2", 8), ("llama", 14)):
        made = language.recipe(f"hf:{writer_folder(tmp_path / kind, kind)}")
        network = made.model.build(Tokens(300, 16, pooled=False, causal=True), {"logits": 300})
        found = adaptable(network.body)
        assert len(found) == count
        assert not any("lm_head" in name for name in found)


def test_merging_what_has_no_adapters(texts: Path, tmp_path: Path) -> None:
    made = trained(writer_folder(tmp_path / "gpt2"), texts, tmp_path, tuning=None, epochs=1)
    with pytest.raises(ConfigError, match="has no adapters to merge; it is complete as it is"):
        made.merge()


def test_the_flag_chooses_adapters(texts: Path, tmp_path: Path) -> None:
    folder = writer_folder(tmp_path / "gpt2")
    chosen = choose_recipe(texts, "text-generation", f"hf:{folder}", None, "lora")[1]
    assert isinstance(chosen.tuning, Lora)
    assert chosen.tuning.alone


def test_a_task_whose_weights_are_never_kept(texts: Path, tmp_path: Path) -> None:
    folder = encoder_folder(tmp_path / "bert")
    with pytest.raises(ConfigError, match=r"--lora is not for fill-mask, .* leave it out"):
        choose_recipe(texts, "fill-mask", f"hf:{folder}", None, "lora")


def test_a_damaged_file_of_adapters(own: tuple[pervade.Run, Path]) -> None:
    made, _ = own
    path = made.directory.checkpoint("best") / "model.safetensors"
    weights = saved(made, "best")
    weights.pop(next(iter(weights)))
    safetensors.torch.save_file(weights, path)
    with pytest.raises(CheckpointError, match="its contents changed since it was written"):
        load_checkpoint(RunDirectory(made.path), "best")
