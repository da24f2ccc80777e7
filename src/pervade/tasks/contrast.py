"""Metric learning: pictures of one person near each other, of others far away, for people never trained on as well."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module, Parameter
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Task, TensorSpec
from pervade.core.contracts.abilities import CouplesRows, Deployable, HasCompanions, HasLinearHead, SelectsRows
from pervade.core.contracts.capabilities import Labelled, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.terminal import visible
from pervade.core.types import Batch, Display, Json, LeftOut, Linear, Output, Parts, Rows, Table
from pervade.core.words import SHARE, TaskWords
from pervade.data import discriminant
from pervade.data.rows.parts import average
from pervade.data.rows.samplers.people_by_pictures import counted
from pervade.metrics import retrieval, verification
from pervade.nn import whitening
from pervade.nn.entrances import of_views

MARGINS = {"triplet": 0.2, "arcface": 0.5}  # of the papers


@register("task")
@dataclass(frozen=True)
class Contrast(Task, SelectsRows, CouplesRows, HasCompanions, HasLinearHead, Deployable):
    """The model returns "embedding" (n, dimensions), which is put on the unit sphere; the batch holds "target" (n,)
    int64, the person's number. Batches are to hold several pictures of each person (`PeopleByPictures`).

    `loss_name` "triplet": FaceNet (Schroff, Kalenichenko & Philbin 2015, arXiv:1503.03832). Every two pictures of one
    person in the batch, with a semi-hard negative: max(0, d(anchor, positive) - d(anchor, negative) + margin), d the
    squared distance. "arcface" (Deng et al. 2019, arXiv:1801.07698): cross-entropy over the people trained on, of
    `scale` x the cosines to learnt centres, the angle to one's own being made larger by `margin`.

    With several ranks triplets are sought among the rank's own rows.
    """

    loss_name: Literal["triplet", "arcface"] = "arcface"
    dimensions: Annotated[int, Field(ge=2, le=4096)] = 128
    # triplet: of squared distances (0-4); arcface: an angle in radians. None: 0.2 and 0.5
    margin: Annotated[float, Field(ge=0.0, le=1.5)] | None = None
    scale: Annotated[float, Field(gt=0.0, le=256.0)] = 32.0  # of arcface's cosines; 64 for millions of pictures
    # Directions in which pictures of one person differ count less: the embedding is whitened by the covariance within
    # people (WCCN; Hatch, Kajarekar & Stolcke 2006), to each variance this share of their mean being added. It is
    # worked into the head whenever the model is judged or saved; the loss does not see it. None: not whitened
    whitening: Annotated[float, Field(gt=0.0, le=100.0)] | None = None

    # the rows

    def examine(self, rows: Rows) -> None:
        if "target" not in rows:
            raise DataError("the data does not say who is who; put each person's pictures into a folder of their own")
        other = next((target for target in rows.column("target") if not isinstance(target, str)), None)
        if other is not None:
            raise DataError(f"a person is one name, not {other!r}; set domain.target=identity")
        counts = _trained(rows)
        if not counts:
            return  # a split is missing that will be drawn
        single = [name for name, count in counts.items() if count == 1]
        if len(counts) - len(single) < 2:
            left = f", and {counted(single)} only one" if single else ""
            raise DataError(
                f"to tell people apart takes at least 2 people with 2 pictures each to learn from, and there is "
                f"{len(counts) - len(single) or 'nobody'} with so many{left}"
            )

    def arrange(self, rows: Rows) -> tuple[Rows, list[LeftOut]]:
        """A person is a group, so that nobody stands in two splits. Left out: people with a single picture to learn
        from, to which nothing can be compared."""
        counts = _trained(rows)
        splits = rows.column("split") if "split" in rows else ["train"] * len(rows)
        kept, left_out = [], []
        for i, (name, split) in enumerate(zip(rows.column("target"), splits, strict=True)):
            if split == "train" and counts[name] == 1:
                reason = f"the only picture of {name!r}: batches of people x pictures take at least 2 of each person"
                left_out.append(LeftOut(str(rows.column("id")[i]), reason))
            else:
                kept.append(i)
        rows = rows.select(kept)
        return rows.with_columns(group=list(rows.column("target"))), left_out

    # the model

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        """Strangers too, and people with one picture: whoever is asked need not be known."""
        self.examine(rows)
        return self.arrange(rows.with_columns(split=["test"] * len(rows)))

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"embedding": self.dimensions}

    def companions(self, model: Module, domain: Domain) -> Module | None:
        """ "centres" (people, d) of arcface, and what is known so far of the spread "within" people. Raises ConfigError
        where there is no head to work a whitening into."""
        companions = Module()
        if self.loss_name == "arcface":
            people = len(able(domain, Labelled).labels)
            companions.centres = Parameter(torch.randn(people, self.dimensions))
        if self.whitening is not None:
            whitening.head_of(model)
            companions.within = whitening.WithinClassCovariance(self.dimensions)
        return companions if self.loss_name == "arcface" or self.whitening is not None else None

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        """ "embedding" (n, d) of length 1, and in training by arcface "cosine" (n, people) to the centres."""
        embedding = model(batch["input"], mask=batch.get("mask"))["embedding"]
        # In full precision: the scale would make of bfloat16's roundings differences of a tenth.
        with torch.autocast(embedding.device.type, enabled=False):
            embedding = embedding.float()
            if self.whitening is not None and context.companions is not None and model.training:
                within = context.companions.get_submodule("within")
                within(embedding.detach(), batch["target"])
            embedding = F.normalize(embedding)
            if self.loss_name != "arcface" or context.companions is None:
                return {"embedding": embedding}
            centres = F.normalize(context.companions.get_parameter("centres").float())
            return {"embedding": embedding, "cosine": embedding @ centres.T}

    def finished(self, model: Module, context: Context) -> Module:
        """With the whitening worked into its head."""
        if self.whitening is None or context.companions is None:
            return model
        return whitening.whitened(model, context.companions.get_submodule("within"), self.whitening)

    def loss(self, output: Output, batch: Batch) -> Parts:
        margin = MARGINS[self.loss_name] if self.margin is None else self.margin
        with torch.autocast(output["embedding"].device.type, enabled=False):
            if "cosine" in output:
                cosine, target = output["cosine"], batch["target"]
                loss = F.cross_entropy(arcface(cosine, target, margin, self.scale), target, reduction="none")
                return {"loss": loss, "accuracy": (cosine.detach().argmax(1) == target).float()}
            return triplets(output["embedding"], batch["target"], margin)

    def fit_head(
        self,
        features: Any,
        target: np.ndarray,
        number: np.ndarray,
        domain: Domain,
        strengths: Sequence[float],
        group: np.ndarray | None = None,
    ) -> Mapping[str, Linear]:
        """People are held out whole, whatever the group."""
        return {"embedding": discriminant.embedding(features, target, self.dimensions, strengths, number)}

    def at_once(self) -> Task:
        """Without centres to be learnt, and whitened already."""
        return replace(self, loss_name="triplet", margin=None, whitening=None)

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): the mean cosine to the batch's other pictures of the same person, less that to other people's; either
        is left out where the batch has none."""
        cosine = output["embedding"] @ output["embedding"].detach().T
        same = batch["target"][:, None] == batch["target"]
        other, alike = (~same).float(), same.float().fill_diagonal_(0.0)
        near = (cosine * alike).sum(1) / alike.sum(1).clamp(min=1)
        return near - (cosine * other).sum(1) / other.sum(1).clamp(min=1)

    # what is predicted, and measured of it

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        return {"embedding": self.forward(model, batch, context)["embedding"]}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "embedding" (n, d) float32 of length 1, "target" (-1: never trained on), and the "threshold" where there is
        one. The file's "group" says who is who."""
        table: Table = {name: batch[name] for name in ("row", "part", "target") if name in batch}
        table["embedding"] = output["embedding"].float()
        if "threshold" in context.decision:
            table["threshold"] = torch.full((len(batch["row"]),), context.decision["threshold"])
        return table

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        said = "a point of the unit sphere: two rows are alike by the scalar product of theirs, -1 to 1"
        return (TensorSpec("embedding", "float32", (ROWS, self.dimensions), said),)

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        embedding = self.infer(model, batch, context)["embedding"]
        return {"embedding": F.normalize(of_views(embedding, batch)) if "views" in batch else embedding}

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Views of one picture become one line: their mean embedding, put on the unit sphere again."""
        if "part" not in table:
            return table
        table = average(table, ["embedding"])
        length = np.linalg.norm(table["embedding"], axis=1, keepdims=True)
        return {**table, "embedding": (table["embedding"] / np.maximum(length, 1e-12)).astype(np.float32)}

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords(
            "tells whether two {many} are of the same",
            pipeline="{modality}-feature-extraction",
            classes=True,
            logged={"accuracy": SHARE},
        )

    def display(self, answer: Mapping[str, Any]) -> Display:
        """ "anna 0.912 same (anna/3.jpg)": the neighbour's name, the cosine, and whether that is enough to be taken for
        one person. In a table the embedding stands once, in the line of the nearest."""
        near, told = answer["neighbours"], {None: "", True: " same", False: " different"}
        line = "  ".join(f"{e['label']} {e['similarity']:.3f}{told[e['same']]} ({e['id']})" for e in near)
        names, embedding = ("label", "similarity", "same", "id"), answer["embedding"]
        rows = [
            {"rank": rank, **{name: row[name] for name in names}, "embedding": None if rank > 1 else embedding}
            for rank, row in enumerate(near, start=1)
        ]
        return Display(line, [{**row, "label": visible(row["label"])} for row in rows])

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return verification.verification_metrics() | retrieval.retrieval_metrics()

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "threshold": the cosine above which two pictures are taken for one person, where both kinds of error are
        equally frequent on the validation split. Nothing where that has no two pictures of one person, or one person
        only."""
        threshold = verification.equal_error_threshold(columns)
        return {} if math.isnan(threshold) else {"threshold": round(threshold, 6)}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "verification" (the curve, the pairs most mistaken) and "retrieval" (what each person's pictures find), and
        "baseline": a coin."""
        trained, known = set(train.column("target")), columns["target"] >= 0
        return {
            "verification": verification.curve(columns),
            "retrieval": retrieval.by_person(columns),
            "people": {
                "trained": len(trained),
                "measured": len(np.unique(columns["group"])),
                "both": len(np.unique(columns["target"][known])),
            },
            "baseline": {"name": "a guess by a coin", "metrics": verification.coin(columns)},
        }

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        return [{"embedding": [float(number) for number in embedding]} for embedding in table["embedding"]]


def _trained(rows: Rows) -> Counter[Any]:
    """Pictures of each person that train, or may."""
    names = rows.column("target")
    if "split" not in rows:
        return Counter(names)
    return Counter(name for name, split in zip(names, rows.column("split"), strict=True) if split == "train")


def triplets(embedding: Tensor, target: Tensor, margin: float) -> Parts:
    """Of every anchor (n,) the summed loss of its positives, their number, and the share of them that still teach.

    The negative of a pair is semi-hard: the nearest that is farther away than the positive. Where all are nearer, the
    farthest is taken, not the hardest, because the hardest draw everything to one point early on (FaceNet, 3.2).
    """
    distance = (2.0 - 2.0 * embedding @ embedding.T).clamp(min=0.0)
    same = target[:, None] == target
    anchor, positive = (same & ~torch.eye(len(target), dtype=torch.bool, device=target.device)).nonzero(as_tuple=True)
    far = distance[anchor, positive]
    with torch.no_grad():
        others = distance[anchor].masked_fill(same[anchor], math.inf)  # (pairs, n)
        beyond = others.masked_fill(others <= far[:, None], math.inf)
        nearer = others.masked_fill(same[anchor], -math.inf)
        semi_hard = beyond.isfinite().any(1)
        negative = torch.where(semi_hard, beyond.argmin(1), nearer.argmax(1))
        there = (~same).any(1)[anchor]  # a batch of one person has no negatives
    hinge = F.relu(far - distance[anchor, negative] + margin) * there
    zeros = hinge.new_zeros(len(target))
    count = zeros.index_add(0, anchor, there.to(hinge.dtype))
    active = zeros.index_add(0, anchor, (hinge.detach() > 0).to(hinge.dtype)) / count.clamp(min=1)
    return {"loss": zeros.index_add(0, anchor, hinge), "count": count, "active": active}


def arcface(cosine: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    """Logits (n, people): scale x cos(angle + margin) for one's own centre, scale x cos(angle) for the others.

    Beyond angle + margin = pi, where that would rise again, it goes on falling as a straight line of the cosine.
    """
    own = cosine.gather(1, target[:, None])
    # Away from 1, where the sine's slope is infinite.
    sine = (1.0 - own.square()).clamp(min=1e-6).sqrt()
    turned = own * math.cos(margin) - sine * math.sin(margin)
    turned = torch.where(own > -math.cos(margin), turned, own - margin * math.sin(margin))
    return scale * cosine.scatter(1, target[:, None], turned)
