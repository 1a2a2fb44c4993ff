"""SASRec: the same transformer over item ids, the control that knows no text.

As RecBole trains it: cross-entropy over the whole catalogue instead of one sampled negative, which
is the stronger form (Klenitskiy and Vasilev, RecSys 2023).
"""

from __future__ import annotations

from pydantic import Field, model_validator

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.training.settings import TrainSettings


class SASRecConfig(TrainSettings):
    """Hyper-parameters, at RecBole's values."""

    hidden_size: int = Field(64, ge=1)
    """Width of item embeddings and states."""

    inner_size: int = Field(256, ge=1)
    """Width inside the feed-forward part."""

    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)
    hidden_dropout: float = Field(0.5, ge=0, lt=1)
    attention_dropout: float = Field(0.5, ge=0, lt=1)

    @model_validator(mode="after")
    def _heads_divide_width(self) -> SASRecConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads={self.heads} does not divide hidden_size={self.hidden_size}")
        return self


def build(config: SASRecConfig) -> Recommender:
    """An unfitted SASRec."""
    from functools import partial

    from tastebench.recommenders.seqrec.next_item import NextItem
    from tastebench.recommenders.seqrec.sasrec_network import sasrec_network

    return NextItem("sasrec", config, partial(sasrec_network, config))


CARD = RecommenderCard(
    name="sasrec",
    summary="transformer over item ids, softmax over the whole catalogue",
    tasks=("seqrec",),
    representations=("id",),
    config=SASRecConfig,
    build=build,
    citation="Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, "
    "doi:10.1109/ICDM.2018.00035",
)
