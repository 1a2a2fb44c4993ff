"""What the tests of two rows say, as sentences made by rule.

A difference is called sure where the sign-flip test, adjusted for all comparisons, is below 5 %. It
is called sure of trained models only where several seeds differ so much that the interval over
seeds holds 0. What is not sure is either no difference that matters, where the whole interval lies
nearer to 0 than what matters (two one-sided tests in the form of an interval: Schuirmann 1987), or
too little data to tell.
"""

from __future__ import annotations

import math

from tastebench.board.compare_model import CORRECTIONS, Adjusted, Compared, Outcome
from tastebench.board.model import Column
from tastebench.board.significance import LEVEL, POWER, Paired
from tastebench.errors import counted
from tastebench.metrics.grammar import parse

SURE = 1 - LEVEL

_CHANCE = {"auc": 0.5, "gauc": 0.5, "gauc_weighted": 0.5}
"""Scores of a coin, where it does not score 0."""


def difference_that_matters(column: Column, a: float, b: float, share: float) -> float:
    """A share of the larger score; of AUCs a share of what they are above a coin's 0.5.

    >>> column = Column("seqrec", None, "shop", "ndcg@10", "p")
    >>> difference_that_matters(column, 0.5, 0.2, 0.25)
    0.125
    """
    chance = _CHANCE.get(parse(column.metric).name, 0.0)
    return share * max(abs(a - chance), abs(b - chance))


def verdict(found: Compared, test: Outcome) -> str:
    """What the tests of one column say."""
    return f"{test.column.part} on {test.column.dataset}: {_said(found, test)}"


def p_value(p: float) -> str:
    """A p-value as it is printed.

    >>> p_value(0.01234), p_value(0.00001), p_value(1.0)
    ('0.0123', '<0.0001', '1.0000')
    """
    return "<0.0001" if p < 0.0001 else f"{p:.4f}"


def interval(low: float, high: float) -> str:
    """Two ends as they are printed."""
    return f"[{low:+.4f}, {high:+.4f}]"


def _said(found: Compared, test: Outcome) -> str:
    both, adjusted = test.paired, test.adjusted
    if both is None or adjusted is None:
        return f"nothing can be tested: {test.why}."
    if both.widest is None:
        return "nothing can be tested: a single unit has values from both."
    if both.effect == 0 and both.detectable == 0:
        return f"{found.a} and {found.b} got the same from {counted(both.n, 'unit')}."
    if adjusted.by(found.correction) < SURE:
        return _sure(found, test, both) + _turned(found, test, both)
    return _unsure(found, test, both, adjusted) + _in_parts(found, test)


def _unsure(found: Compared, test: Outcome, both: Paired, adjusted: Adjusted) -> str:
    """Whether chance alone, nothing that matters, or too little data."""
    assert both.widest is not None
    known, p = _known(found, test, both), adjusted.by(found.correction)
    if adjusted.p < SURE:
        return (
            f"not sure: p {p_value(adjusted.p)} alone, but {p_value(p)} as one of "
            f"{counted(found.n_tests, 'comparison')} ({CORRECTIONS[found.correction]}). {known}"
        )
    if max(map(abs, both.widest)) < test.matters:
        return (
            f"no difference that matters, which is {test.matters:.4f} ({found.matters:.0%} of "
            f"{_what(test)}): it lies within {interval(*both.widest)}. {known}"
        )
    return f"too little data to tell. {known}{_needed(test, both)}"


def _sure(found: Compared, test: Outcome, both: Paired) -> str:
    """Who is better, by how much, and whether training again may turn it."""
    forward = test.column.sign * both.difference > 0
    names = (found.a, found.b) if forward else (found.b, found.a)
    means = (both.mean_a, both.mean_b) if forward else (both.mean_b, both.mean_a)
    assert both.widest is not None and test.adjusted is not None
    p = test.adjusted.by(found.correction)
    over = " over units and seeds" if both.low_seeds is not None else ""
    told = (
        f"{test.column.metric} {means[0]:.4f} against {means[1]:.4f}, A - B "
        f"{both.difference:+.4f} {interval(*both.widest)}{over}, p {p_value(p)} "
        f"({CORRECTIONS[found.correction]}, {counted(found.n_tests, 'comparison')})"
    )
    low, high = both.widest
    if low <= 0 <= high:
        return (
            f"as they were trained, {names[0]} is better than {names[1]}, but their seeds differ "
            f"so much that training again may change that: {told}. More seeds would tell."
        )
    return f"{names[0]} is better than {names[1]}: {told}."


def _turned(found: Compared, test: Outcome, both: Paired) -> str:
    """The segments where the other one is surely better."""
    turned = _sure_segments(found, test, -math.copysign(1, both.difference))
    return f" Surely the other way round in {', '.join(turned)}." if turned else ""


def _in_parts(found: Compared, test: Outcome) -> str:
    """The segments where one is surely better, though not over all units."""
    told = []
    for name, sign in ((found.a, test.column.sign), (found.b, -test.column.sign)):
        segments = _sure_segments(found, test, sign)
        told += [f" {name} is surely better in {', '.join(segments)}."] if segments else []
    return "".join(told)


def _sure_segments(found: Compared, test: Outcome, sign: float) -> list[str]:
    """Those whose difference is sure and of this sign."""
    return [
        f"{s.by} {s.label}"
        for s in test.segments
        if s.adjusted is not None
        and s.adjusted.by(found.correction) < SURE
        and sign * s.paired.difference > 0
    ]


def _known(found: Compared, test: Outcome, both: Paired) -> str:
    """What the data at hand could have shown."""
    assert both.detectable is not None
    score = test.matters / found.matters
    share = f", {both.detectable / score:.0%} of {_what(test)}," if score else ""
    return (
        f"{counted(both.n, 'unit')} show a difference of {both.detectable:.4f}{share} with a "
        f"probability of {POWER:.0%}."
    )


def _what(test: Outcome) -> str:
    """What shares are shares of."""
    named = parse(test.column.metric).name
    return "the score above a coin's" if named in _CHANCE else "the score"


def _needed(test: Outcome, both: Paired) -> str:
    """How many units would show what matters, where more of the same could."""
    assert both.detectable is not None
    if not test.matters or both.detectable <= test.matters:
        return ""
    needed = both.n * (both.detectable / test.matters) ** 2
    rounded = round(needed, 1 - math.floor(math.log10(needed)))
    return f" To show {test.matters:.4f}, about {counted(int(rounded), 'unit')} are needed."
