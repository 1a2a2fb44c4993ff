"""GRU4Rec: a recurrent network over item ids.

With the cross-entropy over the whole catalogue, as RecBole trains it and as SASRec is trained here:
two recommenders that are compared then differ in the network and not in the loss.
"""

from __future__ import annotations

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.id_settings import IdSettings


class GRU4RecConfig(IdSettings):
    """Hyper-parameters, at RecBole's values, and states normalised as in UQABench.

    Without the norm scores begin near zero and stay there for long: after four epochs of
    MovieLens-100K nDCG@10 on the validation part is .053 with it and .016 without (popularity has
    .017).
    """

    embedding_dropout: float = Field(0.3, ge=0, lt=1)
    """Of the embeddings of a history."""

    state_size: int = Field(128, ge=1)
    """Width of the recurrent state, from which states are projected back to `hidden_size`."""

    layers: int = Field(1, ge=1)

    dropout: float = Field(0.0, ge=0, lt=1)
    """Of the recurrent state before the projection."""

    norm: bool = True
    """Whether states are layer-normalised; RecBole's are not."""


def build(config: GRU4RecConfig) -> Recommender:
    """An unfitted GRU4Rec."""
    from functools import partial

    from tastebench.recommenders.seqrec.id_networks import gru4rec_network
    from tastebench.recommenders.seqrec.next_item import NextItem

    return NextItem("gru4rec", config, partial(gru4rec_network, config))


CARD = RecommenderCard(
    name="gru4rec",
    summary="recurrent network over item ids",
    tasks=("seqrec",),
    representations=("id",),
    config=GRU4RecConfig,
    build=build,
    citation="Hidasi et al., Session-based Recommendations with Recurrent Neural Networks, "
    "ICLR 2016, arXiv:1511.06939",
)
