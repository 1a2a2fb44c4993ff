"""A language model given the user as vectors: encoder, adapter, reader.

Three stages, as in UQABench. An encoder of sequences learns what comes next (`pretrain`) and is
frozen. An adapter makes soft tokens of its states, and is trained on questions through the reader
(`strategy`), of which nothing, some or all is trained with it. Then the reader is asked.
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tastebench.contracts import Items, Preview, Recommender, RecommenderCard
from tastebench.errors import UsageError
from tastebench.recommenders.userqa.encoders import EncoderName, EncoderSettings, Shape, Size
from tastebench.recommenders.userqa.pretrain_settings import PretrainSettings
from tastebench.recommenders.userqa.settings import ReaderSettings, check_reader, weights_of

SIZE_PROBE = "encoder_parameters"
"""Probe of a record: dense parameters of its user encoder, without what embeds items."""

_TOKENS = {"mean": 1, "q-former": 16, "kmeans": 4}


class ShapeSettings(Shape):
    """Single numbers of the encoder's shape, and how wide what it reads of an item is."""

    id_width: int | None = Field(None, ge=1)
    """Of an item's own embedding; None is a quarter of the width, at least 64."""

    feature_width: int | None = Field(None, ge=1)
    """Of every other feature; None is an eighth of the width, at least 32."""


class UserEmbeddingConfig(ReaderSettings):
    """Encoder, adapter and reader."""

    encoder: EncoderName = "sasrec"
    """What reads the user's events."""

    size: Size = "small"
    """`small` for laptops, 64 wide and about 130,000 numbers whichever the encoder, beside those of
    places in a history; `paper` as UQABench has it, 512 wide and 7 to 27 million; `3.2M` to `1.2B`
    are the sizes of its scaling study, of `trm` alone."""

    shape: ShapeSettings = ShapeSettings()
    """Single numbers of it."""

    events: int | None = Field(None, ge=1)
    """Latest events of a user that the encoder reads and learns from; None is all that the protocol
    shows, which is also the most there are."""

    inputs: tuple[Literal["id", "side", "text"], ...] | None = None
    """What is read of an item: its id, its attributes, its words. None is all that the run's
    representation has."""

    pretrain: PretrainSettings = PretrainSettings()
    """What the encoder learns from before it is frozen, and how long; on the `device` of all."""

    adapter: Literal["mean", "q-former", "kmeans"] = "mean"
    """From states to soft tokens: their mean, learned queries that look at them, or the centres of
    their clusters."""

    tokens: int | None = Field(None, ge=1)
    """Soft tokens; None is 1 (mean), 16 (q-former) or 4 (kmeans)."""

    q_former_blocks: int = Field(2, ge=1)

    q_former_heads: int = Field(8, ge=1)
    """Divides the encoder's width."""

    strategy: Literal["adapter", "lora", "full"] = "adapter"
    """What is trained on questions: the adapter alone, adapters of the reader beside it (LoRA), or
    the reader itself. The encoder is frozen in all three."""

    reader_lr: float | None = Field(None, gt=0)
    """Learning rate of the reader's own weights; None is `lr` in lora, and a hundredth of it in
    full, as published. A small reader of random or foreign weights wants more."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        made = self.encoder_settings
        if self.adapter == "mean" and self.tokens not in (None, 1):
            raise ValueError(f"tokens={self.tokens} does not go with adapter=mean, which makes one")
        if self.adapter == "q-former" and made.shape("width") % self.q_former_heads:
            raise ValueError(
                f"q_former_heads={self.q_former_heads} does not divide the encoder's width of "
                f"{made.shape('width')}"
            )
        for name in ("q_former_blocks", "q_former_heads"):
            if self.adapter != "q-former" and self._is_set(name):
                raise ValueError(f"{name} changes nothing in adapter={self.adapter}")
        if self.strategy == "adapter" and self.reader_lr is not None:
            raise ValueError("reader_lr changes nothing where strategy=adapter")
        inputs = self.inputs
        if inputs is not None and (not inputs or len(set(inputs)) < len(inputs)):
            raise ValueError("inputs must be different, and at least one")
        return self

    def _is_set(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)

    @property
    def encoder_settings(self) -> EncoderSettings:
        """The encoder with its shape."""
        shape = self.shape.model_dump(exclude={"id_width", "feature_width"})
        return EncoderSettings(name=self.encoder, size=self.size, **shape)

    @property
    def n_tokens(self) -> int:
        """Soft tokens of a user."""
        return self.tokens or _TOKENS[self.adapter]

    @property
    def rate_of_reader(self) -> float | None:
        """Learning rate of the reader's weights; None is that of all."""
        if self.reader_lr is None and self.strategy == "full":
            return self.lr / 100
        return self.reader_lr


def _build(config: UserEmbeddingConfig) -> Recommender:
    from tastebench.recommenders.userqa.embedded import UserEmbedding

    return UserEmbedding(config)


def _check(config: UserEmbeddingConfig, representation: str) -> None:
    check_reader("user-embedding", config)
    there = representation.split("+")
    lacking = [name for name in config.inputs or () if name not in there]
    if lacking:
        raise UsageError(
            f"user-embedding is to read {' and '.join(lacking)} of items, and the representation "
            f"{representation} has no such form",
            fix=f"inputs: [{', '.join(there)}], or a representation that has it",
        )


def _weights(config: UserEmbeddingConfig, representation: str, fetch: bool) -> str | None:
    return weights_of(config, fetch)


def _preview(config: UserEmbeddingConfig, problem: Any, items: Items) -> Preview:
    from tastebench.recommenders.userqa.preview import preview_embedding

    return preview_embedding(config, problem, items)


CARD = RecommenderCard(
    name="user-embedding",
    summary="a language model given the user as soft tokens of a sequence encoder",
    tasks=("userqa",),
    representations=("id+side+text", "id+side", "id+text", "id", "side+text", "side", "text"),
    config=UserEmbeddingConfig,
    build=_build,
    citation="Liu et al., UQABench: Evaluating User Embedding for Prompting LLMs in Personalized "
    "Question Answering, KDD 2025, arXiv:2502.19178",
    check=_check,
    weights=_weights,
    preview=_preview,
)
