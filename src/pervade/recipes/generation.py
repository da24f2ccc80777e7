"""Recipes for making pictures, which must be asked for: pictures in class folders are taken for pictures to classify.

pervade train DATA --task unconditional-image-generation                       a UNet that takes noise away
pervade train DATA --task unconditional-image-generation --model dcgan         a generator against a discriminator
pervade train DATA --task unconditional-image-generation --condition label     by class
pervade train DATA --task unconditional-image-generation --model vq-vae        as codes, and a prior over these
pervade train DATA --task unconditional-image-generation --model hf:FOLDER     a pipeline of diffusers goes on
pervade predict RUN --number 64 -o FOLDER                                      64 pictures, and a sheet of them

Which task a model learns by it says itself (`Model.task`); how, the function of WAYS by the task's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pervade.core import spec
from pervade.core.contracts import EarlyStopping, Initializer, Model, Recipe, Task
from pervade.core.errors import ConfigError
from pervade.data.image import looking
from pervade.data.rows.sources.dataset import Dataset
from pervade.domains.codebook import Codebook
from pervade.domains.generated_pictures import GeneratedPictures
from pervade.domains.image import contents
from pervade.engine.generation import GeneratesPictures, PictureSampling
from pervade.init.pretrained import Pretrained, starting_from
from pervade.init.random import Random
from pervade.models.diffusers_unet import DiffusersUNet
from pervade.models.gpt import GPT
from pervade.nn.diff_augment import Change
from pervade.run.search_space import Choice, Range
from pervade.tasks.adversarial_generation import AdversarialGeneration
from pervade.tasks.denoise import Denoise
from pervade.tasks.language_model import LanguageModel
from pervade.train.optim.adam import Adam
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.muon import Muon
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.cosine import Cosine
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora
from pervade.weights import locate, pipelines

NAME = "unconditional-image-generation"
READS_FILES = True
TASKS = {NAME: "makes pictures like those it learnt from, by class with --condition label; any folder of pictures"}
MODEL = "diffusion"  # where none is named
# How many pictures are looked at in a training, each anew; in how many passes at least and at most; and how often it is
# judged, and shown what is made by then.
LOOKS, FEWEST, MOST, JUDGED = 1_000_000, 20, 1_000, 16
# Passes of a prior over codes, of those of what makes the codes, and how many at least.
PRIOR, FEWEST_OF_PRIOR = 0.3, 8
FEW = 10_000  # pictures, of which a discriminator sees changed ones
RATES = {"discriminator": 1e-3, "generator": 5e-4}
GENTLE = 1e-4  # learning rate of a denoiser that others trained
USUAL_ROWS = 5_000  # where it is not known how many there are


def recognises(
    source: Any, label_column: str | None = None, text_column: str | None = None, file_column: str | None = None
) -> str | None:
    return None


def recipe(
    model: str | Model | None = None,
    task: str = NAME,
    init: str | Initializer | None = None,
    source: Any = None,
    file_column: str | None = None,
    rows: int | None = None,
) -> Recipe:
    """The recipe that belongs to a model; unless it is said how many `rows` there are, `source` is looked at. Raises
    ConfigError where the model makes no pictures."""
    if (folder := _pipeline(model)) is not None:
        made = _of_pipeline(folder, source, file_column)
        return made if init is None else replace(made, init=starting_from(init))
    starting = Random() if init is None else starting_from(init)
    before, domain = starting.made_with() if isinstance(starting, Pretrained) else (None, None)
    named = before if model is None and before is not None and before.task else model
    network: Model = named if isinstance(named, Model) else spec.decode(named or MODEL, Model)
    learns: Task | None = spec.decode(network.task, Task) if network.task else None
    if not isinstance(learns, GeneratesPictures):
        raise ConfigError(f"{model or MODEL} makes no pictures; take one that `pervade models` says is for {NAME}")
    seen = looking.look(source, contents(file_column))
    usual = general(network, learns, rows or (USUAL_ROWS if seen is None else seen.rows))
    # A run of this kind is gone on from as it was made, by class or not.
    usual = replace(usual, init=starting, domain=domain if isinstance(domain, GeneratedPictures) else usual.domain)
    return WAYS.get(network.task, lambda recipe: recipe)(usual)


def _pipeline(model: str | Model | None) -> Path | None:
    """The folder of a pipeline of diffusers that is meant; None where none is."""
    folder = Path(model.removeprefix("hf:")) if isinstance(model, str) and model.startswith("hf:") else None
    return folder if folder is not None and pipelines.is_pipeline(folder) else None


def _of_pipeline(folder: Path, source: Any, file_column: str | None) -> Recipe:
    """Its network, which learns on as gently as what was trained before does, or with -o epochs=0 makes pictures as it
    is. Raises ConfigError where the network or its scheduler are not known."""
    network = DiffusersUNet(pipelines.network(folder, locate.read_config))
    channels, size = pipelines.described(network.config)
    told = pipelines.sampling(folder, locate.read_config)
    sampling = PictureSampling(steps=told.pop("steps"), sampler=told.pop("sampler"))
    seen = looking.look(source, contents(file_column))
    learns = Denoise(sampling=sampling, **told)
    recipe = denoising(general(network, learns, USUAL_ROWS if seen is None else seen.rows))
    domain = GeneratedPictures(size=size, channels=channels)  # type: ignore[arg-type]
    init = Pretrained(str(folder.absolute()))
    return replace(recipe, domain=domain, init=init, optimizer=AdamW(lr=GENTLE, weight_decay=0.01))


def general(model: Model, task: GeneratesPictures, rows: int) -> Recipe:
    """What all ways to learn have in common: 32 x 32 pixels, averaged weights, so many passes that LOOKS pictures are
    seen. `rows`: all there are, those to be tested by among them."""
    passes = min(max(round(LOOKS / max(rows, 1)), FEWEST), MOST)
    return Recipe(
        domain=GeneratedPictures(),
        task=task,
        model=model,
        optimizer=Adam(lr=2e-4),
        schedule=Constant(),
        init=Random(),
        source=Dataset(),
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping(None, every=max(passes // JUDGED, 1)),
        epochs=passes,
        batch_size=64,
        average=0.999,
        validation=0.1,
        test=0.15,
    )


def adversarial(recipe: Recipe) -> Recipe:
    """A generator against a discriminator, which learns at twice its rate (Heusel et al. 2017, arXiv:1706.08500),
    without momentum, as what each learns moves (Zhang et al. 2019, arXiv:1805.08318). Their rates are for 64 pictures,
    of which there are some thousands of steps: with 2e-4 and 4e-4 digits were four times as far from real ones after
    240 steps. Of few pictures, which a discriminator learns by heart, it sees changed ones."""
    changes: tuple[Change, ...] = ("colour", "translation", "cutout") if recipe.epochs * FEW > LOOKS else ()
    return replace(
        recipe,
        task=replace(cast(AdversarialGeneration, recipe.task), changes=changes),
        optimizer={name: Adam(lr, beta1=0.0, beta2=0.9) for name, lr in RATES.items()},
        schedule=Cosine(warm_up=0.0, end=0.05),
        early_stopping=replace(recipe.early_stopping, metric="kernel_distance"),
    )


def denoising(recipe: Recipe) -> Recipe:
    """A network that takes noise away. The pass is the one whose averaged weights take it best from pictures that
    validate: of few pictures a later one knows those that it learnt from, and makes copies. One that goes on from a run
    of this task is asked what that run was asked."""
    learns = recipe.task
    before = recipe.init.task() if isinstance(recipe.init, Pretrained) else None
    if isinstance(learns, Denoise) and isinstance(before, Denoise):
        learns = replace(learns, prediction=before.prediction, schedule=before.schedule)
    return replace(
        recipe,
        task=learns,
        optimizer=AdamW(lr=1e-3, weight_decay=0.01),
        schedule=Cosine(warm_up=0.02),
        early_stopping=replace(recipe.early_stopping, metric=Denoise.error),
        clip_norm=1.0,
    )


def quantised(recipe: Recipe) -> Recipe:
    """An autoencoder of codes, whose pass is chosen by how well it makes pictures again, and a prior over the codes
    after it."""
    return replace(
        recipe,
        optimizer=AdamW(lr=2e-3, weight_decay=1e-4),
        schedule=Cosine(warm_up=0.02, end=0.02),
        early_stopping=replace(recipe.early_stopping, metric="psnr"),
        clip_norm=1.0,
        average=0.99,
        then=prior(max(round(PRIOR * recipe.epochs), FEWEST_OF_PRIOR)),
    )


def prior(passes: int) -> Recipe:
    """A language model over rows of codes. Few rows are soon known by heart, so the pass is chosen."""
    return Recipe(
        domain=Codebook(),
        task=LanguageModel(),
        model=GPT(width=96, depth=4, heads=4, dropout=0.1),
        # Of digits held out of a training split a code cost 3.4 bits after 40 seconds of a core so, 4.9 with a width of
        # 128, batches of 64 and the rate of text (4e-3), 3.7 with this width alone put back: many small steps count.
        optimizer=Muon(lr=1e-2, weight_decay=0.1),
        schedule=Cosine(warm_up=0.02, end=0.05),
        init=Random(),
        source=Dataset(),
        tuning=Full(decay_all=False),
        early_stopping=EarlyStopping("bits_per_code", patience=max(passes // 4, 3)),
        epochs=passes,
        batch_size=32,
        clip_norm=1.0,
        validation=0.05,
        test=0.05,
    )


WAYS: dict[str, Callable[[Recipe], Recipe]] = {
    "adversarial-generation": adversarial,
    "denoise": denoising,
    "reconstruct": quantised,
}


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    """The recipe with adapters beside a denoiser's layers ("lora"). Raises ConfigError where there are none to be."""
    if tuning != "lora" or not isinstance(recipe.task, Denoise):
        raise ConfigError(f"--{tuning} is not for a network that makes pictures so; a denoiser takes --lora")
    return replace(recipe, tuning=Lora(), optimizer=AdamW(lr=1e-3))


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies."""
    if not isinstance(recipe.domain, GeneratedPictures) or isinstance(recipe.optimizer, dict):
        return {}
    lr = recipe.one_optimizer.lr
    return {"optimizer.lr": Range(lr / 5, lr * 5, log=True), "batch_size": Choice((32, 64, 128))}
