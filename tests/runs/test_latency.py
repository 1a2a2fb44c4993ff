from __future__ import annotations

import numpy as np
import pytest

from tastebench.runs import latency


def test_requests_are_the_same_rows_for_everyone() -> None:
    rows = latency.request_rows(5000)
    assert len(rows) == latency.MAX_REQUESTS == len(set(rows.tolist()))
    assert rows.tolist() == latency.request_rows(5000).tolist()
    assert rows.tolist() != list(range(1000))
    assert sorted(latency.request_rows(3).tolist()) == [0, 1, 2]


def test_the_first_rows_warm_up_and_a_spent_budget_still_times_one() -> None:
    asked: list[int] = []
    timed = latency.time_each(asked.append, np.arange(20), budget_seconds=0.0)
    assert len(timed) == 1
    assert asked == [0, 1, 2, 3, 4, 0]


def test_cold_adds_the_encoding_of_the_same_requests() -> None:
    measured = latency.measure(lambda row: None, np.arange(50), 10.0, encode_ms=[1000.0, 1000.0])
    assert measured is not None and measured.cold is not None
    assert measured.cached.n == 50
    assert measured.cold.n == 2
    assert measured.cold.p50 >= 1000.0
    assert measured.cached.p50 <= measured.cached.p95 <= measured.cached.p99


@pytest.mark.parametrize(("rows", "budget"), [(np.arange(0), 1.0), (np.arange(5), 0.0)])
def test_nothing_to_time_is_no_latency(rows: np.ndarray, budget: float) -> None:
    assert latency.measure(lambda row: None, rows, budget, None) is None


def test_without_an_encoder_there_is_no_cold() -> None:
    measured = latency.measure(lambda row: None, np.arange(5), 1.0, None)
    assert measured is not None and measured.cold is None


def test_percentiles_are_those_of_the_sample() -> None:
    found = latency.percentiles(np.arange(101, dtype=float))
    assert (found.p50, found.p95, found.p99, found.n) == (50.0, 95.0, 99.0, 101)
