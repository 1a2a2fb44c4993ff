"""What a recommender tells of how it asked a model stands in its record, part by part."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typing_extensions import override

import tastebench as tb
from tastebench.contracts import Account, Queries
from tastebench.data.dataset import Dataset
from tastebench.recommenders.baselines.popularity import Popularity
from tastebench.runs.prompting import prompting, server_latency


class Asking(Popularity):
    """Popularity that behaves as if it asked somebody about every user."""

    def __init__(self) -> None:
        self.asked = 0

    @override
    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        self.asked += len(queries)
        return super().scores(queries, items)

    def account(self) -> Account:
        """Ten tokens and a cent a user."""
        n, self.asked = self.asked, 0
        return Account(
            counts={"unparsed": n},
            prompt_tokens=10 * n,
            completion_tokens=n,
            requests=n,
            usd=0.01 * n,
            seconds=np.full(n, 0.25),
            probes={"order_spread": 0.5},
        )


def test_counts_are_of_the_test_part_and_money_of_all(tiny: Dataset, tmp_path: Path) -> None:
    card = tb.as_recommender(Asking, "asking", tasks=["cf"], representations=["id"])
    plan = {"name": "s", "datasets": ["tiny"], "tasks": ["cf"], "recommenders": [card]}
    results = tb.run({**plan, "latency_seconds": 1}, out=tmp_path, workers=1, progress=False)
    (record,) = results.records
    assert record.error is None
    assert record.cost is not None and record.cost.prompting is not None
    tested = record.counts["unparsed"]
    all_of_them = record.cost.prompting.requests
    assert all_of_them is not None and 0 < tested < all_of_them
    assert record.cost.prompting.prompt_tokens == 10 * all_of_them
    assert record.cost.prompting.usd == pytest.approx(0.01 * all_of_them)
    assert record.probes == {"order_spread": 0.5}
    # The server is not asked again to be timed.
    assert record.cost.latency is not None
    assert (record.cost.latency.cached.p50, record.cost.latency.cached.n) == (250.0, tested)


def test_a_model_on_this_machine_has_tokens_and_no_requests() -> None:
    parts = (None, Account(prompt_tokens=5), Account(prompt_tokens=2, completion_tokens=1))
    found = prompting(parts)
    assert found is not None
    assert (found.prompt_tokens, found.completion_tokens) == (7, 1)
    assert (found.requests, found.kept, found.usd) == (None, None, None)
    assert prompting((None, None)) is None
    assert server_latency(Account(), 1.0) is None
