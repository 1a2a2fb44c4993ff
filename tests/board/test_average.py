from __future__ import annotations

import numpy as np
import pytest

from tastebench.board.average import average
from tastebench.board.model import Score
from tastebench.metrics.interval import bootstrap


def score(mean: float | None, low: float | None = None, high: float | None = None) -> Score:
    return Score(mean, low, high, 10, 3, 1, "p")


def test_by_hand() -> None:
    # To the left .03 and .04 wide: sqrt(.0009 + .0016) / 2 = .025; to the right .06 and .08: .05.
    found = average([score(0.2, 0.17, 0.26), score(0.4, 0.36, 0.48)])
    assert found is not None
    assert found.mean == pytest.approx(0.3)
    assert found.low == pytest.approx(0.275)
    assert found.high == pytest.approx(0.35)
    assert (found.n, found.seeds, found.undefined, found.protocol) == (20, 3, 2, "p")


def test_one_score_is_its_own_mean() -> None:
    one = score(0.2, 0.1, 0.3)
    assert average([one]) is one


def test_what_is_missing_makes_no_mean_and_a_missing_interval_no_interval() -> None:
    assert average([]) is None
    assert average([score(0.2), score(None)]) is None
    found = average([score(0.2, 0.1, 0.3), score(0.4)])
    assert found is not None
    assert (found.mean, found.low, found.high) == (pytest.approx(0.3), None, None)


def test_the_interval_is_that_of_resampling_each_dataset_apart() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.random(400), rng.random(900) ** 2]
    scores = []
    for values in parts:
        found = bootstrap(values, rng)
        scores.append(score(found.mean, found.low, found.high))
    drawn = [rng.choice(values, (4000, len(values))).mean(axis=1) for values in parts]
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    both = average(scores)
    assert both is not None and both.low is not None and both.high is not None
    assert (both.low, both.high) == (
        pytest.approx(low, abs=1.5e-3),
        pytest.approx(high, abs=1.5e-3),
    )


def test_spreads_of_seeds_add_likewise() -> None:
    scores = [Score(0.2, None, None, 1, 3, 0, "p", spread) for spread in (0.03, 0.04)]
    both = average(scores)
    assert both is not None and both.spread == pytest.approx(0.025)
