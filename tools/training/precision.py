"""Which number type training computes in: bf16 where the processor is faster at it; some are 400 times slower."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.optim import _muon

from pipelines.device import pick


def autocast() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=pick().dtype == torch.bfloat16)


def depthwise_in_fp32(model: nn.Module) -> None:
    """Depthwise convolutions of `model` compute in fp32 under `autocast`: going back through them in bf16 takes three times as
    long on processors where all else is faster in bf16 (torch 2.14)."""

    def in_fp32(conv: nn.Conv2d) -> Callable[[torch.Tensor], torch.Tensor]:
        inner = conv.forward

        def forward(x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", enabled=False):
                return inner(x.float())

        return forward

    for part in model.modules():
        if isinstance(part, nn.Conv2d) and part.groups == part.in_channels > 1:
            part.forward = in_fp32(part)


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
