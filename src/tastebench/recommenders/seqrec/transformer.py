"""Transformers over sequences of items, causal and not: learned positions, pre- or post-norm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.seqrec.attention import attend, in_blocks
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
        own_dropout: Attention weights are dropped by `Dropout`, in less than half of torch's time.
            Other draws, so what was trained by torch's keeps to them.
    """

    norm: Literal["post", "pre"] = "post"
    activation: Activation = "gelu"
    own_dropout: bool = False


BERT = Form()

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu-tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "relu": functional.relu,
}


class _Transformer(nn.Module):
    """Positions, blocks and norms of both transformers below; `causal` tells them apart.

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

    causal: bool

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
            form=Form(config.norm, config.activation, own_dropout=True),
        )

    def last(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """States of the last real positions alone, `[b, width]`: what `forward` has there.

        They have seen all real positions, whichever way the others look.
        """
        states, _ = self._read(embeddings, lengths)
        real = _real(states, lengths)
        return self._end(self.blocks[-1].at_last(states, real, lengths - 1))  # type: ignore[operator]

    def at(self, embeddings: Tensor, wanted: Tensor, lengths: Tensor) -> Tensor:
        """States of the positions in `wanted`, bool `[b, l]`, alone: `[n, width]`, row by row."""
        states, visible = self._read(embeddings, lengths)
        return self._end(self.blocks[-1].at(states, wanted, visible))  # type: ignore[operator]

    def _run(self, embeddings: Tensor, lengths: Tensor | None) -> Tensor:
        states, visible = self._read(embeddings, lengths)
        return self._end(self.blocks[-1](states, visible))

    def _read(self, embeddings: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """What the last block reads, and the positions that all of it may look at."""
        states: Tensor = embeddings + self.positions[: embeddings.shape[1]]
        states = self.dropout(states if self.pre else self.norm(states))
        visible = None if self.causal or lengths is None else _real(states, lengths)
        for block in self.blocks[:-1]:
            states = block(states, visible)
        return states, visible

    def _end(self, states: Tensor) -> Tensor:
        states = self.norm(states) if self.pre else states
        return states


class CausalTransformer(_Transformer):
    """Item embeddings to states: state `i` has seen embeddings `0 .. i`.

    Sequences are right-padded: padding comes after every real position, so the causal mask hides it
    and no other mask is needed. What stands at padded positions afterwards means nothing.
    """

    causal = True

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`, `l` at most `length`."""
        return self._run(embeddings, None)


class BidirectionalTransformer(_Transformer):
    """Item embeddings to states: every state has seen all real embeddings and no padding."""

    causal = False

    def forward(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """`[b, l, width]` to the same; the first `lengths[i]` positions of row `i` are real."""
        return self._run(embeddings, lengths)


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
        self.dropped = Dropout(attention_dropout) if form.own_dropout else None
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
        return self._ahead(x, self._attend(self._normed(x), visible))

    def at(self, x: Tensor, wanted: Tensor, visible: Tensor | None = None) -> Tensor:
        """The same of the positions in `wanted`, bool `[b, l]`, alone: `[n, width]`."""
        return self._ahead(x[wanted], self._attend(self._normed(x), visible)[wanted])

    def at_last(self, x: Tensor, visible: Tensor, last: Tensor) -> Tensor:
        """The same of position `last[i]` of row `i` alone, which sees the visible: `[b, width]`."""
        rows, width = torch.arange(len(x), device=x.device), x.shape[-1]
        normed = self._normed(x)
        weight, bias = self.qkv.weight, self.qkv.bias
        q = functional.linear(normed[rows, last], weight[:width], bias[:width])
        kv = functional.linear(normed, weight[width:], bias[width:])
        k, v = kv.view(*x.shape[:2], 2, self.heads, -1).unbind(2)
        mixed = self._mixed(q.view(len(x), 1, self.heads, -1), k, v, visible)
        return self._ahead(x[rows, last], mixed.squeeze(1))

    def _normed(self, x: Tensor) -> Tensor:
        normed: Tensor = self.attention_norm(x) if self.pre else x
        return normed

    def _ahead(self, x: Tensor, mixed: Tensor) -> Tensor:
        """From what was read and what attention made of it to the end of the block."""
        x = x + self.dropout(self.out(mixed))
        if self.pre:
            added: Tensor = x + self.dropout(self._feed(self.output_norm(x)))
            return added
        x = self.attention_norm(x)
        normed: Tensor = self.output_norm(x + self.dropout(self._feed(x)))
        return normed

    def _feed(self, x: Tensor) -> Tensor:
        fed: Tensor = self.down(_ACTIVATIONS[self.activation](self.up(x)))
        return fed

    def _attend(self, x: Tensor, visible: Tensor | None) -> Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).unbind(2)
        return self._mixed(q, k, v, visible)

    def _mixed(self, q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None) -> Tensor:
        """Attention of `[b, n, heads, d]` over `[b, l, heads, d]`, `[b, n, heads * d]`."""
        k, v = k.transpose(1, 2), v.transpose(1, 2)
        mask = None if visible is None else visible[:, None, None, :]
        if not (self.training and self.attention_dropout):
            return attend(q, k, v, mask, causal=mask is None)
        mixed = in_blocks(self._dropping, q.transpose(1, 2), k, v, mask, causal=mask is None)
        return mixed.transpose(1, 2).flatten(2)

    def _dropping(
        self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool
    ) -> Tensor:
        if self.dropped is not None:
            return _attention(q, k, v, mask, self.dropped)
        return functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, dropout_p=self.attention_dropout, is_causal=causal
        )


def _attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, dropout: Dropout) -> Tensor:
    """`dropout(softmax(q k' / sqrt(d))) v`, causal without a mask; `[b, heads, l, d]`."""
    if mask is None:
        mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril()
    hidden = torch.zeros(mask.shape, dtype=q.dtype, device=q.device)
    hidden.masked_fill_(~mask, float("-inf"))
    scores = ((q * q.shape[-1] ** -0.5) @ k.mT).add_(hidden)
    weights: Tensor = dropout(scores.softmax(dim=-1))
    return weights @ v


def _real(states: Tensor, lengths: Tensor) -> Tensor:
    """Which positions are not padding, bool `[b, l]`."""
    return torch.arange(states.shape[1], device=states.device) < lengths[:, None]


def linear(inputs: int, outputs: int) -> nn.Linear:
    """A layer as these networks begin: weights of standard deviation 0.02, no bias yet."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=INIT_STD)
    nn.init.zeros_(layer.bias)
    return layer
