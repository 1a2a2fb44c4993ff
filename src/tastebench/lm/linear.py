"""Faster matrix products for a model that is only read.

Most of an encoder's time is spent in its linear layers. Two things make them faster without another
engine: weights laid out once for the CPU's matrix library (oneDNN uses the widest instructions that
the CPU has; the default path does not on every maker's CPU), and bfloat16 where the device has it
natively. What lies between the layers - residuals, norms, pooling - stays float32.

Layers are swapped only where the vectors stay what they were: `fastest` measures the result against
the untouched model.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from tastebench.lm.load import MIN_COSINE

if TYPE_CHECKING:
    from torch import Tensor


class PackedLinear(nn.Module):
    """A linear layer whose weights lie as the CPU's matrix library wants them; inference only."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.in_features, self.out_features = layer.in_features, layer.out_features
        # Plain attributes: a packed tensor is opaque, it cannot be saved or moved.
        self.weight: Any = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach().to(dtype))
        self.bias = None if layer.bias is None else layer.bias.detach().to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """`x @ weight.T + bias`, in the layer's dtype."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(
            x.to(self.dtype), self.weight, self.bias, "none", [], ""
        )
        return out


def can_pack(device: str, dtype: torch.dtype = torch.float32) -> bool:
    """Whether weights can be packed here: on a CPU, with a PyTorch that has oneDNN's operators."""
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    return (
        device == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
        and hasattr(torch.ops.mkldnn, "_reorder_linear_weight")
    )


@dataclass
class Swap:
    """Linear layers that were replaced, and how to undo it."""

    replaced: list[tuple[nn.Module, str, nn.Module]]

    def undo(self) -> None:
        """Puts the original layers back."""
        for parent, name, layer in self.replaced:
            setattr(parent, name, layer)


def swap_linears(module: nn.Module, device: str, dtype: torch.dtype) -> Swap:
    """Replaces every plain linear layer inside `module` by a faster one that computes in `dtype`.

    Subclasses of `nn.Linear` (adapters, quantised layers) are left alone.
    """
    swap = Swap([])
    for parent in list(module.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is nn.Linear:
                fast = (
                    PackedLinear(layer, dtype) if can_pack(device, dtype) else _cast(layer, dtype)
                )
                swap.replaced.append((parent, name, layer))
                setattr(parent, name, fast)
    return swap


def _cast(layer: nn.Linear, dtype: torch.dtype) -> nn.Linear:
    copy = nn.Linear(layer.in_features, layer.out_features, layer.bias is not None, device="meta")
    copy.weight = nn.Parameter(layer.weight.detach().to(dtype), requires_grad=False)
    if layer.bias is not None:
        copy.bias = nn.Parameter(layer.bias.detach().to(dtype), requires_grad=False)
    return copy


def fastest(
    module: nn.Module,
    device: str,
    encode: Callable[[str], np.ndarray],
    *,
    lower: bool,
    name: str,
    centred: bool = False,
) -> str:
    """Swaps the linear layers of a float32 `module` for the fastest that leave its vectors alone.

    Args:
        module: Whose layers are swapped, in place; it stays as it is where no swap agrees.
        device: Where it lies.
        encode: Some texts' vectors, `[n, d]`, given what products are computed in.
        lower: bfloat16 may be used.
        name: Of the model, for warnings.
        centred: Vectors are compared after their mean is taken off. Raw token states of one model
            point almost the same way, and what tells texts apart is the small rest.

    Returns:
        What products are to be computed in: `float32` or `bfloat16`.
    """
    wanted = ["bfloat16"] * lower + ["float32"] * can_pack(device)
    if not wanted:
        return "float32"
    truth = encode("float32")
    middle = truth.mean(axis=0) if centred else np.zeros_like(truth[0])
    for dtype in wanted:
        swap = swap_linears(module, device, getattr(torch, dtype))
        try:
            found = agreement(encode(dtype) - middle, truth - middle)
        except (RuntimeError, AttributeError, TypeError) as error:
            # An architecture that looks inside its linear layers; the untouched model is right.
            warnings.warn(f"{name}: no fast path ({error})", stacklevel=2)
            found = -1.0
        if found >= MIN_COSINE:
            return dtype
        swap.undo()
    return "float32"


def computing_in(dtype: str, device: str) -> AbstractContextManager[Any]:
    """Within it matrix products are computed in `dtype`, `float32` or `bfloat16`."""
    if dtype != "bfloat16":
        return nullcontext()
    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16)


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """The lowest cosine between rows of `a` and `b`; two zero rows agree, NaN never does."""
    a64, b64 = a.astype(np.float64), b.astype(np.float64)
    norms = np.linalg.norm(a64, axis=1) * np.linalg.norm(b64, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a64 * b64).sum(axis=1) / norms
    both_zero = ~a64.any(axis=1) & ~b64.any(axis=1)
    cosine = np.nan_to_num(np.where(both_zero, 1.0, cosine), nan=-1.0)
    return float(cosine.min(initial=1.0))
