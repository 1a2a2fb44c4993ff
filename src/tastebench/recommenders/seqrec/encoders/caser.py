"""Caser: convolutions over the latest few items, at every position of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.seqrec.transformer import linear
from tastebench.training.dropout import Dropout


class Caser(nn.Module):
    """Horizontal and vertical filters over a window that ends at the position itself.

    With `E [window, width]` the latest embeddings, zeros before the first:

        o_k  = max_i relu(<F_k, E[i : i + height]> + b)     horizontal, for every height 1 .. window
        o'_k = sum_i G_k[i] E[i]                            vertical, one number a coordinate
        state = relu(W Drop([o'; o]) + b)

    Tang and Wang, Personalized Top-N Sequential Recommendation via Convolutional Sequence
    Embedding, WSDM 2018, without its embedding of the user, so that who is new is read like
    everybody else, and at every position rather than the last, so that each predicts its next item.
    A filter meets each stretch of items once: windows that share it share the result.

    Args:
        width: Of embeddings and states.
        window: Latest items that a state sees.
        horizontal: Filters of each height.
        vertical: Filters over all of the window.
        dropout: Of what the filters found.
    """

    def __init__(
        self, width: int, *, window: int, horizontal: int, vertical: int, dropout: float
    ) -> None:
        super().__init__()
        self.window = window
        self.horizontal = nn.ModuleList(
            nn.Conv1d(width, horizontal, height) for height in range(1, window + 1)
        )
        self.vertical = nn.Conv2d(1, vertical, (window, 1))
        self.dropout = Dropout(dropout)
        self.out = linear(vertical * width + horizontal * window, width)

    def forward(self, embeddings: Tensor) -> Tensor:
        """`[b, l, width]` to `[b, l, width]`."""
        padded = functional.pad(embeddings, (0, 0, self.window - 1, 0))
        across = padded.transpose(1, 2)
        found = [self.vertical(padded[:, None]).transpose(1, 2).flatten(2)]
        for shorter, filters in enumerate(self.horizontal):
            matches = functional.relu(filters(across))
            # All stretches of this height that lie in the window of a position.
            pooled = functional.max_pool1d(matches, self.window - shorter, 1)
            found.append(pooled.transpose(1, 2))
        states: Tensor = functional.relu(self.out(self.dropout(torch.cat(found, dim=-1))))
        return states
