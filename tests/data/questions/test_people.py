"""Users in three groups by a hash of their ids."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tastebench.data.questions.people import hashed, hashed_parts

MASK = 2**64 - 1


def mixed(state: int) -> int:
    """Splitmix64 in whole numbers of any size."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def slow(text: str, seed: int) -> int:
    raw = text.encode()
    state = mixed((len(raw) + seed * 0x9E3779B97F4A7C15) & MASK)
    for byte in raw:
        state = mixed(state ^ byte)
    return state


@pytest.mark.parametrize("seed", [0, 101])
def test_the_hash_is_that_of_whole_numbers(seed: int) -> None:
    ids = ["", "a", "b", "ab", "ba", "u123", "Ünïcode", "a" * 40]
    assert hashed(pl.Series(ids), seed).tolist() == [slow(text, seed) for text in ids]
    # The generator of splitmix64 gives this as its first number from the seed 0.
    assert mixed(0) == 0xE220A8397B1DCDAF


def test_shares_are_about_the_ratios_and_nobody_moves_when_others_come() -> None:
    ids = pl.Series([f"user-{i}" for i in range(20_000)])
    parts = hashed_parts(ids, (0.7, 0.1, 0.2), 101)
    shares = np.bincount(parts) / len(parts)
    np.testing.assert_allclose(shares, [0.7, 0.1, 0.2], atol=0.01)
    few = np.arange(0, len(ids), 3)
    assert (hashed_parts(ids[few], (0.7, 0.1, 0.2), 101) == parts[few]).all()
    assert (hashed_parts(ids, (0.7, 0.1, 0.2), 7) != parts).mean() > 0.3


def test_no_users() -> None:
    assert len(hashed_parts(pl.Series([], dtype=pl.String), (0.8, 0.1, 0.1), 1)) == 0
