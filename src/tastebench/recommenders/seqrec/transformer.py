"""Transformers over sequences of items, causal and not: learned positions, pre- or post-norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.settings import TransformerSettings

EPSILON = 1e-12  # of the layer norms, as in BERT
PRE_EPSILON = 1e-5  # of those of pre-norm, as in GPT-2
INIT_STD = 0.02

Activation = Literal["gelu", "gelu-tanh", "relu"]


class Form(NamedTuple):
    """What blocks are made like.

    Attributes:
        norm: Where layers are normalised.
        activation: Inside the feed-forward part; `gelu-tanh` is GPT-2's approximation.
    """

    norm: Literal["post", "pre"] = "post"
    activation: Activation = "gelu"


BERT = Form()

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu-tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}


class _Transformer(nn.Module):
    """Positions, blocks and norms of both transformers below.

    Post-norm, as BERT has it, and pre-norm, as GPT-2 does:

        h0 = Dropout(LN(x + P));  a = LN(h + Dropout(MHA(h)));  h' = LN(a + Dropout(FF(a)))
        h0 = Dropout(x + P);  a = h + Dropout(MHA(LN(h)));  h' = a + Dropout(FF(LN(a)));  LN(h_last)

    Weights begin with a standard deviation of 0.02; in pre-norm those that write into the sum of
    all layers with 0.02 / sqrt(2 layers), so that the sum does not grow with the depth.

    Args:
        width: Of embeddings and states.
        length: Longest sequence.
        layers: Blocks.
        heads: Attention heads; divides `width`.
        inner: Width inside the feed-forward part.
        dropout: After embedding, attention and feed-forward.
        attention_dropout: Of the attention weights.
        form: Of the blocks.
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
        form: Form = BERT,
    ) -> None:
        super().__init__()
        self.pre = form.norm == "pre"
        self.positions = nn.Parameter(torch.empty(length, width))
        self.norm = nn.LayerNorm(width, PRE_EPSILON if self.pre else EPSILON)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(width, heads, inner, dropout, attention_dropout, form) for _ in range(layers)
        )
        nn.init.normal_(self.positions, std=INIT_STD)
        if self.pre:
            for block in self.blocks:
                for layer in (block.out, block.down):
                    nn.init.normal_(layer.weight, std=INIT_STD / (2 * layers) ** 0.5)  # type: ignore[union-attr, arg-type]

    @classmethod
    def of(cls, config: TransformerSettings, length: int) -> Self:
        """The transformer that a config describes."""
        return cls(
            config.hidden_size,
            length,
            layers=config.layers,
            heads=config.heads,
            inner=config.inner,
            dropout=config.hidden_dropout,
            attention_dropout=config.attention_dropout,
            form=Form(config.norm, config.activation),
        )

    def _run(self, embeddings: Tensor, visible: Tensor | None) -> Tensor:
        states: Tensor = embeddings + self.positions[: embeddings.shape[1]]
        states = self.dropout(states if self.pre else self.norm(states))
        for block in self.blocks:
            states = block(states, visible)
        states = self.norm(states) if self.pre else states
        return states


class CausalTransformer(_Transformer):
    """Item embeddings to states: state `i` has seen embeddings `0 .. i`.

    Sequences are right-padded: padding comes after every real position, so the causal mask hides it
    and no other mask is needed. What stands at padded positions afterwards means nothing.
    """

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`, `l` at most `length`."""
        return self._run(embeddings, None)


class BidirectionalTransformer(_Transformer):
    """Item embeddings to states: every state has seen all real embeddings and no padding."""

    def forward(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """`[b, l, width]` to the same; the first `lengths[i]` positions of row `i` are real."""
        column = torch.arange(embeddings.shape[1], device=embeddings.device)
        return self._run(embeddings, column < lengths[:, None])


class Block(nn.Module):
    """Self-attention and feed-forward, each added to its input, normalised before or after."""

    def __init__(
        self,
        width: int,
        heads: int,
        inner: int,
        dropout: float,
        attention_dropout: float,
        form: Form = BERT,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout = attention_dropout
        self.pre = form.norm == "pre"
        self.activation = form.activation
        epsilon = PRE_EPSILON if self.pre else EPSILON
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)
        self.attention_norm = nn.LayerNorm(width, epsilon)
        self.up = linear(width, inner)
        self.down = linear(inner, width)
        self.output_norm = nn.LayerNorm(width, epsilon)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, visible: Tensor | None = None) -> Tensor:
        """`[b, l, width]` to the same; causal where not told what is visible, bool `[b, l]`."""
        if self.pre:
            x = x + self.dropout(self._attend(self.attention_norm(x), visible))
            added: Tensor = x + self.dropout(self._feed(self.output_norm(x)))
            return added
        x = self.attention_norm(x + self.dropout(self._attend(x, visible)))
        normed: Tensor = self.output_norm(x + self.dropout(self._feed(x)))
        return normed

    def _feed(self, x: Tensor) -> Tensor:
        fed: Tensor = self.down(_ACTIVATIONS[self.activation](self.up(x)))
        return fed

    def _attend(self, x: Tensor, visible: Tensor | None) -> Tensor:
        b, length, width = x.shape
        q, k, v = self.qkv(x).view(b, length, 3, self.heads, width // self.heads).unbind(2)
        mixed = functional.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=None if visible is None else visible[:, None, None, :],
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=visible is None,
        )
        out: Tensor = self.out(mixed.transpose(1, 2).reshape(b, length, width))
        return out


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer as these networks begin: weights of standard deviation 0.02, no bias yet."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer
