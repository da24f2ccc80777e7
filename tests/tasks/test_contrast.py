"""Metric learning: losses by hand, batches of people x pictures, people who are refused, and the whole way."""

from __future__ import annotations

import csv
import io
import json
import math
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from torch.nn import functional as F
from typer.testing import CliRunner

from pervade import api
from pervade.cli import _register, app
from pervade.core import files, spec
from pervade.core.contracts import Context, Opening, Sampler
from pervade.core.errors import ConfigError, ContractError, DataError
from pervade.core.run import RunDirectory
from pervade.core.types import Rows
from pervade.data.rows import folds, split
from pervade.data.rows.samplers.people_by_pictures import PeopleByPictures
from pervade.data.rows.sources.dataset import Dataset
from pervade.domains.image import Image
from pervade.engine import checkpoint, origin
from pervade.engine.fit import Learner
from pervade.engine.step import only_phase
from pervade.models.reference_mlp import ReferenceMLP
from pervade.recipes import image
from pervade.run.progress import Silent
from pervade.run.training import Options
from pervade.tasks.contrast import Contrast, arcface, triplets
from pervade.testing import check_task

DOMAIN = Image(
    size=8, target="identity", labels=("a", "b", "c"), counts=(4, 4, 4), mean=(0.5,) * 3, deviation=(0.2,) * 3
)


def batch(rows: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(rows, 3, 8, 8, generator=generator)
    return {"row": torch.arange(rows), "input": pixels, "target": torch.arange(rows) // 2}


def at_angles(*degrees: float) -> torch.Tensor:
    turned = torch.deg2rad(torch.tensor(degrees, dtype=torch.float64))
    return torch.stack([turned.cos(), turned.sin()], 1)


# losses


@pytest.mark.parametrize("task", [Contrast(dimensions=4), Contrast(loss_name="triplet", dimensions=4)], ids=str)
def test_contract(task: Contrast) -> None:
    torch.manual_seed(0)
    network = ReferenceMLP((8,)).build(DOMAIN.inputs(), task.outputs(DOMAIN))
    context = Context(DOMAIN, task.companions(network, DOMAIN))
    check_task(task, network, batch(), context)
    output = task.forward(network, batch(), context)
    assert torch.allclose(output["embedding"].norm(dim=1), torch.ones(6))
    for each in network.parameters():
        assert each.grad is not None


def test_semi_hard_triplets_by_hand() -> None:
    """Squared distances are 2 - 2 cos. Two pictures of a at 0 and 40 degrees; of b at 50 and 100."""
    embedding, target = at_angles(0, 40, 50, 100), torch.tensor([0, 0, 1, 1])

    def d(angle: float) -> float:
        return 2 - 2 * math.cos(math.radians(angle))

    parts = triplets(embedding, target, 0.2)
    expected = [
        d(40) - d(50) + 0.2,  # 0: both others lie beyond its own at 40; the nearer, 50, is semi-hard
        d(40) - d(60) + 0.2,  # 40: 50 is nearer than its own (hard), 100 lies beyond it
        max(0.0, d(50) - d(50) + 0.2),  # 50: its own is 50 away; others 50 and 10: none beyond, the farthest counts
        d(50) - d(60) + 0.2,  # 100: others are 100 and 60 away, both beyond its own
    ]
    assert parts["loss"].tolist() == pytest.approx([max(each, 0.0) for each in expected], abs=1e-6)
    assert parts["count"].tolist() == [1, 1, 1, 1]
    assert parts["active"].tolist() == [float(each > 0) for each in expected]


def test_triplets_count_pairs() -> None:
    embedding = F.normalize(torch.randn(7, 3, generator=torch.Generator().manual_seed(0)))
    parts = triplets(embedding, torch.tensor([0, 0, 0, 1, 1, 1, 2]), 0.2)
    assert parts["count"].tolist() == [2, 2, 2, 2, 2, 2, 0]  # nobody is alike to the last
    alone = triplets(embedding, torch.zeros(7, dtype=torch.int64), 0.2)  # no negatives
    assert alone["loss"].sum() == 0
    assert alone["count"].sum() == 0


def test_every_negative_is_semi_hard_where_there_is_one() -> None:
    """Against the plain definition, triplet by triplet."""
    embedding = F.normalize(torch.randn(12, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    target = torch.arange(12) % 3
    distance = torch.cdist(embedding, embedding).square()
    expected = torch.zeros(12, dtype=torch.float64)
    for a in range(12):
        others = [float(distance[a, n]) for n in range(12) if target[n] != target[a]]
        for p in range(12):
            if p != a and target[p] == target[a]:
                beyond = [each for each in others if each > distance[a, p]]
                expected[a] += max(0.0, float(distance[a, p]) - (min(beyond) if beyond else max(others)) + 0.3)
    assert torch.allclose(triplets(embedding, target, 0.3)["loss"].double(), expected)


def test_arcface_is_the_angle_and_a_margin() -> None:
    embedding, centres = at_angles(30, 100), at_angles(0, 90, 200)
    target = torch.tensor([0, 1])
    logits = arcface(embedding @ centres.T, target, 0.5, 10.0)
    angles = torch.deg2rad(torch.tensor([[30.0 + math.degrees(0.5), 60, 170], [100, 10 + math.degrees(0.5), 100]]))
    assert torch.allclose(logits, 10 * angles.double().cos(), atol=1e-6)


def test_arcface_gradient() -> None:
    """Of a logit to the cosine: scale x sin(angle + margin) / sin(angle) for one's own, scale for the others."""
    cosine = torch.tensor([[0.3, -0.2]], dtype=torch.float64, requires_grad=True)
    arcface(cosine, torch.tensor([0]), 0.5, 8.0).sum().backward()
    angle = math.acos(0.3)
    assert cosine.grad is not None
    assert cosine.grad[0].tolist() == pytest.approx([8 * math.sin(angle + 0.5) / math.sin(angle), 8.0])


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 1.5), st.floats(-1.0, 0.98), st.floats(0.001, 0.02))
def test_arcface_always_rises_with_the_cosine(margin: float, cosine: float, step: float) -> None:
    pair = torch.tensor([[cosine], [cosine + step]], dtype=torch.float64)
    lower, higher = arcface(pair, torch.tensor([0, 0]), margin, 1.0)[:, 0].tolist()
    assert lower < higher


def test_centres_learn_and_are_no_part_of_the_model() -> None:
    task = Contrast(dimensions=4)
    network = ReferenceMLP((8,)).build(DOMAIN.inputs(), task.outputs(DOMAIN))
    centres = task.companions(network, DOMAIN)
    assert centres is not None
    assert [tuple(each.shape) for each in centres.parameters()] == [(3, 4)]
    phase = only_phase(task, network, Context(DOMAIN, centres))
    assert any(each is centres.centres for each in phase.parameters)
    assert list(task.infer(network, batch(), Context(DOMAIN, centres))) == ["embedding"]


def test_views_are_one_embedding() -> None:
    table = {"row": np.array([3, 3, 4]), "part": np.array([0, 1, 0]), "embedding": at_angles(10, 50, 80).numpy()}
    joined = Contrast().reduce(table, DOMAIN)
    assert joined["row"].tolist() == [3, 4]
    assert np.allclose(joined["embedding"], at_angles(30, 80).numpy())
    assert joined["embedding"].dtype == np.float32


def test_score_is_nearness_to_ones_own() -> None:
    output = {"embedding": at_angles(0, 60, 90).float()}
    score = Contrast().score(output, {"target": torch.tensor([0, 0, 1])}, Context(DOMAIN))
    assert score.tolist() == pytest.approx([0.5 - 0.0, 0.5 - math.sqrt(3) / 2, -math.sqrt(3) / 4], abs=1e-6)


def test_micro_batches_are_refused() -> None:
    task = Contrast(dimensions=4)
    network = ReferenceMLP((8,)).build(DOMAIN.inputs(), task.outputs(DOMAIN))
    from pervade.train.optim.adam import Adam
    from pervade.train.schedule.constant import Constant

    with pytest.raises(ContractError, match="compares the rows of a batch"):
        Learner(task, network, Context(DOMAIN), Adam(), Constant(), 3, micro_batch=4)


# batches

albums = st.lists(st.integers(2, 9), min_size=2, max_size=9)


def drawn(names: list[str], pictures: int, seed: int = 0, world: int = 1) -> Sampler:
    return PeopleByPictures(pictures).over(Rows({"target": names}), seed, world)


@settings(deadline=None, max_examples=60)
@given(albums, st.integers(2, 5), st.integers(2, 6), st.integers(0, 99))
def test_batches_are_people_by_pictures(album: list[int], people: int, pictures: int, seed: int) -> None:
    names = [f"p{i}" for i, count in enumerate(album) for _ in range(count)]
    sampler = drawn(names, pictures, seed)
    plan = sampler.batches(3, people * pictures)
    assert plan == drawn(names, pictures, seed).batches(3, people * pictures)
    there = min(people, len(album))
    assert len(plan) == math.ceil(len(names) / (there * pictures))
    for rows in plan:
        assert len(rows) == there * pictures
        for start in range(0, len(rows), pictures):
            own = rows[start : start + pictures]
            assert len({names[row] for row in own}) == 1
            assert len(set(own)) == min(pictures, names.count(names[own[0]]))  # none twice while there are others
        assert all(count == pictures for count in Counter(names[row] for row in rows).values())
    turns = Counter(names[row] for rows in plan for row in rows)
    assert max(turns.values()) - min(turns.get(name, 0) for name in names) <= pictures


def test_passes_differ_and_all_pictures_come() -> None:
    names = [f"p{i // 10}" for i in range(60)]
    sampler = drawn(names, 5)
    assert sampler.batches(0, 30) != sampler.batches(1, 30)
    assert sorted(row for rows in sampler.batches(0, 30) for row in rows) == list(range(60))


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_whole_people(world: int) -> None:
    names = [f"p{i // 4}" for i in range(32)]
    for rows in drawn(names, 4, world=world).batches(0, 24):
        seen = [{names[row] for row in rows[rank::world]} for rank in range(world)]
        assert [len(each) for each in seen] == [6 // world] * world
        assert len(set.union(*seen)) == 6


def test_batch_sizes_that_do_not_fit() -> None:
    names = [f"p{i // 4}" for i in range(32)]
    with pytest.raises(ConfigError, match=r"no whole number of people of 4 pictures.*--batch-size 32"):
        drawn(names, 4).batches(0, 30)
    with pytest.raises(ConfigError, match="at least 2 people, 8 rows"):
        drawn(names, 4).batches(0, 4)
    with pytest.raises(ConfigError, match="5 people of a batch cannot be shared by 2 processes; take --batch-size 24"):
        drawn(names, 4, world=2).batches(0, 20)
    with pytest.raises(ConfigError, match="3 processes cannot share"):
        drawn(names[:16], 4, world=3).batches(0, 24)


def test_an_older_run_says_it_in_its_task(tmp_path: Path) -> None:
    """It is read as what it meant, and goes on: nothing differs from what it began with."""
    recipe = image.faces()
    recipe = replace(recipe, source=Dataset(sampler=PeopleByPictures(3)))
    old = spec.encode(recipe)
    old |= {"task": {**old["task"], "pictures": 3}, "source": {"use": "dataset"}}
    run = RunDirectory(tmp_path)
    run.recipe.write_text(json.dumps({"format": 1, **old}))
    assert checkpoint.read_recipe(run.recipe) == recipe
    files.write_json(run.origin, {"recipe": old, "files": {}})
    assert origin.check(run, recipe) == []


def test_a_picture_that_comes_twice_looks_different(faces: Path) -> None:
    """P x K asked of people with fewer pictures than K."""
    domain = Image(size=12, target="identity", margin=1.25, crop_area=0.5)
    rows, _ = domain.prepare(domain.read(faces)[0], lambda done, total: None)
    rows = rows.select([i for i, name in enumerate(rows.column("target")) if name in ("p01", "p02")])
    rows = rows.select([0, 1, 6, 7])
    domain = domain.fit(rows)
    opening = Opening(rows, Contrast(), torch.nn.Linear(1, 1), Context(domain), 8, 0)
    source = Dataset(sampler=PeopleByPictures(4))
    one, again = next(iter(source.open(opening))), next(iter(source.open(opening)))
    assert torch.equal(one["input"], again["input"])
    assert Counter(one["row"].tolist()) == {int(number): 2 for number in rows.number}
    for number in rows.number:
        first, second = one["input"][one["row"] == number]
        assert not torch.equal(first, second)


# rows


def rows_of(*names: str, **columns: list) -> Rows:
    return Rows({"id": [f"{i}.png" for i in range(len(names))], "target": list(names), **columns})


def test_who_has_one_picture_is_left_out() -> None:
    rows, left_out = Contrast().arrange(rows_of("a", "a", "b", "c", "c"))
    assert rows.column("target") == ["a", "a", "c", "c"] == rows.column("group")
    assert [(each.source, each.reason) for each in left_out] == [
        ("2.png", "the only picture of 'b': batches of people x pictures take at least 2 of each person")
    ]
    # A single picture can be compared with others' though: it stays where it is only measured.
    given_split = ["train", "train", "train", "train", "train", "test"]
    rows, left_out = Contrast().arrange(rows_of("a", "a", "b", "c", "c", "d", split=given_split))
    assert rows.column("target") == ["a", "a", "c", "c", "d"]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (Rows({"id": ["1", "2"]}), "does not say who is who"),
        (rows_of("a", "b", "c"), "takes at least 2 people with 2 pictures each.*there is nobody.*3 people .*only one"),
        (rows_of("a", "a", "b"), "there is 1 with so many, and 'b' has only one"),
        (rows_of("a", "a"), "takes at least 2 people"),
        (Rows({"id": ["1", "2"], "target": [["a"], ["b"]]}), "a person is one name, not \\['a'\\]"),
    ],
)
def test_refused(rows: Rows, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Contrast().examine(rows)


def test_the_sampler_refuses_single_pictures() -> None:
    with pytest.raises(DataError, match="2 people \\('b', 'c'\\) have only one picture"):
        drawn(["a", "a", "b", "c"], 4)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=4, max_size=80), st.integers(0, 9))
def test_nobody_stands_in_two_splits(people: list[int], seed: int) -> None:
    rows, _ = Contrast().arrange(rows_of(*(f"p{each}" for each in people)))
    rows, _ = split.assign(rows, validation=0.2, test=0.2, seed=seed)
    where: dict[str, set[str]] = {}
    for name, home in zip(rows.column("target"), rows.column("split"), strict=True):
        where.setdefault(name, set()).add(home)
    assert all(len(homes) == 1 for homes in where.values())
    if len(where) >= 3:
        assert {home for homes in where.values() for home in homes} == {"train", "validation", "test"}
        share = sum(homes == {"test"} for homes in where.values())
        assert share == max(round(0.2 * len(where)), 1)
    assert split.gaps(rows) == []


def test_folds_by_person() -> None:
    rows, _ = Contrast().arrange(rows_of(*(f"p{i // 3}" for i in range(30))))
    rows, _ = folds.assign(rows, 5, 0)
    assert Counter(Counter(zip(rows.column("target"), rows.column("fold"), strict=True)).values()) == {3: 10}
    assert Counter(rows.column("fold")) == dict.fromkeys(range(1, 6), 6)


def test_known_people_are_told() -> None:
    names = ["a", "a", "b", "b", "a", "c"]
    rows, _ = Contrast().arrange(rows_of(*names, split=["train"] * 4 + ["test"] * 2))
    assert split.gaps(rows) == [
        "1 of 2 people in test are in train as well; figures on them are too kind for people who were never trained on"
    ]


# the whole way

SMALL = (
    *("domain.size=12", "domain.margin=1.0", "domain.augment=false", "domain.views=1", "task.dimensions=8"),
    *("batch_size=16", "workers=0", "average=null", "optimizer.lr=0.003"),
)


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 people of 6 pictures and one of a single one: each has a colour of their own in each quarter, and noise."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for person in range(25):
        quarters = rng.integers(40, 216, (2, 2, 3)).repeat(6, 0).repeat(6, 1)
        (folder / f"p{person:02d}").mkdir()
        for number in range(6 if person else 1):
            light = rng.uniform(0.6, 1.15)  # which says nothing of who it is, and rules the plain distance of pixels
            pixels = quarters * light + rng.normal(0, 12, (12, 12, 3))
            picture = Pillow.fromarray(pixels.clip(0, 255).astype(np.uint8))
            picture.save(folder / f"p{person:02d}" / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def run(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    run = api.fit(
        faces,
        task="image-feature-extraction",
        model="reference-mlp",
        runs=tmp_path_factory.mktemp("runs"),
        name="faces",
        settings=[*SMALL, "epochs=30", "model.units=[32]", "validation=0.2", "test=0.25"],
        options=Options(Silent()),
    )
    run.evaluate()
    return run


def call(*arguments: object) -> tuple[int, str]:
    _register()
    outcome = CliRunner().invoke(app, [str(each) for each in arguments])
    return outcome.exit_code, outcome.output


def test_strangers_are_told_apart(run: api.Run) -> None:
    stored = files.read_json(run.directory.data)
    homes = {}
    for name, home in zip(stored["columns"]["target"], stored["columns"]["split"], strict=True):
        homes.setdefault(home, set()).add(name)
    assert not homes["train"] & (homes["validation"] | homes["test"])
    assert [each["reason"][:27] for each in stored["left_out"]] == ["the only picture of 'p00': "]
    result = run.results()
    figures = result["metrics"]
    assert next(iter(figures)) == "equal_error_rate"
    assert figures["equal_error_rate"]["value"] < 0.1
    assert figures["equal_error_rate"]["low"] <= figures["equal_error_rate"]["value"]
    assert figures["recall_at_1"]["value"] > 0.9
    assert figures["threshold_accuracy"]["value"] > 0.85
    assert result["details"]["people"]["both"] == 0
    assert -1 < files.read_json(run.directory.checkpoint("best") / "decision.json")["threshold"] < 1


def test_report(run: api.Run) -> None:
    page = run.report().read_text()
    for words in (
        "Are these two of one person?",
        "Equal error rate (EER)",
        "Is the right one found first?",
        "ROC curve",
    ):
        assert words in page
    assert "none of whom it was trained on" in page
    assert "not there any more" not in page


def test_neighbours(run: api.Run, faces: Path, tmp_path: Path) -> None:
    stored = files.read_json(run.directory.data)["columns"]
    place = stored["split"].index("test")
    new = tmp_path / "new.png"
    new.write_bytes(Path(stored["path"][place]).read_bytes())
    (tmp_path / "bad.png").write_bytes(b"")
    code, out = call("predict", run.path, new, stored["path"][place], "--json", "--top", 3)
    assert code == 0
    copy, itself = map(json.loads, out.splitlines())
    assert run.directory.predictions("best", "train").exists()
    nearest = copy["neighbours"][0]
    assert (nearest["id"], nearest["label"], nearest["same"]) == (stored["id"][place], stored["target"][place], True)
    assert nearest["similarity"] == pytest.approx(1.0, abs=1e-5)
    assert all(each["id"] != stored["id"][place] for each in itself["neighbours"])  # nobody is their own neighbour
    assert len(itself["neighbours"]) == 3
    assert np.linalg.norm(copy["embedding"]) == pytest.approx(1.0, abs=1e-5)
    embedded = run.embed([new, stored["path"][place]])
    assert embedded.shape == (2, 8)
    assert np.allclose(embedded[0], copy["embedding"], atol=1e-6)

    code, out = call("predict", run.path, new, tmp_path / "bad.png", "--csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["rank"] for row in rows] == ["1", "2", ""]
    assert rows[0]["label"] == stored["target"][place]
    assert json.loads(rows[0]["embedding"]) == pytest.approx(copy["embedding"], abs=1e-6)
    assert rows[2]["error"] == "the file is empty (0 bytes)"

    code, out = call("predict", run.path, new, stored["path"][place], "--top", 1)
    lines = out.splitlines()
    assert f"{stored['target'][place]} 1.000 same ({stored['id'][place]})" in lines[0]
    assert lines[2].startswith("the two: similarity 1.000, same")


def test_predictions_of_other_weights_are_written_anew(run: api.Run) -> None:
    run.predict(files.read_json(run.directory.data)["columns"]["path"][0])
    path = run.directory.predictions("best", "train")
    before = path.read_bytes()
    path.write_bytes(b"damaged")
    run.predict(files.read_json(run.directory.data)["columns"]["path"][0])
    assert path.read_bytes() == before


@pytest.mark.parametrize("first", ["p", "p1"])  # the same people, and fewer
def test_from_a_run_with_its_embedding(run: api.Run, faces: Path, tmp_path: Path, first: str) -> None:
    for person in faces.glob(f"{first}*"):
        shutil.copytree(person, tmp_path / "data" / person.name)
    again = api.fit(
        tmp_path / "data",
        task="image-feature-extraction",
        init=str(run.path),
        ladder=["trained"],
        runs=tmp_path / "runs",
        settings=[*SMALL, "epochs=1", "optimizer.lr=1e-9", "validation=0.2", "test=0.25"],
        options=Options(Silent()),
    )
    started = files.read_json(again.directory.init)
    assert (started["left_out"], started["new"]) == ([], [])
    picture = sorted(faces.glob("p11/*"))
    assert np.allclose(again.embed(picture), run.embed(picture), atol=1e-4)


def test_all_of_one_picture(tmp_path: Path, faces: Path) -> None:
    for person in ("p01", "p02"):
        (tmp_path / "data" / person).mkdir(parents=True)
        (tmp_path / "data" / person / "0.png").write_bytes((faces / person / "0.png").read_bytes())
    code, _ = call("train", tmp_path / "data", "--task", "image-feature-extraction", "--runs", tmp_path / "runs")
    assert code != 0
    with pytest.raises(DataError, match="takes at least 2 people with 2 pictures each"):
        api.fit(tmp_path / "data", task="image-feature-extraction", runs=tmp_path / "runs", options=Options(Silent()))


def test_folds_are_refused_before_anything_is_trained(faces: Path, tmp_path: Path) -> None:
    """Embeddings of different models cannot be compared with one another."""
    with pytest.raises(
        ConfigError, match=r"--folds 3 puts the answers of 3 models together.*take --seeds 3, or a single"
    ):
        api.fit(
            faces,
            task="image-feature-extraction",
            model="reference-mlp",
            runs=tmp_path / "runs",
            folds=3,
            settings=SMALL,
            options=Options(Silent()),
        )
    assert not (tmp_path / "runs").exists()


def test_a_classifier_embeds_nothing(tmp_path: Path, shapes: Path) -> None:
    small = ["domain.size=12", "epochs=1", "workers=0", "model.units=[4]"]
    classifier = api.fit(shapes, model="reference-mlp", runs=tmp_path, settings=small, options=Options(Silent()))
    with pytest.raises(ConfigError, match="gives no embeddings; train with --task image-feature-extraction"):
        classifier.embed(shapes)


# whitening


def test_whitening_is_worked_into_the_head() -> None:
    from pervade.nn.whitening import WithinClassCovariance, whitened

    rng = np.random.default_rng(0)
    people, pictures, size = 40, 5, 4
    spread = np.array([3.0, 1.0, 0.3, 0.1])
    own = rng.normal(size=(people, 1, size)) + spread * rng.normal(size=(people, pictures, size))
    embedding = torch.tensor(own.reshape(-1, size) + 2.0, dtype=torch.float32)
    target = torch.arange(people).repeat_interleave(pictures)
    within = WithinClassCovariance(size)
    within(embedding, target)
    deviation = own - own.mean(axis=1, keepdims=True)
    covariance = np.einsum("pki,pkj->ij", deviation, deviation) / (people * (pictures - 1))
    assert np.allclose(within.covariance.numpy(), covariance, atol=1e-4)
    network = torch.nn.Module()
    network.head = torch.nn.ModuleDict({"embedding": torch.nn.Linear(size, size)})
    with torch.no_grad():
        network.head["embedding"].weight.copy_(torch.eye(size))
        network.head["embedding"].bias.zero_()
    done = whitened(network, within, 1e-6)
    out = done.head["embedding"](embedding)
    assert torch.allclose(out.mean(0), torch.zeros(size), atol=1e-3)
    left = out.view(people, pictures, size)
    left = (left - left.mean(1, keepdim=True)).flatten(0, 1).detach()
    assert torch.allclose(left.T @ left / (people * (pictures - 1)), torch.eye(size), atol=2e-2)
    assert torch.equal(network.head["embedding"].weight, torch.eye(size))  # training goes on with the one it had
    assert whitened(network, WithinClassCovariance(size), 1.0) is network


def test_whitening_needs_a_head() -> None:
    with pytest.raises(ConfigError, match=r"task\.whitening needs a network"):
        Contrast(whitening=0.1).companions(torch.nn.Linear(2, 2), DOMAIN)


def test_the_recipe_for_faces(faces: Path, tmp_path: Path) -> None:
    """As it stands, but for its passes and its size."""
    small = ["domain.size=16", "domain.margin=1.0", "model.width=4", "task.dimensions=8", "batch_size=16", "workers=0"]
    run = api.fit(
        faces,
        task="image-feature-extraction",
        init="random",
        ladder=["trained"],
        runs=tmp_path,
        settings=[*small, "epochs=2"],
        options=Options(Silent()),
    )
    assert run.evaluate()["metrics"]["roc_auc"]["value"] > 0.5
    assert run.recipe().task.whitening is not None
