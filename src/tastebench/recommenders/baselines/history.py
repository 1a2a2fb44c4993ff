"""Histories as a sparse matrix: the form in which linear recommenders see a user."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import CfProblem, Queries, SeqProblem
from tastebench.errors import UsageError
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def incidence(lists: Ragged, n_items: int) -> csr_matrix:
    """1 where a list holds an item, however often, float32 `[n_lists, n_items]`."""
    from scipy.sparse import csr_matrix

    ones = np.ones(len(lists.values), np.float32)
    parts = (ones, lists.values, lists.offsets)
    # Without the copy, merging repeats would rewrite the caller's lists.
    matrix = csr_matrix(parts, shape=(len(lists), n_items), copy=True)
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def asked_histories(queries: Queries, n_items: int) -> csr_matrix:
    """The histories of the askers as such a matrix."""
    if queries.history is None:
        raise ValueError("these queries have no history")
    return incidence(queries.history, n_items)


def training_lists(problem: object) -> Ragged:
    """The training items per user.

    Raises:
        UsageError: A problem without users, e.g. search.
    """
    if not isinstance(problem, (SeqProblem, CfProblem)):
        raise UsageError(
            "this recommender learns from interactions, and the task has none",
            fix="use it for seqrec or cf",
        )
    return problem.train
