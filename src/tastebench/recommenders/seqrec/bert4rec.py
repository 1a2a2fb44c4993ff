"""BERT4Rec: histories are read both ways, and hidden items are what is learned from."""

from __future__ import annotations

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.settings import TransformerSettings


class BERT4RecConfig(TransformerSettings):
    """Hyper-parameters, at RecBole's values.

    A row teaches as many targets as are hidden, a fraction of what a causal model learns from it:
    expect several times as many epochs.
    """

    batch_size: int = Field(2048, ge=1)
    """Items of sequences in a batch, hidden or not."""

    masked: float = Field(0.2, gt=0, lt=1)
    """Share of a sequence's items that are hidden. The paper takes 0.2 for MovieLens, 0.4 for Steam
    and 0.6 for Beauty."""

    last_only: float = Field(0.1, ge=0, le=1)
    """Share of sequences of which the last item alone is hidden, which is what is asked later."""

    hidden_dropout: float = Field(0.2, ge=0, lt=1)
    attention_dropout: float = Field(0.2, ge=0, lt=1)


def build(config: BERT4RecConfig) -> Recommender:
    """An unfitted BERT4Rec."""
    from functools import partial

    from tastebench.recommenders.seqrec.bert4rec_network import bert4rec_network
    from tastebench.recommenders.seqrec.next_item import NextItem
    from tastebench.training.cloze import ClozeSequences

    cut = partial(ClozeSequences.cut, masked=config.masked, last_only=config.last_only)
    return NextItem("bert4rec", config, partial(bert4rec_network, config), cut)


CARD = RecommenderCard(
    name="bert4rec",
    summary="bidirectional transformer over item ids, trained to fill in hidden items",
    tasks=("seqrec",),
    representations=("id",),
    config=BERT4RecConfig,
    build=build,
    citation="Sun et al., BERT4Rec: Sequential Recommendation with Bidirectional Encoder "
    "Representations from Transformer, CIKM 2019, doi:10.1145/3357384.3357895",
)
