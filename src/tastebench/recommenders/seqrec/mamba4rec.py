"""Mamba4Rec: selective state spaces over item ids."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.id_settings import IdSettings


class Mamba4RecConfig(IdSettings):
    """Hyper-parameters, at the values of the authors' code but for more dropout.

    That code is set for MovieLens-1M, where 0.2 is enough; shops are sparser.
    """

    embedding_dropout: float = Field(0.0, ge=0, lt=1)
    """Of the embeddings of a history, before the `dropout` that the network begins with."""

    block: Literal["mamba4rec", "mamba2"] = "mamba4rec"
    """The published block, or a stack of bare Mamba-2 mixers as in UQABench."""

    layers: int = Field(1, ge=1)

    state_size: int = Field(32, ge=1)
    """Entries of the state per coordinate."""

    head_width: int = Field(32, ge=1)
    """Coordinates of a head of `mamba2`; divides twice `hidden_size`."""

    dropout: float = Field(0.4, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.block == "mamba2" and 2 * self.hidden_size % self.head_width:
            raise ValueError(
                f"head_width={self.head_width} does not divide twice hidden_size={self.hidden_size}"
            )
        return self


def build(config: Mamba4RecConfig) -> Recommender:
    """An unfitted Mamba4Rec."""
    from functools import partial

    from tastebench.recommenders.seqrec.id_networks import mamba4rec_network
    from tastebench.recommenders.seqrec.next_item import NextItem

    return NextItem("mamba4rec", config, partial(mamba4rec_network, config))


CARD = RecommenderCard(
    name="mamba4rec",
    summary="selective state space over item ids",
    tasks=("seqrec",),
    representations=("id",),
    config=Mamba4RecConfig,
    build=build,
    citation="Liu et al., Mamba4Rec: Towards Efficient Sequential Recommendation with Selective "
    "State Space Models, 2024, arXiv:2403.03900",
)
