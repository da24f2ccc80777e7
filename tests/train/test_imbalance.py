"""What each way of dealing with rare classes makes of a recipe, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pervade.core import registry
from pervade.core.contracts import Recipe, Solver
from pervade.core.errors import ConfigError
from pervade.data.rows.samplers.class_balanced import ClassBalanced
from pervade.data.rows.samplers.people_by_pictures import PeopleByPictures
from pervade.data.rows.sources.dataset import Dataset
from pervade.data.rows.sources.whole import Whole
from pervade.models.gpt import GPT
from pervade.recipes import image, language, sound, text
from pervade.run.configuring import about_rare_classes, configure
from pervade.run.rungs import climbable, plan
from pervade.tasks.classify import Classify
from pervade.train.imbalance.auto import Auto
from pervade.train.imbalance.weights import Weights

RARE, HELD = {"ham": 950, "spam": 50}, {"ham": 95, "spam": 5}
SAID = "classes: spam 5.0% of the rows that train, where 50.0% would be its fair share"
CURES = [name for name in registry.names("imbalance") if name not in ("none", "generate")]  # of every kind of data


def made(name: str, **fields: Any) -> Any:
    return registry.find("imbalance", name)[0](**fields)


def settled(name: str, recipe: Recipe | None = None, counts: Any = RARE, held: Any = HELD, **fields: Any) -> Recipe:
    cure = made(name, **fields)
    own, said = cure.settle(replace(recipe or text.scratch(), imbalance=cure), counts, held)
    assert all(line.startswith("classes: ") for line in said)
    return own


def test_what_a_cure_leaves_open_it_says_itself() -> None:
    """Rows are made by one alone; weights are tried for another, until it is said what came of that."""
    cures = {name: made(name) for name in ("auto", "focal", "generate", "none", "oversample", "undersample", "weights")}
    assert [name for name, cure in cures.items() if cure.making() is not None] == ["generate"]
    assert [name for name, cure in cures.items() if cure.open_weights() is not None] == ["auto"]
    taken = cures["auto"].open_weights().tried(settled("auto"), "balanced", "likeliest")
    assert (taken.task.class_weights, taken.task.answering) == ("balanced", "likeliest")
    assert taken.imbalance.open_weights() is None


@pytest.mark.parametrize(
    ("name", "fields", "of_task"),
    [
        ("weights", {}, {"class_weights": "balanced", "beta": 0.999, "answering": "balanced"}),
        ("weights", {"scheme": "effective", "beta": 0.99}, {"class_weights": "effective", "beta": 0.99}),
        ("oversample", {}, {"evenly_drawn": True, "class_weights": "none", "answering": "balanced"}),
        ("undersample", {"answers": "auto"}, {"evenly_drawn": True, "answering": "auto"}),
        ("focal", {"focus": 1.0}, {"loss_name": "focal", "focus": 1.0, "class_weights": "none"}),
        ("auto", {}, {"answering": "auto", "class_weights": "none", "loss_name": "cross-entropy"}),
    ],
)
def test_what_becomes_of_a_task(name: str, fields: dict, of_task: dict) -> None:
    own = settled(name, **fields)
    assert {field: getattr(own.task, field) for field in of_task} == of_task
    assert own.early_stopping.metric == "balanced_accuracy"
    assert own.imbalance == made(name, **fields)
    again, _ = own.imbalance.settle(own, RARE, HELD)
    assert again == own


def test_what_draws_evenly_draws_from_the_source() -> None:
    assert settled("oversample").source == Dataset(ClassBalanced("data"))
    assert settled("undersample", image.default()).source == Dataset(ClassBalanced("rarest"))
    with pytest.raises(ConfigError, match="--imbalance oversample draws rows itself, and so does the source"):
        settled("oversample", replace(image.default(), source=Dataset(sampler=PeopleByPictures())))


@pytest.mark.parametrize("name", CURES)
def test_every_rung_of_a_ladder(name: str) -> None:
    """Where weights are found at once what is drawn evenly is weighed, and nothing smooths what is not approached."""
    rungs = climbable(plan(replace(text.scratch(), imbalance=made(name)), "text-classification", ("plain", "trained")))
    plain, trained = (settled(name, rungs[rung]) for rung in ("plain", "trained"))
    assert isinstance(plain.optimizer, Solver)
    assert isinstance(plain.source, Whole)
    assert plain.task.smoothing == 0.0
    assert trained.task.smoothing == 0.1
    assert (plain.task.class_weights == "balanced") == (name in ("weights", "oversample", "undersample"))
    assert plain.task.answering == trained.task.answering
    assert plain.task.loss_name == "cross-entropy"


def test_auto_does_nothing_where_no_class_is_rare() -> None:
    for counts in ({"a": 90, "b": 10}, {"a": 80, "b": 80, "c": 16}, {"a": 7}, {}):
        own, said = Auto().settle(image.default(), counts, counts)
        assert (own, said) == (replace(image.default(), imbalance=None), [])
    assert settled("auto", image.default(), {"a": 80, "b": 80, "c": 10}, {"a": 8, "b": 8, "c": 1}).imbalance == Auto()


def test_auto_says_what_the_validation_rows_cannot_tell() -> None:
    own, said = Auto().settle(image.default(), RARE, {"ham": 95})
    assert (own.imbalance, own.task) == (None, image.default().task)
    assert said == [
        f"{SAID}; rows of one class alone validate, so nothing can be tried: --imbalance weights does without"
    ]
    assert "no row validates" in Auto().settle(image.default(), RARE, {})[1][0]
    own, said = Auto().settle(image.default(), {"a": 50, "b": 50, "c": 2}, {"a": 9, "b": 9})
    assert own.imbalance == Auto()
    assert said[1] == "classes: of c no row validates, so nothing that is tried is judged by it"


def test_none_says_how_rare_they_are_and_leaves_everything() -> None:
    own, said = made("none").settle(image.default(), RARE, HELD)
    assert own == replace(image.default(), imbalance=None)
    assert said == [f"{SAID}; nothing is done about it (--imbalance none)"]
    assert made("none").settle(language.scratch(GPT()), {}, {})[1] == []


@pytest.mark.parametrize("name", CURES)
def test_one_class_alone_is_not_rare(name: str) -> None:
    own, said = made(name).settle(text.scratch(), {"ham": 9}, {"ham": 2})
    assert (own, said) == (replace(text.scratch(), imbalance=None), [])


def test_several_labels_are_weighed_or_focussed_and_nothing_else() -> None:
    tags = image.asked(image.default(), "image-multi-label-classification")
    assert tags.imbalance is None
    own, said = Weights().settle(tags, {"cat": 50, "dog": 3}, {})
    assert (own.task.class_weights, own.task.corrected) == ("balanced", True)
    assert own.early_stopping == tags.early_stopping
    assert said == ["labels: rows that have one are weighed by how many lack it (--imbalance weights)"]
    assert made("focal").settle(tags, {}, {})[0].task.loss_name == "focal"
    for name in ("oversample", "undersample", "auto"):
        with pytest.raises(ConfigError, match=f"--imbalance {name} is for one class out of several, .* weights, focal"):
            made(name).settle(tags, {"cat": 50, "dog": 3}, {})


@pytest.mark.parametrize(
    ("recipe", "task"),
    [
        (image.asked(image.default(), "image-regression"), "regress"),
        (sound.asked(sound.scratch(), "audio-regression"), "regress"),
        (text.asked(text.scratch(), "text-regression"), "regress"),
        (language.scratch(GPT()), "language-model"),
        (image.faces(), "contrast"),
    ],
)
@pytest.mark.parametrize("name", CURES)
def test_what_has_no_classes_is_refused(name: str, recipe: Recipe, task: str) -> None:
    assert recipe.imbalance is None
    with pytest.raises(
        ConfigError, match=f"--imbalance {name} is for one class out of several, and not for the task {task}"
    ):
        about_rare_classes(configure(recipe, imbalance=name), (), {"imbalance": name})


def test_what_nobody_asked_for_is_left_out_of_another_task() -> None:
    """`-o task=tag` in a recipe for classes."""
    settings = ["task=tag", "domain.target=labels"]
    asked = about_rare_classes(configure(image.default(), settings), settings, {})
    assert asked.imbalance is None
    settings += ["imbalance.use=auto"]
    with pytest.raises(ConfigError, match=r"--imbalance auto is for one class .*, and not for several labels"):
        about_rare_classes(configure(image.default(), settings), settings, {})


def test_a_figure_that_is_named_stays() -> None:
    settings = ["early_stopping.metric=log_loss"]
    asked = about_rare_classes(
        configure(image.default(), settings, imbalance="weights"), settings, {"imbalance": "weights"}
    )
    assert asked.imbalance == Weights(metric=None)
    assert asked.imbalance.settle(asked, RARE, HELD)[0].early_stopping.metric == "log_loss"
    asked = configure(image.default(), ["imbalance.metric=f1_macro"], imbalance="weights")
    assert about_rare_classes(asked, ["imbalance.metric=f1_macro"], {}).imbalance == Weights(metric="f1_macro")
    none = replace(image.default(), early_stopping=replace(image.default().early_stopping, metric=None))
    assert settled("weights", none).early_stopping.metric is None


def test_names_are_shown_as_they_can_be() -> None:
    counts = {"a" * 50: 1, "b\x1b[1m": 2, "c": 300, "d": 3, "e": 4}
    _, said = Weights().settle(image.default(), counts, {})
    assert said[0].startswith(f"classes: {'a' * 30} 0.3%, b")
    assert "d 1.0% and 1 more of the rows that train, where 20.0% would be its fair share" in said[0]
    assert "\x1b" not in said[0]


def test_recipes_of_classes_have_auto() -> None:
    for recipe in (image.default(), image.small(), image.reference(), text.scratch(), sound.scratch()):
        assert isinstance(recipe.task, Classify)
        assert recipe.imbalance == Auto()
