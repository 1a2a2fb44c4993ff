"""Caser: convolutions over the latest few item ids."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.id_settings import IdSettings


class CaserConfig(IdSettings):
    """Hyper-parameters: filters as in the authors' code, width and dropout for sparse shops."""

    output: Literal["tied", "untied"] = "untied"
    """States are compared with a table of their own, as published, or with the embeddings that
    histories are read by: states have no negative coordinates, which is much to ask of these."""

    embedding_dropout: float = Field(0.0, ge=0, lt=1)
    """Of the embeddings of a history."""

    window: int = Field(5, ge=1)
    """Latest items that are read."""

    horizontal: int = Field(16, ge=1)
    """Filters of each height `1 .. window`."""

    vertical: int = Field(4, ge=1)
    """Filters over all of the window."""

    dropout: float = Field(0.5, ge=0, lt=1)
    """Of what the filters found."""


def build(config: CaserConfig) -> Recommender:
    """An unfitted Caser."""
    from functools import partial

    from tastebench.recommenders.seqrec.id_networks import caser_network
    from tastebench.recommenders.seqrec.next_item import NextItem

    return NextItem("caser", config, partial(caser_network, config))


CARD = RecommenderCard(
    name="caser",
    summary="convolutions over the latest few item ids",
    tasks=("seqrec",),
    representations=("id",),
    config=CaserConfig,
    build=build,
    citation="Tang and Wang, Personalized Top-N Sequential Recommendation via Convolutional "
    "Sequence Embedding, WSDM 2018, doi:10.1145/3159652.3159656",
)
