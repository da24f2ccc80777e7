"""The codebook against values worked by hand: names, gradients, running means, restarts, clusters."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor

from pervade.engine.regularise import Average
from pervade.nn.quantiser import Quantiser, k_means, nearest, perplexity


def quantiser(codebook: list[list[float]], **settings: float) -> Quantiser:
    """With these codes, each used once a step so far."""
    codes = torch.tensor(codebook)
    made = Quantiser(*codes.shape, **settings)
    made.codebook.copy_(codes)
    made.uses.fill_(1.0)
    made.sums.copy_(codes)
    made.started.fill_(True)
    return made.train()


POINTS = torch.tensor([[0.0, 1.0], [3.0, 5.0], [1.0, 0.0]])  # nearest of (0, 0) and (4, 4): the first, second, first


def test_names_are_the_nearest_codes() -> None:
    made = quantiser([[0.0, 0.0], [4.0, 4.0]]).eval()
    output, codes, distance = made(POINTS)
    assert codes.tolist() == [0, 1, 0]
    assert output.tolist() == [[0.0, 0.0], [4.0, 4.0], [0.0, 0.0]]
    assert distance.tolist() == [0.5, 1.0, 0.5]  # means of 0 and 1, 1 and 1, 1 and 0


@pytest.mark.parametrize("positions", [(), (5,), (2, 3)])
def test_positions_are_named_apart(positions: tuple[int, ...]) -> None:
    made = Quantiser(7, 3).eval()
    x = torch.randn(4, 3, *positions)
    output, codes, distance = made(x)
    assert output.shape == x.shape and codes.shape == (4, *positions) and distance.shape == (4,)
    apart = x.movedim(1, -1).reshape(-1, 3)
    assert torch.equal(codes.flatten(), torch.cdist(apart, made.codebook).argmin(1))
    assert torch.allclose(made.vectors(codes), output, atol=1e-6)


def test_in_evaluation_the_names_come_out() -> None:
    """To the bit, since codes alone are decoded to the same."""
    made = Quantiser(7, 3).eval()
    output, codes, _ = made(1e4 + torch.randn(4, 3, 5))
    assert torch.equal(output, made.vectors(codes))


def test_gradients_go_straight_through() -> None:
    made = quantiser([[0.0, 0.0], [4.0, 4.0]])
    x = POINTS.clone().requires_grad_()
    weight = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    (made(x).output * weight).sum().backward()
    assert torch.equal(x.grad, weight)
    x.grad = None
    made(x).distance.sum().backward()  # 2 (x - code) over two numbers
    assert x.grad.tolist() == [[0.0, 1.0], [-1.0, 1.0], [1.0, 0.0]]


def test_codes_follow_what_they_name() -> None:
    made = quantiser([[0.0, 0.0], [4.0, 4.0]], decay=0.75)
    made(POINTS)
    made.update()
    # uses 3/4 + 1/4 of 2 and of 1; sums 3/4 of (0, 0) and (4, 4), and 1/4 of (1, 1) and (3, 5)
    assert made.uses.tolist() == [1.25, 1.0]
    assert made.sums.tolist() == [[0.25, 0.25], [3.75, 4.25]]
    assert made.codebook[0].tolist() == pytest.approx([0.2, 0.2])
    assert made.codebook[1].tolist() == [3.75, 4.25]
    assert not made.new_uses.any() and not made.new_sums.any()


def test_a_batch_in_pieces_moves_the_codes_as_the_whole_does() -> None:
    whole = quantiser([[0.0, 0.0], [4.0, 4.0]], restart=0.0)
    pieces = copy.deepcopy(whole)
    whole(POINTS)
    for row in POINTS.split(1):
        pieces(row)
    for each in (whole, pieces):
        each.update()
    assert same(whole, pieces)


def same(one: Quantiser, other: Quantiser) -> bool:
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_evaluation_moves_nothing() -> None:
    made = Quantiser(4, 2)
    before = copy.deepcopy(made)
    made.eval()(torch.randn(9, 2))
    assert same(made, before) and not made.new_uses.any() and not made.started


def test_an_average_has_the_codes_of_what_learns() -> None:
    learning = torch.nn.Sequential(torch.nn.Linear(2, 2), Quantiser(4, 2))
    average = Average(learning, 0.9)
    learning.train()(torch.randn(20, 2))
    learning[1].update()
    average.update(1)
    assert same(average.network[1], learning[1]) and average.network[1].started


class TestBeginning:
    def test_codes_begin_as_clusters(self) -> None:
        torch.manual_seed(0)
        corners = torch.tensor([[-5.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
        points = corners.repeat(30, 1) + 0.1 * torch.randn(90, 2)
        made = Quantiser(3, 2).train()
        codes = made(points).codes
        assert made.started
        for number in range(3):
            own = codes[number]
            assert torch.equal(codes[number::3], own.expand(30))
            assert torch.allclose(made.codebook[own], points[number::3].mean(0), atol=1e-5)
            assert made.uses[own] == 30
        made(torch.randn(4, 2) + 100)  # only the first batch is what it begins with
        assert made.codebook.abs().max() < 6

    def test_of_fewer_vectors_than_codes_all_are_codes(self) -> None:
        points = torch.tensor([[0.0], [1.0], [5.0]])
        assert k_means(points, 5).flatten().tolist() in permutations_with_two_again(points)

    def test_the_same_seed_gives_the_same_clusters(self) -> None:
        points = torch.rand(50, 3)
        torch.manual_seed(1)
        first = k_means(points, 8)
        torch.manual_seed(1)
        assert torch.equal(first, k_means(points, 8))


def permutations_with_two_again(points: Tensor) -> list[list[float]]:
    import itertools

    return [[*order, *order[:2]] for order in itertools.permutations(points.flatten().tolist())]


class TestRestart:
    def test_a_dead_code_goes_where_one_is_missing(self) -> None:
        made = quantiser([[0.0], [1000.0]], restart=0.1)
        made.uses[1], made.sums[1] = 0.05, 50.0  # names nothing
        made(torch.tensor([[0.0], [0.0], [0.0], [7.0]]))
        torch.manual_seed(0)
        made.update()
        assert made.codebook[1].item() == 7.0  # drawn by squared distance, of which the others have next to none
        assert made.uses[1] == pytest.approx((0.99 + 0.01 * 4 + 0.99 * 0.05) / 2)  # as many as each, were all alike
        assert made.sums[1] == pytest.approx(7 * made.uses[1].item())

    def test_a_code_in_use_stays(self) -> None:
        made = quantiser([[0.0], [10.0]], restart=0.1)
        made(torch.tensor([[0.0], [0.0], [10.0]]))
        made.update()
        assert made.codebook.flatten().tolist() == pytest.approx([0.0, 10.0])

    def test_none_is_restarted_where_none_is_to_be(self) -> None:
        made = quantiser([[0.0], [1000.0]], restart=0.0)
        made.uses[1], made.sums[1] = 1e-9, 1e-6
        made(torch.tensor([[0.0]]))
        made.update()
        assert made.codebook[1].item() == 1000.0

    def test_the_same_seed_restarts_alike(self) -> None:
        made = [quantiser([[0.0], [500.0], [900.0]], restart=0.5) for _ in range(2)]
        for each in made:
            each.uses[1:] = 0.0
            each(torch.arange(50.0)[:, None])
            torch.manual_seed(3)
            each.update()
        assert same(*made)
        assert len(made[0].codebook.unique()) == 3


def test_perplexity() -> None:
    assert perplexity(torch.tensor([[5, 5], [5, 5]])) == 1
    assert perplexity(torch.tensor([0, 1, 7, 3])) == pytest.approx(4)
    entropy = 0.75 * math.log(4 / 3) + 0.25 * math.log(4)
    assert perplexity(torch.tensor([2, 2, 2, 9])) == pytest.approx(math.exp(entropy))


def test_the_nearest_of_many_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    points, codes = torch.randn(100, 4), torch.randn(9, 4)
    whole = nearest(points, codes)
    monkeypatch.setattr("pervade.nn.quantiser.MOST", 63)
    assert torch.equal(nearest(points, codes), whole)
