"""Attention in the precision in which its gradients are cheap."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor
from torch.nn import functional


def attend(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None = None,
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
        mask: Added to the scores, or what may be seen; fits `[b, heads, n, s]`.
        causal: Place `i` of `q` sees the first `i + 1` of `keys`.
        dropout: Share of the weights that are set to zero.
        scale: None is one by the root of `d`.

    Returns:
        `[b, n, heads * d]`.
    """
    q = q.transpose(1, 2)
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
            mixed = product(q.float(), keys.float(), values.float())
    else:
        mixed = product(q, keys, values)
    return mixed.transpose(1, 2).flatten(2)
