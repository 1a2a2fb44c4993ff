"""SID-SASRec: a causal transformer over the codes of items instead of the items.

The list-wise half of RecBench (Liu et al., 2025) calls a decoder over semantic ids so: a GPT-2
stack, trained from scratch, that reads the codes of the history one after the other and predicts
the codes of the next item.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.generative_settings import GenerativeSettings


class SIDSASRecConfig(GenerativeSettings):
    """Hyper-parameters."""

    batch_size: int = Field(256, ge=1)
    """Targets in a batch, as TIGER has it. An epoch costs the same with the 2,048 of models of ids,
    has an eighth of the steps and teaches less: on half of Beauty's users the loss of a code is
    4.03 after four epochs with 256, 4.14 with 512 and 4.69 with 2,048."""

    hidden_size: int = Field(128, ge=1)
    """Width of code embeddings and states. RecBench's rows of 3 and 6 layers are 64 wide, its row
    of 12 is 768 wide."""

    inner_size: int | None = Field(None, ge=1)
    """Width inside the feed-forward part; None is four times `hidden_size`, as in GPT-2."""

    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.2, ge=0, lt=1)
    """After embedding, attention and feed-forward."""

    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Of the attention weights; GPT-2 has 0.1. Above 0 the weights have to be written out, which
    makes an epoch on a CPU a fifth to two fifths longer."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> SIDSASRecConfig:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads={self.heads} does not divide hidden_size={self.hidden_size}")
        return self


def build(config: SIDSASRecConfig) -> Recommender:
    """An unfitted SID-SASRec."""
    from functools import partial

    from tastebench.recommenders.seqrec.generative import Generative
    from tastebench.recommenders.seqrec.sid_sasrec_network import sid_sasrec_network

    return Generative("sid-sasrec", config, partial(sid_sasrec_network, config))


CARD = RecommenderCard(
    name="sid-sasrec",
    summary="causal transformer over semantic ids, items found by beam search",
    tasks=("seqrec",),
    representations=("code",),
    config=SIDSASRecConfig,
    build=build,
    citation="Liu et al., RecBench: Benchmarking LLMs in Recommendation Tasks, arXiv:2503.05493; "
    "Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, "
    "doi:10.1109/ICDM.2018.00035",
)
