"""Labelled rows as candidates by asker, in the way that a task asks about them."""

from __future__ import annotations

import numpy as np

from tastebench.contracts import Candidates, CtrProblem, Pairs
from tastebench.ragged import Ragged


def candidates_of(problem: CtrProblem, pairs: Pairs) -> tuple[Candidates, Pairs]:
    """The candidates of rows, those of one context together, and the rows in that order."""
    rows = pairs[np.lexsort((pairs.context, pairs.user))]
    new = np.ones(len(rows), dtype=bool)
    new[1:] = (rows.context[1:] != rows.context[:-1]) | (rows.user[1:] != rows.user[:-1])
    first = np.flatnonzero(new)
    candidates = Candidates(
        history=problem.history[rows.context[first]],
        user=rows.user[first],
        items=Ragged(rows.item, np.append(first, len(rows))),
    )
    return candidates, rows


def of_some_users(pairs: Pairs, n: int) -> Pairs:
    """The rows of at most `n` users, spread evenly over all."""
    users, user = np.unique(pairs.user, return_inverse=True)
    chosen = np.arange(min(n, len(users))) * len(users) // max(1, min(n, len(users)))
    return pairs[np.isin(user, chosen)]
