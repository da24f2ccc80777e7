"""Vector quantisation: vectors named by the nearest of a codebook's (van den Oord et al. 2017, arXiv:1711.00937).

The codebook is learnt without gradients: after each optimiser step every code moves to the running mean of the vectors
that it named (appendix A.1 of the paper). It begins as the clusters of the first batch (k-means, as in SoundStream,
Zeghidour et al. 2021, arXiv:2107.03312), and a code that names next to nothing any more is put where a vector lies that
is badly named. All of it is buffers, so it is saved and resumed with the weights, and drawn from torch's generator.

Axis letters: n rows, d numbers of a vector, k codes, m vectors of a batch.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, runtime_checkable

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

ROUNDS = 10  # of k-means
MOST = 1 << 24  # distances that are held at once, 67 MB
LEAST = 1e-6  # uses of late of a code that can still be moved: below, its mean is a division of next to nothing


class Quantised(NamedTuple):
    output: Tensor  # (n, d, *positions): the vectors' names; what is asked of it is asked of the vectors
    codes: Tensor  # (n, *positions) int64
    distance: Tensor  # (n,): mean squared distance of a row's numbers from their names, the "commitment" loss


@runtime_checkable
class MakesCodes(Protocol):
    """A network whose pictures are so many codes each."""

    @property
    def num_codes(self) -> int:
        """There are in the codebook."""
        ...

    @property
    def patches(self) -> int:
        """Codes of a picture."""
        ...

    def decode(self, codes: Tensor) -> Tensor:
        """(n, patches) int64 to pictures (n, c, h, w) of 0-1."""
        ...


class Quantiser(nn.Module):
    """Vectors (n, d, *positions), of any number of positions, to the nearest codes.

    `decay`: of the running mean, a step. `restart`: a code is put elsewhere that was used less than this share of what
    each would be, were all used alike; 0: never. While it trains `update` is to be called after each optimiser step;
    until then what was named adds up, so that a batch may come in pieces; but the first clusters are those of the first
    piece, and codes are restarted at vectors of the last. In evaluation nothing moves.
    """

    codebook: Tensor
    uses: Tensor
    sums: Tensor
    started: Tensor
    new_uses: Tensor
    new_sums: Tensor

    def __init__(self, codes: int, dimension: int, decay: float = 0.99, restart: float = 0.03) -> None:
        super().__init__()
        self.decay, self.restart = decay, restart
        self.register_buffer("codebook", nn.init.normal_(torch.zeros(codes, dimension)))
        self.register_buffer("uses", torch.zeros(codes))  # running mean of how many vectors a step each code names,
        self.register_buffer("sums", torch.zeros(codes, dimension))  # and of their sum
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))
        # Of the step under way; between two steps, which is when anything is saved, there is nothing in them.
        self.register_buffer("new_uses", torch.zeros(codes), persistent=False)
        self.register_buffer("new_sums", torch.zeros(codes, dimension), persistent=False)
        self.seen: Tensor | None = None  # (m, d): the vectors named last, among which codes are restarted

    def forward(self, x: Tensor) -> Quantised:
        apart = x.movedim(1, -1)  # (n, *positions, d)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            vectors = apart.detach().reshape(-1, apart.shape[-1]).float()
            if self.training and not self.started:
                self._start(vectors)
            codes = nearest(vectors, self.codebook)
            if self.training:
                self.new_uses += torch.bincount(codes, minlength=len(self.codebook))
                self.new_sums.index_add_(0, codes, vectors)
                self.seen = vectors
        codes = codes.view(apart.shape[:-1])
        named = self.vectors(codes)
        distance = (x - named).square().flatten(1).mean(1)
        # In evaluation the names themselves: the sum is another one by rounding, and codes alone are decoded so.
        return Quantised(x + (named - x).detach() if self.training else named, codes, distance)

    def vectors(self, codes: Tensor) -> Tensor:
        """(n, *positions) to (n, d, *positions): what the codes stand for."""
        return F.embedding(codes, self.codebook).movedim(-1, 1)

    @torch.no_grad()
    def update(self) -> None:
        """Moves the codes to what they named, of all ranks, since the last call."""
        if _several():
            dist.all_reduce(self.new_uses)
            dist.all_reduce(self.new_sums)
        self.uses.lerp_(self.new_uses, 1 - self.decay)
        self.sums.lerp_(self.new_sums, 1 - self.decay)
        used = (self.uses > LEAST)[:, None]
        self.codebook.copy_(torch.where(used, self.sums / self.uses.clamp(min=LEAST)[:, None], self.codebook))
        self._restart()
        self.new_uses.zero_()
        self.new_sums.zero_()

    def _start(self, vectors: Tensor) -> None:
        """The codes become the clusters of the first batch, those of the first rank where there are several."""
        codebook = k_means(vectors, len(self.codebook))
        if _several():
            dist.broadcast(codebook, 0)
        self.codebook.copy_(codebook)
        self.uses.copy_(torch.bincount(nearest(vectors, codebook), minlength=len(codebook)))
        if _several():
            dist.all_reduce(self.uses)
        self.sums.copy_(codebook * self.uses[:, None])
        self.started.fill_(True)

    def _restart(self) -> None:
        """Codes out of use go to vectors drawn by their squared distance from their names, as the first clusters of
        k-means++ do (Arthur & Vassilvitskii 2007), and count as used like any other."""
        even = self.uses.mean()
        dead = (self.uses < self.restart * even).nonzero()[:, 0]
        if self.seen is None or not len(dead):
            return
        distance = (self.seen - self.codebook[nearest(self.seen, self.codebook)]).square().sum(1)
        # A little for each, since all may be named exactly. On the processor, whose generator is saved.
        chance = (distance / distance.mean().clamp(min=1e-30) + 1e-6).cpu()
        place = torch.multinomial(chance, len(dead), replacement=True)
        vectors = self.seen[place.to(self.seen.device)]
        if _several():
            dist.broadcast(vectors, 0)
        self.codebook[dead], self.uses[dead], self.sums[dead] = vectors, even, vectors * even


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """(m, d) and (k, d) to (m,) int64: by |v - c|^2, without the part |v|^2 that is the same for all."""
    length = codebook.square().sum(1)
    pieces = vectors.split(max(MOST // len(codebook), 1))
    return torch.cat([torch.addmm(length, piece, codebook.T, alpha=-2).argmin(1) for piece in pieces])


def k_means(vectors: Tensor, number: int) -> Tensor:
    """(m, d) to (number, d): the means of clusters (Lloyd 1982), begun at vectors drawn by chance. A cluster without
    vectors stays where it is; of fewer vectors than clusters some stand several times."""
    order = torch.randperm(len(vectors)).to(vectors.device)
    centres = vectors[order[torch.arange(number, device=vectors.device) % len(vectors)]].clone()
    for _ in range(ROUNDS):
        own = nearest(vectors, centres)
        count = torch.bincount(own, minlength=number)
        sums = torch.zeros_like(centres).index_add_(0, own, vectors)
        centres = torch.where((count > 0)[:, None], sums / count.clamp(min=1)[:, None], centres)
    return centres


def perplexity(codes: Tensor) -> Tensor:
    """Of whole numbers of any shape: of how many codes, all used alike, the entropy would be the same; 1 where all are
    one."""
    share = torch.bincount(codes.flatten()).double()
    share = share[share > 0] / share.sum()
    return (-(share * share.log()).sum()).exp().float()


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
