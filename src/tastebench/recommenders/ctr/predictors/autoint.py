"""AutoInt: self-attention of the fields to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.predictors.mlp import Logit, Tower

if TYPE_CHECKING:
    from tastebench.recommenders.ctr.predictors.settings import AutoIntConfig


class AutoInt(nn.Module):
    """`w [e_1; e_2; ...] + b + Tower(x)`, `e` the fields after some layers of attention.

    (Song et al., CIKM 2019, section 4.)

    Args:
        config: Its settings.
        width: `h`, of a field.
        fields: Their number `f`.
    """

    def __init__(self, config: AutoIntConfig, width: int, fields: int) -> None:
        super().__init__()
        out = config.attention_width
        self.layers = nn.ModuleList(
            Interaction(
                out if index else width,
                out,
                config.heads,
                config.attention_dropout,
                identity=config.variant == "reference",
            )
            for index in range(config.layers)
        )
        self.logit = Logit(fields * out)
        self.tower = Tower(fields * width, config) if config.deep else None

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, h]` to `[n]`."""
        states = fields
        for layer in self.layers:
            states = layer(states)
        logits: Tensor = self.logit(states.flatten(1))
        return logits if self.tower is None else logits + self.tower(fields.flatten(1))


class Interaction(nn.Module):
    """`relu([head_1; head_2; ...] + R x_i)`, `head = sum_j softmax_j(q_i . k_j) v_j`.

    Queries, keys and values are linear in the fields, without biases; there is no scaling.

    Args:
        inputs: Width of the fields.
        outputs: Width of the states, all heads together.
        heads: Attention heads.
        dropout: Of the attention weights.
        identity: `R` is the identity if widths are equal, else a matrix as any other.
    """

    def __init__(
        self, inputs: int, outputs: int, heads: int, dropout: float, *, identity: bool
    ) -> None:
        super().__init__()
        self.outputs, self.heads, self.dropout = outputs, heads, dropout
        self.sizes = [outputs] * (3 if identity and inputs == outputs else 4)
        self.linear = nn.Linear(inputs, sum(self.sizes), bias=False)

    def forward(self, fields: Tensor) -> Tensor:
        """`[n, f, inputs]` to `[n, f, outputs]`."""
        n, f, _ = fields.shape
        q, k, v, *residual = self.linear(fields).split_with_sizes(self.sizes, dim=-1)
        q, k, v = (part.view(n, f, self.heads, -1).transpose(1, 2) for part in (q, k, v))
        mixed = functional.scaled_dot_product_attention(
            q, k, v, dropout_p=self.dropout if self.training else 0.0, scale=1.0
        )
        mixed = mixed.transpose(1, 2).reshape(n, f, self.outputs)
        return (mixed + (residual[0] if residual else fields)).relu_()
