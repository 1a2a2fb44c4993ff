"""From candidates that were shown to an `Evaluation`: score, compare within groups, calibrate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from tastebench.contracts import Candidates, Evaluation, Role, ScoresCandidates
from tastebench.errors import ProtocolError
from tastebench.metrics.rows import LabelledRows, measure_rows
from tastebench.ragged import Ragged
from tastebench.tasks.protocol import TaskProtocol

SCORED_TOGETHER = 16_384
"""Candidates in one call of `score`, about: what it makes for them is bounded by it."""


@dataclass(frozen=True, eq=False)
class Shown:
    """What one part of a problem asks: is this candidate clicked? Rows go by asker.

    Attributes:
        candidates: A list for each asker.
        user: User of each candidate, int64 `[n]`.
        label: Its answer, int8 `[n]`.
        group: What it is compared within, int64 `[n]`.
        segments: Labels of each user, in ascending order.
        counts: What was left out before asking, and why.
    """

    n_items: int
    candidates: Candidates
    user: np.ndarray
    label: np.ndarray
    group: np.ndarray
    segments: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    unit = "user"

    def __len__(self) -> int:
        return len(self.user)

    @property
    def length(self) -> int:
        """Candidates in a request."""
        return 1

    def brings(self, row: int, items: Sequence[str]) -> tuple[list[str], Role]:
        """The texts that one question brings along: the items of the history, and the candidate."""
        asker = self._asker(row)
        known = [items[item] for item in self.candidates.history[asker].tolist()]
        return [*known, items[int(self.candidates.items.values[row])]], "item"

    def request(self, recommender: ScoresCandidates, row: int) -> np.ndarray:
        """Asks about one candidate alone, as a shop would with a page of one."""
        asker = self._asker(row)
        one = self.candidates[asker : asker + 1]
        at = row - int(self.candidates.items.offsets[asker])
        items = one.items.values[at : at + 1]
        return score(recommender, replace(one, items=Ragged(items, np.array([0, 1]))))

    def _asker(self, row: int) -> int:
        return int(np.searchsorted(self.candidates.items.offsets, row, side="right")) - 1


def measure_shown(recommender: Any, shown: Shown, protocol: TaskProtocol) -> Evaluation:
    """Scores every candidate and measures the scores against the labels, a row a user.

    With `average: user` every user counts once in the metrics of groups, else by their groups.

    Raises:
        ProtocolError: Nothing to ask, or answers that cannot be used.
    """
    if not len(shown):
        raise ProtocolError(
            "there is nothing to ask in this part",
            fix="choose another split, or a dataset with more labelled rows",
        )
    scores = score_all(recommender, shown.candidates)
    rows = LabelledRows(
        label=shown.label,
        score=scores,
        group=shown.group,
        unit=shown.user,
        log_odds=bool(recommender.log_odds),
    )
    values, weights = measure_rows(protocol.metrics, rows)
    if protocol.average == "user":
        weights = {name: w for name, w in weights.items() if not _of_groups(name)}
    users = np.unique(shown.user)
    groups, index = np.unique(shown.group, return_inverse=True)
    clicked = np.bincount(index, weights=shown.label, minlength=len(groups))
    one_class = (clicked == 0) | (clicked == np.bincount(index))
    counts = {
        "asked": len(shown),
        "users": len(users),
        "groups": len(groups),
        "excluded_one_class": int(one_class.sum()),
        "clicked": int(shown.label.sum()),
        **shown.counts,
        "tied": _tied(scores, index),
    }
    return Evaluation("user", users, values, weights, shown.segments, counts, scores=scores)


def score_all(recommender: Any, candidates: Candidates) -> np.ndarray:
    """The scores of all candidates, float64 `[n]`, askers a chunk at a time.

    Raises:
        ProtocolError: The recommender answers with something that is no score.
    """
    offsets = candidates.items.offsets
    starts = [0]
    while starts[-1] < len(candidates):
        full = int(np.searchsorted(offsets, offsets[starts[-1]] + SCORED_TOGETHER))
        starts.append(min(max(full, starts[-1] + 1), len(candidates)))
    parts = [score(recommender, candidates[begin:end]) for begin, end in pairwise(starts)]
    return np.concatenate(parts) if parts else np.empty(0)


def score(recommender: Any, candidates: Candidates) -> np.ndarray:
    """The scores of some candidates as float64, checked."""
    if not isinstance(recommender, ScoresCandidates):
        raise ProtocolError(
            f"{type(recommender).__name__} does not score candidates",
            fix="give it score(candidates) -> array and log_odds, or choose another task",
        )
    scores = np.asarray(recommender.score(candidates), dtype=np.float64)
    n = len(candidates.items.values)
    if scores.shape != (n,):
        raise ProtocolError(
            f"{type(recommender).__name__} gave scores of shape {scores.shape} for {n} candidates"
        )
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise ProtocolError(
            f"{type(recommender).__name__} scored item {candidates.items.values[bad[0]]} "
            f"{scores[bad[0]]}: a score is a finite number"
        )
    return scores


def _of_groups(name: str) -> bool:
    """Whether a metric is a mean over groups, each alike."""
    from tastebench.metrics.grammar import parse

    metric = parse(name)
    return metric.name == "gauc" or metric.info.needs == "ranks"


def _tied(scores: np.ndarray, group: np.ndarray) -> int:
    """Candidates whose score another candidate of their group has."""
    order = np.lexsort((scores, group))
    s, g = scores[order], group[order]
    same = np.zeros(len(s) + 1, dtype=bool)
    same[1:-1] = (s[1:] == s[:-1]) & (g[1:] == g[:-1])
    return int((same[1:] | same[:-1]).sum())


def limited(shown: Shown, limit: int | None) -> Shown:
    """The candidates of at most `limit` users, spread evenly over all of them."""
    users, row_user = np.unique(shown.user, return_inverse=True)
    if limit is None or limit >= len(users):
        return shown
    chosen = np.arange(limit) * len(users) // limit
    rows = np.isin(row_user, chosen)
    askers = np.isin(shown.candidates.user, users[chosen])
    candidates = shown.candidates
    at = np.flatnonzero(askers)
    return replace(
        shown,
        candidates=Candidates(candidates.history[at], candidates.user[at], candidates.items[at]),
        user=shown.user[rows],
        label=shown.label[rows],
        group=shown.group[rows],
        segments={name: labels[chosen] for name, labels in shown.segments.items()},
        counts={**shown.counts, "excluded_by_limit": len(users) - limit},
    )
