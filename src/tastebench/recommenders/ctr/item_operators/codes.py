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

    Raises:
        UsageError: Items have no codes.
        DataError: A code does not exist in its level.
    """

    rows: Tensor

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
        wrong = (code < 0) | (code >= sizes)
        if wrong.any():
            item, level = (int(i) for i in wrong.nonzero()[0])
            raise DataError(
                f"item {item} has the code {int(code[item, level])} in level {level}, which has "
                f"{int(sizes[level])} codes",
                fix="make the codes anew",
            )
        self.register_buffer("rows", code + sizes.cumsum(0) - sizes, persistent=False)
        self.table = nn.Parameter(torch.empty(int(sizes.sum()), width))
        nn.init.normal_(self.table, std=init_std)

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, levels, width]`."""
        return functional.embedding(self.rows[items], self.table)


class Code(nn.Module):
    """An item is the sum (or mean) of the embeddings of its codes."""

    def __init__(self, config: CodeConfig, content: Content, width: int) -> None:
        super().__init__()
        self.codes = CodeEmbeddings(content, width, config.init_std)
        self._mean = config.pool == "mean"

    def forward(self, items: Tensor) -> Tensor:
        """`[n]` to `[n, width]`."""
        levels = self.codes(items)
        vectors: Tensor = levels.mean(dim=1) if self._mean else levels.sum(dim=1)
        return vectors


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
