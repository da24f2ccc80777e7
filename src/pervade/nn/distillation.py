"""How far what a student says is from what its teacher says (Hinton et al. 2015, arXiv:1503.02531).

With softmax(z / T) the probabilities at a temperature T, the divergence of student z' from teacher z is

    T² KL(softmax(z / T) || softmax(z' / T))

whose gradient is as large at any T, so that it can be added to a loss of true labels.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pervade.core.errors import ConfigError


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


def divergence_of_normals(mean: Tensor, log_deviation: Tensor, mean_t: Tensor, log_deviation_t: Tensor) -> Tensor:
    """KL(teacher || student) of normal distributions with these means and logarithms of deviations, the teacher's
    last, each of its own: (..., k).

        log s - log t + (t² + (m_t - m)²) / (2 s²) - 1/2
    """
    apart = log_deviation.float() - log_deviation_t.float()
    scaled = (mean_t.float() - mean.float()) * torch.exp(-log_deviation.float())
    return apart + 0.5 * (torch.expm1(-2 * apart) + scaled.square())


def apart(student: Tensor, teacher: Tensor, counted: Tensor | None = None) -> Tensor:
    """(n,): of features (n, d), or of the mean over places of (n, t, d) that are `counted` (n, t), all unless given.

        ||student - teacher||² / ||teacher||²

    so that networks whose numbers are large do not weigh more. Raises ConfigError where there are not as many places.
    """
    if student.shape != teacher.shape:
        raise ConfigError(
            f"task.features: the student has features of the shape {tuple(student.shape[1:])} of a row, and its "
            f"teacher of {tuple(teacher.shape[1:])}; leave it away (features=0), so that the answers alone are learnt"
        )
    wanted = teacher.float()
    error = (student.float() - wanted).square().sum(-1) / wanted.square().sum(-1).clamp(min=1e-12)
    if error.ndim == 1:
        return error
    shares = torch.ones_like(error) if counted is None else counted.to(error.dtype)
    return (error * shares).flatten(1).sum(1) / shares.flatten(1).sum(1).clamp(min=1)
