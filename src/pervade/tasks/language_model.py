"""What comes next in a text, or is answered: measured in bits per byte, used by letting it write."""

from __future__ import annotations

import lzma
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task, TensorSpec, Tokens, require
from pervade.core.contracts.abilities import Deployable, HasPlainModel, MakesSamples, RepliesToRows
from pervade.core.contracts.capabilities import Conversational, Tokenised, Written, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Display, Json, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data.rows.parts import add_up
from pervade.data.text import vocabulary
from pervade.data.text.corpus import IGNORED, overlap
from pervade.engine import writing
from pervade.engine.batches import cut
from pervade.engine.writing import Text
from pervade.metrics.language import code_metrics, language_metrics
from pervade.nn.distillation import divergence
from pervade.nn.sampling import Sampling

SAMPLES = 4  # texts that are written for the report, by the seeds 0, 1, …
SAMPLE_LENGTH = 120  # tokens of each
MOST_SCORES = 1 << 26  # numbers that the output of rows which are judged together holds at most, 268 MB
LIKELIEST = Sampling(length=SAMPLE_LENGTH, temperature=0)  # how questions are answered for the report
MOST_COMPRESSED = 60_000_000  # bytes of training text that the compressor beside the model may look back on
PIECE = 1 << 16  # bytes compressed at once
WRITING = TaskWords(
    "writes on from a {one}",
    pipeline="text-generation",
    purpose="It is made to go on with {many} like those it was trained on. What it writes reads like them and need not "
    "be true.",
)
ANSWERING = replace(
    WRITING,
    does="answers in a {one}",
    purpose="It is made to answer in conversations like those it was trained on. What it says reads like them and need "
    "not be true.",
)
FORETELLING = TaskWords(
    "foretells each code of a {one} from those before it",
    purpose="It is made to draw codes like those it was trained on, which another network turns into what they name.",
)


@register("task")
@dataclass(frozen=True)
class LanguageModel(Task, MakesSamples, RepliesToRows, HasPlainModel, Deployable):
    """The model returns "logits" (n, t, v); the batch holds "target" (n, t) int64, the token after each, -100 where it
    is not asked for, and in evaluation "bytes" (n,), those of the text that a window stands for.

    The domain gives `tokens(rows)`, what was learnt as one stream, and, where these are not the tokenizer's own,
    `ends`, the tokens at which writing ends. One of questions and answers gives `held_out(row)`, a row as the two. One
    of codes that another network made (domains/codebook.py) has no tokenizer: it is measured, and drawn from by that
    network's task."""

    sampling: Sampling = field(default_factory=Sampling)

    def examine(self, rows: Rows) -> None:
        # In a cross-validation every row is tested, and trains in the other folds.
        if "split" in rows and "fold" not in rows and len(rows.where("split", "train")) == 0:
            raise DataError("nothing is left to learn from; add texts")

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": require(domain.inputs(), Tokens, "language-model").vocabulary}

    def loss(self, output: Output, batch: Batch) -> Parts:
        loss = losses(output["logits"], batch["target"])
        return {"loss": loss.sum(1), "count": (batch["target"] != IGNORED).sum(1).float()}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """The mean over the tokens that are asked for (word-level distillation: Kim and Rush 2016,
        arXiv:1606.07947)."""
        asked = (batch["target"] != IGNORED).float()
        apart = divergence(output["logits"], teacher["logits"], temperature)
        return (apart * asked).sum(1) / asked.sum(1).clamp(min=1)

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """Where there are targets, what the model makes of them; else what it writes on, row by row."""
        if context.targets:
            # A published model's vocabulary is large, and so is what it says of a batch.
            row = batch["input"].shape[1] * int(self.outputs(context.domain)["logits"])
            pieces = cut(batch, max(MOST_SCORES // row, 1))
            parts = [losses(self.forward(model, piece, context)["logits"], piece["target"]) for piece in pieces]
            return {"loss": torch.cat(parts).sum(1)}
        lengths = batch["mask"].sum(1).tolist() if "mask" in batch else [batch["input"].shape[1]] * len(batch["input"])
        written = [
            self._written(model, batch["input"][i, : int(length)].tolist(), context.domain)
            for i, length in enumerate(lengths)
        ]
        longest = max([1, *map(len, written)])
        return {"tokens": torch.tensor([[*row, *[-1] * (longest - len(row))] for row in written])}

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        size = self.outputs(domain)["logits"]
        said = (
            "whose softmax is the probability of each token of the vocabulary to come after this one and those before"
        )
        return (TensorSpec("logits", "float32", (ROWS, "tokens", size), said),)

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        return {"logits": model(batch["input"], mask=batch["mask"])["logits"].float()}

    def _written(self, model: Module, tokens: Sequence[int], domain: Domain) -> list[int]:
        written: list[int] = []
        for token in self.write(model, tokens, domain):
            written.append(token)
            if self.stops(written, domain):
                break
        return written

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """ "bits" (n,) that the text costs, its "tokens" and, unless it is of codes, "bytes"; or "text", what was
        written."""
        table: Table = {"row": batch["row"]}
        if not context.targets:
            texts = [self.decode([t for t in row if t >= 0], context.domain) for row in output["tokens"].tolist()]
            return {**table, "text": texts}
        counted = (batch["target"] != IGNORED).sum(1).cpu().numpy()
        bits = output["loss"].double().cpu().numpy() / math.log(2)
        # Short texts are one window and long ones several: all batches say which, so that they make one table.
        table["part"] = batch["part"] if "part" in batch else torch.zeros_like(batch["row"])
        sizes = {"bytes": batch["bytes"].cpu().numpy()} if "bytes" in batch else {}
        return {**table, "bits": bits, "tokens": counted, **sizes}

    def write(self, model: Module, tokens: Sequence[int], domain: Domain) -> Iterator[int]:
        return write(model, tokens, self.sampling, end_of(domain), ends_of(domain))

    def endings(self, domain: Domain) -> tuple[int, ...]:
        """The tokens that end a text."""
        return (end_of(domain), *ends_of(domain))

    def stops(self, tokens: Sequence[int], domain: Domain) -> bool:
        """Whether one of the texts at which to stop was written."""
        text = vocabulary.continued(_tokenizer(domain), tokens) if self.sampling.stop else ""
        return any(stop in text for stop in self.sampling.stop)

    def decode(self, tokens: Sequence[int], domain: Domain) -> str:
        """The text of tokens, up to the first of the texts at which to stop."""
        text = vocabulary.continued(_tokenizer(domain), tokens)
        ends = [end for stop in self.sampling.stop if (end := text.find(stop)) >= 0]
        return text[: min(ends)] if ends else text

    def reduce(self, table: Table, domain: Domain) -> Table:
        """Windows of one text become one line: bits, tokens and bytes add up."""
        return add_up(table, ("bits", "tokens", *(("bytes",) if isinstance(domain, Tokenised) else ())))

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return language_metrics() if isinstance(domain, Tokenised) else code_metrics()

    def made(self, model: Module, train: Rows, context: Context) -> dict[str, Json]:
        """ "samples": texts written by fixed seeds, each with the share of its runs of eight tokens that stand so in
        the training text. None of a model that answers, for which see `replies`, and none of codes."""
        domain = context.domain
        if isinstance(domain, Conversational) or not isinstance(domain, Tokenised):
            return {}
        written, known = [], able(domain, Written)
        for seed in range(SAMPLES):
            sampling = Sampling(length=SAMPLE_LENGTH, temperature=1.0, top_p=0.95, seed=seed)
            start = [*known.begins] or [end_of(domain)]
            written.append(list(write(model, start, sampling, end_of(domain), ends_of(domain))))
        copied = overlap(written, known.tokens(train), 8)
        return {
            "samples": [
                {"seed": seed, "text": self.decode(tokens, domain), "copied": share}
                for seed, (tokens, share) in enumerate(zip(written, copied, strict=True))
            ]
        }

    def replies(self, model: Module, rows: Rows, train: Rows, context: Context) -> dict[str, Json]:
        """ "replies": to questions evenly spaced over the rows, what the model answers, always the likeliest token,
        with the row's own answer, and the share of runs of eight tokens that stand so in the answers trained on."""
        domain = context.domain
        if not isinstance(domain, Conversational):
            return {}
        chosen = [rows[int(i)] for i in np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows)))]
        replies: list[dict[str, Any]] = []
        written: list[list[int]] = []
        for row in chosen:
            messages, answer = domain.held_out(row)
            reply, why = "", ""
            written.append([])
            try:
                asked = domain.transform({"messages": messages}, None)[0]["input"].tolist()
            except DataError as error:  # longer than the model reads
                why = str(error)
            else:
                written[-1] = list(write(model, asked, LIKELIEST, end_of(domain)))
                reply = self.decode(written[-1], domain)
            replies.append({"id": row["id"], "messages": messages, "answer": answer, "reply": reply, "why": why})
        copied = overlap(written, able(domain, Written).tokens(train), 8)
        return {"replies": [{**reply, "copied": share} for reply, share in zip(replies, copied, strict=True)]}

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """xz at its best setting, which has seen the training text: what the texts add to its size. All texts are
        compressed in one go, so each of their bytes costs the same."""
        seen = b"".join(features.train)[-MOST_COMPRESSED:]
        asked = b"".join(features.rows)
        added = 8 * (_compressed(seen + asked) - _compressed(seen))
        rate = added / max(len(asked), 1)
        bits = np.asarray(columns["bytes"], np.float64) * rate
        return Plain("xz -9e that has seen the training text", {"bits": bits})

    def wording(self, domain: Domain) -> TaskWords:
        if not isinstance(domain, Tokenised):
            return FORETELLING
        return ANSWERING if isinstance(domain, Conversational) else WRITING

    def display(self, answer: Mapping[str, Any]) -> Display:
        return replace(super().display(answer), line=answer["text"], prose=True)

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        return [{"text": text} for text in table["text"]]


def losses(logits: Tensor, target: Tensor) -> Tensor:
    """(n, t) in nats, 0 where nothing is asked."""
    return F.cross_entropy(logits.float().transpose(1, 2), target, reduction="none", ignore_index=IGNORED)


def write(model: Any, tokens: Sequence[int], sampling: Sampling, end: int, others: Sequence[int] = ()) -> Iterator[int]:
    """Token after token, until `end`, one of the `others` that end a text, or the length that was asked for. Each costs
    one pass over itself: what came before stands in a cache, until the model's longest text is full; then the older
    half is forgotten.

    The same as without a cache, and the same again by the same seed.
    """
    batch, text = writing.batch(model), Text(list(tokens) or [end], sampling, frozenset({end, *others}))
    batch.join(text)
    while not text.over:
        batch.step()
        if not text.ended:
            yield text.tokens[-1]


def end_of(domain: Domain) -> int:
    """The token that stands between two texts: by the model's config, else by its name."""
    ends = ends_of(domain)
    return ends[0] if ends else vocabulary.require(_tokenizer(domain), vocabulary.END, "writing text")


def ends_of(domain: Domain) -> tuple[int, ...]:
    """All tokens that end a text, as far as the model's config names them."""
    return able(domain, Written).ends


def _tokenizer(domain: Domain) -> str:
    return able(domain, Tokenised).tokenizer


def _compressed(data: bytes) -> int:
    """Bytes. In pieces, which compress to the same, so that a time limit can come between."""
    maker = lzma.LZMACompressor(preset=9 | lzma.PRESET_EXTREME)
    pieces = (data[start : start + PIECE] for start in range(0, len(data), PIECE))
    return sum(len(maker.compress(piece)) for piece in pieces) + len(maker.flush())
