from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from ...layers.precision import at_least_float32

__all__ = ["js_divergence"]


def js_divergence(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 16.0) -> Tensor:
    """Return how far two classifiers are apart, in both directions.

    ``T^2 / (2 N) sum_n [KL(s_n || t_n) + KL(t_n || s_n)]`` with the softmax of the logits divided by T. Users know it
    as Jensen-Shannon; strictly it is the symmetrised Kullback-Leibler (Jeffreys) divergence.

    Source: Hinton et al., "Distilling the Knowledge in a Neural Network", arXiv:1503.02531, for temperature and its
    square.

    Args:
        student_logits: ``(N, C)`` float, N > 0.
        teacher_logits: ``(N, C)`` float.
        temperature: T, > 0.

    Returns:
        Scalar, at least 0 up to rounding, float32 or wider; with gradient for both.

    Raises:
        ValueError: if the shapes differ, or T is not positive.
    """
    if student_logits.shape != teacher_logits.shape:
        raise ValueError(
            f"student and teacher must classify alike, but their logits are {tuple(student_logits.shape)} and "
            f"{tuple(teacher_logits.shape)}; train both on the same classes"
        )
    if temperature <= 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    s, t = (
        F.log_softmax(at_least_float32(logits) / temperature, dim=1) for logits in (student_logits, teacher_logits)
    )  # (N, C)
    # p (log p - log q) + q (log q - log p), summed
    return ((s.exp() - t.exp()) * (s - t)).sum() * (temperature**2 / (2 * len(s)))
