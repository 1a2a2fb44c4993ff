from __future__ import annotations

import numpy as np
import pytest

from tastebench.contracts import Ranking
from tastebench.metrics.beyond import coverage


def lists(rows: list[list[int]]) -> Ranking:
    items = np.array(rows, np.int32).reshape(len(rows), -1)
    return Ranking(items, np.zeros(items.shape, np.float32))


@pytest.mark.parametrize(
    ("rows", "k", "n_items", "value"),
    [
        ([[0, 1], [1, 2]], 2, 10, 3 / 10),
        ([[0, 1], [1, 2]], 1, 10, 2 / 10),
        ([[0, -1], [-1, -1]], 2, 4, 1 / 4),
        ([[0, 1]], 5, 2, 1.0),  # a list can be no longer than the catalogue
        ([], 3, 5, 0.0),
    ],
)
def test_share_of_the_catalogue_that_anyone_sees(
    rows: list[list[int]], k: int, n_items: int, value: float
) -> None:
    ranking = lists(rows) if rows else Ranking(np.empty((0, 3), np.int32), np.empty((0, 3)))
    assert coverage(ranking, k, n_items) == pytest.approx(value)


def test_an_empty_catalogue_has_no_coverage() -> None:
    nothing = Ranking(np.empty((1, 0), np.int32), np.empty((1, 0), np.float32))
    assert np.isnan(coverage(nothing, 3, 0))


def test_lists_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="coverage@3 needs lists of 3 items, these hold 2"):
        coverage(lists([[0, 1]]), 3, 10)
    with pytest.raises(ValueError, match="item 7 is outside a catalogue of 5"):
        coverage(lists([[0, 7]]), 2, 5)
