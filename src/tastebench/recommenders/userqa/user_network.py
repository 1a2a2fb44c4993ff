"""A user encoder with what it reads and what it is trained by: the next item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tastebench.recommenders.seqrec.next_item import SequenceNetwork
from tastebench.recommenders.seqrec.transformer import linear
from tastebench.recommenders.userqa.encoders import EncoderSettings, dense_parameters, make_encoder
from tastebench.recommenders.userqa.item_features import ItemFeatures

if TYPE_CHECKING:
    from tastebench.recommenders.userqa.item_features import Bags

_NO_LAST_NORM = ("hstu", "mamba2", "trm")


class UserNetwork(SequenceNetwork):
    """Features of items, an encoder over them, and a projection to what is compared.

        h = Encoder(W1 [features] + b1);  score(user, item) = <W2 h + b2, E_item>

    States of encoders without a last norm are normalised without parameters: a residual stream
    grows with what was added to it, and both scores and soft tokens would grow with it.

    Args:
        settings: Of the encoder.
        bags: What is read of items.
        length: Longest history.
        id_width, feature_width: Of what is read of items, as `ItemFeatures` has them.

    Attributes:
        dense: Numbers of the encoder, without what embeds items.
    """

    def __init__(
        self,
        settings: EncoderSettings,
        bags: Bags,
        length: int,
        id_width: int | None = None,
        feature_width: int | None = None,
    ) -> None:
        super().__init__()
        self.n_items, self.width = bags.n, settings.shape("width")
        self.has_tables = bags.has_id
        self.features = ItemFeatures(bags, self.width, id_width, feature_width)
        self.encoder = make_encoder(settings, length)
        last = settings.name in _NO_LAST_NORM
        self.norm = nn.LayerNorm(self.width, elementwise_affine=False) if last else nn.Identity()
        self.out = linear(self.width, self.features.compared_width)
        self.dense = dense_parameters(self.encoder)

    def embed(self, items: Tensor) -> Tensor:
        """Items int64 `[n]` to embeddings `[n, width]`; one that occurs twice is made once."""
        found, place = torch.unique(items, return_inverse=True)
        embeddings: Tensor = self.features(found)[place]
        return embeddings

    def read(self, embeddings: Tensor) -> Tensor:
        """What is compared with items, `[b, l, compared width]`."""
        compared: Tensor = self.out(self.users(embeddings))
        return compared

    def users(self, embeddings: Tensor) -> Tensor:
        """States of the encoder, `[b, l, width]`."""
        states: Tensor = self.norm(self.encoder(embeddings))
        return states

    def predicting(self, items: Tensor, is_target: Tensor, lengths: Tensor) -> Tensor:
        """States that predict in training, `[n_targets, compared width]`, row by row."""
        embeddings = self.embed(items.flatten()).view(*items.shape, -1)
        compared: Tensor = self.out(self.users(embeddings)[is_target])
        return compared

    def answers(self, items: Tensor) -> Tensor:
        """What states are compared with, for items `[n]`."""
        return self.features.compared(items)

    def catalogue(self, table: Tensor | None = None) -> Tensor:
        """What states are compared with, one row an item."""
        return self.features.compared()
