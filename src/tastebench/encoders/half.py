"""`fp16:<encoder>`: the vectors of an encoder kept in half precision.

Half the room on disk, for catalogues of millions: three decimal digits of each number stay. What
that costs a recommender is measured as for any other encoder, by naming both in a plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from typing_extensions import override

from tastebench.contracts import Encoder, Role
from tastebench.encoders.check import check_vectors
from tastebench.encoders.controls import Shuffled
from tastebench.encoders.cost import ShardCost
from tastebench.encoders.names import HALF, SHUFFLED
from tastebench.encoders.shards import DiskShards
from tastebench.errors import DataError, UsageError


class Half:
    """Rounds what another encoder returns; `tastebench.encoders.encode_items` keeps it so.

    Args:
        base: The encoder whose vectors are rounded.
    """

    def __init__(self, base: Encoder) -> None:
        card = base.card
        revision = None if card.revision is None else f"{card.revision}-fp16"
        self.base = base
        self.card = replace(card, name=f"{HALF}{card.name}", revision=revision)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """The base's vectors, rounded, float32 `[n, d]`."""
        vectors = check_vectors(self.base.encode(texts, role), texts, self.base.card.name)
        return self.rounded(vectors).astype(np.float32)

    def rounded(self, vectors: np.ndarray) -> np.ndarray:
        """Vectors of the base, float32, as float16.

        Raises:
            DataError: A number is too large for half precision.
        """
        with np.errstate(over="ignore"):
            rounded: np.ndarray = vectors.astype(np.float16)
        if not np.isfinite(rounded).all():
            name, largest = self.base.card.name, float(np.abs(vectors).max())
            raise DataError(
                f"encoder {name!r} has a number of size {largest:.3g}, and half precision ends at "
                "65,504",
                fix=f"use {name} as it is",
            )
        return rounded


class RoundedShards(DiskShards):
    """Shards of rounded vectors; one whose vectors are kept whole is made of these.

    Args:
        folder: Of the rounded ones.
        encoder: That rounds.
        whole: The shards of its base.
        keys: Key of each shard to that of the same texts in `whole`.
    """

    def __init__(
        self, folder: Path, encoder: Half, whole: DiskShards, keys: Mapping[str, str]
    ) -> None:
        super().__init__(folder)
        self._encoder, self._whole, self._keys = encoder, whole, keys

    @override
    def path(self, key: str) -> Path:
        """The file of a shard, or of the whole one that it would be made of."""
        own, whole = super().path(key), self._whole.path(self._keys[key])
        return whole if whole.is_file() and not own.is_file() else own

    @override
    def read(self, key: str, texts: int) -> tuple[np.ndarray, ShardCost] | None:
        """See `Shards`."""
        kept = super().read(key, texts)
        if kept is None or kept[0].dtype == np.float16:
            return kept
        rounded = self._encoder.rounded(kept[0]), kept[1]
        self.write(key, *rounded)
        return rounded

    @override
    def write(self, key: str, vectors: np.ndarray, cost: ShardCost) -> None:
        """See `Shards`."""
        DiskShards(self.folder).write(key, vectors, cost)


def make_half(base: Encoder) -> Half:
    """An encoder with its vectors in half precision.

    Raises:
        UsageError: The encoder is the shuffled form of another, or rounded already.
    """
    name = base.card.name
    if isinstance(base, Half):
        raise UsageError(f"{HALF}{name} is rounded twice", fix=name)
    if isinstance(base, Shuffled):
        wanted = f"{SHUFFLED}{HALF}{base.base.card.name}"
        raise UsageError(f"{HALF}{name} rounds what is shuffled", fix=wanted)
    return Half(base)
