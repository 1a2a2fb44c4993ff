"""The causal transformer of SASRec and UniSRec: post-norm, learned positions, GELU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.training.dropout import Dropout

EPSILON = 1e-12  # of the layer norms, as in BERT
INIT_STD = 0.02


class CausalTransformer(nn.Module):
    """Item embeddings to states: state `i` has seen embeddings `0 .. i`.

        h0 = Dropout(LN(x + P));  a = LN(h + Dropout(MHA(h)));  h' = LN(a + Dropout(FF(a)))

    Sequences are right-padded: padding comes after every real position, so the causal mask hides it
    and no other mask is needed. What stands at padded positions afterwards means nothing.

    Args:
        width: Of embeddings and states.
        length: Longest sequence.
        layers: Blocks.
        heads: Attention heads; divides `width`.
        inner: Width inside the feed-forward part.
        dropout: After embedding, attention and feed-forward.
        attention_dropout: Of the attention weights.
    """

    def __init__(
        self,
        width: int,
        length: int,
        *,
        layers: int,
        heads: int,
        inner: int,
        dropout: float,
        attention_dropout: float,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(length, width))
        self.norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, inner, dropout, attention_dropout) for _ in range(layers)
        )
        nn.init.normal_(self.positions, std=INIT_STD)

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`, `l` at most `length`."""
        states: Tensor = self.dropout(self.norm(embeddings + self.positions[: embeddings.shape[1]]))
        for block in self.blocks:
            states = block(states)
        return states


class Block(nn.Module):
    """Causal self-attention and feed-forward, each added to its input and normalised."""

    def __init__(
        self, width: int, heads: int, inner: int, dropout: float, attention_dropout: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)
        self.attention_norm = nn.LayerNorm(width, EPSILON)
        self.up = linear(width, inner)
        self.down = linear(inner, width)
        self.output_norm = nn.LayerNorm(width, EPSILON)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, l, width]` to the same."""
        x = self.attention_norm(x + self.dropout(self._attend(x)))
        normed: Tensor = self.output_norm(x + self.dropout(self.down(functional.gelu(self.up(x)))))
        return normed

    def _attend(self, x: Tensor) -> Tensor:
        b, length, width = x.shape
        q, k, v = self.qkv(x).view(b, length, 3, self.heads, width // self.heads).unbind(2)
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=True,
        )
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, length, width))
        return out


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer as these networks begin: weights of standard deviation 0.02, no bias yet."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer
