"""Random numbers as a function of (seed, name, position): integers, the same everywhere.

The generator is SplitMix64 (Steele, Lea & Flood, "Fast splittable pseudorandom number generators",
OOPSLA 2014) read as a counter-based one: number `i` of a stream is the finaliser applied to
`key + (i + 1) * gamma`. NumPy's own distributions are not used because their results may change
between releases, and floating point because its last digit differs between platforms.
"""

from __future__ import annotations

import numpy as np

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MASK = (1 << 64) - 1


class Draws:
    """Named streams of one seed. The same name gives the same numbers at every call.

    >>> Draws(7).below(6, "die", 5).tolist() == Draws(7).below(6, "die", 5).tolist()
    True
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def bits(self, name: str, *shape: int) -> np.ndarray:
        """64 random bits each, uint64 of `shape`; a longer first axis only adds numbers."""
        size = int(np.prod(shape, dtype=np.int64))
        counter = np.arange(1, size + 1, dtype=np.uint64)
        return _mix(np.array(self._key(name), dtype=np.uint64) + counter * _GAMMA).reshape(shape)

    def below(self, n: int | np.ndarray, name: str, *shape: int) -> np.ndarray:
        """Integers in `[0, n)`, int64 of `shape`; `n` may be an array that broadcasts to it.

        The modulo favours small values by less than `n / 2**64`.
        """
        out: np.ndarray = (self.bits(name, *shape) % np.asarray(n, dtype=np.uint64)).astype(
            np.int64
        )
        return out

    def order(self, name: str, n: int) -> np.ndarray:
        """A permutation of `0 .. n - 1`, int64 `[n]`."""
        return np.argsort(self.bits(name, n), kind="stable")

    def _key(self, name: str) -> int:
        # FNV-1a: Python's own hash() differs from process to process.
        key = _FNV_OFFSET
        for byte in f"{self.seed}/{name}".encode():
            key = (key ^ byte) * _FNV_PRIME & _MASK
        return key


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    mixed: np.ndarray = z ^ (z >> np.uint64(31))
    return mixed
