"""BERT4Rec's network: a [MASK] stands where an item is to be said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.next_item import SequenceNetwork
from tastebench.recommenders.seqrec.transformer import (
    INIT_STD,
    BidirectionalTransformer,
    linear,
)

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.bert4rec import BERT4RecConfig


class BERT4RecNetwork(SequenceNetwork):
    """`score(item) = <GELU(W h + b), embedding(item)> + bias(item)`, `h` the state of a [MASK].

    A [MASK] takes the place of the item, so what is to be said is nowhere in what is read. Asked
    for what comes next, one is appended to the history. A state carries a 1 for the item's bias.

    Args:
        n_items: Size of the catalogue.
        length: Longest history.
        config: Hyper-parameters.
    """

    has_tables = True

    def __init__(self, n_items: int, length: int, config: BERT4RecConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.n_items = n_items
        self.items = nn.Parameter(torch.empty(n_items, width))
        self.bias = nn.Parameter(torch.zeros(n_items, 1))
        self.mask = nn.Parameter(torch.empty(width))
        self.encoder = BidirectionalTransformer.of(config, length + 1)
        self.head = linear(width, width)
        nn.init.normal_(self.items, std=INIT_STD)
        nn.init.normal_(self.mask, std=INIT_STD)

    def embed(self, items: Tensor) -> Tensor:
        """The embeddings of items `[n]`."""
        return self.looked_up(self.items, items)

    def table(self) -> Tensor:
        """All embeddings as they are, not a copy."""
        return self.items

    def answers(self, items: Tensor) -> Tensor:
        """Embeddings and biases of items `[n]`, `[n, h + 1]`."""
        return torch.cat([self.embed(items), self.looked_up(self.bias, items)], dim=1)

    def catalogue(self, table: Tensor | None = None) -> Tensor:
        """Embeddings and biases of all items, `[n_items, h + 1]`."""
        return torch.cat([self.items, self.bias], dim=1)

    def predicting(self, items: Tensor, is_target: Tensor, lengths: Tensor) -> Tensor:
        """States of hidden items, `[n_targets, h + 1]`, row by row."""
        embeddings = self.embed(items.flatten()).view(*items.shape, -1)
        read = torch.where(is_target[..., None], self.mask, embeddings)
        return self._said(self.encoder.at(read, is_target, lengths))

    def last(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """States of a [MASK] after each history, `[b, h + 1]`."""
        read = functional.pad(embeddings, (0, 0, 0, 1))
        after = torch.arange(read.shape[1], device=lengths.device) == lengths[:, None]
        read = torch.where(after[..., None], self.mask, read)
        return self._said(self.encoder.last(read, lengths + 1))

    def _said(self, states: Tensor) -> Tensor:
        return functional.pad(functional.gelu(self.head(states)), (0, 1), value=1.0)


def bert4rec_network(config: BERT4RecConfig, problem: SeqProblem, items: Items) -> BERT4RecNetwork:
    """The untrained network for a problem; nothing of `items` but their number is used."""
    return BERT4RecNetwork(items.n, problem.history_length, config)
