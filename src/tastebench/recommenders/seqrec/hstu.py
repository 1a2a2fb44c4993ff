"""HSTU: gated attention without softmax over item ids."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.id_settings import IdSettings


class HSTUConfig(IdSettings):
    """Hyper-parameters: the shape of SASRec's, as the paper compares the two on public data."""

    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)

    head_width: int = Field(32, ge=1)
    """Of a head's queries, keys, values and gates."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Of the gated values."""

    bias: Literal["none", "position", "reference"] = "position"
    """What is learned for the distance of two items: `none` and, without times, `reference` have
    nothing, so that the order of what came before the last item hardly shows."""


def build(config: HSTUConfig) -> Recommender:
    """An unfitted HSTU."""
    from functools import partial

    from tastebench.recommenders.seqrec.id_networks import hstu_network
    from tastebench.recommenders.seqrec.next_item import NextItem

    return NextItem("hstu", config, partial(hstu_network, config))


CARD = RecommenderCard(
    name="hstu",
    summary="gated attention without softmax over item ids",
    tasks=("seqrec",),
    representations=("id",),
    config=HSTUConfig,
    build=build,
    citation="Zhai et al., Actions Speak Louder than Words: Trillion-Parameter Sequential "
    "Transducers for Generative Recommendations, ICML 2024, arXiv:2402.17152",
)
