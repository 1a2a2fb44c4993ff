"""Encoders that know nothing: what a real one must beat.

`random` gives every distinct text a direction of its own: it tells items apart and nothing else.
`shuffled:<encoder>` gives every item the vector of another: it keeps the geometry of a real encoder
and takes the meaning away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tastebench.contracts import Encoder, EncoderCard, Role
from tastebench.errors import UsageError

_WIDTH = 256
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class RandomEncoder:
    """A random direction per distinct text, the same for equal texts with the same seed.

    Args:
        seed: Other seeds, other directions.
        width: Of the vectors.
    """

    def __init__(self, seed: int = 0, width: int = _WIDTH) -> None:
        self.seed = seed
        self.width = width
        self.card = EncoderCard(
            name="random",
            revision=f"1-seed{seed}-width{width}",
            dimensions=width,
            parameters=0,
            normalised=True,
            control="what telling items apart is worth, without reading them",
            licence="Apache-2.0",
            training_data=(),
        )

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """Unit vectors, float32 `[n, width]`; the role makes no difference."""
        seeds = b"".join(
            hashlib.blake2b(
                text.encode(),
                digest_size=8,
                key=self.seed.to_bytes(16, "big", signed=True),
            ).digest()
            for text in texts
        )
        state = np.frombuffer(seeds, dtype=">u8").astype(np.uint64)[:, None]
        steps = np.arange(1, 2 * self.width + 1, dtype=np.uint64)
        bits = _splitmix(state + steps * _GOLDEN)
        normal = _box_muller(bits[:, : self.width], bits[:, self.width :])
        unit: np.ndarray = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        return unit.astype(np.float32)


class Shuffled:
    """Row-shuffled control: item i gets the base encoder's vector of another item.

    The rows of a whole catalogue change places; `tastebench.encoders.encode_items` is where that
    happens. Queries are the base's own: they keep their meaning, the items lose theirs.

    Args:
        base: The encoder whose vectors are shuffled.
        seed: Of the permutation.
    """

    def __init__(self, base: Encoder, seed: int = 0) -> None:
        card = base.card
        self.base = base
        self.seed = seed
        self.card = replace(
            card,
            name=f"shuffled:{card.name}",
            revision=None if card.revision is None else f"{card.revision}-shuffled{seed}",
            control=f"what the geometry of {card.name} is worth, without its meaning",
        )

    def permutation(self, n: int) -> np.ndarray:
        """For each of `n` rows the row whose vector it gets, int64 `[n]`."""
        return np.random.default_rng([self.seed, n]).permutation(n)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """The base's vectors; as items, `texts` are a whole catalogue whose rows change places."""
        vectors = self.base.encode(texts, role)
        return vectors if role == "query" else vectors[self.permutation(len(texts))]


def make_shuffled(base: Encoder, seed: int) -> Shuffled:
    """The shuffled control of an encoder.

    Raises:
        UsageError: The encoder is a control itself, so that there is no meaning to take away.
    """
    if base.card.control is not None:
        raise UsageError(
            f"shuffled:{base.card.name} shuffles what has no meaning already",
            fix="shuffle a real encoder, e.g. shuffled:minilm",
        )
    return Shuffled(base, seed)


def _splitmix(x: np.ndarray) -> np.ndarray:
    # The finaliser of SplitMix64 (Steele, Lea and Flood, 2014): integers only, the same everywhere.
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def _box_muller(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # Uniform in (0, 1], so that the logarithm is finite.
    first = ((a >> np.uint64(11)).astype(np.float64) + 1) * 2.0**-53
    second = (b >> np.uint64(11)).astype(np.float64) * 2.0**-53
    normal: np.ndarray = np.sqrt(-2 * np.log(first)) * np.cos(2 * np.pi * second)
    return normal
