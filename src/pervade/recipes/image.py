"""Recipes for pictures. A model's name picks the recipe: `recipe("reference-cnn")`.

pervade train DATA                        within_reach(): resnet18 finetuned where its published weights can be had
pervade train DATA --model NAME           within_reach(NAME), where any were published for it; else scratch(NAME)
pervade train DATA --init random          default(): a residual network, trained on 64 x 64 pixels, used on 80 x 80;
                                          small(): of pictures of up to 48 pixels, at their own size
pervade train DATA --init pretrained|PATH finetune(): from weights that were trained before
pervade train DATA --model reference-cnn  reference(): Adam, 10 epochs, 224 x 224, no augmentation
pervade train DATA --model reference-mlp  reference(), 64 x 64, mean squared error
pervade train DATA --ladder RUNGS         at_hand(): published weights that lie here, where resnet18's do not
pervade train DATA --task image-feature-extraction --init random    faces(): embeddings, ArcFace
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from pervade.core import download, spec
from pervade.core.contracts import Domain, EarlyStopping, Initializer, Model, Recipe
from pervade.core.contracts.abilities import HasLinearHead
from pervade.core.errors import ConfigError
from pervade.data.image import looking
from pervade.data.read import listing
from pervade.data.rows.samplers.people_by_pictures import PeopleByPictures
from pervade.data.rows.sources.dataset import Dataset
from pervade.domains.histograms import Histograms
from pervade.domains.image import Image, contents
from pervade.init.pretrained import Pretrained, out_of_reach, published, starting_from
from pervade.init.random import Random
from pervade.models.linear import Linear
from pervade.models.places_cnn import PlacesCNN
from pervade.models.reference_cnn import ReferenceCNN
from pervade.models.reference_mlp import ReferenceMLP
from pervade.models.resnet import ResNet
from pervade.models.small_cnn import SmallCNN
from pervade.run.search_space import Choice, Range
from pervade.tasks.classify import Classify
from pervade.tasks.contrast import Contrast
from pervade.tasks.regress import Regress
from pervade.tasks.tag import Tag
from pervade.train.imbalance.auto import Auto
from pervade.train.optim.adam import Adam
from pervade.train.optim.adamw import AdamW
from pervade.train.optim.muon import Muon
from pervade.train.optim.sgd import SGD
from pervade.train.schedule.constant import Constant
from pervade.train.schedule.cosine import Cosine
from pervade.train.schedule.one_cycle import OneCycle
from pervade.train.tuning.freeze import Freeze
from pervade.train.tuning.full import Full
from pervade.train.tuning.lora import Lora

TASKS = {
    "image-classification": "one class for each picture; class folders, or a table of files and labels",
    "image-multi-label-classification": "several labels for each picture, or none; a table of lists, or of 0 and 1",
    "image-regression": "a number for each picture; a table of files and numbers",
    "image-feature-extraction": "who or what is the same: embeddings to compare pictures by; a folder for each person",
}
# Asked after all others: what is wrong with data that is nobody's, the reader of pictures says.
LAST = True
READS_FILES = True
# Pictures up to so many pixels are learnt at their own size, but at no less than the smallest.
SMALL, SMALLEST = 48, 8
# Of these, how many are looked at in a training, each anew; and in how many passes at least and at most.
LOOKS, FEWEST, MOST = 1_000_000, 12, 60
# Of photographs; on two cores ten minutes are enough for as many.
PHOTO_LOOKS, PHOTO_FEWEST, PHOTO_MOST = 600_000, 20, 200
JUDGED = 20  # times in a training: the first useful model stands within a tenth of it
# What a ladder takes where resnet18 is not within reach: the more of ImageNet a network knows, the better its features
# are elsewhere (Kornblith et al. 2019, arXiv:1805.08974).
AT_HAND = ("convnext-tiny", "resnet50", "timm:tf_efficientnet_lite0", "mobilenet-v3-large", "resnet34")
BY_TARGET = {"labels": "image-multi-label-classification", "number": "image-regression"}


def recognises(
    source: Any, label_column: str | None = None, text_column: str | None = None, file_column: str | None = None
) -> str | None:
    """Every source that no other domain knows. What is asked is told by the targets."""
    plain = isinstance(source, (str, os.PathLike))
    target = listing.detect(source, contents(file_column), label_column) if plain else "class"
    return BY_TARGET.get(target, "image-classification")


def recipe(
    model: str | Model | None = None,
    task: str = "image-classification",
    init: str | Initializer | None = None,
    source: Any = None,
    file_column: str | None = None,
) -> Recipe:
    """The recipe that belongs to a model and to where its first weights come from (the name of an initialiser, or a
    path), with the task asked; of `source` the size of its pictures is looked at. Raises ConfigError with the nearest
    name where there is no such model."""
    usual = of_classes(model, init, source, file_column)
    if task == "image-feature-extraction" and model is None and isinstance(usual.init, Random):
        return replace(faces(), init=usual.init)
    return asked(usual, task)


def asked(recipe: Recipe, task: str) -> Recipe:
    """A recipe for classes, with another question in their place."""
    domain = recipe.domain
    if not isinstance(domain, Image):
        return recipe
    # A domain that comes with a checkpoint may know the columns of another table.
    domain = replace(domain, target="class", label_column=None, file_column=None, separator=None)
    domain = replace(domain, label_pattern=None, group_pattern=None, group_column=None, split_column=None)
    if task == "image-classification":
        return replace(recipe, domain=domain)
    recipe = replace(recipe, imbalance=None)
    if task == "image-multi-label-classification":
        domain = replace(domain, target="labels")
        return replace(recipe, domain=domain, task=Tag(), early_stopping=EarlyStopping("mean_average_precision"))
    if task == "image-feature-extraction":
        domain = replace(domain, target="identity")
        source = Dataset(sampler=PeopleByPictures())
        return replace(recipe, domain=domain, task=Contrast(), source=source, early_stopping=EarlyStopping("roc_auc"))
    if task != "image-regression":
        return recipe
    # A number may hang on what is distorted: how much of the picture is there, how bright it is.
    domain = replace(domain, target="number", crop_area=max(domain.crop_area, 0.6))
    domain = replace(domain, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0)
    # Probabilities bound the gradient, numbers do not: without the clip, brightness learnt from 560 photos was off by
    # 492 after the first pass (with it 20) and by 8.0 against 4.9 after the fifth, on the same test rows.
    stopping = EarlyStopping("mean_absolute_error")
    return replace(recipe, domain=domain, task=Regress(), early_stopping=stopping, clip_norm=recipe.clip_norm or 1.0)


def of_classes(
    model: str | Model | None = None,
    init: str | Initializer | None = None,
    source: Any = None,
    file_column: str | None = None,
) -> Recipe:
    """As `recipe`, for one class for each picture."""
    network: Model | None = spec.decode(model, Model) if isinstance(model, str) else model
    if init is None and (network is None or published(network) is not None):
        return within_reach(network, source, file_column)
    start = starting_from("random" if init is None else init)
    if isinstance(start, Pretrained):
        known, domain = start.made_with()
        if network is None and known is None and start.source:
            raise ConfigError(f"--init {start.source} does not say which network it is of; name it with --model")
        return finetune(network or known, start, domain)
    if isinstance(network, ReferenceCNN):
        return replace(reference(), init=start)
    if isinstance(network, ReferenceMLP):
        return replace(mlp(), init=start)
    return replace(own(source, file_column) if network is None else scratch(network), init=start)


def within_reach(model: Model | None = None, source: Any = None, file_column: str | None = None) -> Recipe:
    """Where no weights are named: the model with those that were published for it, where they lie in the cache or can
    be downloaded; else random ones, and the initialiser says why. Without a model resnet18, or else `own`."""
    why = out_of_reach(model or ResNet())
    if why is None:
        return finetune(model)
    otherwise = own(source, file_column) if model is None else scratch(model)
    return replace(otherwise, init=Random(because=f"no pretrained ones are within reach: {why}"))


def own(source: Any = None, file_column: str | None = None) -> Recipe:
    """From random weights, where no network is named: `small` for pictures that are."""
    seen = looking.look(source, contents(file_column))
    if seen is None:
        return default()
    return default(seen.rows) if seen.side > SMALL else small(seen.side, seen.rows)


def at_hand(source: Any, file_column: str | None = None) -> Model | None:
    """The network that a ladder takes in the place of random weights: the first of AT_HAND whose published weights lie
    here. None where there is none, or the pictures are small, and learnt at their own size. Nothing is downloaded, and
    what was found is said."""
    networks: dict[str, Model] = {name: spec.decode(name, Model) for name in AT_HAND}
    name = next((name for name, network in networks.items() if published(network).path.is_file()), None)
    if name is None:
        return None
    seen = looking.look(source, contents(file_column))
    if seen is not None and seen.side <= SMALL:
        download.announce(f"ladder: {name} lies here, and is not taken for pictures of {seen.side} pixels")
        return None
    download.announce(f"ladder: {name} is taken, whose published weights lie here: {published(networks[name]).path}")
    return networks[name]


def default(rows: int = 3_000) -> Recipe:
    """A small residual network from random weights: trained on 64 x 64 pixels, used on 80 x 80, in so many passes that
    it sees PHOTO_LOOKS pictures. `rows`: all there are, those to be tested by among them.

    Many cheap passes beat few dear ones: on 1,500 photos of cats and dogs by SGD, 40 passes over 80 x 80 pixels took as
    long and gave 76% where 60 passes over 64 x 64 gave 79%, and 90 passes 83% (500 others, one seed). Muon came to
    82.3% in 24 passes over 1,400, and to 91.5% in 90 (600 others, one seed).
    """
    passes = _passes(rows, PHOTO_LOOKS, PHOTO_FEWEST, PHOTO_MOST)
    return replace(
        scratch(ResNet(depth=10, width=32, shortcut="pooled")),
        domain=Image(size=80, train_scale=0.8, brightness=0.3, contrast=0.3, saturation=0.3, views=2),
        optimizer=Muon(lr=0.02, weight_decay=5e-4),
        schedule=OneCycle(rise=0.2),
        tuning=Full(decay_all=False),
        average=0.99,
        early_stopping=EarlyStopping("accuracy", every=max(passes // JUDGED, 1)),
        epochs=passes,
    )


def small(side: int = 32, rows: int = 50_000) -> Recipe:
    """For pictures of up to about 48 pixels, at their own size: a few wide convolutions, pictures moved by a few pixels
    and mirrored where that makes no difference. So many passes that the network sees LOOKS pictures.

    Tried on validation splits, 200 steps of 64, one seed: on MNIST (2,000 rows), PneumoniaMNIST, and cats and dogs at
    32 x 32 (1,400 rows) SGD (0.1) came to 97.6%, 95.9% and 57.5%, Muon (0.01) to 98.4%, 97.8% and 72.0%, and on the
    last (0.02) to 74.8%; AdamW (0.005) on the first and the last to 98.1% and 71.0%.
    """
    side = max(side, SMALLEST)
    passes = _passes(rows, LOOKS, FEWEST, MOST)
    return replace(
        scratch(SmallCNN()),
        domain=Image(size=side, margin=1.0, crop_area=1.0, shift=max(side // 14, 1), flip=None, views=2),
        optimizer=Muon(lr=0.02, weight_decay=5e-4),
        schedule=OneCycle(rise=0.2),
        tuning=Full(decay_all=False),
        average=0.99,
        early_stopping=EarlyStopping("accuracy", every=max(passes // JUDGED, 1)),
        epochs=passes,
    )


def _passes(rows: int, looks: int, fewest: int, most: int) -> int:
    return min(max(round(looks / max(rows, 1)), fewest), most)


def faces() -> Recipe:
    """Who is who, from random weights, for pictures in which everybody stands alike: a small network that keeps where
    things are, ArcFace on batches of 16 people x 4 pictures, the embedding whitened within people.

    Its parts were tried on 30 people of the ORL faces, 20 to learn from and 10 to be measured, in 3 folds. Equal error
    rates: pixels less their mean 12.0%; a residual network 16%; these convolutions with a mean over all places 10.4%;
    with the places kept 8.0%, whitened after training 6.3%. Stronger distortions were worse (9.9%), triplets alike
    (7.9%).
    """
    return replace(
        scratch(PlacesCNN()),
        domain=Image(
            size=64,
            margin=1.07,
            target="identity",
            crop_area=0.75,
            crop_ratio=1.1,
            brightness=0.3,
            contrast=0.3,
            views=2,
        ),
        task=Contrast(margin=0.3, scale=16.0, whitening=0.1),
        source=Dataset(sampler=PeopleByPictures()),
        imbalance=None,
        optimizer=SGD(lr=0.02, momentum=0.9, nesterov=True, weight_decay=5e-4),
        early_stopping=EarlyStopping("roc_auc"),
        average=0.99,
        epochs=60,
    )


def scratch(model: Model) -> Recipe:
    """Any network from random weights: one-cycle SGD with label smoothing, random crops and flips."""
    return Recipe(
        domain=Image(size=96),
        task=Classify(smoothing=0.1),
        model=model,
        optimizer=SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        schedule=OneCycle(),
        init=Random(),
        source=Dataset(),
        early_stopping=EarlyStopping("accuracy"),
        epochs=30,
        batch_size=64,
        imbalance=Auto(),
    )


def tuned(recipe: Recipe, tuning: str) -> Recipe:
    """The recipe with "freeze" (the head alone learns, on features computed once) or "lora" (adapters learn)."""
    if tuning == "lora":
        return replace(recipe, tuning=Lora(), optimizer=AdamW(lr=1e-3))
    if not isinstance(recipe.domain, Image):
        raise ConfigError("--freeze is for pictures; set -o tuning=freeze")
    flip = recipe.domain.flip
    stopping = recipe.early_stopping
    if isinstance(recipe.task, Classify):
        # Heads differ little from pass to pass: chosen by accuracy on 225 rows they were right on 93.0% of others, by
        # log-loss on 93.5% (cats and dogs, 4 folds of the training split).
        stopping = replace(stopping, metric="log_loss")
    return replace(
        recipe,
        early_stopping=stopping,
        domain=replace(recipe.domain, augment=False, views=2 if flip else 1),
        task=replace(recipe.task, smoothing=0.0) if isinstance(recipe.task, (Classify, Tag)) else recipe.task,
        tuning=Freeze(),
        optimizer=AdamW(lr=3e-3, weight_decay=0.1),
        schedule=Cosine(warm_up=0.0),
        epochs=30,
        batch_size=64,
    )


def finetune(model: Model | None = None, init: Initializer | None = None, domain: Domain | None = None) -> Recipe:
    """Pretrained weights, at the size they were trained at unless `domain`, that of the run they come from, says
    another: AdamW at a low rate with warm-up and cosine, few passes."""
    model = model or ResNet()
    return replace(
        scratch(model),
        domain=_as_made_for(domain, Image(size=getattr(model, "side", 224), views=2)),
        early_stopping=EarlyStopping("log_loss"),
        optimizer=AdamW(lr=1e-4),
        schedule=Cosine(),
        init=init or Pretrained(),
        epochs=8,
        batch_size=32,
    )


def _as_made_for(there: Domain | None, own: Image) -> Domain:
    """What a network was made for: how large its pictures are, their channels, and whether a mirrored one is as good.
    How they are distorted in training is not its business: a run with --freeze does not distort them at all."""
    if not isinstance(there, Image):
        return there or own
    return replace(own, size=there.size, margin=there.margin, channels=there.channels, flip=there.flip)


def plain(recipe: Recipe) -> Recipe | None:
    """The same rows, read by a linear model."""
    if not isinstance(recipe.domain, Image) or not isinstance(recipe.task, HasLinearHead):
        return None
    return replace(recipe, domain=Histograms.of(recipe.domain), model=Linear())


def search_space(recipe: Recipe) -> dict[str, Range | Choice]:
    """What `pervade tune` varies, of what this recipe has: first the learning rate, up and down to ten times."""
    lr = recipe.one_optimizer.lr
    space: dict[str, Range | Choice] = {
        "optimizer.lr": Range(lr / 10, lr * 10, log=True),
        "batch_size": Choice(tuple(sorted({max(recipe.batch_size // 2, 1), recipe.batch_size, recipe.batch_size * 2}))),
    }
    if "weight_decay" in spec.field_names(type(recipe.optimizer)):
        space["optimizer.weight_decay"] = Range(1e-5, 1e-2, log=True)
    if "smoothing" in spec.field_names(type(recipe.task)):
        space["task.smoothing"] = Choice((0.0, 0.1, 0.2))
    if isinstance(recipe.domain, Image) and recipe.domain.augment:
        space["domain.crop_area"] = Range(0.15, 1.0)
    return space


def reference() -> Recipe:
    """The reference network by the recipe that people write first. 64.6% on 5,000 photos of cats and dogs, then
    it overfits."""
    return replace(
        scratch(ReferenceCNN()),
        domain=Image(size=224, augment=False),
        task=Classify(),
        optimizer=Adam(lr=1e-3),
        schedule=Constant(),
        epochs=10,
        batch_size=32,
    )


def mlp() -> Recipe:
    """The plainest baseline: dense layers, mean squared error, Adam."""
    return replace(
        reference(),
        domain=Image(size=64, augment=False),
        task=Classify(loss_name="mse"),
        model=ReferenceMLP(),
        optimizer=Adam(lr=1e-4),
    )
