"""Error over size: the fit against SciPy's, by hand, and on the printed scaling study."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from tastebench.board.power_law import fit, line, resampled_errors
from tastebench.board.published import get_published

GUESSING = 0.75
SHAPES = {
    "3.2M": (4, 256, 768),
    "13M": (4, 512, 1536),
    "25M": (8, 512, 1536),
    "57M": (8, 768, 2048),
    "85M": (12, 768, 2048),
    "303M": (24, 1024, 2816),
    "680M": (24, 1536, 4096),
    "1.2B": (24, 2048, 5632),
}
"""Layers, width and width of the feed-forward part."""


def size_of(name: str) -> int:
    """Four projections, three of the feed-forward part and two norms a layer."""
    layers, width, inner = SHAPES[name]
    return layers * (4 * width**2 + 3 * width * inner + 2 * width)


def printed(lengths: bool) -> tuple[np.ndarray, np.ndarray]:
    """Sizes and errors of Table 5, or lengths and errors of Table 6."""
    rows = get_published("uqabench-scaling").rows
    if lengths:
        found = [
            (int(row.model.split(", ")[1].split()[0]), 1 - row.scores["userqa"])
            for row in rows
            if "events" in row.model
        ]
    else:
        found = [
            (size_of(row.model.split(":")[0]), 1 - row.scores["userqa"])
            for row in rows
            if ":" in row.model
        ]
    sizes, errors = zip(*found, strict=True)
    return np.array(sizes, float), np.array(errors)


def test_what_follows_a_law_gives_the_law_back() -> None:
    """0.6 at 1, and half of that whenever the size is 16 times as large."""
    sizes = np.array([1.0, 16.0, 256.0])
    found = fit(sizes, np.array([0.6, 0.3, 0.15]), GUESSING)
    assert found is not None
    assert (found.exponent, found.scale, found.explained) == pytest.approx((0.25, 0.6, 1.0))
    np.testing.assert_allclose(found.error(np.array([4096.0, 1 / 16])), [0.075, GUESSING])
    assert found.band(sizes) is None and found.low is None


@pytest.mark.parametrize(("lengths", "exponent"), [(False, 0.0756), (True, 0.1328)])
def test_the_printed_study_has_scipys_exponent(lengths: bool, exponent: float) -> None:
    """Of lengths by hand: over log2 -2 .. 2, (2 x 0.4062 + 0.5692 - 0.7542 - 2 x 0.7739) / 10 is
    -0.0921 a doubling, and that over ln 2 is -0.1328."""
    sizes, errors = printed(lengths)
    assert len(sizes) == (5 if lengths else 8)
    found = fit(sizes, errors, GUESSING)
    oracle = stats.linregress(np.log(sizes), np.log(errors))
    assert found is not None
    assert found.exponent == pytest.approx(-oracle.slope, rel=1e-9)
    assert found.scale == pytest.approx(np.exp(oracle.intercept), rel=1e-9)
    assert found.explained == pytest.approx(oracle.rvalue**2, rel=1e-9)
    assert found.exponent == pytest.approx(exponent, abs=5e-5)


def test_from_end_to_end_the_printed_error_falls_as_the_fit_says() -> None:
    """By hand: ln(0.5474 / 0.3514) over ln(1233.22 / 3.41) is 0.4433 / 5.8905 = 0.0753."""
    sizes, errors = printed(lengths=False)
    ends = np.log(errors[0] / errors[-1]) / np.log(sizes[-1] / sizes[0])
    assert ends == pytest.approx(0.0753, abs=2e-4)
    assert float(line(sizes, errors).exponent) == pytest.approx(ends, rel=0.03)


def test_who_guesses_is_left_out_and_two_sizes_are_no_law() -> None:
    sizes = np.array([0.01, 1.0, 16.0, 256.0])
    found = fit(sizes, np.array([0.76, 0.6, 0.3, 0.15]), GUESSING)
    assert found is not None and found.exponent == pytest.approx(0.25)
    assert fit(sizes[:3], np.array([0.76, 0.6, 0.3]), GUESSING) is None
    assert fit(np.array([1.0, 16.0, 16.0]), np.array([0.6, 0.3, 0.31]), GUESSING) is None


def test_an_error_of_zero_is_half_an_answer() -> None:
    sizes = np.array([1.0, 10.0, 100.0])
    found = fit(sizes, np.array([0.5, 0.05, 0.0]), GUESSING, floor=0.005)
    assert found is not None and found.exponent == pytest.approx(1.0)


def test_the_interval_holds_the_law_as_often_as_it_says() -> None:
    """80 studies of 400 users: 95 % of intervals cover, give or take (binomial, 2.5 sd: 0.06)."""
    sizes = np.array([1.0, 8.0, 64.0])
    true = 0.6 * sizes**-0.2
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(80):
        right = (rng.random((400, 3)) >= true).astype(float)
        drawn = resampled_errors(right, np.ones(400), rng, resamples=300)
        found = fit(sizes, 1 - right.mean(axis=0), GUESSING, drawn)
        assert found is not None and found.low is not None and found.high is not None
        covered.append(found.low <= 0.2 <= found.high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.06)


def test_users_are_drawn_for_all_sizes_at_once() -> None:
    """Sizes that answer alike differ in no resample, so their exponent is sure."""
    right = np.tile(np.random.default_rng(1).random((200, 1)) < 0.5, 3).astype(float)
    drawn = resampled_errors(right, np.ones(200), np.random.default_rng(2), resamples=50)
    assert np.ptp(drawn[:, 0]) > 0.05
    found = fit(np.array([1.0, 8.0, 64.0]), 1 - right.mean(axis=0), GUESSING, drawn)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((0.0, 0.0), abs=1e-12)
    band = found.band(np.array([1.0, 64.0]))
    assert band is not None
    low, high = band
    assert (low < 1 - right.mean()).all() and (high > 1 - right.mean()).all()
