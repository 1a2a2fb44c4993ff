"""What encoding costs: measured per shard, kept beside it, added up per result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class ShardCost:
    """What encoding a shard cost when it was encoded.

    Attributes:
        seconds: In the encoder, without loading it.
        texts: Texts in the shard.
        tokens: Without padding; None where texts are not cut into tokens.
        parameters: Of the encoder; None if unknown.
        device, dtype: What it ran on.
        usd: US dollars paid to the provider of a remote model; None where none is known.
    """

    seconds: float
    texts: int
    tokens: int | None
    parameters: int | None
    device: str
    dtype: str
    usd: float | None = None


@dataclass(frozen=True)
class EncodeCost:
    """What it cost to encode all texts, when each was encoded.

    Attributes:
        seconds: In the encoder, without loading it.
        texts: Rows of the result.
        texts_encoded: Distinct texts, each encoded once.
        cached: Nothing was encoded now: seconds and texts/s are those of the first time.
        texts_per_second: `texts_encoded / seconds`.
        tokens: Without padding; None where texts are not cut into tokens.
        parameters: Of the encoder; None if unknown.
        device, dtype: What it ran on; several are joined with `+`.
        usd: US dollars paid to the provider of a remote model; None where none is known.
    """

    seconds: float
    texts: int
    texts_encoded: int
    cached: bool
    texts_per_second: float
    tokens: int | None
    parameters: int | None
    device: str
    dtype: str
    usd: float | None = None

    @classmethod
    def total(cls, shards: Sequence[ShardCost], texts: int, cached: bool) -> EncodeCost:
        """The sum over a result's shards (at least one)."""
        seconds = sum(shard.seconds for shard in shards)
        encoded = sum(shard.texts for shard in shards)
        tokens = [shard.tokens for shard in shards if shard.tokens is not None]
        usd = [shard.usd for shard in shards if shard.usd is not None]
        parameters = [shard.parameters for shard in shards if shard.parameters is not None]
        return cls(
            seconds=seconds,
            texts=texts,
            texts_encoded=encoded,
            cached=cached,
            # A clock too coarse for a tiny shard must not divide by zero.
            texts_per_second=encoded / max(seconds, 1e-9),
            tokens=sum(tokens) if len(tokens) == len(shards) else None,
            parameters=max(parameters, default=None),
            device="+".join(sorted({shard.device for shard in shards})),
            dtype="+".join(sorted({shard.dtype for shard in shards})),
            usd=sum(usd) if len(usd) == len(shards) else None,
        )
