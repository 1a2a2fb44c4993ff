from __future__ import annotations

import time

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


def test_quick_requests_warm_up_by_fifty() -> None:
    asked: list[int] = []
    timed = latency.time_each(asked.append, np.arange(80), budget_seconds=10.0)
    assert len(timed) == 80 and asked == [*range(50), *range(80)]


def test_percentiles_and_mean_by_hand() -> None:
    found = latency.percentiles(np.array([1.0, 2.0, 3.0, 10.0]))
    assert (found.p50, found.mean, found.n) == (2.5, 4.0, 4)


def test_cold_adds_the_encoding_of_the_same_requests() -> None:
    measured = latency.measure(
        lambda row: None, np.arange(50), 10.0, encode_ms=[1000.0, 1000.0], list_length=10
    )
    assert measured is not None and measured.cold is not None
    assert measured.cached.n == 50
    assert measured.cold.n == 2
    assert measured.cold.p50 >= 1000.0
    assert measured.cached.p50 <= measured.cached.p95 <= measured.cached.p99


@pytest.mark.parametrize(("rows", "budget"), [(np.arange(0), 1.0), (np.arange(5), 0.0)])
def test_nothing_to_time_is_no_latency(rows: np.ndarray, budget: float) -> None:
    assert latency.measure(lambda row: None, rows, budget, None, list_length=10) is None


def test_without_an_encoder_there_is_no_cold() -> None:
    measured = latency.measure(lambda row: None, np.arange(5), 1.0, None, list_length=10)
    assert measured is not None and measured.cold is None and measured.users_cached is None


def test_what_is_kept_is_timed_apart_and_items_stay_kept() -> None:
    """Each way of keeping takes its own time, users only where they were asked about before."""
    now = ["items"]
    known: set[int] = set()

    def ask(row: int) -> None:
        took = {"nothing": 0.06, "items": 0.004, "users": 0.0}[now[-1]]
        if now[-1] == "users" and row not in known:
            took = 0.004
            known.add(row)
        time.sleep(took)

    measured = latency.measure(ask, np.arange(6), 10.0, None, list_length=1, keep=now.append)
    assert measured is not None and measured.cold is not None
    assert measured.users_cached is not None
    assert now == ["items", "users", "nothing", "items"]
    assert measured.cold.p50 >= 60 > measured.cached.p50 >= 4 > measured.users_cached.p50
    assert measured.cold.n == measured.cached.n == measured.users_cached.n == 6


def test_a_spent_budget_times_users_that_were_asked_about() -> None:
    known: set[int] = set()

    def ask(row: int) -> None:
        if now[-1] == "users":
            again.append(row in known)
            known.add(row)

    now, again = ["items"], list[bool]()
    measured = latency.measure(ask, np.arange(20), 1e-9, None, list_length=1, keep=now.append)
    assert measured is not None and measured.users_cached is not None
    assert measured.users_cached.n == 1 and again[-1]


def test_percentiles_are_those_of_the_sample() -> None:
    found = latency.percentiles(np.arange(101, dtype=float))
    assert (found.p50, found.p95, found.p99, found.n) == (50.0, 95.0, 99.0, 101)
