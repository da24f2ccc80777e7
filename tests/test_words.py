"""What things are called is said by their owners: every pair of domain and task that a recipe names, and one that only
this file knows."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, get_type_hints

import numpy as np
import pytest
from typer.testing import CliRunner

import pervade
from pervade import recipes
from pervade.cli import _register, app
from pervade.core import registry, words
from pervade.core.contracts import Recipe
from pervade.core.contracts.abilities import HasPlainModel, JudgesAll
from pervade.core.types import Display
from pervade.core.words import DomainWords, FigureWords, TaskWords
from pervade.domains.bag import Bag
from pervade.domains.codebook import Codebook
from pervade.domains.composite import Composite
from pervade.domains.dictation import Dictation
from pervade.domains.preferences import Preferences
from pervade.metrics.estimate import Metric, weighted_mean
from pervade.metrics.method import Method, parse
from pervade.models.gpt import GPT
from pervade.models.transformer import Transformer
from pervade.recipes import (
    cloze,
    generation,
    image,
    language,
    preference,
    questions,
    sound,
    synthesis,
    text,
    transcription,
)
from pervade.run.training import Options
from pervade.tasks.dictate import Dictate
from pervade.tasks.distil import Distil
from pervade.tasks.prefer import Prefer
from tests.toys.base import ToyDomain, ToyTask, toy, toy_recipe

# https://huggingface.co/tasks, as far as there is a task for it here.
HUB = {
    *("image-classification", "image-feature-extraction", "text-classification", "question-answering", "fill-mask"),
    *("text-generation", "audio-classification", "automatic-speech-recognition", "text-to-audio"),
    *("reinforcement-learning", "unconditional-image-generation"),
}


def named() -> Iterator[Recipe]:
    """Recipes of all files: those that need no source, changed to each of the file's tasks; and the others by hand."""
    for file in pkgutil.iter_modules(recipes.__path__):
        module = importlib.import_module(f"{recipes.__name__}.{file.name}")
        for _, make in inspect.getmembers(module, inspect.isfunction):
            needs = [each for each in inspect.signature(make).parameters.values() if each.default is each.empty]
            if make.__module__ != module.__name__ or needs or get_type_hints(make).get("return") is not Recipe:
                continue
            if make.__name__ in ("scratch", "reference", "ppo", "dqn"):
                yield make()
                yield from (module.asked(make(), task) for task in module.TASKS if hasattr(module, "asked"))
    written = language.scratch(GPT())
    yield from (written, language.instructed(written), cloze.scratch(Transformer()), synthesis.recipe())
    yield questions.recipe(Transformer(), init="random")
    yield replace(written, domain=Preferences(), task=Prefer())  # which takes a run to go on from
    yield replace(transcription.scratch(), domain=Dictation(), task=Dictate())  # which takes a published network
    yield replace(sound.scratch(), task=Distil(sound.scratch().task))  # which takes a teacher
    yield replace(text.scratch(), domain=Composite({"words": Bag()}))
    yield from (generation.recipe("unet"), generation.recipe("dcgan"))
    coded = generation.recipe("vq-vae")
    yield from (coded, replace(coded, then=None, domain=coded.then.domain, task=coded.then.task))
    for module, made in ((text, text.scratch()), (image, image.default()), (sound, sound.scratch())):
        for asked in (module.asked(made, task) for task in module.TASKS):  # what a ladder's first rung reads
            if (plain := module.plain(asked)) is not None:
                yield plain
    assert preference.TASKS.keys() == {"text-preference"}


PAIRS = {(type(each.domain), type(each.task)): each for each in named()}


def test_every_domain_and_every_task_is_among_the_pairs() -> None:
    domains, tasks = ({registry.name_of(pair[i]) for pair in PAIRS} for i in (0, 1))
    own = {
        name for name in registry.names("domain") if registry.find("domain", name)[0].__module__.startswith("pervade.")
    }
    asked = {
        name for name in registry.names("task") if registry.find("task", name)[0].__module__.startswith("pervade.")
    }
    assert (domains, tasks) == (own, asked)


@pytest.mark.parametrize(
    "recipe", PAIRS.values(), ids=lambda each: f"{each.domain.__class__.__name__} {each.task}"[:40]
)
def test_every_pair_has_its_words(recipe: Recipe) -> None:
    domain: Any = recipe.domain
    if isinstance(domain, Composite):
        domain = domain.with_parts(lambda part: replace(part, labels=("left", "right")))
    elif hasattr(domain, "labels"):
        domain = replace(domain, labels=("left", "right"))
    task = recipe.task
    said = words.describe(domain, task)
    assert said.domain.noun != DomainWords().noun
    assert said.task.does
    assert not re.search(r"\{\w+\}", said.fill(said.task.does, labels="2", first="left", second="right"))
    assert said.pipeline in HUB or isinstance(domain, Codebook)  # codes are only ever drawn for another network
    headline, metric = next(iter(task.metrics(domain).items()))
    assert metric.words.title
    assert said.figure(headline).title == metric.words.title
    details = type(task).details
    # What is made stands between real pictures and noise (tests/engine/test_judging.py).
    compared = isinstance(task, (HasPlainModel, JudgesAll)) or '"baseline"' in inspect.getsource(details)
    assert compared, "nothing to compare with"


@pytest.mark.parametrize(
    "method",
    [
        *(Method(), Method("Wilson"), Method("Wilson", alone=1), Method("Clopper-Pearson", "group", 4)),
        *(Method("bootstrap", "row", 1000), Method("bootstrap", "group", 300, asked=1000)),
        Method("bootstrap", "row", 200, asked=1000, late=True, undefined=1234, linear=True, alone=2),
        *(Method("jackknife", "group", 5), Method("jackknife", "group", 5, paired=True)),
        Method("bootstrap", "row", 1000, paired=True, test="McNemar"),
        *(Method("trainings", "seed", 5), Method("trainings", "fold", 3), Method(words="by an oracle")),
    ],
)
def test_a_sentence_about_an_interval_is_its_fields(method: Method) -> None:
    assert parse(str(method)) == method
    assert Method.of(json.loads(json.dumps({"how": method.as_json()}))) == method


def test_a_sentence_reaches_nothing_but_its_values() -> None:
    assert words.fill("{one.__class__} {one:>9} {two}", one="a") == "{one.__class__} {one:>9} {two}"


# a domain and a task that exist here alone


@toy("domain", "toy-pebbles")
class Pebbles(ToyDomain):
    wording: ClassVar[DomainWords] = DomainWords(("pebble", "pebbles"), ("beach", "beaches"), modality="stone")
    reads: ClassVar[str] = "pebbles"
    size: int = 2

    def make(self, rng):
        points = rng.normal(size=(120, 2)).astype(np.float32)
        splits = ["train"] * 60 + ["validation"] * 20 + ["test"] * 40
        return {"input": points.tolist(), "target": [float(a + b) for a, b in points], "split": splits}

    def asked(self, given, number=1):
        yield {"id": str(given), "input": [float(each) for each in given.split(",")]}


@toy("task", "toy-weigh")
class Weigh(ToyTask):
    def outputs(self, domain):
        return {"weight": 1}

    def loss(self, output, batch):
        return {"loss": (output["weight"][:, 0] - batch["target"]).square()}

    def predictions(self, output, batch, context):
        known = {name: batch[name] for name in ("row", "target") if name in batch}
        return {**known, "weight": output["weight"][:, 0]}

    def metrics(self, domain):
        def apart(columns, weight):
            return weighted_mean(np.abs(np.asarray(columns["weight"]) - np.asarray(columns["target"])), weight)

        title = FigureWords("Grams apart", sentence="On {rows}, its scales were off by {value} grams.")
        return {"apart": Metric(apart, higher_is_better=False, words=title)}

    def wording(self, domain):
        return TaskWords("weighs a {one}", pipeline="{modality}-weighing", cautions=("Wet {many} weigh more.",))

    def display(self, answer):
        return Display(f"{answer['weight']:.1f} g", [{"grams": answer["weight"]}])


def test_a_domain_and_a_task_of_ones_own_are_called_by_their_names(tmp_path: Path) -> None:
    recipe = toy_recipe(Pebbles(), Weigh(), epochs=3)
    run = pervade.fit("pebbles", recipe=recipe, name="own", runs=tmp_path, options=Options())
    assert run.evaluate()["metrics"]["apart"]["words"]["title"] == "Grams apart"
    page = re.sub(r"<style>.*?</style>|<[^>]+>", " ", run.report().read_text(), flags=re.S)
    card = (run.path / "MODEL_CARD.md").read_text()
    for shown in (page, card):
        assert "This model weighs a pebble" in shown
        assert re.search(r"On 40 pebbles it had never seen, its scales were off by \d\.\d+ ", shown)
        assert "Wet pebbles weigh more." in shown
        assert "Grams apart" in shown
        assert not re.search(r"\bexamples?\b|unregistered|\bapart\b.{0,20}\d", shown.replace("Grams apart", ""))
    assert "pipeline_tag: stone-weighing" in card
    _register()
    shown = CliRunner().invoke(app, ["predict", str(run.path), "0.5,0.5"])
    assert re.fullmatch(r"0\.5,0\.5\t-?\d\.\d g\n", shown.stdout)
    table = CliRunner().invoke(app, ["predict", str(run.path), "0.5,0.5", "--csv"])
    assert table.stdout.splitlines()[0] == "input,grams,error"
