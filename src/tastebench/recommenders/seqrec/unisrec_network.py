"""UniSRec's network: whitening experts, the causal transformer, cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items, SeqProblem
from tastebench.recommenders.seqrec.experts import WhiteningExperts
from tastebench.recommenders.seqrec.next_item import SequenceNetwork
from tastebench.recommenders.seqrec.transformer import INIT_STD, CausalTransformer
from tastebench.recommenders.vectors import adapted

if TYPE_CHECKING:
    from tastebench.recommenders.seqrec.unisrec import UniSRecConfig


class UniSRecNetwork(SequenceNetwork):
    """`score(history, item) = cos(state(history), a(vector))`, trained at a temperature.

    The item's vector is frozen; `a` is the mixture of experts. In training the whole catalogue goes
    through `a` at every step with its dropout and gate noise, and the sequence side draws its own.
    With `ids` a learned embedding is added on both sides (the transductive variant).

    Args:
        vectors: Frozen item vectors, float32 `[n_items, d]`.
        length: Longest history.
        config: Hyper-parameters.
        ids: Whether items have an embedding of their own.
    """

    vectors: Tensor

    def __init__(
        self, vectors: np.ndarray, length: int, config: UniSRecConfig, *, ids: bool
    ) -> None:
        super().__init__()
        self.n_items = len(vectors)
        self.scale = 1 / config.temperature
        # Not part of the state: it is data, and every epoch would write it to disk again.
        self.register_buffer("vectors", torch.from_numpy(vectors), persistent=False)
        self.adaptor = WhiteningExperts(
            vectors.shape[1],
            config.hidden_size,
            experts=config.experts,
            dropout=config.adaptor_dropout,
        )
        self.encoder = CausalTransformer(
            config.hidden_size,
            length,
            layers=config.layers,
            heads=config.heads,
            inner=config.inner_size,
            dropout=config.hidden_dropout,
            attention_dropout=config.attention_dropout,
        )
        self.ids = nn.Parameter(torch.empty(len(vectors), config.hidden_size)) if ids else None
        if self.ids is not None:
            nn.init.normal_(self.ids, std=INIT_STD)

    def embed(self, items: Tensor) -> Tensor:
        """Items `[n]` through the adaptor, plus the embedding of their own if they have one."""
        embeddings: Tensor = self.adaptor(self.vectors[items])
        return embeddings if self.ids is None else embeddings + self.ids[items]

    def read(self, embeddings: Tensor) -> Tensor:
        """States of unit length."""
        return self.compared(self.encoder(embeddings))

    def compared(self, embeddings: Tensor) -> Tensor:
        """The same at unit length."""
        return functional.normalize(embeddings.float(), dim=-1)


def unisrec_network(config: UniSRecConfig, problem: SeqProblem, items: Items) -> UniSRecNetwork:
    """The untrained network for a problem.

    Raises:
        UsageError: Items have no vectors, or fewer dimensions than asked for.
    """
    vectors, note = adapted(items, config.adaptor, config.dimensions)
    ids = "id" in items.forms
    network = UniSRecNetwork(vectors, problem.history_length, config, ids=ids)
    network.notes = (note,)
    return network
