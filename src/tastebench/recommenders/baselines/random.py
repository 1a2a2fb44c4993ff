"""Random scores: where a metric stands when nothing is known."""

from __future__ import annotations

import time
import zlib
from typing import Any

import numpy as np

from tastebench.contracts import Candidates, FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.errors import UsageError
from tastebench.recommenders import NoParameters


class Random:
    """Scores that depend on the seed, the query and the item, and on nothing else.

    A hash instead of a generator: the score of a pair is the same whatever else is asked with it.
    """

    log_odds = False

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self.seed = 0

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Takes the run's seed."""
        start = time.perf_counter()
        self.seed = trainer.seed
        return FitReport(parameters=0, seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """Uniform in [0, 1), float32 `[n, len(items)]`."""
        seed = mix(np.array([self.seed % 2**32], np.uint32))
        query = mix(_identity(queries).astype(np.uint32) ^ seed)
        item = np.arange(items.start, items.stop, dtype=np.uint32) * np.uint32(0x9E3779B9)
        bits = mix(query[:, None] + item)
        bits >>= np.uint32(8)
        return bits.astype(np.float32) * np.float32(2**-24)

    def score(self, candidates: Candidates) -> np.ndarray:
        """Uniform in [0, 1) for every user and candidate, float32 `[n]`."""
        seed = mix(np.array([self.seed % 2**32], np.uint32))
        user = mix(candidates.user.astype(np.uint32) ^ seed)[candidates.items.rows]
        item = candidates.items.values.astype(np.uint32) * np.uint32(0x9E3779B9)
        bits = mix(user + item)
        bits >>= np.uint32(8)
        return bits.astype(np.float32) * np.float32(2**-24)


def mix(x: np.ndarray) -> np.ndarray:
    """The 32-bit finaliser of MurmurHash3: every input bit changes half of the output bits."""
    x = x ^ (x >> np.uint32(16))
    x *= np.uint32(0x85EBCA6B)
    x ^= x >> np.uint32(13)
    x *= np.uint32(0xC2B2AE35)
    x ^= x >> np.uint32(16)
    return x


def _identity(queries: Queries) -> np.ndarray:
    """What tells one query from another, int64 `[n]`: its event, its user, or its words."""
    known = queries.row if queries.row is not None else queries.user
    if known is not None:
        return known
    if queries.text is None:
        raise UsageError("random draws an order for each user, and these queries name none")
    return np.array([zlib.crc32(text.encode()) for text in queries.text], np.int64)


CARD = RecommenderCard(
    name="random",
    summary="a random order of all items, new for every query",
    tasks=("seqrec", "cf", "search", "ctr"),
    representations=("id",),
    config=NoParameters,
    build=Random,
    kind="control",
)
