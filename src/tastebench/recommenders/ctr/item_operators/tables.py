"""Items as rows of a table: embeddings of their own, or encoded text."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import IdConfig, VectorConfig
from tastebench.training.dropout import Dropout

_CHUNK = 65536


class IdTable(nn.Module):
    """An embedding an item, trained from a normal draw."""

    def __init__(self, config: IdConfig, content: Content, width: int) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(content.n, width))
        nn.init.normal_(self.table, std=config.init_std)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        return functional.embedding(items, self.table)


class VectorTable(nn.Module):
    """Encoded text and a dense layer to the model's width: `Dropout(W t + b)`.

    Frozen vectors are no part of the network's state: they are the encoder's, kept elsewhere.
    """

    table: Tensor

    def __init__(self, config: VectorConfig, content: Content, width: int) -> None:
        super().__init__()
        if content.vector is None:
            raise UsageError(
                "the item operator vector needs encoded text, and the items have none",
                fix="name an encoder and use a representation with vector",
            )
        table = torch.from_numpy(scaled(content.vector, config.scale))
        if config.mode == "frozen":
            self.register_buffer("table", table, persistent=False)
        else:
            self.table = nn.Parameter(table)
        self.out = nn.Linear(table.shape[1], width)
        self.dropout = Dropout(config.dropout)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        projected: Tensor = self.dropout(self.out(functional.embedding(items, self.table)))
        return projected


def scaled(vectors: np.ndarray, how: str) -> np.ndarray:
    """A copy of vectors `[n, d]` as float32.

    Args:
        vectors: What an encoder made; read in chunks, so it may be memory-mapped.
        how: `none`; `unit` length, zero rows staying zero; or `standard`, each dimension with mean
            0 and deviation 1 over the rows (ddof = 0), dimensions without any deviation 0.
    """
    out = np.array(vectors, dtype=np.float32)
    if how == "unit":
        norms = np.linalg.norm(out, axis=1, keepdims=True)
        out /= np.where(norms > 0, norms, 1)
    if how == "standard":
        mean = out.mean(axis=0, dtype=np.float64)
        squares = np.zeros_like(mean)
        for start in range(0, len(out), _CHUNK):
            # Two passes: the squares of a large mean would hide a small deviation.
            squares += ((out[start : start + _CHUNK] - mean) ** 2).sum(axis=0)
        deviation = np.sqrt(squares / len(out))
        # What rounding the mean alone makes is no deviation.
        flat = deviation <= np.abs(mean) * np.finfo(np.float32).eps
        out -= mean.astype(np.float32)
        out *= np.where(flat, 0, 1 / np.where(flat, 1, deviation)).astype(np.float32)
    return out
