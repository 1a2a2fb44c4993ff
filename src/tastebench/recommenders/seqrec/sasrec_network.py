"""SASRec's network: one embedding per item, used on both sides or on one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.next_item import SequenceNetwork
from tastebench.recommenders.seqrec.transformer import INIT_STD, CausalTransformer

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.sasrec import SASRecConfig


class IdNetwork(SequenceNetwork):
    """`score(history, item) = <state(history), embedding(item)>` for any causal encoder.

    Args:
        n_items: Size of the catalogue.
        width: Of embeddings and states.
        encoder: Embeddings of right-padded histories `[b, l, width]` to states of the same shape;
            state `i` has seen `0 .. i`.
        tied: States are compared with the embeddings that histories are read by; else with a table
            of their own.
    """

    has_tables = True

    def __init__(self, n_items: int, width: int, encoder: nn.Module, *, tied: bool = True) -> None:
        super().__init__()
        self.n_items = n_items
        self.items = nn.Parameter(torch.empty(n_items, width))
        self.encoder = encoder
        self.output = None if tied else nn.Parameter(torch.empty(n_items, width))
        nn.init.normal_(self.items, std=INIT_STD)
        if self.output is not None:
            nn.init.normal_(self.output, std=INIT_STD)

    def embed(self, items: Tensor) -> Tensor:
        """The embeddings of items `[n]`."""
        return self.looked_up(self.items, items)

    def read(self, embeddings: Tensor) -> Tensor:
        """States of the encoder."""
        states: Tensor = self.encoder(embeddings)
        return states

    def table(self) -> Tensor:
        """All embeddings as they are, not a copy."""
        return self.items

    def answers(self, items: Tensor) -> Tensor:
        """What states are compared with, for items `[n]`."""
        return self.embed(items) if self.output is None else self.looked_up(self.output, items)

    def catalogue(self, table: Tensor | None = None) -> Tensor:
        """What states are compared with, as it is, not a copy."""
        return self.items if self.output is None else self.output


class SASRecNetwork(IdNetwork):
    """The same with a transformer, whose last block computes only the states that are used."""

    encoder: CausalTransformer

    def predicting(self, items: Tensor, is_target: Tensor, lengths: Tensor) -> Tensor:
        """States that predict in training, `[n_targets, h]`, row by row."""
        embeddings = self.embed(items.flatten()).view(*items.shape, -1)
        return self.encoder.at(embeddings, is_target, lengths)

    def last(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """What is known at the end of right-padded histories `[b, l, h]`, none empty: `[b, h]`."""
        return self.encoder.last(embeddings, lengths)


def sasrec_network(config: SASRecConfig, problem: SeqProblem, items: Items) -> SASRecNetwork:
    """The untrained network for a problem; nothing of `items` but their number is used."""
    encoder = CausalTransformer.of(config, problem.history_length)
    return SASRecNetwork(items.n, config.hidden_size, encoder, tied=config.output == "tied")
