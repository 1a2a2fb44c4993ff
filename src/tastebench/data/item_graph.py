"""The graph of items that follow each other in training sequences, and who stands where in it.

Two sparse matrices are all that recommenders over transitions need: the edges `[n_items, n_items]`,
and for every asker how much each of their last items counts `[n_askers, n_items]`. Their product is
the weight by which every item is reached.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


def transitions(
    sequences: Ragged, n_items: int, *, distance: int = 1, decay: float = 1.0, backward: float = 0.0
) -> csr_matrix:
    r"""How often one item came after another, float32 `[n_items, n_items]`.

    $w_{ij} = \sum_{d=1}^{D} \gamma^{d-1} (c_d(i, j) + b \, c_d(j, i))$ with $c_d(i, j)$ how often
    $j$ came $d$ events after $i$ in one sequence.

    Args:
        sequences: Items of each user, oldest first.
        n_items: Size of the catalogue.
        distance: $D$, events that two items may lie apart.
        decay: $\gamma$, what each event further apart takes.
        backward: $b$, what the opposite direction counts.
    """
    from scipy.sparse import csr_matrix

    total = csr_matrix((n_items, n_items), dtype=np.float64)
    values, rows = sequences.values, sequences.rows
    for apart in range(1, distance + 1):
        together = rows[apart:] == rows[:-apart]
        if not together.any():
            break
        pair = values[:-apart][together], values[apart:][together]
        weight = np.full(len(pair[0]), decay ** (apart - 1))
        # Equal pairs are added up when the sparse matrix is made.
        total = total + csr_matrix((weight, pair), shape=total.shape)
    if backward:
        total = total + backward * total.T
    total = csr_matrix(total)
    total.sum_duplicates()
    total.eliminate_zeros()  # a weight of nothing makes no candidate
    return total.astype(np.float32)


def damped(edges: csr_matrix, power: float) -> csr_matrix:
    r"""Each row divided by a power of its sum, float32: $w_{ij} / (\sum_k w_{ik})^p$.

    0 leaves counts, which speak louder the more an item was taken; 1 makes probabilities, in which
    an item seen once is as sure of what follows as one seen a thousand times.
    """
    from scipy.sparse import csr_matrix

    total = np.asarray(edges.sum(axis=1), dtype=np.float64).ravel()
    scale = np.where(total > 0, total, 1.0) ** -power
    data = edges.data * np.repeat(scale, np.diff(edges.indptr))
    parts = (data.astype(np.float32), edges.indices, edges.indptr)
    return csr_matrix(parts, shape=edges.shape)


def standing(history: Ragged, n_items: int, *, last: int, recency: float) -> csr_matrix:
    r"""How much each of the last items of every history counts, float32 `[n, n_items]`.

    The $l$-th last counts $\rho^{l-1}$; a row adds up to 1, or to 0 where the history is empty. An
    item that is there twice counts for both.

    Args:
        history: Items of each asker, oldest first.
        n_items: Size of the catalogue.
        last: Items that count at all.
        recency: $\rho$.
    """
    from scipy.sparse import csr_matrix

    tail = history.tail(last)
    age = np.repeat(tail.offsets[1:], tail.lengths) - 1 - np.arange(len(tail.values))
    weight = recency ** age.astype(np.float64)
    total = np.bincount(tail.rows, weights=weight, minlength=len(tail))
    weight = (weight / total[tail.rows]).astype(np.float32)
    # Without the copy, merging repeats would rewrite the caller's lists.
    parts = (weight, tail.values, tail.offsets)
    matrix = csr_matrix(parts, shape=(len(tail), n_items), copy=True)
    matrix.sum_duplicates()
    return matrix


def columns(matrix: csr_matrix, items: slice) -> csr_matrix:
    """The columns of some items; all of them at no cost."""
    whole = (items.start, items.stop) == (0, matrix.shape[1])
    return matrix if whole else matrix[:, items]


def takes_again(sequences: Ragged, n_items: int) -> bool:
    """Whether any sequence holds an item twice."""
    keys = np.sort(sequences.rows * n_items + sequences.values)
    return bool((keys[1:] == keys[:-1]).any())
