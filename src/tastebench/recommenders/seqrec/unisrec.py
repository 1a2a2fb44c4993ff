"""UniSRec: items are their text, histories are read by a transformer, items are never ids."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, model_validator

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.items.adapt import Adaptor
from tastebench.recommenders.seqrec.settings import SequenceSettings


class UniSRecConfig(SequenceSettings):
    """Hyper-parameters, at the values of the published inductive model trained from scratch."""

    LATER: ClassVar[tuple[str, ...]] = (
        *SequenceSettings.LATER,
        "loss",
        "negatives",
        "draws",
        "logq",
        "gbce_t",
        "table",
    )
    ROWS: ClassVar[int | None] = None

    adaptor: Adaptor = "pca"
    """`pca` whitens the vectors to `dimensions`; `none` takes them as the encoder made them.

    `mrl` keeps the first `dimensions` at unit length, for encoders with nested dimensions only.
    """

    dimensions: int | None = Field(None, ge=1)
    """Width after `pca` or `mrl`; None is 128, or what vectors and items allow if less."""

    experts: int = Field(8, ge=1)
    """Whitening experts in the adaptor."""

    hidden_size: int = Field(300, ge=1)
    """Width of item representations and states."""

    inner_size: int = Field(256, ge=1)
    """Width inside the feed-forward part."""

    layers: int = Field(2, ge=1)
    heads: int = Field(2, ge=1)

    hidden_dropout: float = Field(0.5, ge=0, lt=1)
    attention_dropout: float = Field(0.5, ge=0, lt=1)
    adaptor_dropout: float = Field(0.2, ge=0, lt=1)

    temperature: float = Field(0.07, gt=0)
    """Divides the cosines in the loss."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> UniSRecConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads={self.heads} does not divide hidden_size={self.hidden_size}")
        return self


def build(config: UniSRecConfig) -> Recommender:
    """An unfitted UniSRec."""
    from functools import partial

    from tastebench.recommenders.seqrec.next_item import NextItem
    from tastebench.recommenders.seqrec.unisrec_network import unisrec_network

    return NextItem("unisrec", config, partial(unisrec_network, config))


CARD = RecommenderCard(
    name="unisrec",
    summary="transformer over text vectors through a mixture of whitening experts",
    tasks=("seqrec",),
    representations=("vector", "id+vector"),
    config=UniSRecConfig,
    build=build,
    citation="Hou et al., Towards Universal Sequence Representation Learning for Recommender "
    "Systems, KDD 2022, doi:10.1145/3534678.3539381",
)
