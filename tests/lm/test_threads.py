from __future__ import annotations

import threading

import pytest

from tastebench.lm.threads import Stop, Stopped, each


def test_everything_is_done_once_and_results_keep_their_number() -> None:
    assert sorted(each(50, lambda i, stop: i * i, 4)) == [(i, i * i) for i in range(50)]
    assert list(each(0, lambda i, stop: i, 4)) == []


def test_results_come_as_they_are_ready() -> None:
    second_done = threading.Event()

    def work(index: int, stop: Stop) -> str:
        if index == 0:
            assert second_done.wait(5)
        return "slow" if index == 0 else "quick"

    results = each(2, work, 2)
    assert next(results) == (1, "quick")
    second_done.set()
    assert next(results) == (0, "slow")


def test_after_a_failure_what_is_under_way_is_handed_out_and_nothing_new_begins() -> None:
    both_run, begun = threading.Barrier(2), []

    def work(index: int, stop: Stop) -> int:
        begun.append(index)
        both_run.wait(5)
        if index == 0:
            raise ConnectionError("gone")
        assert stop.wait(5)  # finishes after the failure
        return index

    results = each(10, work, 2)
    assert next(results) == (1, 1)
    with pytest.raises(ConnectionError, match="gone"):
        next(results)
    assert sorted(begun) == [0, 1]


def test_whoever_waits_is_stopped_by_a_failure() -> None:
    def work(index: int, stop: Stop) -> int:
        if index == 0:
            raise ValueError("no")
        assert stop.wait(5)
        raise Stopped

    with pytest.raises(ValueError, match="no"):
        list(each(3, work, 3))


def test_leaving_early_stops_the_work() -> None:
    stops: list[Stop] = []

    def work(index: int, stop: Stop) -> int:
        stops.append(stop)
        return index

    results = each(1000, work, 1)
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert stops[0].is_set()
