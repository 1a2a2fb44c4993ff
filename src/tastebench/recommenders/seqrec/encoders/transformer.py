"""SASRec as it reads users for a language model: torch's post-norm encoder with ReLU."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec import attention
from tastebench.recommenders.seqrec.transformer import INIT_STD, linear
from tastebench.training.dropout import Dropout


class PostNormTransformer(nn.Module):
    """Learned positions, layers as `torch.nn.TransformerEncoderLayer` defines them, a last norm.

        h0 = x + P;  a = LN(h + Drop(MHA(h)));  h' = LN(a + Drop(W2 Drop(relu(W1 a))));  LN(h)

    Every weight is drawn on its own: cloning one layer, as `torch.nn.TransformerEncoder` does, lets
    all of them begin with the same attention.

    Args:
        width: Of embeddings and states.
        length: Longest sequence.
        layers: Layers.
        heads: Attention heads; divides `width`.
        inner: Width inside the feed-forward part.
        dropout: Of attention weights, inside the feed-forward part, and of what is added.
    """

    def __init__(
        self, width: int, length: int, *, layers: int, heads: int, inner: int, dropout: float
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(torch.empty(length, width))
        self.layers = nn.ModuleList(_Layer(width, heads, inner, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.positions, std=INIT_STD)

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`, `l` at most `length`."""
        check_length(embeddings, len(self.positions))
        states = embeddings + self.positions[: embeddings.shape[1]]
        for layer in self.layers:
            states = layer(states)
        normed: Tensor = self.norm(states)
        return normed


class _Layer(nn.Module):
    """Causal self-attention and feed-forward, each added to its input and normalised."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = linear(width, 3 * width)
        self.out = linear(width, width)
        self.attention_norm = nn.LayerNorm(width)
        self.up = linear(width, inner)
        self.down = linear(inner, width)
        self.output_norm = nn.LayerNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """`[b, l, width]` to the same."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        mixed = attend(q, k, v, self.dropout.p if self.training else 0.0)
        x = self.attention_norm(x + self.dropout(self.out(mixed)))
        inner = self.dropout(functional.relu(self.up(x)))
        normed: Tensor = self.output_norm(x + self.dropout(self.down(inner)))
        return normed


def attend(q: Tensor, k: Tensor, v: Tensor, dropout: float) -> Tensor:
    """Causal softmax attention: `[b, l, heads, d]` each to `[b, l, heads * d]`.

    Keys and values may have fewer heads, each of which then serves several of the queries'.
    """
    if k.shape[2] != q.shape[2]:
        k, v = (t.repeat_interleave(q.shape[2] // k.shape[2], dim=2) for t in (k, v))
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if not dropout:
        return attention.attend(q.transpose(1, 2), k, v, causal=True)
    mixed = attention.in_blocks(partial(_dropping, dropout=dropout), q, k, v, causal=True)
    return mixed.transpose(1, 2).flatten(2)


def _dropping(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool, *, dropout: float
) -> Tensor:
    return functional.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal
    )


def check_length(embeddings: Tensor, longest: int) -> None:
    """Refuses sequences that a table of positions does not reach.

    Raises:
        UsageError: They are longer than `longest`.
    """
    if embeddings.shape[1] > longest:
        raise UsageError(
            f"sequences of {embeddings.shape[1]} items, but the encoder has positions for "
            f"{longest}",
            fix="cut histories to their latest items, or build the encoder for longer ones",
        )
