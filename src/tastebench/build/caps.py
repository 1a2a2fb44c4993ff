"""What making an artefact may cost: said before, capped, and counted over interruptions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from tastebench.build.queries import Estimate
from tastebench.errors import UsageError
from tastebench.lm.calls import Call, usage
from tastebench.lm.spending import Budget, Limits, Price, price_from_environment

if TYPE_CHECKING:
    from tastebench.lm.endpoint import Endpoint
    from tastebench.lm.remote import Client


def price(prompt: float | None, completion: float | None) -> Price | None:
    """The price in US dollars per million tokens read and written, or the environment's.

    Raises:
        UsageError: One is given and not the other, or one is negative.
    """
    if prompt is None and completion is None:
        return price_from_environment()
    if prompt is None or completion is None or min(prompt, completion) < 0:
        raise UsageError(
            "a price has two parts, for what is read and what is written, 0 or more each",
            fix="--price-in USD --price-out USD, per million tokens",
        )
    return Price(prompt, completion)


def open_client(
    endpoint: Endpoint,
    calls: Mapping[str, Call],
    expected: Estimate,
    paid: Price | None,
    budget: Budget,
    rng: np.random.Generator,
) -> Client:
    """A client that stops before a cap is passed; what earlier calls took counts too.

    Args:
        endpoint: What is asked.
        calls: Those that are kept.
        expected: What the others will take.
        paid: What the provider charges.
        budget: The caps; what the kept calls took is counted into it.
        rng: Spreads repeated attempts.

    Raises:
        UsageError: Somebody else's server and no cap, a cap in dollars without a price, or a cap
            that is too small for one request.
        RemoteError: There is no key.
    """
    from tastebench.lm.remote import Client

    if budget.usd is not None and paid is None:
        raise UsageError(
            f"a cap in US dollars needs the price of {endpoint.model}, which is not known here",
            fix="--price-in USD --price-out USD, per million tokens; or --max-tokens N",
        )
    if budget.usd is None and budget.tokens is None and not endpoint.is_local:
        fix = f"--max-tokens {expected.most_tokens}"
        if expected.most_usd is not None:
            fix = f"--max-usd {expected.most_usd + 0.01:.2f} or {fix}"
        raise UsageError(
            f"{endpoint.host} may charge for this and nothing caps it",
            fix=f"{fix}, which is enough in any case",
        )
    spent = usage(calls, paid)
    budget.spent_tokens, budget.spent_usd = spent.tokens, spent.usd or 0.0
    _check_room(budget, expected)
    return Client(endpoint, rng=rng, limits=Limits.from_environment(), budget=budget, price=paid)


def _check_room(budget: Budget, expected: Estimate) -> None:
    """Refuses a cap that leaves no room for one request."""
    if not expected.requests:
        return
    for cap, spent, least, unit, option in (
        (budget.tokens, budget.spent_tokens, expected.least_tokens, "tokens", "--max-tokens"),
        (budget.usd, budget.spent_usd, expected.least_usd or 0.0, "USD", "--max-usd"),
    ):
        if cap is not None and spent + least > cap:
            raise UsageError(
                f"a cap of {cap:,} {unit} leaves no room for one request, which may take "
                f"{_up(least):,} with {_up(spent):,} spent already",
                fix=f"{option} {_up(spent + least)} or more",
            )


def _up(value: float) -> float:
    """Rounded up to a ten-thousandth; whole numbers stay as they are."""
    return value if isinstance(value, int) else math.ceil(value * 1e4) / 1e4
