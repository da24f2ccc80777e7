"""Where in a text does the answer to a question stand? The answer is a piece of the text, or there is none.

Every token gets two scores, for the answer's beginning and its end (Devlin et al. 2019, arXiv:1810.04805). The first
token of a window stands for "not here". Windows of one text are joined by the best score; a question is left without an
answer where "not here" wins in all of them by a margin that the validation split settles (Rajpurkar et al. 2018).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import Module
from torch.nn import functional as F

from pervade.core.contracts import Context, Domain, Plain, PlainFeatures, Task, TensorSpec
from pervade.core.contracts.abilities import CanTeach, Deployable, HasPlainModel
from pervade.core.contracts.capabilities import Answerable, able
from pervade.core.contracts.deployment import ROWS
from pervade.core.errors import DataError
from pervade.core.registry import register
from pervade.core.types import Batch, Display, Json, Output, Parts, Rows, Table
from pervade.core.words import TaskWords
from pervade.data.text import characters
from pervade.metrics import span
from pervade.nn.distillation import divergence
from pervade.tasks.classify import ranked

NEVER = -1e30  # the score of what is no piece of the text; finite, so that it can be subtracted
KEPT = 5  # of the likeliest answers, in the predictions file


@register("task")
@dataclass(frozen=True)
class AnswerSpan(Task, HasPlainModel, CanTeach, Deployable):
    """The model returns "span" (n, t, 2): the scores of beginning and end. The batch holds "inside" (n, t), "target"
    (n, 2) and, in evaluation, "spans" (n, t, 2), "context" and "answers" (domains/questions.py)."""

    longest: Annotated[int, Field(ge=1, le=8192)] = 30  # tokens of an answer
    candidates: Annotated[int, Field(ge=1, le=1000)] = 20  # answers of a window that are compared with those of others

    def examine(self, rows: Rows) -> None:
        if "answers" not in rows:
            raise DataError("the questions have no answers to learn from; give SQuAD's JSON, or a column of answers")
        trained = rows.where("split", "train") if "split" in rows else rows
        if not any(trained.column("answers")):
            raise DataError("no question to learn from has an answer, so there is nothing to find; add some that have")

    def outputs(self, domain: Domain) -> dict[str, int]:
        return {"span": 2}

    def loss(self, output: Output, batch: Batch) -> Parts:
        begin, end = _allowed(output["span"].float(), batch["inside"]).unbind(2)
        losses = [
            F.cross_entropy(scores, batch["target"][:, i], reduction="none") for i, scores in enumerate((begin, end))
        ]
        with torch.no_grad():
            right = (begin.argmax(1) == batch["target"][:, 0]) & (end.argmax(1) == batch["target"][:, 1])
        return {"loss": (losses[0] + losses[1]) / 2, "right": right.float()}

    def imitation(self, output: Output, teacher: Output, batch: Batch, temperature: float) -> Tensor:
        """The mean of where answers begin and where they end, as far as they may stand there."""
        said, wanted = (_allowed(own["span"].float(), batch["inside"]).transpose(1, 2) for own in (output, teacher))
        return divergence(said, wanted, temperature).mean(1)

    def infer(self, model: Module, batch: Batch, context: Context) -> Output:
        """The best pieces of each window: "score" (n, c), "begin" and "end" (n, c) tokens; "absent" (n,), the score of
        there being none."""
        begin, end, absent = self._open(self.forward(model, batch, context)["span"].float(), batch["inside"])
        length = begin.shape[1]
        # By the answer's length: the score of each beginning with the end so far behind it.
        most = min(self.longest, length)
        ahead = [F.pad(begin[:, : length - d] + end[:, d:], (0, d), value=2 * NEVER) for d in range(most)]
        pairs = torch.stack(ahead, 1)
        best = pairs.flatten(1).topk(min(self.candidates, pairs[0].numel()), 1)
        first = best.indices % length
        return {
            "score": best.values,
            "begin": first,
            "end": (first + best.indices // length).clamp(max=length - 1),
            "absent": absent,
        }

    def gives(self, domain: Domain) -> tuple[TensorSpec, ...]:
        return (
            TensorSpec("begin_token", "int64", (ROWS,), "first token of the best answer in the window, from 0"),
            TensorSpec("end_token", "int64", (ROWS,), "its last token"),
            TensorSpec("score", "float32", (ROWS,), "how well it answers: of several windows the highest answers"),
            TensorSpec(
                "absent_score",
                "float32",
                (ROWS,),
                "of there being no answer, less the margin that was settled; "
                "where that is larger than the score of every window, there is none",
            ),
        )

    def deployed(self, model: Module, batch: Batch, context: Context) -> dict[str, Tensor]:
        """By all pairs of tokens, where `infer` goes by lengths: their number is an axis of any length."""
        begin, end, absent = self._open(self.forward(model, batch, context)["span"].float(), batch["inside"])
        places = torch.arange(begin.shape[1])
        ahead = places[None, :] - places[:, None]
        pairs = begin[:, :, None] + end[:, None, :]
        pairs = pairs.masked_fill((ahead < 0) | (ahead >= self.longest), 2 * NEVER)
        score, place = pairs.flatten(1).max(1)
        margin = float(context.decision.get("margin", 0.0))
        first = place.div(begin.shape[1], rounding_mode="floor")
        return {
            "begin_token": first,
            "end_token": place - first * begin.shape[1],
            "score": score,
            "absent_score": absent - margin,
        }

    def _open(self, scores: Tensor, inside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores (n, t) of beginning and end inside the text, and (n,) of there being no answer."""
        begin, end = _allowed(scores, inside).unbind(2)
        absent = begin[:, 0] + end[:, 0]
        return begin.masked_fill(~inside, NEVER), end.masked_fill(~inside, NEVER), absent

    def predictions(self, output: Output, batch: Batch, context: Context) -> Table:
        """A line a window: "scores", "begins", "ends" (n, c) in characters and "texts" (joined) of its best answers;
        "absent" (n,), what there being none is worth, less the margin that was settled; "target", the right answers
        (joined). Of the same types whatever a batch holds, since they are written as they come."""
        texts = characters.from_tensor(batch["context"])
        spans = batch["spans"].cpu()
        begins = torch.gather(spans[:, :, 0], 1, output["begin"].cpu()).numpy()
        ends = torch.gather(spans[:, :, 1], 1, output["end"].cpu()).numpy()
        scores = output["score"].cpu().double().numpy()
        pieces = [["" for _ in row] for row in scores]
        for i, k in np.argwhere(scores > NEVER / 2).tolist():
            piece = texts[i][begins[i, k] : ends[i, k]]
            # Some tokens begin with the blank before a word.
            begins[i, k] += len(piece) - len(piece.lstrip())
            ends[i, k] -= len(piece) - len(piece.rstrip())
            pieces[i][k] = piece.strip()
        missing = ((0, 0), (0, self.candidates - scores.shape[1]))
        table: Table = {
            "row": batch["row"],
            "scores": np.pad(scores, missing, constant_values=NEVER),
            "begins": np.pad(begins, missing),
            "ends": np.pad(ends, missing),
            "texts": [characters.join(spelt) for spelt in pieces],
            "absent": output["absent"].cpu().double().numpy() - float(context.decision.get("margin", 0.0)),
        }
        if context.targets:
            table["target"] = characters.from_tensor(batch["answers"])
        return table

    def reduce(self, table: Table, domain: Domain) -> Table:
        """A line a question: "prediction", empty where there is none, its "start" and "end" in the text, -1 then, its
        "probability" among the candidates; "candidates" and "candidate_probabilities", the likeliest; "absent", by how
        much there being none is better than the best."""
        unanswerable = able(domain, Answerable).unanswerable
        rows = np.asarray(table["row"])
        places: dict[int, list[int]] = {}
        for place, row in enumerate(rows.tolist()):
            places.setdefault(row, []).append(place)
        answers = [_joined(table, windows, unanswerable) for windows in places.values()]
        joined: Table = {"row": np.array(list(places), np.int64)}
        joined |= {name: [answer[name] for answer in answers] for name in answers[0]}
        for name in ("start", "end"):
            joined[name] = np.array(joined[name], np.int64)
        for name in ("probability", "absent"):
            joined[name] = np.array(joined[name], np.float64)
        if "target" in table:
            joined["target"] = [characters.part(table["target"][windows[0]]) for windows in places.values()]
        return joined

    def metrics(self, domain: Domain) -> Mapping[str, Any]:
        known = able(domain, Answerable)
        return span.span_metrics(known.by_character, known.unanswerable)

    def decide(self, columns: Mapping[str, Any], domain: Domain) -> dict[str, Json]:
        """ "margin": by how much "not here" must win, so that F1 is best on these rows. Nothing where every question
        has an answer."""
        known = able(domain, Answerable)
        if not known.unanswerable:
            return {}
        best = [texts[0] if texts else "" for texts in columns["candidates"]]
        answered = span.scores({"prediction": best, "target": columns["target"]}, known.by_character)[1]
        left = np.array([not answers for answers in columns["target"]], float)
        return {"margin": best_margin(np.asarray(columns["absent"]), answered, left)}

    def details(self, columns: Mapping[str, Any], train: Rows, domain: Domain) -> dict[str, Json]:
        """ "answers": how many questions there are of either kind, and how many were left without an answer."""
        none = [not answers for answers in columns["target"]]
        left = [not answer for answer in columns["prediction"]]
        return {"answers": {"questions": len(none), "unanswerable": sum(none), "left": sum(left)}}

    def plain(self, features: PlainFeatures, train: Rows, columns: Mapping[str, Any], domain: Domain) -> Plain | None:
        """A rule without learning: the longest run of new words in the sentence that has most words of the question."""
        known = able(domain, Answerable)
        texts = dict.fromkeys(text for _, text in (*features.train, *features.rows))
        often = _often(list(texts), known.by_character)
        answers = [nearest_words(question, text, often, known.by_character) for question, text in features.rows]
        return Plain(
            "the words beside the question's own in the sentence that has most of them",
            {"prediction": answers, "probability": np.full(len(answers), np.nan)},
        )

    def wording(self, domain: Domain) -> TaskWords:
        return TaskWords("finds the answer to a {one} in its text", pipeline="question-answering")

    def display(self, answer: Mapping[str, Any]) -> Display:
        line = f"{answer['answer'] or 'no answer'} {answer['probability']:.1%}"
        return Display(line, ranked(answer["top"]))

    def answers(self, table: Table, domain: Domain, top: int) -> list[dict[str, Any]]:
        """ "answer" (empty: there is none), its "start" and "end" in the text, "probability"; "top": the likeliest."""
        rows = []
        for i in range(len(table["row"])):
            ranked = zip(table["candidates"][i], table["candidate_probabilities"][i], strict=True)
            rows.append(
                {
                    "answer": table["prediction"][i],
                    "start": int(table["start"][i]),
                    "end": int(table["end"][i]),
                    "probability": float(table["probability"][i]),
                    "top": [{"label": text, "probability": p} for text, p in list(ranked)[:top]],
                }
            )
        return rows


def _allowed(scores: Tensor, inside: Tensor) -> Tensor:
    """(n, t, 2): only the text itself, and the first token, which says "not here"."""
    open_ = inside.clone()
    open_[:, 0] = True
    return scores.masked_fill(~open_[:, :, None], NEVER)


def _joined(table: Table, windows: Sequence[int], unanswerable: bool) -> dict[str, Any]:
    best: dict[str, tuple[float, int, int]] = {}
    for place in windows:
        texts = characters.part(table["texts"][place])
        for score, begin, end, text in zip(
            *(table[name][place][: len(texts)] for name in ("scores", "begins", "ends")), texts, strict=True
        ):
            if text and (text not in best or score > best[text][0]):
                best[text] = (float(score), int(begin), int(end))
    ranked = sorted(best.items(), key=lambda pair: (-pair[1][0], pair[1][1]))
    # A text that holds the answer in one of its windows does not hold it in the others.
    absent = min(float(table["absent"][place]) for place in windows)
    scores = np.array([pair[1][0] for pair in ranked] + ([absent] if unanswerable else []))
    shares = np.exp(scores - scores.max()) if len(scores) else scores
    shares = shares / max(float(shares.sum()), 1e-300)
    margin = absent - ranked[0][1][0] if ranked else float("inf")
    kept = {
        "candidates": [text for text, _ in ranked[:KEPT]],
        "candidate_probabilities": shares[: min(len(ranked), KEPT)].tolist(),
        "absent": margin,
    }
    if not ranked or (unanswerable and margin > 0):
        share = float(shares[-1]) if unanswerable and len(shares) else 1.0
        return {"prediction": "", "start": -1, "end": -1, "probability": share, **kept}
    text, (_, begin, end) = ranked[0]
    return {"prediction": text, "start": begin, "end": end, "probability": float(shares[0]), **kept}


def best_margin(absent: np.ndarray, answered: np.ndarray, left: np.ndarray) -> float:
    """The margin m for which the mean of `left` where absent > m, and of `answered` (n,) elsewhere, is highest; of
    equally good ones the one nearest to 0.

    >>> best_margin(np.array([-3.0, 1.0, 2.0]), np.array([1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0]))
    1.5
    """
    known = np.isfinite(absent)  # the others have nothing to answer with, whatever the margin
    absent, answered, left = absent[known], answered[known], left[known]
    order = np.argsort(absent, kind="stable")
    ranked = absent[order]
    # With the i lowest answered and the others left.
    totals = np.r_[0.0, np.cumsum(answered[order])] + np.r_[np.cumsum(left[order][::-1])[::-1], 0.0]
    ends = np.r_[ranked[0] - 1, (ranked[1:] + ranked[:-1]) / 2, ranked[-1] + 1] if len(ranked) else np.zeros(1)
    parted = np.r_[True, ranked[1:] > ranked[:-1], True] if len(ranked) else np.ones(1, bool)
    good = np.flatnonzero(parted & (totals >= totals[parted].max() - 1e-12))
    return float(min(ends[good], key=abs)) if len(good) else 0.0


# the rule beside it


def _split(text: str, by_character: bool) -> list[tuple[str, int, int]]:
    """Words, or single characters, each with its place."""
    pattern = r"\d+|[a-zA-Z]+|\w" if by_character else r"\w+"
    return [(match.group().lower(), match.start(), match.end()) for match in re.finditer(pattern, text)]


def _often(texts: Sequence[str], by_character: bool) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in texts:
        for word in {word for word, _, _ in _split(text, by_character)}:
            counts[word] = counts.get(word, 0) + 1
    return counts


def nearest_words(question: str, text: str, often: Mapping[str, int], by_character: bool) -> str:
    """
    >>> nearest_words("Who wrote Faust?", "Goethe wrote Faust. Kant wrote none.", {"faust": 1, "wrote": 9}, False)
    'Goethe'
    """
    asked = {word for word, _, _ in _split(question, by_character)}

    def weight(word: str) -> float:
        return 1.0 / often.get(word, 1)

    best, answer = -1.0, ""
    for sentence in re.finditer(r"[^.!?。！？\n]+(?:\.\d[^.!?。！？\n]*)*", text):
        words = _split(sentence.group(), by_character)
        shared = sum(weight(word) for word in {word for word, _, _ in words} & asked)
        if shared <= best:
            continue
        runs: list[list[tuple[str, int, int]]] = [[]]
        for word in words:
            # What stands in many texts ends a run like what was asked: such words are no names.
            if word[0] in asked or often.get(word[0], 0) > max(often.values(), default=1) / 4:
                runs.append([])
            else:
                runs[-1].append(word)
        longest = max(runs, key=lambda run: sum(weight(word) for word, _, _ in run))
        if longest:
            best, answer = shared, sentence.group()[longest[0][1] : longest[-1][2]]
    return answer
