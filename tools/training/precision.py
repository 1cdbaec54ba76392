"""Which number type training computes in: bf16 where the processor is faster at it; some are 400 times slower."""

from typing import Any

import torch
from torch.optim import _muon

from pipelines.device import pick


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=pick().dtype == torch.bfloat16)


def muon(parameters: list[Any], **settings: Any) -> torch.optim.Optimizer:
    """Muon (Jordan et al. 2024) for matrices, its steps as large as AdamW's (Liu et al., Muon is Scalable for LLM Training,
    2025). torch 2.14 makes them orthogonal in bf16 whatever the processor, so elsewhere that function is replaced."""
    if pick().dtype != torch.bfloat16:
        _muon._zeropower_via_newtonschulz = _orthogonal
    return torch.optim.Muon(parameters, adjust_lr_fn="match_rms_adamw", **settings)


def _orthogonal(grad: torch.Tensor, factors: tuple[float, float, float], steps: int, eps: float) -> torch.Tensor:
    """Newton–Schulz iterations as in torch, in the matrix's own type: [n, m] -> [n, m]."""
    a, b, c = factors
    x = grad if grad.shape[0] <= grad.shape[1] else grad.T
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        square = x @ x.T
        x = torch.addmm(x, torch.addmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x if grad.shape[0] <= grad.shape[1] else x.T
