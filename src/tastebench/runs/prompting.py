"""What a recommender that asks a language model tells of it, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tastebench.contracts import Account, KeepsAccount
from tastebench.runs.latency import percentiles
from tastebench.runs.record import Latency, Prompting


def account_of(recommender: Any) -> Account | None:
    """How answering went since the last call; None for those who ask nobody."""
    return recommender.account() if isinstance(recommender, KeepsAccount) else None


def prompting(accounts: Sequence[Account | None]) -> Prompting | None:
    """The tokens and the money of all parts; None where no model was asked."""
    told = [account for account in accounts if account is not None]
    if not told:
        return None
    remote = any(account.seconds is not None for account in told)
    paid = [account.usd for account in told if account.usd is not None]
    return Prompting(
        prompt_tokens=sum(account.prompt_tokens for account in told),
        completion_tokens=sum(account.completion_tokens for account in told),
        requests=sum(account.requests for account in told) if remote else None,
        kept=sum(account.kept for account in told) if remote else None,
        usd=sum(paid) if paid else None,
    )


def server_latency(account: Account | None, budget_seconds: float) -> Latency | None:
    """What requests to a server took while a part was asked; None where none was sent to one."""
    if account is None or account.seconds is None or not len(account.seconds):
        return None
    milliseconds = 1000 * account.seconds
    return Latency(
        cached=percentiles(milliseconds),
        first_ms=float(milliseconds[0]),
        k=1,
        budget_seconds=budget_seconds,
    )
