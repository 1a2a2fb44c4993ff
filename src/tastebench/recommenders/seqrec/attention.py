"""Attention in the precision in which its gradients are cheap, and in memory that it does not fill.

What is not fused writes down the scores of all pairs of places. For a history of ten thousand items
that is more than there is, so a block of queries at a time is looked at, and once more for the
gradient: memory grows with the history, not with its square.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

PAIRS = 2**27  # scores, of all rows and heads, that are written down at once
BLOCK = 2**24  # the same of a block, where there are more

Mask = Tensor | Callable[[slice], Tensor] | None
"""Added to the scores, or what may be seen, fits `[b, heads, n, s]`; or that of some queries."""

Product = Callable[[Tensor, Tensor, Tensor, Tensor | None, bool], Tensor]
"""Queries `[b, heads, n, d]`, keys, values, mask and whether it is causal, to the same shape."""


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Mask = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
    scale: float | None = None,
) -> Tensor:
    """`softmax(scale * q keys' + mask) values`.

    Fused on a CPU, bfloat16 takes seven times as long as fp32 for the gradients, so autocast is
    left there. What learns its mask is not fused, and gains by bfloat16.

    Args:
        q: `[b, n, heads, d]`.
        keys: `[b, heads, s, d]`.
        values: The same.
        mask: Added to the scores, or what may be seen; fits `[b, heads, n, s]`. As a function it is
            asked for blocks of queries, all of them where `written_down` says so.
        causal: Place `i` of `q` sees the first `i + 1` of `keys`.
        dropout: Share of the weights that are set to zero.
        scale: None is one by the root of `d`.

    Returns:
        `[b, n, heads * d]`.
    """
    q = q.transpose(1, 2)
    product = partial(_product, dropout=dropout, scale=scale)
    learned = isinstance(mask, Tensor) and mask.requires_grad
    if callable(mask) or learned or (dropout and q.device.type == "cpu"):
        mixed = in_blocks(product, q, keys, values, mask, causal=causal)
    else:  # fused: no scores are written down
        mixed = product(q, keys, values, mask, causal)
    return mixed.transpose(1, 2).flatten(2)


def _product(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    causal: bool,
    *,
    dropout: float,
    scale: float | None,
) -> Tensor:
    fused = q.device.type == "cpu" and (mask is None or not mask.requires_grad)
    product = partial(
        functional.scaled_dot_product_attention,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=causal,
        scale=scale,
    )
    if fused and torch.is_autocast_enabled("cpu"):
        with torch.autocast("cpu", enabled=False):
            return product(q.float(), keys.float(), values.float())
    return product(q, keys, values)


def in_blocks(
    product: Product,
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Mask = None,
    *,
    causal: bool = False,
) -> Tensor:
    """`product` of all queries at once, or a block at a time where that would write down too much.

    Args:
        product: What attention does.
        q: `[b, heads, n, d]`.
        keys: `[b, heads, s, d]`.
        values: The same.
        mask: As in `attend`.
        causal: As in `attend`; then there is no mask.
    """
    n, s = q.shape[2], keys.shape[2]

    def of(part: slice) -> Tensor:
        some = q[:, :, part]
        if causal:  # what comes after the block is not looked at
            past = keys[:, :, : part.stop], values[:, :, : part.stop]
            seen = torch.ones(some.shape[2], part.stop, dtype=torch.bool, device=q.device)
            return product(some, *past, seen.tril_(part.start), False)
        return product(some, keys, values, _rows(mask, part), False)

    pairs = q.shape[0] * q.shape[1] * n * s
    if written_down(pairs):
        whole = _rows(mask, slice(0, n))
        return product(q, keys, values, whole, causal)
    return over_queries(of, n, pairs, dim=2)


def _rows(mask: Mask, part: slice) -> Tensor | None:
    """The mask of some queries."""
    if mask is None or callable(mask):
        return None if mask is None else mask(part)
    return mask if mask.shape[-2] == 1 else mask[..., part, :]


def written_down(pairs: int) -> bool:
    """Whether the scores of so many pairs, of all rows and heads, may exist at once."""
    return pairs <= PAIRS


def over_queries(of: Callable[[slice], Tensor], n: int, pairs: int, dim: int) -> Tensor:
    """`of` a block of the `n` queries at a time, joined along `dim`.

    Nothing of a block is kept for its gradient but what it was made of.

    Args:
        of: A block of queries to what comes of them; draws the same twice.
        n: Queries.
        pairs: Scores of all of them, over rows and heads.
        dim: Which dimension of the result the queries are.
    """
    size = max(1, n * BLOCK // pairs)
    blocks = [slice(begin, min(begin + size, n)) for begin in range(0, n, size)]
    if not torch.is_grad_enabled():
        return torch.cat([of(block) for block in blocks], dim=dim)
    again = partial(checkpoint, of, use_reentrant=False)
    return torch.cat([cast("Tensor", again(block)) for block in blocks], dim=dim)
