from __future__ import annotations

import threading

import pytest

from tastebench.errors import UsageError
from tastebench.lm.spending import (
    Budget,
    BudgetError,
    Limits,
    Pace,
    Price,
    Usage,
    estimate_tokens,
    per_thousand,
    price_from_environment,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_usages_add_up() -> None:
    a = Usage(1, 2, 30, 4, 0.5, 0.25)
    assert a + Usage(1, 0, 10, 1, 0.25, 0.5) == Usage(2, 2, 40, 5, 0.75, 0.75)
    assert (a + Usage()).usd == 0.25
    assert (Usage() + Usage()).usd is None
    assert a.tokens == 34


def test_a_price_is_per_million() -> None:
    # 2 million read at 0.13 and half a million written at 0.6: 0.26 + 0.3.
    assert Price(0.13, 0.6).of(2_000_000, 500_000) == pytest.approx(0.56)


@pytest.mark.parametrize(("text", "tokens"), [("", 1), ("abcd", 1), ("abcde", 2), ("é" * 4, 2)])
def test_tokens_are_estimated_by_bytes(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


def test_a_budget_stops_before_it_is_passed() -> None:
    budget = Budget(tokens=100)
    budget.reserve(60, 0.0)
    budget.settle(60, 0.0, 50, 0.0)
    budget.reserve(50, 0.0)
    budget.settle(50, 0.0, 50, 0.0)
    with pytest.raises(BudgetError, match="cap of 100 tokens") as caught:
        budget.reserve(1, 0.0)
    assert "100 tokens" in str(caught.value.where)


def test_a_budget_caps_dollars() -> None:
    budget = Budget(usd=0.01)
    budget.reserve(10**9, 0.006)
    budget.settle(10**9, 0.006, 10**9, 0.006)
    with pytest.raises(BudgetError, match=r"cap of 0\.01 USD"):
        budget.reserve(1, 0.005)
    budget.reserve(1, 0.004)


def test_what_does_not_fit_waits_for_what_is_under_way() -> None:
    budget = Budget(tokens=100)
    budget.reserve(90, 0.0)
    entered = threading.Event()

    def later() -> None:
        budget.reserve(90, 0.0)
        entered.set()

    thread = threading.Thread(target=later)
    thread.start()
    assert not entered.wait(0.05)
    budget.settle(90, 0.0, 10, 0.0)  # it took less than was set aside
    assert entered.wait(5)
    thread.join()


def test_requests_are_spread_over_the_minute() -> None:
    clock = Clock()
    pace = Pace(Limits(requests_per_minute=120), clock)
    assert [pace.reserve(10) for _ in range(3)] == [0.0, 0.5, 1.0]
    clock.now += 10
    assert pace.reserve(10) == 0.0


def test_tokens_are_spread_too_and_estimates_corrected() -> None:
    clock = Clock()
    pace = Pace(Limits(tokens_per_minute=600), clock)
    assert pace.reserve(100) == 0.0
    assert pace.reserve(1) == 10.0  # 100 tokens take ten seconds
    pace.correct(50)
    assert pace.reserve(1) == pytest.approx(15.1)


def test_a_server_that_wants_quiet_gets_it() -> None:
    clock = Clock()
    pace = Pace(Limits(), clock)
    assert pace.reserve(5) == 0.0
    pace.hold(3.0)
    assert pace.reserve(5) == 3.0
    clock.now += 3
    assert pace.reserve(5) == 0.0


def test_limits_and_caps_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Limits.from_environment() == Limits()
    assert price_from_environment() is None
    for name, value in {
        "CONCURRENCY": "2",
        "REQUESTS_PER_MINUTE": "90.5",
        "TEXTS_PER_REQUEST": "32",
        "MAX_USD": "2.5",
        "MAX_TOKENS": "1e6",
        "USD_PER_MILLION_TOKENS": "0.13",
    }.items():
        monkeypatch.setenv(f"TASTEBENCH_REMOTE_{name}", value)
    assert Limits.from_environment() == Limits(
        concurrency=2, requests_per_minute=90.5, texts_per_request=32
    )
    budget = Budget.from_environment()
    assert (budget.tokens, budget.usd) == (1_000_000, 2.5)
    assert price_from_environment() == Price(0.13, 0.13)


@pytest.mark.parametrize("value", ["much", "-1", "0", "nan", "inf"])
def test_a_cap_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_USD", value)
    with pytest.raises(UsageError, match=f"TASTEBENCH_REMOTE_MAX_USD is '{value}'"):
        Budget.from_environment()


def test_limits_are_above_zero() -> None:
    with pytest.raises(UsageError, match="concurrency must be above 0, not 0"):
        Limits(concurrency=0)


def test_a_thousand_recommendations_take_a_thousandth_of_a_million() -> None:
    assert per_thousand(250, read=5000, written=500, seconds=2.0, usd=0.1) == {
        "prompt_tokens_per_thousand": 20_000.0,
        "completion_tokens_per_thousand": 2000.0,
        "seconds_per_thousand": 8.0,
        "usd_per_thousand": 0.4,
    }
    assert "usd_per_thousand" not in per_thousand(1, read=1, written=0, seconds=0.0)
    assert per_thousand(0, read=0, written=0, seconds=0.0) == {}
