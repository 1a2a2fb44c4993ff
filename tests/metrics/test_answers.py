"""Right and wrong answers, by an independent implementation and worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score

from tastebench.metrics.answers import measure_right, right
from tastebench.metrics.grammar import DIMENSIONS, KINDS_OF_QUESTIONS

NAMES = ["accuracy", *(f"accuracy_{of}" for of in (*DIMENSIONS, *KINDS_OF_QUESTIONS))]


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_without_ties_it_is_what_scikit_learn_counts(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(4.0), (n, 1)), axis=1)
    gold, kind = rng.integers(4, size=n), rng.choice(list(KINDS_OF_QUESTIONS), size=n)
    values = measure_right(NAMES, right(scores, gold, ["answered"] * n), kind)
    for name, value in values.items():
        of = name.removeprefix("accuracy").removeprefix("_")
        counted = np.isin(kind, DIMENSIONS.get(of, (of,))) if of else np.ones(n, dtype=bool)
        assert np.array_equal(~np.isnan(value), counted)
        if counted.any():
            expected = accuracy_score(gold[counted], scores[counted].argmax(axis=1))
            assert np.nanmean(value) == pytest.approx(expected)


@given(arrays(np.float64, (7, 4), elements=st.sampled_from([-1.0, 0.0, 2.0])))
def test_a_guess_among_equals_is_worth_its_share(scores: np.ndarray) -> None:
    shares = [right(scores, np.full(7, gold), ["answered"] * 7) for gold in range(4)]
    assert np.sum(shares, axis=0) == pytest.approx(1)  # whichever is right, one of them is


def test_nobody_is_right_by_chance_who_did_not_answer() -> None:
    nothing = np.array([[-np.inf] * 4, [np.nan] * 4, [0.0, 0.0, 0.0, 1.0]])
    found = right(nothing, np.array([0, 1, 3]), ["unparsed", "refused", "refused"])
    assert found.tolist() == [0.0, 0.0, 0.0]
