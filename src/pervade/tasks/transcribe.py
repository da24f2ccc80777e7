"""What is said in a recording, by connectionist temporal classification (nn/ctc.py), measured in wrong words.

Long recordings come in chunks that overlap. Each gives its frames' likeliest pieces; `reduce` drops half of every
overlap's frames on either side, so that each moment is told of by the chunk in which it lies farther from the edge, and
decodes the frames that are left as one recording. So no word is lost or doubled where two chunks meet; what is short is
decoded in the same place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module

from pervade.core.bounds import Finite, Weight
from pervade.core.contracts import Context, Domain, Task, TensorSpec
from pervade.core.contracts.abilities import CanTeach, Deployable
from pervade.core.contracts.capabilities import Transcribed, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import ConfigError, DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Display, Json, Output, Parts, Rows, Table
from pervade.core.words import FigureWords, TaskWords
from pervade.data.sound import alphabet
from pervade.data.text import characters, word_model
from pervade.metrics import calibration, transcription
from pervade.metrics.baseline import beside
from pervade.nn import ctc
from pervade.nn.ctc import Lattice
from pervade.nn.distillation import divergence

KEPT = 15  # pieces a frame, beside the blank, that a search tries
TENTH = 100  # strides are multiples of 1 / 100 s in nearly every model
UNSCALED = (1.0, 0.0)  # slope and offset of confidence as it comes
ALIKE = 0.03  # by so much a measured stride may differ from such a multiple for the ends of a recording
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 1.5)  # of the word model, that are tried on the validation split,
BONUSES = (0.0, 1.0, 2.0)  # and of every word
MOST_TRIED = 40  # recordings that they are tried on
USUAL = 0.5  # the word model's weight where nothing could be tried
FEWEST_WORDS = 50  # of the validation split, by which confidence is made what it claims to be
MOST_SHOWN = 20  # confusions and recordings in the report


@register("task")
@dataclass(frozen=True)
class Transcribe(Task, CanTeach, Deployable):
    """The model returns "logits" (n, f, v) and "frames" (n, f), which of them count; the batch holds "target" (n, l)
    and "length" (n,). The domain gives `alphabet`, what each piece spells, and `words`, the n-grams' SHA-256."""

    beam: Annotated[int, Field(ge=0, le=1000)] = 0  # spellings that a search keeps; 0: the likeliest path
    language_weight: Weight | None = None  # of the n-grams; None: settled on the validation split
    word_bonus: Finite = 0.0  # for every word that a search writes; settled with the weight

    def examine(self, rows: Rows) -> None:
        if "text" not in rows:
            raise DataError(
                "the recordings have no transcripts; give a table with a column of files and a column transcription"
            )
        if "split" in rows and "fold" not in rows and len(rows.where("split", "train")) == 0:
            raise DataError("nothing is left to learn from; add recordings")

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"logits": len(_alphabet(domain))}

    def loss(self, output: Output, batch: Batch) -> Parts:
        """Per piece of the transcript. A row that does not fit into its frames (its speed was changed, say) counts for
        nothing; "too_long" is their share."""
        loss, fits = ctc.loss(output["logits"], output["frames"], batch["target"], batch["length"])
        return {"loss": loss, "count": batch["length"] * fits.float(), "too_long": 1 - fits.float()}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """The mean over frames. Raises ConfigError where the student's are not as long as the teacher's."""
        own, other = output["logits"], teacher["logits"]
        if own.shape != other.shape:
            raise ConfigError(
                f"the student hears {own.shape[1]} frames where its teacher hears {other.shape[1]}, and imitates each; "
                "take a student of the same stride, as one with fewer layers of the same model"
            )
        frames = output["frames"].float()
        return (divergence(own, other, temperature) * frames).sum(1) / frames.sum(1).clamp(min=1)

    def score(self, output: Output, batch: Batch, context: Context) -> Tensor:
        """(n,): the log-probability of the transcript, or of the likeliest path where there is none."""
        if context.targets:
            return super().score(output, batch, context)
        best = output["logits"].float().log_softmax(2).amax(2)
        return (best * output["frames"]).sum(1)

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """ "log_prob" (n, f, v) and "frames"."""
        output = self.forward(model, batch, context)
        return {"log_prob": output["logits"].float().log_softmax(2), "frames": output["frames"]}

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        said = "logarithm of the probability of each piece of the alphabet; the first is the blank of CTC"
        return (
            TensorSpec("log_prob", "float32", (ROWS, "frames", len(_alphabet(domain))), said),
            TensorSpec("frames", "int64", (ROWS,), "how many frames of each row count"),
        )

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        heard = self.infer(model, batch, context)
        return {"log_prob": heard["log_prob"], "frames": heard["frames"].long().sum(1)}

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """A line a chunk: "pieces" and "log_prob", the lattice row by row, "kept" pieces a frame; "start" and "stride",
        in seconds; "seconds" of the whole recording; the "weight" and "bonus" that the search is to take (nan: not
        settled yet), and the "slope" and "offset" that make chances of confidences. `reduce` makes text of them."""
        rate = able(context.domain, Transcribed).rate
        lattices = ctc.lattices(output["log_prob"], output["frames"], KEPT if self.beam else 1)
        sizes = batch["size"].tolist()
        weight, bonus = self._settled(context)
        slope, offset = context.decision.get("confidence", UNSCALED)
        table: Table = {
            "row": batch["row"],
            "part": batch.get("part", torch.zeros_like(batch["row"])),
            "seconds": batch["whole"].double().cpu().numpy() / rate,
            "start": batch["start"].double().cpu().numpy() / rate,
            "stride": np.array([stride(s, len(e), rate) for s, e in zip(sizes, lattices, strict=True)]),
            "kept": np.array([lattice.pieces.shape[1] for lattice in lattices], np.int64),
            "pieces": [lattice.pieces.ravel().tolist() for lattice in lattices],
            "log_prob": [lattice.log_prob.ravel().tolist() for lattice in lattices],
            "weight": np.full(len(sizes), weight),
            "bonus": np.full(len(sizes), bonus),
            "slope": np.full(len(sizes), float(slope)),
            "offset": np.full(len(sizes), float(offset)),
        }
        if context.targets:
            table["reference"] = characters.from_tensor(batch["reference"])
        return table

    def _settled(self, context: Context) -> tuple[float, float]:
        decision = context.decision
        weight = decision.get("language_weight", self.language_weight)
        return math.nan if weight is None else float(weight), float(decision.get("word_bonus", self.word_bonus))

    def reduce(self, table: Table, domain: Domain) -> Table:
        """A line a recording: "text", when each word "begins" and "ends" (seconds) and how "sure" it is, which is the
        chance that it is right once that was learnt on a validation split; "confidence", the mean of these chances;
        where the transcript is known, "reference" and the edits by words and characters. Frames stay in the table
        ("pieces", "log_prob") while the word model's weight is still to be settled."""
        rows, parts = np.asarray(table["row"]), np.asarray(table["part"])
        lines: dict[int, list[int]] = {}
        for place in np.argsort(parts, kind="stable").tolist():
            lines.setdefault(int(rows[place]), []).append(place)
        order = list(dict.fromkeys(rows.tolist()))
        heard = [self._decoded(table, lines[row], domain) for row in order]
        first = [lines[row][0] for row in order]
        out: Table = {"row": np.array(order, np.int64), "seconds": np.asarray(table["seconds"])[first]}
        out |= {name: [row[name] for row in heard] for name in ("text", "begins", "ends", "sure")}
        out["confidence"] = np.array([row["confidence"] for row in heard])
        if self._unsettled(table, domain):
            out["kept"] = np.array([row["lattice"].pieces.shape[1] for row in heard], np.int64)
            out["pieces"] = [row["lattice"].pieces.ravel().tolist() for row in heard]
            out["log_prob"] = [row["lattice"].log_prob.ravel().tolist() for row in heard]
        if "reference" in table:
            out["reference"] = [table["reference"][place] for place in first]
            out |= transcription.table(out["reference"], out["text"])
        return out

    def _unsettled(self, table: Table, domain: Domain) -> bool:
        asked = self.beam > 0 and bool(able(domain, Transcribed).words)
        return asked and bool(np.isnan(np.asarray(table["weight"])).any())

    def _decoded(self, table: Table, places: Sequence[int], domain: Domain) -> dict[str, Any]:
        lattice, begins, step = _joined(table, places, domain)
        weight = float(table["weight"][places[0]])
        scorer = self._scorer(domain, USUAL if math.isnan(weight) else weight, float(table["bonus"][places[0]]))
        hypothesis = ctc.spelt(lattice, self.beam, scorer)
        words = list(ctc.words(hypothesis, _alphabet(domain)))
        scale = float(table["slope"][places[0]]), float(table["offset"][places[0]])
        sure = calibration.chance(np.exp([log_prob for _, _, _, log_prob in words]), *scale).tolist()
        return {
            "text": alphabet.decode(_alphabet(domain), hypothesis.pieces),
            "begins": [round(float(begins[first]), 3) for _, first, _, _ in words],
            "ends": [round(float(begins[last]) + step, 3) for _, _, last, _ in words],
            "sure": sure,
            "confidence": float(np.mean(sure)) if sure else _silent(lattice),
            "lattice": lattice,
        }

    def _scorer(self, domain: Domain, weight: float, bonus: float) -> ctc.Scorer | None:
        words = able(domain, Transcribed).words
        if not self.beam or not words:
            return None
        return word_model.Scorer(word_model.of(words), _alphabet(domain), weight, bonus)

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        return transcription.transcription_metrics()

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "language_weight" and "word_bonus", where a search asks for them and they are not set, with the fewest wrong
        words on (at most 40 of) these recordings, of equal ones with the fewest wrong characters; "confidence", the
        slope and offset that make of a word's confidence the chance that it is right, where there are words enough."""
        if "reference" not in columns:
            return {}
        settled: dict[str, Json] = {}
        texts, sure = list(map(str, columns["text"])), list(columns["sure"])
        references = list(map(str, columns["reference"]))
        if "pieces" in columns:
            settled, references, texts, sure = self._weighed(columns, domain)
        right = [word for r, t in zip(references, texts, strict=True) for word in transcription.right_words(r, t)]
        if len(right) >= FEWEST_WORDS:
            known = np.array([value for some in sure for value in some], np.float64)
            settled["confidence"] = list(calibration.logistic(known, np.array(right)))
        return settled

    def _weighed(
        self, columns: Mapping[str, Any], domain: Domain
    ) -> tuple[dict[str, Json], list[str], list[str], list[list[float]]]:
        """The weights; and of the recordings they were tried on what was said, what is written with them, and how sure
        each word is."""
        some = np.linspace(0, len(columns["row"]) - 1, min(MOST_TRIED, len(columns["row"]))).round().astype(int)
        lattices = [_lattice(columns, int(place)) for place in some]
        references = [str(columns["reference"][place]) for place in some]
        tried = []
        for weight in WEIGHTS:
            for bonus in BONUSES:
                scorer = self._scorer(domain, weight, bonus)
                spelt = [ctc.beam_search(lattice, self.beam, scorer, most=1)[0][0] for lattice in lattices]
                edits = transcription.table(references, [alphabet.decode(_alphabet(domain), ids) for ids in spelt])
                wrong = [
                    int(sum(edits[f"{unit}_{kind}"].sum() for kind in transcription.KINDS))
                    for unit in ("word", "character")
                ]
                tried.append((*wrong, weight, bonus))
        _, _, weight, bonus = min(tried)
        scorer = self._scorer(domain, weight, bonus)
        heard = [ctc.spelt(lattice, self.beam, scorer) for lattice in lattices]
        texts = [alphabet.decode(_alphabet(domain), hypothesis.pieces) for hypothesis in heard]
        sure = [[math.exp(log_prob) for _, _, _, log_prob in ctc.words(best, _alphabet(domain))] for best in heard]
        return {"language_weight": weight, "word_bonus": bonus}, references, texts, sure

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "normalisation" and "decoding" in words, "confusions", "worst" recordings, "unwritten" (recordings of which
        nothing was written), and "baseline": the training split's most frequent transcript, or where that has more
        wrong words, nothing."""
        spelling = able(domain, Transcribed).spelling
        usual, _ = min(Counter(map(spelling, train.column("text"))).items(), key=lambda pair: (-pair[1], pair[0]))
        references, texts = [list(map(str, columns[name])) for name in ("reference", "text")]
        name = f"always {usual[:60]!r}, the most frequent transcript in training"
        always, nothing = (transcription.table(references, [text] * len(references)) for text in (usual, ""))
        if transcription.errors_of(always, "word").sum() > transcription.errors_of(nothing, "word").sum():
            name, always = "writing nothing", nothing
        errors = transcription.errors_of(columns, "word")
        worst = sorted(range(len(texts)), key=lambda i: (-int(errors[i]), i))[:MOST_SHOWN]
        how = able(domain, Transcribed).normalise
        return {
            "normalisation": f"{how}: {alphabet.IN_WORDS[how]}",
            "decoding": self._in_words(domain),
            "errors": {
                unit: {kind: int(np.sum(columns[f"{unit}_{kind}"])) for kind in transcription.KINDS}
                for unit in ("word", "character")
            },
            "confusions": transcription.confusions(references, texts, MOST_SHOWN),
            "unwritten": sum(not text for text in texts),
            "worst": [
                {"row": int(columns["row"][i]), "said": references[i], "written": texts[i], "errors": int(errors[i])}
                for i in worst
                if errors[i]
            ],
            "baseline": beside(name, transcription.transcription_metrics(), {**columns, **always}, columns),
        }

    def _in_words(self, domain: Domain) -> str:
        if not self.beam:
            return "the likeliest path"
        words = able(domain, Transcribed).words
        helped = ""
        if words:
            model = word_model.of(words)
            helped = f", helped by {model.order}-grams of the training transcripts' {model.unit}"
        return f"a search that keeps {self.beam} spellings{helped}"

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords(
            "writes down what is said in a {one}",
            pipeline="automatic-speech-recognition",
            purpose="It is made to write down speech like that it was trained on. Where it does not understand, it "
            "writes something all the same, and what it writes reads like what might have been said: names, numbers "
            "and negations should be checked against the recording.",
            logged={"too_long": FigureWords("Share that says more than can be aligned")},
        )

    def display(self, answer: Mapping[str, Any]) -> Display:
        return replace(super().display(answer), line=answer["text"], prose=True)

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "text", "confidence" and "words", each with its "start" and "end" in seconds."""
        answers = []
        for place, text in enumerate(table["text"]):
            times = zip(text.split(), *(table[name][place] for name in ("begins", "ends", "sure")), strict=True)
            words = [{"word": w, "start": s, "end": e, "confidence": c} for w, s, e, c in times]
            answers.append({"text": text, "confidence": float(table["confidence"][place]), "words": words})
        return answers


def stride(samples: int, frames: int, rate: int) -> float:
    """Seconds from one frame to the next, of a recording of so many samples: the nearest hundredth if it is that within
    what the ends can make of it.

    >>> stride(160_000, 499, 16_000), stride(8_000, 32, 8_000)
    (0.02, 0.03125)
    """
    seconds = samples / max(frames, 1) / rate
    near = max(round(seconds * TENTH), 1) / TENTH
    return near if abs(seconds - near) <= ALIKE * near else seconds


def _alphabet(domain: Domain) -> tuple[str, ...]:
    return able(domain, Transcribed).alphabet


def _lattice(table: Mapping[str, Any], place: int) -> Lattice:
    kept = int(table["kept"][place])
    pieces, log_prob = (np.asarray(table[name][place]).reshape(-1, kept) for name in ("pieces", "log_prob"))
    return Lattice(pieces, log_prob)


def _joined(table: Table, places: Sequence[int], domain: Domain) -> tuple[Lattice, np.ndarray, float]:
    """The frames of a recording out of its chunks, in order, when each begins, and the seconds between two. Of chunks
    that overlap each keeps what lies on its side of the overlap's middle. Chunks need not hold whole frames, so time is
    counted from each one's start: over hours it would be off by seconds."""
    step = float(table["stride"][places[0]])  # the first chunk is whole, which the last need not be
    if len(places) == 1:
        lattice = _lattice(table, places[0])
        return lattice, np.arange(len(lattice)) * step, step
    heard = able(domain, Transcribed)
    half = heard.overlap_samples / heard.rate / 2
    starts = [float(table["start"][place]) for place in places]
    kept, begins = [], []
    for number, place in enumerate(places):
        lattice = _lattice(table, place)
        begin = starts[number] + np.arange(len(lattice)) * step
        middles = begin + 0.5 * step
        inside = np.ones(len(lattice), bool)
        if number:
            inside &= middles >= starts[number] + half
        if number + 1 < len(places):
            inside &= middles < starts[number + 1] + half
        kept.append(Lattice(lattice.pieces[inside], lattice.log_prob[inside]))
        begins.append(begin[inside])
    return ctc.joined(kept), np.concatenate(begins), step


def _silent(lattice: Lattice) -> float:
    """How sure it is that nothing was said: the geometric mean of the blanks' probabilities."""
    return math.exp(float(np.mean(lattice.log_prob[:, 0]))) if len(lattice) else 1.0
