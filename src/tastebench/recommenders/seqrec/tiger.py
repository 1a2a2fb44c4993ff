"""TIGER: an encoder reads the codes of a history, a decoder writes those of the next item.

Rajput et al. train a small T5 on pairs of a history and what came next. A bidirectional encoder
sees a history as a whole, so the states of its first items depend on its last ones, and a sequence
of ten items is nine readings. Three ways to train it:

- `targets_per_sequence: n` reads at most `n` histories of every sequence an epoch, drawn anew each
  time. Over many epochs all are read, and sequences weigh alike, not by their length.
- `targets_per_sequence: null` reads all of them every epoch, as published.
- `encoder: causal` lets an item's codes see each other and what came before, and the decoder only
  the items before its own. Then a sequence is read once and yields all its targets, exactly as
  reading each history by itself would (a test says so), at about a fifth of the work: another
  model than TIGER, to be named when it is used.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.generative_settings import GenerativeSettings


class TIGERConfig(GenerativeSettings):
    """Hyper-parameters, at TIGER's values, but for user tokens (2,000 there) and the optimiser."""

    hidden_size: int = Field(128, ge=1)
    """Width of code embeddings and states."""

    inner_size: int = Field(1024, ge=1)
    """Width inside the feed-forward part."""

    layers: int = Field(4, ge=1)
    """Of the encoder, and of the decoder."""

    heads: int = Field(6, ge=1)
    head_size: int = Field(64, ge=1)
    """Width of a head; heads need not add up to `hidden_size`."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After embedding, attention and feed-forward, and inside the latter."""

    encoder: Literal["bidirectional", "causal"] = "bidirectional"
    """Whether items of the history see those after them."""

    targets_per_sequence: int | None = Field(1, ge=1)
    """Items of each sequence that an epoch predicts, drawn anew every time; null takes all. A
    causal encoder always takes all."""

    batch_size: int = Field(256, ge=1)
    """Targets in a batch, as published."""


def build(config: TIGERConfig) -> Recommender:
    """An unfitted TIGER."""
    from functools import partial

    from tastebench.recommenders.seqrec.generative import Generative
    from tastebench.recommenders.seqrec.tiger_network import tiger_network

    return Generative("tiger", config, partial(tiger_network, config))


CARD = RecommenderCard(
    name="tiger",
    summary="encoder-decoder over semantic ids, items found by beam search",
    tasks=("seqrec",),
    representations=("code",),
    config=TIGERConfig,
    build=build,
    citation="Rajput et al., Recommender Systems with Generative Retrieval, NeurIPS 2023, "
    "arXiv:2305.05065",
)
