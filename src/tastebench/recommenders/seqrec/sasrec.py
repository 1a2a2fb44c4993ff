"""SASRec: a transformer over item ids, the control that knows no text.

`sasrec` is trained as RecBole trains it: cross-entropy over the whole catalogue instead of one
sampled negative, which is the stronger form (Klenitskiy and Vasilev, RecSys 2023).
`sasrec-original` is the same network in the form of the paper. What RecBench calls SASRec is
neither, but a GPT-2 trained from scratch: here it is `gpt2rec`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.recommenders.seqrec.settings import LossName, TransformerSettings


class SASRecConfig(TransformerSettings):
    """Hyper-parameters, at RecBole's values."""

    output: Literal["tied", "untied"] = "tied"
    """States are compared with the embeddings that histories are read by, or with a table of their
    own of the same size."""


class SASRecOriginalConfig(SASRecConfig):
    """Hyper-parameters, at those of the paper.

    Two blocks of one head, 50 wide, pre-norm, ReLU, binary cross-entropy with one drawn negative a
    position. Dropout is the paper's for sparse data (0.5); it has 0.2 for MovieLens-1M. Layers add
    to their input as it is, as the paper says; its code adds to the normalised one.
    """

    hidden_size: int = Field(50, ge=1)
    """Width of item embeddings and states."""

    inner_size: int | None = Field(50, ge=1)
    """Width inside the feed-forward part; None is four times `hidden_size`."""

    heads: int = Field(1, ge=1)
    norm: Literal["post", "pre"] = "pre"
    activation: Literal["gelu", "gelu-tanh", "relu"] = "relu"
    loss: LossName = "bce"


class GPT2RecConfig(SASRecConfig):
    """Hyper-parameters, at those of RecBench's SASRec with 3 layers.

    Its deeper ones are `layers: 6`; `layers: 12` with `hidden_size: 768, heads: 12`; and `layers:
    24` with `hidden_size: 2048, heads: 16`: there depth and width grow together.
    """

    inner_size: int | None = Field(None, ge=1)
    """Width inside the feed-forward part; None is four times `hidden_size`."""

    layers: int = Field(3, ge=1)
    heads: int = Field(8, ge=1)
    hidden_dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.1, ge=0, lt=1)
    norm: Literal["post", "pre"] = "pre"
    activation: Literal["gelu", "gelu-tanh", "relu"] = "gelu-tanh"
    output: Literal["tied", "untied"] = "untied"
    """States are compared with the embeddings that histories are read by, or with a table of their
    own of the same size."""


def build(config: SASRecConfig, name: str = "sasrec") -> Recommender:
    """An unfitted SASRec."""
    from functools import partial

    from tastebench.recommenders.seqrec.next_item import NextItem
    from tastebench.recommenders.seqrec.sasrec_network import sasrec_network

    return NextItem(name, config, partial(sasrec_network, config))


def _build_original(config: SASRecOriginalConfig) -> Recommender:
    return build(config, "sasrec-original")


def _build_gpt2(config: GPT2RecConfig) -> Recommender:
    return build(config, "gpt2rec")


_CITATION = (
    "Kang and McAuley, Self-Attentive Sequential Recommendation, ICDM 2018, "
    "doi:10.1109/ICDM.2018.00035"
)

CARD = RecommenderCard(
    name="sasrec",
    summary="transformer over item ids, softmax over the whole catalogue",
    tasks=("seqrec",),
    representations=("id",),
    config=SASRecConfig,
    build=build,
    citation=_CITATION,
)

ORIGINAL = RecommenderCard(
    name="sasrec-original",
    summary="SASRec in the form of its paper: pre-norm, one head, one drawn negative a position",
    tasks=("seqrec",),
    representations=("id",),
    config=SASRecOriginalConfig,
    build=_build_original,
    citation=_CITATION,
)

GPT2REC = RecommenderCard(
    name="gpt2rec",
    summary="GPT-2 from scratch over item ids, untied output: what RecBench calls SASRec",
    tasks=("seqrec",),
    representations=("id",),
    config=GPT2RecConfig,
    build=_build_gpt2,
    citation="Liu et al., Benchmarking LLMs in Recommendation Tasks (RecBench), 2025, "
    "arXiv:2503.05493",
)
