"""What it may cost is said before, and nothing passes a cap: against a real server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tastebench.build.caps import open_client, price
from tastebench.build.prompt import Conversation
from tastebench.build.queries import Draft, decide, estimate, write_queries
from tastebench.errors import UsageError
from tastebench.lm.calls import Calls
from tastebench.lm.endpoint import Endpoint, RemoteError
from tastebench.lm.spending import Budget, BudgetError, Price
from tastebench.testing.server import RemoteServer

Reply = Callable[[Conversation], str]
AWAY = Endpoint.parse("openai:m@http://shop.example/v1")
HERE = Endpoint.parse("openai:m@http://127.0.0.1:9/v1")
RNG = np.random.default_rng(0)
CHEAP = Price(1.0, 2.0)


def test_a_cap_stops_before_it_is_passed_and_counts_what_was_paid_before(
    draft: Draft, reply: Reply
) -> None:
    with RemoteServer(chat=lambda body: reply(body["messages"])) as server:
        endpoint = Endpoint.parse(f"openai:m@{server.url}")

        def write(cap: int) -> Any:
            with Calls(draft.kept) as calls:
                client = open_client(
                    endpoint, calls, estimate(draft, calls, CHEAP), CHEAP, Budget(cap), RNG
                )
                return write_queries(draft, calls, client)

        with pytest.raises(BudgetError) as error:
            write(3000)
        with Calls(draft.kept) as calls:
            spent = sum(c.prompt_tokens + c.completion_tokens for c in calls.values())
            first = len(calls)
            ready = [d.ask is None for d in decide(draft, calls)].index(False)
        assert 0 < first < 30 and spent <= 3000
        assert error.value.fix is not None and f"--n {ready}" in error.value.fix
        assert len(server.requests) == first
        with pytest.raises(UsageError, match="no room for one request"):
            write(spent + 10)
        assert len(server.requests) == first
        assert all(d.query for d in write(10**6))
        assert len(server.requests) == 30


@pytest.mark.parametrize(
    ("endpoint", "paid", "budget", "what"),
    [
        (AWAY, CHEAP, Budget(), "nothing caps it"),
        (AWAY, None, Budget(), "nothing caps it"),
        (AWAY, None, Budget(usd=5.0), "needs the price of m"),
        (HERE, CHEAP, Budget(tokens=50), "a cap of 50 tokens leaves no room"),
        (HERE, CHEAP, Budget(usd=0.0001), "a cap of 0.0001 USD leaves no room"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    draft: Draft, endpoint: Endpoint, paid: Price | None, budget: Budget, what: str
) -> None:
    with pytest.raises(UsageError, match=what) as error:
        open_client(endpoint, {}, estimate(draft, {}, paid), paid, budget, RNG)
    assert error.value.fix is not None and error.value.fix.startswith("--")


def test_the_room_that_is_said_to_be_needed_is_enough(draft: Draft) -> None:
    with pytest.raises(UsageError) as error:
        open_client(HERE, {}, estimate(draft, {}, CHEAP), CHEAP, Budget(usd=1e-4), RNG)
    assert error.value.fix is not None
    enough = float(error.value.fix.split()[1])
    open_client(HERE, {}, estimate(draft, {}, CHEAP), CHEAP, Budget(usd=enough), RNG)


def test_a_key_is_asked_for_where_it_is_needed(
    draft: Draft, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(AWAY.key_variable, raising=False)
    with pytest.raises(RemoteError, match=r"no key for shop\.example"):
        open_client(AWAY, {}, estimate(draft, {}, CHEAP), CHEAP, Budget(10**6), RNG)


def test_a_price_has_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert price(0.5, 2.0) == Price(0.5, 2.0)
    assert price(None, None) is None
    monkeypatch.setenv("TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS", "3")
    assert price(None, None) == Price(3.0, 3.0)
    for given in ((1.0, None), (None, 1.0), (1.0, -1.0)):
        with pytest.raises(UsageError, match="two parts"):
            price(*given)
