"""Trm++: the transformer of today's language models over item ids."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.id_settings import IdSettings


class TrmConfig(IdSettings):
    """Hyper-parameters: the shape of SASRec's, so that what differs is the kind of layer.

    UQABench's own are 8 layers of 8 heads at a width of 512, for a million items.
    """

    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)

    kv_heads: int | None = Field(None, ge=1)
    """Heads of keys and values, shared by groups of `heads`; None is as many."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Of attention weights and of what layers add."""

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError(
                f"heads={self.heads} does not divide hidden_size={self.hidden_size} into even "
                "parts, which rotary positions need"
            )
        if self.heads % (self.kv_heads or self.heads):
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}")
        return self


def build(config: TrmConfig) -> Recommender:
    """An unfitted Trm++."""
    from functools import partial

    from tastebench.recommenders.seqrec.id_networks import trm_network
    from tastebench.recommenders.seqrec.next_item import NextItem

    return NextItem("trm++", config, partial(trm_network, config))


CARD = RecommenderCard(
    name="trm++",
    summary="RMS-norm, rotary, SiLU-gated transformer over item ids",
    tasks=("seqrec",),
    representations=("id",),
    config=TrmConfig,
    build=build,
    citation="Liu et al., UQABench: Evaluating User Embedding for Prompting LLMs in Personalized "
    "Question Answering, KDD 2025, arXiv:2502.19178",
)
