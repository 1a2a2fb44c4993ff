"""SASRec's network with a two-layer adaptor in place of item embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.next_item import SequenceNetwork
from tastebench.recommenders.seqrec.transformer import CausalTransformer, linear
from tastebench.recommenders.vectors import adapted
from tastebench.training.dropout import Dropout

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.sasrec_text import SASRecTextConfig


class SASRecTextNetwork(SequenceNetwork):
    """`score(history, item) = <state(history), a(vector)>`, `a` two layers with a ReLU between.

    Args:
        vectors: Frozen item vectors, float32 `[n_items, d]`.
        length: Longest history.
        config: Hyper-parameters.
    """

    vectors: Tensor

    def __init__(self, vectors: np.ndarray, length: int, config: SASRecTextConfig) -> None:
        super().__init__()
        self.n_items = len(vectors)
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)
        self.adaptor = nn.Sequential(
            Dropout(config.adaptor_dropout),
            linear(vectors.shape[1], config.adaptor_size),
            nn.ReLU(),
            Dropout(config.adaptor_dropout),
            linear(config.adaptor_size, config.hidden_size),
        )
        self.encoder = CausalTransformer.of(config, length)

    def embed(self, items: Tensor) -> Tensor:
        """Items `[n]` through the adaptor."""
        embeddings: Tensor = self.adaptor(self.vectors[items])
        return embeddings

    def read(self, embeddings: Tensor) -> Tensor:
        """States of the transformer."""
        states: Tensor = self.encoder(embeddings)
        return states

    def predicting(self, items: Tensor, is_target: Tensor, lengths: Tensor) -> Tensor:
        """States that predict in training, `[n_targets, h]`, row by row."""
        embeddings = self.embed(items.flatten()).view(*items.shape, -1)
        return self.encoder.at(embeddings, is_target, lengths)

    def last(self, embeddings: Tensor, lengths: Tensor) -> Tensor:
        """What is known at the end of right-padded histories `[b, l, h]`, none empty: `[b, h]`."""
        return self.encoder.last(embeddings, lengths)


def sasrec_text_network(
    config: SASRecTextConfig, problem: SeqProblem, items: Items
) -> SASRecTextNetwork:
    """The untrained network for a problem.

    Raises:
        UsageError: Items have no vectors, or fewer dimensions than asked for.
    """
    vectors, note = adapted(items, config.adaptor, config.dimensions)
    network = SASRecTextNetwork(vectors, problem.history_length, config)
    network.notes = (note,)
    return network
