"""MaskNet: what a block reads is multiplied by a mask made of all fields."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.predictors.mlp import Logit, Tower, relu_dropout

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import MaskNetConfig


class MaskNet(nn.Module):
    """`Tower([block_1(LN(x)); block_2(LN(x)); ...])`, or `w block_L(... block_1(LN(x))) + b`.

    Every block's mask is made of the fields as they came. (Wang et al., DLP-KDD 2021, section 3.)

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number `f`.
    """

    def __init__(self, config: MaskNetConfig, width: int, fields: int) -> None:
        super().__init__()
        inputs, out = fields * width, config.block_width
        serial = config.structure == "serial"
        # Each field is normalised by itself, with a scale and a shift of its own.
        self.scale = nn.Parameter(torch.ones(fields, width))
        self.shift = nn.Parameter(torch.zeros(fields, width))
        reads = [inputs] + [out if serial else inputs] * (config.blocks - 1)
        self.blocks = nn.ModuleList(
            MaskBlock(inputs, read, out, config.reduction, config.dropout) for read in reads
        )
        self.serial = serial
        self.top = Logit(out) if serial else Tower(config.blocks * out, config)

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        x = fields.flatten(1)
        normed = functional.layer_norm(fields, fields.shape[-1:])
        hidden = torch.addcmul(self.shift, normed, self.scale).flatten(1)
        if self.serial:
            for block in self.blocks:
                hidden = block(hidden, x)
        else:
            hidden = torch.cat([block(hidden, x) for block in self.blocks], dim=1)
        logits: Tensor = self.top(hidden)
        return logits


class MaskBlock(nn.Module):
    """`Dropout(relu(LN(W (mask(x) * hidden))))`, `mask(x) = W_2 relu(W_1 x + b_1) + b_2`.

    Args:
        inputs: Width of `x`.
        reads: Width of `hidden`, and so of the mask.
        outputs: Width of the result.
        reduction: Width inside the mask, as a multiple of `reads`.
        dropout: Of the result.
    """

    def __init__(
        self, inputs: int, reads: int, outputs: int, reduction: float, dropout: float
    ) -> None:
        super().__init__()
        inner = max(1, round(reduction * reads))
        self.aggregate = nn.Linear(inputs, inner)
        self.project = nn.Linear(inner, reads)
        self.linear = nn.Linear(reads, outputs, bias=False)
        self.norm = nn.LayerNorm(outputs)
        self.dropout = dropout

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        """`[n, reads]` and `[n, inputs]` to `[n, outputs]`."""
        mask = self.project(self.aggregate(x).relu_())
        dropout = self.dropout if self.training else 0.0
        return relu_dropout(self.norm(self.linear(mask * hidden)), dropout)
