"""Items as semantic ids: an embedding for each code of each level."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.errors import DataError, UsageError
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import CodeConfig, CodeLevelsConfig


class CodeEmbeddings(nn.Module):
    """One table for all levels: code `c` of level `l` is its row `sum(sizes[:l]) + c`.

    A path that ended before the last level holds -1 from there on, which adds nothing.

    Attributes:
        length: Codes of each item, int64 `[n_items]`; None where all have one in every level.

    Raises:
        UsageError: Items have no codes.
        DataError: A code does not exist in its level.
    """

    rows: Tensor
    length: Tensor | None

    def __init__(self, content: Content, width: int, init_std: float) -> None:
        super().__init__()
        if content.code is None:
            raise UsageError(
                "items are to be read by their semantic ids, and these have none",
                fix="use a representation with code",
            )
        code = torch.from_numpy(content.code).long()
        sizes = torch.tensor(content.code_sizes)
        if code.shape[1:] != sizes.shape:
            raise DataError(
                f"items have {code.shape[1]} codes each, and {len(sizes)} levels are described"
            )
        length = (code >= 0).cumprod(dim=1).sum(dim=1)
        inside = torch.arange(code.shape[1]) < length[:, None]
        wrong = torch.where(inside, code >= sizes, code != -1) | (length == 0)[:, None]
        if wrong.any():
            item, level = (int(i) for i in wrong.nonzero()[0])
            told = f"item {item} has the code {int(code[item, level])} in level {level}, "
            told += (
                f"which has {int(sizes[level])} codes"
                if inside[item, level] or not length[item]
                else f"and its path ended in level {int(length[item]) - 1}"
            )
            raise DataError(told, fix="make the codes anew")
        rows = (code + sizes.cumsum(0) - sizes).where(inside, 0)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("length", None if inside.all() else length, persistent=False)
        self.table = nn.Parameter(torch.empty(int(sizes.sum()), width))
        nn.init.normal_(self.table, std=init_std)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, levels, width]`."""
        found = functional.embedding(self.rows[items], self.table)
        if self.length is None:
            return found
        levels = torch.arange(found.shape[1], device=found.device)
        return found * (levels < self.length[items][:, None])[..., None]


class Code(nn.Module):
    """An item is the sum (or mean) of the embeddings of its codes."""

    def __init__(self, config: CodeConfig, content: Content, width: int) -> None:
        super().__init__()
        self.codes = CodeEmbeddings(content, width, config.init_std)
        self._mean = config.pool == "mean"

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        levels, length = self.codes(items), self.codes.length
        if self._mean and length is None:
            return torch.mean(levels, dim=1)
        vectors: Tensor = levels.sum(dim=1)
        return vectors / length[items][:, None] if self._mean and length is not None else vectors


class CodeLevels(nn.Module):
    """An item ever more precisely: level `l` is the sum of the embeddings of its first `l` codes.

    These are the prefixes of UIST's hierarchical mixture; whoever reads levels does not add them up
    again.
    """

    def __init__(self, config: CodeLevelsConfig, content: Content, width: int) -> None:
        super().__init__()
        self.codes = CodeEmbeddings(content, width, config.init_std)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, levels, width]`."""
        prefixes: Tensor = self.codes(items).cumsum(dim=1)
        return prefixes
