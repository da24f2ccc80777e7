"""What is said in a recording, token by token (Whisper): learnt with the tokens before each known, written greedily.

A recording in several pieces is one text; measured as transcription is, in wrong words and characters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Waveform, require
from pervade.core.contracts.capabilities import Dictated, able
from pervade.core.registry import register
from pervade.core.types import Batch, Json, Output, Parts, Table
from pervade.data.text import characters
from pervade.metrics import transcription
from pervade.nn.distillation import divergence
from pervade.tasks.transcribe import Transcribe


@register("task")
@dataclass(frozen=True)
class Dictate(Transcribe):
    """The model is a `nn.speech_writer.SpeechWriter`, the domain a `Dictation`; the batch holds "target" (n, l), prompt
    and end among them, and "length" (n,)."""

    graphless: ClassVar[str] = (
        "a network that writes what it hears goes token by token, as often as it takes, which a graph does not; "
        "train --model conformer (CTC) to export, or use `pervade predict`"
    )

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": require(domain.inputs(), Waveform, "dictate").vocabulary or 0}

    def forward(self, model: Module, batch: Batch, context: Context) -> Output:
        output: Output = model(batch["input"], mask=batch.get("mask"), tokens=batch["target"][:, :-1])
        return {**output, "begun": torch.tensor(len(able(context.domain, Dictated).prompt))}

    def loss(self, output: Output, batch: Batch) -> Parts:
        """Per token after the prompt, the end among them."""
        losses = F.cross_entropy(output["logits"].float().transpose(1, 2), batch["target"][:, 1:], reduction="none")
        asked = _asked(output, batch)
        return {"loss": (losses * asked).sum(1), "count": asked.sum(1).float()}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """The mean over the tokens that are asked for (Gandhi et al. 2023, arXiv:2311.00430)."""
        asked = _asked(output, batch)
        apart = divergence(output["logits"], teacher["logits"], temperature)
        return (apart * asked).sum(1) / asked.sum(1).clamp(min=1)

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """ "tokens" (n, l), -1 behind the end."""
        domain = able(context.domain, Dictated)
        writer: Any = model
        written = writer.write(
            batch["input"], batch.get("mask"), domain.prompt, domain.end, domain.never, domain.not_first
        )
        longest = max([1, *map(len, written)])
        return {"tokens": torch.tensor([[*tokens, *[-1] * (longest - len(tokens))] for tokens in written])}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        domain = able(context.domain, Dictated)
        table: Table = {
            "row": batch["row"],
            "part": batch.get("part", torch.zeros_like(batch["row"])),
            "seconds": batch["whole"].double().cpu().numpy() / domain.rate,
            "text": [domain.text([t for t in tokens if t >= 0]) for tokens in output["tokens"].tolist()],
        }
        if context.targets:
            table["reference"] = characters.from_tensor(batch["reference"])
        return table

    def reduce(self, table: Table, domain: Domain) -> Table:
        """A line a recording: its pieces' texts, joined; where the transcript is known the edits."""
        rows, parts = np.asarray(table["row"]), np.asarray(table["part"])
        lines: dict[int, list[int]] = {int(row): [] for row in rows}
        for place in np.argsort(parts, kind="stable").tolist():
            lines[int(rows[place])].append(place)
        first = [places[0] for places in lines.values()]
        spelling = able(domain, Dictated).spelling
        texts = [spelling(" ".join(table["text"][place] for place in places)) for places in lines.values()]
        out: Table = {
            "row": np.array(list(lines), np.int64),
            "seconds": np.asarray(table["seconds"])[first],
            "text": texts,
        }
        if "reference" in table:
            out["reference"] = [table["reference"][place] for place in first]
            out |= transcription.table(out["reference"], texts)
        return out

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        return {}

    def _in_words(self, domain: Domain) -> str:
        return "the likeliest token after each"

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        return [{"text": text} for text in table["text"]]


def _asked(output: Output, batch: Batch) -> Tensor:
    """(n, l - 1): the tokens after the prompt, up to the end."""
    target = batch["target"]
    places = torch.arange(1, target.shape[1], device=target.device)[None]
    return (places >= int(output["begun"])) & (places < batch["length"][:, None])
