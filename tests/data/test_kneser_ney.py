"""The n-gram model against the formula, worked by dictionaries, and as a distribution."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from pervade.core.contracts import Tokens
from pervade.core.errors import CheckpointError, ConfigError
from pervade.data.text import kneser_ney
from pervade.data.text.corpus import IGNORED
from pervade.models.ngram import NGram, NGramNetwork
from pervade.testing import check_model

A, B, C, END = 0, 1, 2, 3


def joined(texts: list[list[int]], order: int) -> kneser_ney.Text:
    windows = [(np.array(text[:-1]), np.array(text[1:])) for text in texts]
    return kneser_ney.joined(windows, order)


def network(texts: list[list[int]], order: int, vocabulary: int, most: int = 10**6) -> NGramNetwork:
    levels, _ = kneser_ney.learn(joined(texts, order), order, vocabulary, most)
    made = NGram(order).build(Tokens(vocabulary, 64, pooled=False, causal=True), {"logits": vocabulary})
    assert isinstance(made, NGramNetwork)
    made.set_counts(levels)
    return made.eval()


def by_hand(texts: list[list[int]], history: list[int], order: int, vocabulary: int) -> list[float]:
    """The same by dictionaries, from the longest n-grams to single tokens."""
    seen: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
    for length in range(1, order + 1):
        for text in texts:
            for end in range(max(length, 2), len(text) + 1):
                seen[length][tuple(text[end - length : end])] += 1
    counts = {order: dict(seen[order])}
    for length in range(1, order):
        before: dict[tuple[int, ...], set[int]] = defaultdict(set)
        for gram in seen[length + 1]:
            before[gram[1:]].add(gram[0])
        begins = Counter(tuple(text[:length]) for text in texts if length > 1)
        counts[length] = {gram: len(before[gram]) + begins[gram] for gram in seen[length]}

    def probability(history: tuple[int, ...], token: int) -> float:
        own = counts[len(history) + 1]
        off = kneser_ney.discounts(np.array(list(own.values())))
        total = sum(count for gram, count in own.items() if gram[:-1] == history)
        lower = probability(history[1:], token) if history else 1 / vocabulary
        if not total:
            return lower
        count = own.get((*history, token), 0)
        left = sum(off[min(count, 3)] for gram, count in own.items() if gram[:-1] == history)
        return (max(count - off[min(count, 3)], 0) + left * lower) / total

    return [probability(tuple(history[-order + 1 :]), token) for token in range(vocabulary)]


def test_ten_tokens_by_hand() -> None:
    """ "a b a b a c", ended and begun by a fourth token, counted in pairs: too little to estimate discounts from."""
    text = [END, A, B, A, B, A, C, END]
    after_a = torch.exp(network([text], 2, 4)(torch.tensor([[A]]))["logits"][0, 0])
    # Pairs: xa once, ab 2, ba 2, ac 1, cx 1. Before a stand x and b, before b only a, before c only a, before x only c.
    # Single tokens: a 2, b 1, c 1, x 1; of these 1 + 3 x 0.5 = 2.5 of 5 are left to an even share of four.
    single = {A: (2 - 1) / 5 + 0.5 / 4, B: 0.5 / 5 + 0.5 / 4, C: 0.5 / 5 + 0.5 / 4, END: 0.5 / 5 + 0.5 / 4}
    # After a: b 2 - 1, c 1 - 0.5 of 3, and 1.5 of 3 are left.
    wanted = [0.5 * single[A], 1 / 3 + 0.5 * single[B], 0.5 / 3 + 0.5 * single[C], 0.5 * single[END]]
    assert after_a.tolist() == pytest.approx(wanted)
    assert sum(wanted) == pytest.approx(1)


@pytest.mark.parametrize("order", [2, 3, 5])
def test_as_the_formula_says(order: int) -> None:
    rng = np.random.default_rng(order)
    texts = [[5, *rng.integers(0, 5, 30).tolist(), 5] for _ in range(6)]
    made = network(texts, order, 6)
    asked = [5, *rng.integers(0, 5, 12).tolist()]
    with torch.no_grad():
        said = made(torch.tensor([asked]))["logits"][0].exp()
    for place in range(len(asked)):
        wanted = by_hand(texts, asked[: place + 1], order, 6)
        np.testing.assert_allclose(said[place], wanted, rtol=1e-5)
    torch.testing.assert_close(said.sum(1), torch.ones(len(asked)))


def test_discounts_of_the_paper() -> None:
    """Seen once 4, twice 2, three times 1, four times 1: Y = 4 / 8."""
    seen = np.array([1] * 4 + [2] * 2 + [3, 4])
    assert kneser_ney.discounts(seen) == pytest.approx((0, 1 - 0.5, 2 - 3 * 0.5 / 2, 3 - 4 * 0.5))
    assert kneser_ney.discounts(np.array([1, 2])) == kneser_ney.USUAL


def test_windows_count_as_the_whole_text() -> None:
    """Each token counts where it is asked for, with all that stood before it."""
    rng = np.random.default_rng(0)
    text = rng.integers(0, 4, 41)
    windows = []
    for start, asked in ((0, 0), (8, 16), (16, 24), (24, 32)):
        target = text[start + 1 : start + 17].copy()
        target[: asked - start] = IGNORED
        windows.append((text[start : start + 16], target))
    whole, parts = (kneser_ney.joined(given, 3) for given in ([(text[:-1], text[1:])], windows))
    one, other = (kneser_ney.learn(given, 3, 4, 10**6)[0] for given in (whole, parts))
    for first, second in zip(one, other, strict=True):
        for name in ("keys", "share", "left"):
            np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_what_is_not_asked_for_is_context_only() -> None:
    """As questions are, before their answers."""
    question, answer = [END, A, B], [C, A, END]
    given = np.array([*question, *answer[:-1]])
    target = np.array([IGNORED, IGNORED, *answer])
    levels, _ = kneser_ney.learn(kneser_ney.joined([(given, target)], 3), 3, 4, 100)
    single, pairs, triples = levels
    assert [(int(key) // 4, int(key) % 4) for key in pairs.keys if key % 4 == B] == [(A, B)]  # abc begins so
    assert pairs.share[pairs.keys == A * 4 + B] == 0
    assert len(triples.keys) == 3
    assert single.share.sum() == pytest.approx(1)


def test_too_many_ngrams_leave_out_the_rarest_and_stay_probabilities() -> None:
    rng = np.random.default_rng(0)
    texts = [[7, *rng.integers(0, 7, 200).tolist(), 7] for _ in range(5)]
    full, few = network(texts, 4, 8), network(texts, 4, 8, most=300)
    sizes = [sum(len(made.get_buffer(f"keys_{n}")) for n in (2, 3, 4)) for made in (full, few)]
    assert sizes[1] <= 300 < sizes[0]
    with torch.no_grad():
        said = few(torch.tensor(texts[:1]))["logits"][0].exp()
    torch.testing.assert_close(said.sum(1), torch.ones(len(said)))


def test_no_more_ngrams_are_left_out_than_must_be() -> None:
    """However often the most frequent ones are there: what is asked of them is not counted up one by one."""
    rng = np.random.default_rng(0)
    texts = [[7, *rng.integers(0, 7, 200).tolist(), *[0] * 300, 7] for _ in range(2)]
    counted = kneser_ney._count(joined(texts, 4), 4, 8)

    def kept(least: int) -> list[int]:
        return [int(np.count_nonzero(own)) for own in kneser_ney._kept(counted, least)]

    for most in (1, 60, 100, 200, 400, 10**6):
        enough = (n for n in itertools.count(1) if sum(kept(n)[1:]) <= most or not any(kept(n)[2:]))
        assert kneser_ney._fewest_times(counted, most) == next(enough)


def test_it_goes_on_with_a_cache_as_without() -> None:
    rng = np.random.default_rng(1)
    text = [5, *rng.integers(0, 5, 40).tolist()]
    made = network([text], 4, 6)
    with torch.no_grad():
        whole = made(torch.tensor([text]))["logits"][0]
        caches, pieces = made.caches(), []
        for start, stop in ((0, 7), (7, 8), (8, 9), (9, 41)):
            pieces.append(made(torch.tensor([text[start:stop]]), caches=caches)["logits"][0])
            assert caches[0].length == stop
    torch.testing.assert_close(torch.cat(pieces), whole)


def test_before_anything_is_counted_it_learns_as_any_network() -> None:
    """All tokens are alike, and what it has for weights get a gradient."""
    batch = {"row": torch.arange(4), "input": torch.randint(0, 50, (4, 9))}
    inputs = Tokens(50, 16, pooled=False, causal=True)
    check_model(NGram(), inputs, {"logits": 50}, batch)
    empty = NGram().build(inputs, {"logits": 50})(batch["input"])["logits"]
    torch.testing.assert_close(empty.exp(), torch.full((4, 9, 50), 0.02))
    with pytest.raises(ConfigError, match="ngram writes text"):
        NGram().build(replace(inputs, pooled=True), {"logits": 2})


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("keys_2", lambda keys: keys.flip(0)),
        ("keys_3", lambda keys: keys + 10**6),
        ("share_2", lambda share: share[1:]),
        ("keys_2", lambda keys: keys.sum()),
    ],
)
def test_tables_that_are_damaged(name: str, change) -> None:
    made = network([[END, A, B, A, B, A, C, END]], 3, 4)
    tables = {**made.state_dict(), name: change(made.state_dict()[name])}
    with pytest.raises(CheckpointError, match="damaged"):
        made.make_room(tables)
