"""The mean of several scores, as a score."""

from __future__ import annotations

import math
from collections.abc import Sequence

from tastebench.board.model import Score


def average(scores: Sequence[Score]) -> Score | None:
    """The plain mean of scores, each counting once; None where one has no mean, or there are none.

    Its interval takes the scores as independent, which datasets with units of their own are: the
    half-widths to either side add in quadrature, low = mean - sqrt(sum (mean_i - low_i)^2) / k, and
    so do the spreads over seeds. Where one score has no interval or spread, the mean has none.
    """
    means = [score.mean for score in scores if score.mean is not None]
    if not scores or len(means) < len(scores):
        return None
    if len(scores) == 1:
        return scores[0]
    k, mean = len(scores), math.fsum(means) / len(scores)
    lows = [m - s.low for m, s in zip(means, scores, strict=True) if s.low is not None]
    highs = [s.high - m for m, s in zip(means, scores, strict=True) if s.high is not None]
    known = len(lows) == len(highs) == k
    spreads = [score.spread for score in scores if score.spread is not None]
    return Score(
        mean=mean,
        low=mean - math.hypot(*lows) / k if known else None,
        high=mean + math.hypot(*highs) / k if known else None,
        n=sum(score.n for score in scores),
        seeds=min(score.seeds for score in scores),
        undefined=sum(score.undefined for score in scores),
        protocol=", ".join(dict.fromkeys(score.protocol for score in scores)),
        spread=math.hypot(*spreads) / k if len(spreads) == k else None,
    )
