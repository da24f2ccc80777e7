"""Decoding against what can be enumerated, and the loss by hand."""

import itertools
import math
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from pervade.data.text import word_model
from pervade.data.text.word_model import Scorer
from pervade.nn import ctc


def lattice_of(probabilities: np.ndarray, kept: int | None = None) -> ctc.Lattice:
    """probabilities (f, v)."""
    log_prob = torch.from_numpy(np.log(probabilities))[None]
    frames = torch.ones(1, len(probabilities), dtype=torch.bool)
    return ctc.lattices(log_prob, frames, kept or probabilities.shape[1])[0]


def random(frames: int, pieces: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(pieces), frames)


def collapse(path: Sequence[int]) -> list[int]:
    return [piece for piece, _ in itertools.groupby(path) if piece != ctc.BLANK]


def enumerated(probabilities: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every spelling: the sum over all paths."""
    found: dict[tuple[int, ...], float] = {}
    frames, pieces = probabilities.shape
    for path in itertools.product(range(pieces), repeat=frames):
        text = tuple(collapse(path))
        found[text] = found.get(text, 0.0) + math.prod(probabilities[i, p] for i, p in enumerate(path))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_beam_search_sums_over_all_paths(seed: int) -> None:
    probabilities = random(5, 3, seed)
    expected = enumerated(probabilities)
    found = ctc.beam_search(lattice_of(probabilities), beam=1000)
    assert len(found) == len(expected)
    for text, score in found:
        assert score == pytest.approx(math.log(expected[text]), abs=1e-9)
    assert found[0][0] == max(expected, key=expected.__getitem__)


def test_the_likeliest_spelling_is_not_that_of_the_likeliest_path() -> None:
    """0.6 x 0.6 is the likeliest path and spells nothing; a is spelt by three others, 0.64 together."""
    lattice = lattice_of(np.array([[0.6, 0.4], [0.6, 0.4]]))
    assert ctc.best_path(lattice).pieces == []
    assert ctc.beam_search(lattice, 4)[0] == ((1,), pytest.approx(math.log(0.64)))


@pytest.mark.parametrize("unit", ["words", "characters"])
@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_beam_search_with_a_word_model(unit, weight: float) -> None:
    """Every spelling's score is its own plus what the model thinks of the whole text, and so is the best one's."""
    alphabet = ("", " ", "a", "b")
    model = word_model.read(word_model.learn(["a b a", "b a", "ab a ba"], unit, 2))
    probabilities = random(4, 4, 7)
    bonus = 0.3

    def score(text: tuple[int, ...], probability: float) -> float:
        words = " ".join("".join(alphabet[i] for i in text).split())
        return math.log(probability) + weight * model.score(words) + bonus * len(words.split())

    expected = {text: score(text, p) for text, p in enumerated(probabilities).items()}
    found = ctc.beam_search(lattice_of(probabilities), 10_000, Scorer(model, alphabet, weight, bonus))
    assert len(found) == len(expected)
    for text, each in found:
        assert each == pytest.approx(expected[text], abs=1e-9), text
    assert found[0][1] == pytest.approx(max(expected.values()))


def test_a_search_forgets_what_it_dropped() -> None:
    """What a word model said of every spelling that was ever tried took gigabytes in minutes."""
    probabilities = random(400, 6, 0)
    model = word_model.read(word_model.learn(["a b"], "words", 2))
    scorer = Scorer(model, ("", "a", "b", "c", "d", " "), 0.0, 0.0)
    tracemalloc.start()
    ctc.beam_search(lattice_of(probabilities), 4, scorer)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 500_000


def listed(lattice: ctc.Lattice, beam: int) -> list[tuple[tuple[int, ...], float]]:
    """The search as it stands in the paper, with each spelling written out whole."""
    front = {(): (0.0, ctc.NEVER)}
    for pieces, log_prob in zip(lattice.pieces.tolist(), lattice.log_prob.tolist(), strict=True):
        new: dict[tuple[int, ...], list[float]] = {}
        for text, (ended, open_) in front.items():
            whole = np.logaddexp(ended, open_)
            new.setdefault(text, [ctc.NEVER, ctc.NEVER])[0] = whole + log_prob[0]
            for piece, score in zip(pieces[1:], log_prob[1:], strict=True):
                if text[-1:] == (piece,):
                    new[text][1] = np.logaddexp(new[text][1], open_ + score)
                further = new.setdefault((*text, piece), [ctc.NEVER, ctc.NEVER])
                further[1] = np.logaddexp(further[1], (ended if text[-1:] == (piece,) else whole) + score)
        front = dict(sorted(new.items(), key=lambda each: np.logaddexp(*each[1]))[-beam:])
    return sorted(((text, float(np.logaddexp(*each))) for text, each in front.items()), key=lambda each: -each[1])


@pytest.mark.parametrize("seed", range(6))
def test_spellings_that_share_their_beginning_are_those_written_out(seed: int) -> None:
    lattice = lattice_of(random(60, 4, seed))
    for beam in (1, 3, 20):
        found, expected = ctc.beam_search(lattice, beam), listed(lattice, beam)
        assert [text for text, _ in found] == [text for text, _ in expected]
        assert [score for _, score in found] == pytest.approx([score for _, score in expected])


def test_equal_spellings_are_ordered_by_their_pieces() -> None:
    """Of nine paths as likely each, three spell a, three b, and one each of the others. Of equals the earlier in the
    alphabet comes first, and the later stays if one must go."""
    lattice = lattice_of(np.full((2, 3), 1 / 3))
    found = ctc.beam_search(lattice, 10)
    assert [text for text, _ in found] == [(1,), (2,), (), (1, 2), (2, 1)]
    assert [text for text, _ in ctc.beam_search(lattice, 10, most=3)] == [(1,), (2,), ()]
    assert [text for text, _ in ctc.beam_search(lattice_of(np.full((1, 3), 1 / 3)), 2)] == [(1,), (2,)]  # () went


def doubtful(frames: int) -> tuple[np.ndarray, ctc.Lattice]:
    """a a _ b over and over, sure of all but the sixth frame, which stays in doubt to the end."""
    path = np.tile([1, 1, 0, 2], frames // 4)
    probabilities = np.full((frames, 3), 0.01)
    probabilities[np.arange(frames), path] = 0.98
    probabilities[5] = (0.1, 0.46, 0.44)
    return path, lattice_of(probabilities)


def test_hours_are_spelt_out() -> None:
    """20,000 frames: an alignment of every frame with every piece would take 3.6 GB."""
    path, lattice = doubtful(20_000)
    said = ctc.spelt(lattice, 3, None)
    assert said.pieces == collapse(path)
    assert (said.first[-2:], said.last[-2:]) == ([19_996, 19_999], [19_997, 19_999])


def test_memory_grows_with_the_frames_and_no_faster() -> None:
    """Of 2,000 frames an alignment of every frame with every piece would take 36 MB."""
    _, lattice = doubtful(2_000)
    tracemalloc.start()
    ctc.spelt(lattice, 3, None)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1_500_000


def test_loss_by_hand() -> None:
    """Two frames, the target a: three paths, a a, a _ and _ a."""
    probabilities = torch.tensor([[[0.3, 0.7], [0.5, 0.5]]])
    frames = torch.ones(1, 2, dtype=torch.bool)
    loss, fits = ctc.loss(probabilities.log(), frames, torch.tensor([[1]]), torch.tensor([1]))
    assert fits.tolist() == [True]
    assert loss.item() == pytest.approx(-math.log(0.7 * 0.5 + 0.7 * 0.5 + 0.3 * 0.5))


@pytest.mark.parametrize("width", [0, 2])
def test_an_empty_transcript_is_blanks_alone(width: int) -> None:
    probabilities = torch.tensor([[[0.4, 0.6], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5]]])
    logits = probabilities.log().requires_grad_()
    frames = torch.tensor([[True, True], [True, False]])
    loss, fits = ctc.loss(logits, frames, torch.zeros(2, width, dtype=torch.int64), torch.tensor([0, 0]))
    assert fits.tolist() == [True, True]
    assert loss.tolist() == pytest.approx([-math.log(0.4 * 0.5), -math.log(0.2)])
    loss.sum().backward()
    assert logits.grad[0, 0].tolist() == pytest.approx([-0.6, 0.6]) and (logits.grad[1, 1] == 0).all()


def test_what_does_not_fit_costs_nothing_and_says_so() -> None:
    """a a takes three frames, for a blank must stand between."""
    logits = torch.zeros(3, 3, 2, requires_grad=True)
    frames = torch.tensor([[True, True, True], [True, True, False], [True, False, False]])
    target = torch.tensor([[1, 1], [1, 1], [1, 0]])
    loss, fits = ctc.loss(logits, frames, target, torch.tensor([2, 2, 1]))
    assert fits.tolist() == [True, False, True]
    assert loss[1] == 0 and loss[0].item() == pytest.approx(3 * math.log(2))
    loss.sum().backward()
    assert torch.isfinite(logits.grad).all() and (logits.grad[1] == 0).all()


def test_times_of_a_made_up_path() -> None:
    alphabet = ("", " ", "h", "i", "o")
    path = [0, 2, 2, 3, 0, 1, 0, 0, 4, 0]
    probabilities = np.full((len(path), 5), 0.02)
    probabilities[np.arange(len(path)), path] = 0.92
    for said in (ctc.best_path(lattice_of(probabilities)), ctc.aligned(lattice_of(probabilities), [2, 3, 1, 4])):
        assert said.pieces == [2, 3, 1, 4]
        assert (said.first, said.last) == ([1, 3, 5, 8], [2, 3, 5, 8])
        found = [(word, first, last) for word, first, last, _ in ctc.words(said, alphabet)]
        assert found == [("hi", 1, 3), ("o", 8, 8)]
        assert math.exp(next(iter(ctc.words(said, alphabet)))[3]) == pytest.approx(0.92)


def test_alignment_of_repeats_and_of_too_much() -> None:
    path = [1, 1, 0, 1]
    probabilities = np.full((4, 2), 0.1)
    probabilities[np.arange(4), path] = 0.9
    said = ctc.aligned(lattice_of(probabilities), [1, 1])
    assert (said.first, said.last) == ([0, 3], [1, 3])
    assert ctc.aligned(lattice_of(probabilities), [1, 1, 1]).first == [0, 1, 2]


@pytest.mark.parametrize("seed", range(3))
def test_alignment_is_the_likeliest_path(seed: int) -> None:
    probabilities = random(6, 3, seed)
    wanted = [1, 2, 2]
    paths = [p for p in itertools.product(range(3), repeat=6) if collapse(p) == wanted]
    best = max(paths, key=lambda p: math.prod(probabilities[i, k] for i, k in enumerate(p)))
    said = ctc.aligned(lattice_of(probabilities), wanted)
    spelt = [0] * 6
    for piece, first, last in zip(said.pieces, said.first, said.last, strict=True):
        spelt[first : last + 1] = [piece] * (last + 1 - first)
    assert tuple(spelt) == best


def test_words_are_parted_by_whatever_blank_an_alphabet_has() -> None:
    """As they are where texts are compared: the wide one of Chinese, say."""
    said = ctc.Hypothesis([1, 2, 1], [0, 2, 4], [0, 2, 4], [-0.1, -0.2, -0.3])
    assert [each[0] for each in ctc.words(said, ("", "a", "\u3000"))] == ["a", "a"]


def test_pieces_of_several_words() -> None:
    said = ctc.Hypothesis([1, 2, 1, 3], [0, 2, 4, 6], [1, 3, 5, 7], [0.0, -1.0, 0.0, 0.0])
    found = list(ctc.words(said, ("", " se", "ven", "x y ")))
    assert found == [("seven", 0, 3, -0.5), ("sex", 4, 7, 0.0), ("y", 6, 7, 0.0)]
