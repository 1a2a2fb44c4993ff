"""The news encoders of NAML and LSTUR: convolutions over words."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import CnnColumnsConfig, CnnConfig
from tastebench.recommenders.ctr.item_operators.words import Columns, Words
from tastebench.recommenders.ctr.layers import AdditiveAttention
from tastebench.training.dropout import Dropout


class Convolution(nn.Module):
    """Filters over neighbouring words, as many outputs as words: `Dropout(ReLU(F x + b))`.

    Beyond both ends, and where there is padding, stand zeros.
    """

    def __init__(self, inputs: int, outputs: int, window: int, dropout: float) -> None:
        super().__init__()
        self.filters = nn.Conv1d(inputs, outputs, window, padding=window // 2)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, inputs]` and `[n, s]` to `[n, s, outputs]`."""
        x = x.masked_fill(~mask[..., None], 0.0)
        dropped: Tensor = self.dropout(functional.relu(self.filters(x.mT)).mT)
        return dropped


class View(nn.Module):
    """A column of words to a vector: convolution, then additive attention over positions."""

    def __init__(self, config: CnnConfig, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = Convolution(inputs, outputs, config.window, config.dropout)
        self.pool = AdditiveAttention(outputs, config.query_size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """`[n, s, inputs]` and `[n, s]` to `[n, outputs]`."""
        pooled: Tensor = self.pool(self.convolution(x, mask), mask)
        return pooled


class Cnn(nn.Module):
    """NAML's news encoder, or the port's of it.

    Published: words of a column through a `View` of its own, a category through a dense layer and a
    ReLU, and additive attention over the columns that have a token. Reference: one convolution for
    all columns of words, one dense layer for all categories, and one additive attention over all
    positions of all columns.
    """

    def __init__(self, config: CnnConfig, content: Content, width: int) -> None:
        super().__init__()
        self.columns = Columns("cnn", content)
        size = config.embedding_size or width
        self.words = Words(content.vocabulary, size, config.init_std)
        self.word_dropout = Dropout(config.dropout if config.variant == "published" else 0.0)
        self.pool = AdditiveAttention(width, config.query_size)
        self.shared = config.variant == "reference"
        if self.shared:
            # What no column uses is not made: it would be counted and never trained.
            if max(self.columns.widths) > 1:
                self.convolution = Convolution(size, width, config.window, config.dropout)
            if min(self.columns.widths) == 1:
                self.dense = nn.Linear(size, width)
        else:
            self.views = nn.ModuleList(
                View(config, size, width) if longest > 1 else nn.Linear(size, width)
                for longest in self.columns.widths
            )

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        made = self._positions(items) if self.shared else self._views(items)
        vectors, masks = zip(*made, strict=True)
        pooled: Tensor = self.pool(torch.cat(vectors, dim=1), torch.cat(masks, dim=1))
        return pooled

    def _positions(self, items: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Every position of every column, `[n, s, width]` and `[n, s]`."""
        for tokens, longest in zip(self.columns(items), self.columns.widths, strict=True):
            x, mask = self.words(tokens), tokens != 0
            yield (self.convolution(x, mask) if longest > 1 else self.dense(x)), mask

    def _views(self, items: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """A vector a column, `[n, 1, width]` and `[n, 1]`."""
        for i, tokens in enumerate(self.columns(items)):
            x, mask = self.word_dropout(self.words(tokens)), tokens != 0
            view = self.views[i]
            if isinstance(view, View):
                yield view(x, mask)[:, None], mask.any(-1, keepdim=True)
            else:
                yield functional.relu(view(x)), mask


class CnnColumns(nn.Module):
    """LSTUR's news encoder: columns of words through a `View`, categories as embedded, end to end.

    The published model's width is the sum over its columns. Here all bricks share one width, so
    several columns are projected to it; a single column of words is not. `reference` has one `View`
    for all columns and drops no words.
    """

    def __init__(self, config: CnnColumnsConfig, content: Content, width: int) -> None:
        super().__init__()
        self.columns = Columns("cnn-columns", content)
        size = config.embedding_size or width
        self.words = Words(content.vocabulary, size, config.init_std)
        self.word_dropout = Dropout(config.dropout if config.variant == "published" else 0.0)
        widths = self.columns.widths
        wordy = sum(longest > 1 for longest in widths)
        shared = config.variant == "reference"
        self.views = nn.ModuleList(
            View(config, size, width) for _ in range(min(1, wordy) if shared else wordy)
        )
        joined = wordy * width + (len(widths) - wordy) * size
        one = len(widths) == 1 and joined == width
        self.out = nn.Identity() if one else nn.Linear(joined, width)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        parts, n_wordy = [], 0
        for tokens, longest in zip(self.columns(items), self.columns.widths, strict=True):
            x = self.word_dropout(self.words(tokens))
            if longest > 1:
                view = self.views[n_wordy % len(self.views)]
                n_wordy += 1
                parts.append(view(x, tokens != 0))
            else:
                parts.append(x.squeeze(1))
        out: Tensor = self.out(torch.cat(parts, dim=-1))
        return out
