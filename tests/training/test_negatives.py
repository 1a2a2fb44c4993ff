"""Draws are as likely as they say, and seeded."""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from tastebench.training.negatives import ItemDraws


def counts(draws: ItemDraws, n: int = 60_000) -> np.ndarray:
    return np.bincount(draws.draw(np.random.default_rng(0), n), minlength=draws.n_items)


def test_uniform_draws_are_uniform() -> None:
    draws = ItemDraws(7)
    assert chisquare(counts(draws)).pvalue > 0.01
    np.testing.assert_allclose(draws.probabilities(), 1 / 7)


def test_popular_items_are_drawn_as_often_as_they_are_targets() -> None:
    draws = ItemDraws(5, np.array([3, 3, 0, 3, 1], np.int32))
    assert draws.probabilities().tolist() == [0.2, 0.2, 0, 0.6, 0]
    found = counts(draws)
    assert found[2] == found[4] == 0
    assert chisquare(found[[0, 1, 3]], 60_000 * np.array([0.2, 0.2, 0.6])).pvalue > 0.01


def test_how_often_an_item_is_expected() -> None:
    draws = ItemDraws(3, np.array([0, 0, 0, 1]))
    expected = draws.log_expected(8)
    np.testing.assert_allclose(expected[:2], np.log([6, 2]), rtol=1e-6)
    assert expected[2] == -np.inf
    assert expected.dtype == np.float32


def test_shapes_and_seeds() -> None:
    for draws in (ItemDraws(9), ItemDraws(9, np.arange(9, dtype=np.int32))):
        one, two = (draws.draw(np.random.default_rng(4), 5, 3) for _ in range(2))
        assert one.shape == (5, 3) and one.dtype == np.int64
        assert (one == two).all()
        assert (one != draws.draw(np.random.default_rng(5), 5, 3)).any()
