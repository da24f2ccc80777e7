"""How far what a student says is from what its teacher says (Hinton et al. 2015, arXiv:1503.02531).

With softmax(z / T) the probabilities at a temperature T, the divergence of student z' from teacher z is

    T² KL(softmax(z / T) || softmax(z' / T))

whose gradient is as large at any T, so that it can be added to a loss of true labels.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Of logits (..., k), of one choice of k: (...)."""
    wanted = (teacher.float() / temperature).log_softmax(-1)
    said = (student.float() / temperature).log_softmax(-1)
    return temperature**2 * F.kl_div(said, wanted, reduction="none", log_target=True).sum(-1)


def divergence_of_each(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Of logits (..., k), each a yes or no of its own: (..., k)."""
    wanted, said = teacher.float() / temperature, student.float() / temperature
    # KL = p (log p - log q) + (1 - p) (log(1 - p) - log(1 - q)), each logarithm without rounding to that of 0.
    yes, no = F.logsigmoid(wanted) - F.logsigmoid(said), F.logsigmoid(-wanted) - F.logsigmoid(-said)
    share = wanted.sigmoid()
    return temperature**2 * (share * yes + (1 - share) * no)
