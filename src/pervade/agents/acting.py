"""What all agents share, however they learn: how they are measured, compared with chance, watched, and told of.

A row of the predictions file is an episode: "return" (the sum of its rewards), "length" (steps), "cut" (ended for its
length), its seed, and whether actions were the likeliest or drawn from the policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from pervade.agents import episodes, film, spaces
from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task, TensorSpec
from pervade.core.contracts.abilities import (
    Acts,
    ComparesSeeds,
    Deployable,
    FindsGradient,
    HasPlainModel,
    RepliesToRows,
)
from pervade.core.contracts.capabilities import Acting, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.types import Batch, Json, Output, Rows, Table
from pervade.core.words import FigureWords, TaskWords
from pervade.metrics import returns
from pervade.nn import actions

STEPS = FigureWords("Steps of an episode", "sum")
LOGGED = {"return": FigureWords("Return of an episode", "sum"), "episode_length": STEPS}
LIKELIEST = "likeliest action"  # the mode of rows that are not drawn (domains/environment.py)


class Agent(Task, Acts, FindsGradient, RepliesToRows, HasPlainModel, ComparesSeeds, Deployable):
    """What a task of acting has beside its loss and how it acts."""

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords(
            "acts in {environment}",
            pipeline="reinforcement-learning",
            purpose="It is made to act in {environment} as it was when it was trained. Where observations, actions, "
            "rewards or rules are others, it acts all the same, and nothing is known of how well.",
            one_training="It is one training by one seed. An agent gathers its own experience, so others by the same "
            "recipe may end far better or far worse: to judge the recipe, train several with --seeds.",
            curves="Returns in training are of actions drawn from the policy while it still changed, so they may lie "
            "below what was measured afterwards. They are means over the episodes that ended since the line before.",
            logged={**LOGGED, "kl": FigureWords("KL divergence")},
        )

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): of the likeliest action the log-probability, or the value; of continuous ones the state's value."""
        name = next(name for name in ("logits", "advantage", "value") if name in output)
        values = output[name].float()
        return (values.log_softmax(1) if name == "logits" else values).amax(1)

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Plays each row's episode."""
        seeds, drawn = batch["seed"].tolist(), batch["drawn"].cpu().numpy().astype(bool)
        total, length = np.zeros(len(seeds)), np.zeros(len(seeds), np.int64)
        cut = np.zeros(len(seeds), bool)
        for kind in (False, True):
            rows = np.flatnonzero(drawn == kind)
            if len(rows):
                played = episodes.by_policy(
                    model, self, able(context.domain, Acting), [seeds[row] for row in rows], kind
                )
                total[rows], length[rows], cut[rows] = played.total, played.length, played.cut
        return {"return": torch.from_numpy(total), "length": torch.from_numpy(length), "cut": torch.from_numpy(cut)}

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        space = space_of(domain)
        if actions.is_discrete(space):
            said = "number of the likeliest action, from 0" + "; one for each choice" * (actions.width(space) > 1)
            return (TensorSpec("action", "int64", (ROWS, actions.width(space)), said),)
        return (TensorSpec("action", "float32", (ROWS, actions.width(space)), "the likeliest action, in its own unit"),)

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        space, output = space_of(context.domain), model(batch["input"])
        return {"action": actions.likeliest(output[self.asks(space)[0]].float(), space)}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        return {"row": batch["row"], **output, "seed": batch["seed"], "drawn": batch["drawn"]}

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return returns.metrics(returns.scale_of(able(domain, Acting).name))

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """Actions that nobody chose, in the very episodes of the predictions file."""
        unique, which = np.unique(np.asarray(columns["seed"]), return_inverse=True)
        played = episodes.at_random(able(domain, Acting), unique.tolist())
        columns_of = {"return": played.total[which], "length": played.length[which], "cut": played.cut[which]}
        return Plain(features.name, columns_of)

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        return [
            {"return": float(total), "length": int(length), **({"cut": True} if cut else {})}
            for total, length, cut in zip(table["return"], table["length"], table["cut"], strict=True)
        ]

    def replies(self, model: Module, rows: Rows, train: Rows, context: Context) -> dict[str, Json]:
        """One episode to look at: the first of the rows by the likeliest action, or else the first."""
        first = next((row for row in rows if row["mode"] == LIKELIEST), rows[0])
        reel = film.Reel()
        seen = film.watch(self, model, able(context.domain, Acting), max(int(first["seed"]), 0), reel=reel)
        return {"episode": seen.as_detail(reel)}

    def together(self, members: Mapping[str, Table], plain: Mapping[str, Table]) -> dict[str, Json]:
        """Interquartile mean and the rest of Agarwal et al. 2021."""
        scores, chance = ([_score(columns) for columns in files.values()] for files in (members, plain))
        return {"across_seeds": returns.across_seeds(scores, chance)}


def space_of(domain: Domain) -> actions.Space:
    return spaces.unpacked(able(domain, Acting).action)


def _score(columns: Mapping[str, Any]) -> np.ndarray:
    total, drawn = np.asarray(columns["return"], np.float64), np.asarray(columns["drawn"]).astype(bool)
    return np.asarray(total[~drawn])
