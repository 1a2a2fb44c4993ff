"""SASRec over texts: UniSRec's baseline, with a plain adaptor and without its cosine."""

from __future__ import annotations

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.items.adapt import Adaptor
from tastebench.recommenders.seqrec.settings import TransformerSettings


class SASRecTextConfig(TransformerSettings):
    """Hyper-parameters, SASRec's and those of the adaptor."""

    adaptor: Adaptor = "pca"
    """`pca` whitens the vectors to `dimensions`; `none` takes them as the encoder made them.

    `mrl` keeps the first `dimensions` at unit length, for encoders with nested dimensions only.
    """

    dimensions: int | None = Field(None, ge=1)
    """Width after `pca` or `mrl`; None is 128, or what vectors and items allow if less."""

    adaptor_size: int = Field(300, ge=1)
    """Hidden units of the adaptor."""

    adaptor_dropout: float = Field(0.2, ge=0, lt=1)
    """Before each of the adaptor's two layers."""


def build(config: SASRecTextConfig) -> Recommender:
    """An unfitted SASRec over texts."""
    from functools import partial

    from tastebench.recommenders.seqrec.next_item import NextItem
    from tastebench.recommenders.seqrec.sasrec_text_network import sasrec_text_network

    return NextItem("sasrec-text", config, partial(sasrec_text_network, config))


CARD = RecommenderCard(
    name="sasrec-text",
    summary="SASRec whose items are text vectors through a two-layer network",
    tasks=("seqrec",),
    representations=("vector",),
    config=SASRecTextConfig,
    build=build,
    citation="SASRecText in Hou et al., Towards Universal Sequence Representation Learning for "
    "Recommender Systems, KDD 2022, doi:10.1145/3534678.3539381",
)
