"""SASRec's network: one embedding per item, used on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.next_item import SequenceNetwork
from tastebench.recommenders.seqrec.transformer import INIT_STD, CausalTransformer

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.sasrec import SASRecConfig


class SASRecNetwork(SequenceNetwork):
    """`score(history, item) = <state(history), embedding(item)>`.

    Args:
        n_items: Size of the catalogue.
        length: Longest history.
        config: Hyper-parameters.
    """

    def __init__(self, n_items: int, length: int, config: SASRecConfig) -> None:
        super().__init__()
        self.n_items = n_items
        self.items = nn.Parameter(torch.empty(n_items, config.hidden_size))
        self.encoder = CausalTransformer(
            config.hidden_size,
            length,
            layers=config.layers,
            heads=config.heads,
            inner=config.inner_size,
            dropout=config.hidden_dropout,
            attention_dropout=config.attention_dropout,
        )
        nn.init.normal_(self.items, std=INIT_STD)

    def embed(self, items: Tensor) -> Tensor:
        """The embeddings of items `[n]`."""
        return self.items[items]

    def read(self, embeddings: Tensor) -> Tensor:
        """States of the transformer."""
        states: Tensor = self.encoder(embeddings)
        return states

    def table(self) -> Tensor:
        """All embeddings as they are, not a copy."""
        return self.items


def sasrec_network(config: SASRecConfig, problem: SeqProblem, items: Items) -> SASRecNetwork:
    """The untrained network for a problem; nothing of `items` but their number is used."""
    return SASRecNetwork(items.n, problem.history_length, config)
