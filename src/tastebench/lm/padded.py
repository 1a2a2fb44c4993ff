"""Lists of different lengths that lie end to end, padded when some of them are taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Padded:
    """Texts as their tokens, or as their tokens' states.

    Attributes:
        values: One text after the other: tokens `[total]`, or states `[total, d]`; possibly
            memory-mapped.
        offsets: Where each text begins, and the end of the last, int64 `[n + 1]`.
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self, rows: np.ndarray) -> np.ndarray:
        """Tokens of some texts, int64 `[b]`."""
        lengths: np.ndarray = self.offsets[rows + 1] - self.offsets[rows]
        return lengths

    def places(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the tokens of some texts lie in `values`, text by text.

        Returns:
            int64 `[their tokens]`, and the mask of the padded batch, bool `[b, longest]`.
        """
        lengths = self.lengths(rows)
        column = np.arange(int(lengths.max(initial=0)))
        mask = column < lengths[:, None]
        return (self.offsets[rows][:, None] + column)[mask], mask

    def take(self, rows: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
        """Some texts, padded on the right with zeros, and where there is a token.

        Args:
            rows: Which, int64 `[b]`.
            device: Where they go.

        Returns:
            Tokens `[b, longest]` or states `[b, longest, d]`, the latter in float32, and the mask.
        """
        import torch

        places, where = self.places(rows)
        values = torch.from_numpy(np.asarray(self.values[places])).to(device)
        if values.is_floating_point():
            values = values.float()
        mask = torch.from_numpy(where).to(device)
        padded = values.new_zeros((*mask.shape, *values.shape[1:]))
        padded[mask] = values
        return padded, mask
