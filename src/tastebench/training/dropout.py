"""Dropout whose masks are drawn fast on a CPU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Inverted dropout, as `torch.nn.Dropout`, but several times as fast on a CPU."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """`x` with elements set to zero and the rest scaled, in training; else `x`."""
        if not self.training:
            return x
        keep, scale = keep_mask(x.shape, self.p, x.device)
        return x if keep is None else x * keep.view(torch.uint8).to(x.dtype).mul_(scale)


def keep_mask(shape: Sequence[int], p: float, device: torch.device) -> tuple[Tensor | None, float]:
    """Which elements dropout keeps, bool, and the factor that keeps their expectation.

    Torch's CPU generator yields one element of a mask a draw; here a draw of 64 bits decides four,
    so `p` becomes the nearest multiple of 1/65,536, and the factor is that one's.
    """
    dropped = round(p * 65536)
    if dropped == 0:
        return None, 1.0
    n = math.prod(shape)
    bits = torch.empty(-(-n // 4), dtype=torch.int64, device=device).random_(-(2**63), None)
    keep = bits.view(torch.int16)[:n].view(*shape) >= dropped - 32768
    return keep, 65536 / (65536 - dropped)
