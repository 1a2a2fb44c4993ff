"""Text20 and Text50: a language model told in words what the user did.

The published baselines do not say whether they were tuned; here `tune` does, and labels tell them
apart.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from tastebench.contracts import Items, Preview, Recommender, RecommenderCard
from tastebench.recommenders.userqa.settings import ReaderSettings, check_reader, weights_of


class TextHistoryConfig(ReaderSettings):
    """How many events are told, and whether the model is tuned for it."""

    events: int = Field(20, ge=1)
    """Latest events of a user that are written into the prompt, oldest first; fewer where they have
    no room in `max_length`, which is counted."""

    tune: Literal["none", "lora", "full"] = "none"
    """`none` asks the model as it is, `lora` trains adapters, `full` the model itself."""

    max_length: int = Field(4096, ge=32)
    """Tokens of prompt and answer together at most, and never more than the model takes."""


def _build(config: TextHistoryConfig) -> Recommender:
    from tastebench.recommenders.userqa.told import TextHistory

    return TextHistory(config)


def _check(config: TextHistoryConfig, representation: str) -> None:
    check_reader("text-history", config)


def _weights(config: TextHistoryConfig, representation: str, fetch: bool) -> str | None:
    return weights_of(config, fetch)


def _preview(config: TextHistoryConfig, problem: Any, items: Items) -> Preview:
    from tastebench.recommenders.userqa.preview import preview_history

    return preview_history(config, problem, items)


CARD = RecommenderCard(
    name="text-history",
    summary="a language model told a user's latest events in words: Text20, Text50",
    tasks=("userqa",),
    representations=("text",),
    config=TextHistoryConfig,
    build=_build,
    citation="Liu et al., UQABench: Evaluating User Embedding for Prompting LLMs in Personalized "
    "Question Answering, KDD 2025, arXiv:2502.19178",
    check=_check,
    weights=_weights,
    preview=_preview,
)
