"""What sample comes next in a sound: measured in bits a sample, used by letting it go on from silence."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task
from pervade.core.contracts.abilities import HasPlainModel, MakesMedia, MakesSamples, SelectsRows
from pervade.core.contracts.capabilities import Labelled, Voiced, able
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Json, LeftOut, Media, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data.read import division, targets
from pervade.data.rows.parts import add_up
from pervade.data.sound import mu_law, player, sound_files
from pervade.data.text.corpus import IGNORED
from pervade.engine.batches import cut
from pervade.metrics.waveform import waveform_metrics
from pervade.nn.queues import SoundSampling, go_on

SOUNDS = 10  # that are made for the report, one a label, speakers in turn
MOST_SCORES = 1 << 24  # numbers that the output of windows which are judged together holds at most, 67 MB


@register("task")
@dataclass(frozen=True)
class Synthesise(Task, SelectsRows, MakesSamples, MakesMedia, HasPlainModel):
    """The model returns "logits" (n, t, v); the batch holds "target" (n, t) int64, the code after each, -100 where that
    is not asked for. A batch without is of sounds to make, with the "length" of each."""

    makes: ClassVar[str] = "sounds"
    takes: ClassVar[str] = "sounds are made sample by sample, which takes seconds each"
    sampling: SoundSampling = field(default_factory=SoundSampling)

    def examine(self, rows: Rows) -> None:
        if "split" in rows and "fold" not in rows and len(rows.where("split", "train")) == 0:
            raise DataError("nothing is left to learn from; add recordings")

    def measurable(self, rows: Rows, domain: Domain) -> tuple[Rows, list[LeftOut]]:
        return targets.of_learnt_labels(rows, able(domain, Labelled).labels)

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": mu_law.CODES}

    def loss(self, output: Output, batch: Batch) -> Parts:
        loss = losses(output["logits"], batch["target"])
        return {"loss": loss.sum(1), "count": (batch["target"] != IGNORED).sum(1).float()}

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Where there are targets, what the model makes of them; else the sounds, as codes."""
        if not context.targets:
            return {"codes": torch.from_numpy(self._made(model, batch["input"], batch["row"].tolist()))}
        pieces = cut(batch, max(MOST_SCORES // (batch["target"].shape[1] * mu_law.CODES), 1))
        parts = [losses(self.forward(model, piece, context)["logits"], piece["target"]) for piece in pieces]
        return {"loss": torch.cat([part.double().sum(1) for part in parts])}

    def _made(self, model: Module, input: Mapping[str, Tensor], rows: Sequence[int]) -> np.ndarray:
        """Codes (n, longest)."""
        told = {name: value for name, value in input.items() if name != "length"}
        return go_on(model, told, int(input["length"].max()), self.sampling, mu_law.SILENCE, rows)

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "bits" (n,) that the recording costs, and its "samples"; or "codes", the sound that was made."""
        table: Table = {"row": batch["row"]}
        if not context.targets:
            lengths = batch["input"]["length"].tolist()
            most = self.sampling.length or max(lengths)
            codes = output["codes"].cpu().numpy()
            return {**table, "codes": [row[: min(n, most)] for row, n in zip(codes, lengths, strict=True)]}
        table["part"] = batch["part"] if "part" in batch else torch.zeros_like(batch["row"])
        bits = output["loss"].cpu().numpy() / math.log(2)
        return {**table, "bits": bits, "samples": (batch["target"] != IGNORED).sum(1).cpu().numpy()}

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Windows of one recording become one line: bits and samples add up."""
        return add_up(table, ("bits", "samples"))

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return waveform_metrics()

    def made(self, model: Module, train: Rows, context: Context) -> dict[str, Json]:
        """ "sounds": one of each of the first labels, by a fixed seed, none chosen, speakers in turn; a caption says
        which. None where a sound is made of another's mel bands."""
        domain, voiced = context.domain, able(context.domain, Voiced)
        if voiced.local == "mel" or not voiced.labels:
            return {}
        labels = voiced.labels[:SOUNDS]
        speakers = [voiced.speakers[i % len(voiced.speakers)] if voiced.speakers else "" for i in range(len(labels))]
        asked = [f"{label}/{speaker}" if speaker else label for label, speaker in zip(labels, speakers, strict=True)]
        rows = division.rows(
            [entry for name in asked for entry in domain.asked(name) if not isinstance(entry, LeftOut)]
        )
        input = domain.collate([domain.transform(row, None)[0] for row in rows])["input"]
        calm = replace(self, sampling=SoundSampling())
        codes = calm._made(model, input, range(len(asked)))
        sounds: list[Any] = []
        for name, sound, length in zip(asked, codes, input["length"].tolist(), strict=True):
            wave = mu_law.decode(sound[: min(length, round(player.SECONDS * voiced.rate))])
            sounds.append(Media("wav", player.wav(wave, voiced.rate), f"{name}, seed {calm.sampling.seed}"))
        return {"sounds": sounds}

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """FLAC at its best setting, of the same codes as signed 8-bit samples. All recordings are one stream, so that
        headers cost next to nothing; its bits are shared out by what each takes alone."""
        whole = flac(np.concatenate(features.rows), able(domain, Voiced).rate)
        alone = np.array([flac(wave, able(domain, Voiced).rate) for wave in features.rows], np.float64)
        return Plain("FLAC of the same 8-bit codes in one stream", {"bits": alone * (whole / alone.sum())})

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords(
            "generates sound like the {many} it learnt from",
            pipeline="text-to-audio",
            purpose="It is made to generate sound like the recordings it was trained on. What it generates was said by "
            "nobody; where it sounds like a person, that person did not say it and should have agreed to it.",
            classes=True,
            cautions=(
                "How natural it sounds was not measured: that takes people who listen. Fewer bits for each sample do "
                "not promise it.",
            ),
        )

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "samples" (t,) float32 in -1..1 at "rate"."""
        return [{"samples": mu_law.decode(codes), "rate": able(domain, Voiced).rate} for codes in table["codes"]]

    def media(self, answer: Mapping[str, Any]) -> tuple[Media, dict[str, Any]]:
        return player.media(answer["samples"], answer["rate"])


def losses(logits: Tensor, target: Tensor) -> Tensor:
    """(n, t) in nats, 0 where nothing is asked. Time first, as it lies in memory."""
    time, rows = target.shape[1], target.shape[0]
    flat = logits.transpose(0, 1).reshape(time * rows, -1).float()
    losses = F.cross_entropy(flat, target.t().reshape(-1), reduction="none", ignore_index=IGNORED)
    return losses.view(time, rows).t()


def flac(codes: np.ndarray, rate: int) -> int:
    """Bits of codes as FLAC, which foretells linearly and codes what is left over by Rice's codes."""
    buffer = io.BytesIO()
    signed = (codes.astype(np.int16) - mu_law.CODES // 2) << 8
    sound_files.library().write(buffer, signed, rate, format="FLAC", subtype="PCM_S8", compression_level=1.0)
    return 8 * len(buffer.getbuffer())
