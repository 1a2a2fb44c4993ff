"""How long one request takes.

A request is one query of the test part, alone: its scores over the whole catalogue and the best `k`
items, or, in click prediction, the score of one candidate. The requests are the same rows for every
recommender and encoder, drawn once from a fixed seed, so that two distributions differ by what was
measured and by nothing else.

`cold` adds, request by request, the time to encode what that request brings along (the query's
text, or the texts of the history). It is measured in the encode step, where the encoder is loaded,
on the same rows: the sum of two timings, not one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from tastebench.runs import limits
from tastebench.runs.record import Latency, Percentiles

MAX_REQUESTS = 1000
WARM_UP = 50
WARM_UP_SHARE = 0.1
"""Of the budget: requests that take long warm up by fewer."""

FEWEST_WARM_UP = 5

Kept = Literal["nothing", "items", "users"]
"""What a recommender keeps between requests: nothing, what it made of items, of users too."""


def request_rows(n: int) -> np.ndarray:
    """Which of `n` test queries are timed, in the order of timing: at most 1,000, int64."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(n,)))
    rows: np.ndarray = rng.permutation(n)[:MAX_REQUESTS].astype(np.int64)
    return rows


def time_each(ask: Callable[[int], object], rows: np.ndarray, budget_seconds: float) -> np.ndarray:
    """Milliseconds of `ask(row)` for the rows in order until the budget is spent, `[<= n]`.

    The first rows are asked before, untimed, to warm up; at least one is timed.
    """
    warm = time.perf_counter() + WARM_UP_SHARE * budget_seconds
    for count, row in enumerate(rows[:WARM_UP], start=1):
        ask(int(row))
        if count >= FEWEST_WARM_UP and time.perf_counter() >= warm:
            break
    timed: list[float] = []
    end = time.perf_counter() + budget_seconds
    for row in rows:
        began = time.perf_counter()
        ask(int(row))
        done = time.perf_counter()
        timed.append(1000 * (done - began))
        if done >= end:
            break
    return np.array(timed)


def measure(
    ask: Callable[[int], object],
    rows: np.ndarray,
    budget_seconds: float,
    encode_ms: Sequence[float] | None,
    *,
    list_length: int,
    keep: Callable[[Kept], None] | None = None,
) -> Latency | None:
    """The latency of a fitted recommender; None where there is no request to time.

    Args:
        ask: Answers the request of a test row.
        rows: What `request_rows` says.
        budget_seconds: Time limit of what is cached; what is kept otherwise has as much together.
        encode_ms: Time to encode what each of the first rows brings along, `[<= len(rows)]`.
        list_length: Items in an answer.
        keep: Tells the recommender what to keep between requests, where it can be told: nothing,
            items, or users too. It is timed with each, and left keeping items.
    """
    if len(rows) == 0 or budget_seconds <= 0:
        return None
    machine, own = limits.busy_seconds(), time.process_time()
    began = time.perf_counter()
    ask(int(rows[0]))
    first_ms = 1000 * (time.perf_counter() - began)
    cached = time_each(ask, rows, budget_seconds)
    elapsed = time.perf_counter() - began
    others = max(0.0, limits.busy_seconds() - machine - (time.process_time() - own)) / elapsed
    anew, kept = cached, None
    if keep is not None:
        keep("users")
        seen = time_each(ask, rows[: len(cached)], budget_seconds / 4)  # who is asked about again
        kept = time_each(ask, rows[: len(seen)], budget_seconds / 4)
        keep("nothing")
        anew = time_each(ask, rows, budget_seconds / 2)
        keep("items")
    cold = percentiles(anew) if keep is not None else None
    if encode_ms:
        both = min(len(encode_ms), len(anew))
        cold = percentiles(anew[:both] + np.array(encode_ms[:both]))
    return Latency(
        cached=percentiles(cached),
        cold=cold,
        users_cached=None if kept is None else percentiles(kept),
        first_ms=first_ms,
        k=list_length,
        budget_seconds=budget_seconds,
        others=others,
    )


def percentiles(milliseconds: np.ndarray) -> Percentiles:
    """The median, the tail and the mean of timed requests."""
    p50, p95, p99 = (float(p) for p in np.percentile(milliseconds, [50, 95, 99]))
    mean = float(milliseconds.mean())
    return Percentiles(p50=p50, p95=p95, p99=p99, n=len(milliseconds), mean=mean)
