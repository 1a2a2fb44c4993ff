"""Each conformance test catches the defect it is there for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tastebench.contracts import FitReport, Queries, Ranking, RecommenderCard
from tastebench.recommenders import as_recommender
from tastebench.testing import RecommenderTests
from tastebench.testing.tiny import N_ITEMS


class Sound:
    """Train counts: passes everything."""

    def fit(self, problem: Any, items: Any, trainer: Any) -> FitReport:
        self.count = np.bincount(problem.train.values, minlength=N_ITEMS).astype(np.float64)
        return FitReport(parameters=N_ITEMS, seconds=0.0)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return np.tile(self.count[items], (len(queries), 1))


class Peeks(Sound):
    def fit(self, problem: Any, items: Any, trainer: Any) -> FitReport:
        report = super().fit(problem, items, trainer)
        self.count[problem.test.item] += 1
        return report


class Drifts(Sound):
    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        self.count = self.count + 1
        return super().scores(queries, items)


class Unseeded(Sound):
    def fit(self, problem: Any, items: Any, trainer: Any) -> FitReport:
        report = super().fit(problem, items, trainer)
        self.count = np.random.default_rng().random(N_ITEMS)
        return report


class Normalises(Sound):
    """Subtracts the mean of whatever is asked together."""

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        scores = super().scores(queries, items)
        return scores - scores.mean(axis=1, keepdims=True)


class Sorts(Sound):
    """Puts the histories in order, in place."""

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        assert queries.history is not None
        queries.history.values.sort()
        return super().scores(queries, items)


class Divides(Sound):
    """NaN for a user without a history."""

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        assert queries.history is not None
        length = queries.history.lengths[:, None].astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return super().scores(queries, items) * (length / length)


class Flat(Sound):
    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return super().scores(queries, items)[0]


class Generates:
    def fit(self, problem: Any, items: Any, trainer: Any) -> FitReport:
        return FitReport(parameters=0, seconds=0.0)

    def generate(self, queries: Queries, k: int) -> Ranking:
        items = np.tile(np.arange(k, dtype=np.int32), (len(queries), 1))
        return Ranking(items, -items.astype(np.float32))


def card(build: Any) -> RecommenderCard:
    return as_recommender(build, "mine", tasks=["seqrec"], representations=["id"])


class TestSound(RecommenderTests):
    card = card(Sound)


class TestGenerates(RecommenderTests):
    card = card(Generates)


@pytest.mark.parametrize(
    ("build", "test"),
    [
        (Peeks, "test_does_not_look_at_the_test_part"),
        (Drifts, "test_asking_twice_changes_nothing"),
        (Unseeded, "test_same_seed_same_answers"),
        (Normalises, "test_a_score_does_not_depend_on_the_chunk"),
        (Sorts, "test_leaves_problem_and_items_as_they_are"),
        (Divides, "test_an_empty_history_is_answered"),
        (Flat, "test_answers_have_the_right_shape"),
    ],
)
def test_a_defect_is_caught(build: type, test: str) -> None:
    class Tests(RecommenderTests):
        pass

    Tests.card = card(build)
    with pytest.raises(AssertionError):
        getattr(Tests(), test)("seqrec", "id")
