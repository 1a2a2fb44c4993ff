"""FinalMLP: two towers, each behind a gate that weighs its features, and their product."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.predictors.mlp import Logit, Tower

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import FinalMlpConfig


class FinalMlp(nn.Module):
    """`w_1 y_1 + w_2 y_2 + b + sum_j y_1j^T W_j y_2j`, `y_i = Tower_i(gate_i(c_i) * x)`.

    `x` are the fields end to end, `c_1` and `c_2` two of them (user and item), `y_ij` the `j`-th
    part of `y_i`. (Mao et al., AAAI 2023, eq. 3-12.)

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number.

    Raises:
        UsageError: A gate is made of a field that there is not.
    """

    def __init__(self, config: FinalMlpConfig, width: int, fields: int) -> None:
        super().__init__()
        inputs = fields * width
        self.contexts = config.gates
        for context in config.gates or ():
            if not -fields <= context < fields:
                raise UsageError(
                    f"finalmlp: gates={config.gates} name a field that is not one of {fields}",
                    fix=f"fields from {-fields} to {fields - 1}, or gates: null for none",
                )
        self.gates = nn.ModuleList(
            Gate(width, config.gate_width, inputs) for _ in config.gates or ()
        )
        second = config.second_tower or config.tower
        self.first = Tower(inputs, config, logit=False)
        self.second = Tower(inputs, config, widths=second, logit=False)
        # Two biases rather than one, as each tower has a linear layer of its own in the reference.
        self.of_first, self.of_second = Logit(config.tower[-1]), Logit(second[-1])
        self.heads = config.heads
        self.product = nn.Parameter(
            torch.empty(config.heads, config.tower[-1] // config.heads, second[-1] // config.heads)
        )
        for head in self.product:
            nn.init.xavier_normal_(head)

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        x = fields.flatten(1)
        one, two = x, x
        if self.contexts is not None:
            one, two = (
                gate(fields[:, context]) * x
                for gate, context in zip(self.gates, self.contexts, strict=True)
            )
        one, two = self.first(one), self.second(two)
        logits: Tensor = self.of_first(one) + self.of_second(two) + self._product(one, two)
        return logits

    def _product(self, one: Tensor, two: Tensor) -> Tensor:
        parts = one.view(len(one), self.heads, -1).transpose(0, 1)
        mixed = (parts @ self.product).transpose(0, 1).flatten(1)
        return (mixed * two).sum(dim=1)


class Gate(nn.Module):
    """`2 sigmoid(W_2 relu(W_1 c + b_1) + b_2)`: between 0 and 2, about 1 at first.

    Args:
        inputs: Width of `c`.
        inner: Rows of `W_1`.
        outputs: Features weighed.
    """

    def __init__(self, inputs: int, inner: int, outputs: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(inputs, inner)
        self.out = nn.Linear(inner, outputs)

    def forward(self, context: Tensor) -> Tensor:
        """`[n, inputs]` to `[n, outputs]`."""
        weights: Tensor = self.out(self.hidden(context).relu_())
        return 2 * weights.sigmoid()
