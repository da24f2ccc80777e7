"""A run on the Hub and back, by the Hub's own client against a server of this test."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import constants

from pervade.core.run import RunDirectory
from pervade.export.huggingface import HuggingFaceFolder
from pervade.models.resnet import ResNet
from pervade.run import publishing
from tests.cli.stand_in_hub import TOKEN, StandIn, serving
from tests.exports import PICTURES, checkpoint

NAME = "hf://ann/pets"
# Of httpx, about how the Hub's client sends large files.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with serving() as stand_in:
        monkeypatch.setattr(constants, "ENDPOINT", stand_in.address)
        resolved = "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", stand_in.address + resolved)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        for name in ("PERVADE_OFFLINE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield stand_in


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_without_a_network(pervade, hub: StandIn, run: Path, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", address)
    for verb in (("pull", NAME), ("push", run, NAME, "--yes")):
        pervade(*verb).refuses(f"no network, or nothing answers at {address} (", "try again")


def test_there_and_back(pervade, hub: StandIn, run: Path) -> None:
    pushed = pervade("push", run, NAME, "--yes")
    assert pushed.status == 0, pushed.err
    assert "which only you can see" in pushed.out
    assert pushed.out.splitlines()[-1] == f"{hub.address}/ann/pets"
    there = hub.repositories["ann/pets"]
    expected = {"README.md", "recipe.yaml", "preprocess.json", "words.json", "data.json", "environment.json"}
    files = ("architecture.json", "decision.json", "model.safetensors", "preprocess.json", "recipe.yaml")
    expected |= {f"checkpoints/best/{name}" for name in files}
    expected |= {"results/evaluate@best.json", "pervade.json", ".gitattributes"}
    assert set(there) == expected
    assert "ann/pets" not in hub.public
    for name, data in there.items():
        if not name.endswith(".safetensors"):
            assert str(run.parents[1]) not in data.decode(), name
            assert ".png" not in data.decode(), name
    pulled = pervade("pull", NAME, "--name", "back")
    assert pulled.status == 0, pulled.err
    assert pulled.out.strip() == "runs/back"
    weights = "checkpoints/best/model.safetensors"
    assert (Path("runs/back") / weights).read_bytes() == (run / weights).read_bytes()
    picture = next(Path(json.loads((run / "data.json").read_text())["columns"]["path"][0]).parent.glob("*.png"))
    one, other = (pervade("predict", name, picture, "--json") for name in (run, "back"))
    assert one.out == other.out, other.err
    assert pervade("report", "back").status == 0
    pervade("pull", NAME, "--name", "back").refuses("runs/back is there already", "--name")


def test_the_folder_for_transformers_goes_where_there_is_one(pervade, hub: StandIn, run: Path) -> None:
    folder = run / "export" / "huggingface"
    folder.mkdir(parents=True)
    HuggingFaceFolder()(checkpoint(ResNet(width=8, stem="7x7"), PICTURES), folder)
    (folder / "parity.json").write_text('{"first": "cat/0.png"}')
    assert pervade("push", run, NAME, "--yes", "--public").status == 0
    there = hub.repositories["ann/pets"]
    assert {"config.json", "model.safetensors", "MLmodel", "preprocessor_config.json", "pervade.json"} <= set(there)
    assert not {"parity.json", "recipe.yaml"} & set(there)
    _, front, body = there["README.md"].decode().split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "transformers"
    assert yaml.safe_load(front)["model-index"][0]["results"][0]["metrics"]
    assert "## How to use it" in body
    assert "ann/pets" in hub.public
    assert pervade("pull", NAME).out.strip() == "pets"
    listed = json.loads(there["pervade.json"])["files"]
    assert {path.relative_to("pets").as_posix() for path in Path("pets").rglob("*") if path.is_file()} == set(listed)


def test_figures_of_data_of_the_hub_are_as_it_reads_them(run: Path) -> None:
    from huggingface_hub import parse_eval_result_entries

    data = json.loads((run / "data.json").read_text())
    commit = "0123456789" * 4
    (run / "data.json").write_text(json.dumps({**data, "source": f"hf://ylecun/mnist@{commit}/mnist"}))
    parcel = publishing.parcel(RunDirectory(run), None).contents
    contents, readme = parcel[".eval_results/pervade.yaml"], parcel["README.md"]
    assert isinstance(contents, bytes)
    entries = parse_eval_result_entries(yaml.safe_load(contents))
    known = json.loads((run / "results" / "evaluate@best.json").read_text())["metrics"]["accuracy"]["value"]
    assert [e.value for e in entries if e.task_id == "accuracy"] == [known]
    assert {(entry.dataset_id, entry.dataset_revision) for entry in entries} == {("ylecun/mnist", commit)}
    assert isinstance(readme, bytes)
    front = yaml.safe_load(readme.split(b"---\n")[1])
    assert front["datasets"] == ["ylecun/mnist"]
    measured = front["model-index"][0]["results"][0]["dataset"]
    assert (measured["type"], measured["revision"], measured["config"]) == ("ylecun/mnist", commit, "mnist")


def test_what_is_there_already_is_said(pervade, hub: StandIn, run: Path) -> None:
    hub.repositories["ann/pets"] = {"config.json": b"{}", "notes.txt": b"mine"}
    pushed = pervade("push", run, NAME, "--yes")
    assert "there already: config.json, notes.txt; what has the same name is replaced, the rest stays" in pushed.out
    assert hub.repositories["ann/pets"]["notes.txt"] == b"mine"
    hub.public.add("ann/pets")
    pervade("push", run, NAME, "--yes").refuses("everybody can see it", "--public")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("hf://pets", ("'hf://pets' is no repository of the Hub", "hf://owner/name")),
        ("ann/pets", ("hf://owner/name",)),
        ("hf://ann/../pets", ("hf://owner/name",)),
        ("hf://bob/pets", ("hf://bob/pets", "the right to write")),
    ],
)
def test_where_nobody_may_push(pervade, hub: StandIn, run: Path, address: str, words: tuple[str, ...]) -> None:
    refused = pervade("push", run, address, "--yes")
    refused.refuses(*words)
    assert TOKEN not in refused.err + refused.out


def test_nothing_goes_unasked(pervade, hub: StandIn, run: Path) -> None:
    pervade("push", run, NAME).refuses("nothing was pushed", "--yes")
    assert not hub.repositories


def test_without_a_token_or_with_a_wrong_one(pervade, hub: StandIn, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    refused = pervade("push", run, NAME, "--yes")
    refused.refuses("the token is not accepted")
    assert "hf_wrong" not in refused.err
    monkeypatch.delenv("HF_TOKEN")
    pervade("push", run, NAME, "--yes").refuses("no token", "HF_TOKEN", "hf auth login")
    assert not hub.repositories


def test_offline(pervade, hub: StandIn, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERVADE_OFFLINE", "1")
    pervade("push", run, NAME, "--yes").refuses("PERVADE_OFFLINE=1 forbids the network")
    pervade("pull", NAME).refuses("PERVADE_OFFLINE=1 forbids the network")
    assert not hub.asked


def test_what_cannot_be_pulled(pervade, hub: StandIn, run: Path) -> None:
    pervade("pull", NAME).refuses("hf://ann/pets is not there")
    hub.repositories["ann/other"] = {"config.json": b"{}"}
    pervade("pull", "hf://ann/other").refuses("was not pushed by Pervade", "--model hf:ann/other")
    assert pervade("push", run, NAME, "--yes").status == 0
    there, path = hub.repositories["ann/pets"], "checkpoints/best/model.safetensors"
    whole = dict(there)
    hub.broken.add(path)
    pervade("pull", NAME).refuses("hf://ann/pets")
    hub.broken.clear()
    there[path] = whole[path][:-1] + b"?"
    pervade("pull", NAME).refuses(path, "SHA-256 differs", "nothing was kept")
    del there[path]
    pervade("pull", NAME).refuses(f"{path} is missing")
    for wrong in ("../out.json", "/etc/out.json", "weights.bin", "code.pkl"):
        manifest = json.loads(whole["pervade.json"])
        there["pervade.json"] = json.dumps({**manifest, "files": {wrong: "0"}}).encode()
        pervade("pull", NAME).refuses(repr(wrong), "is not taken")
    assert not [path for path in Path().rglob("*") if "pets" in path.parts]
