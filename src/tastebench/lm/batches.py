"""Batches of texts by length: what is padded is computed for nothing."""

from __future__ import annotations

import numpy as np

# Padded tokens a batch: what a CPU core's cache likes, what keeps an accelerator busy.
_BUDGET = {"cpu": 1024}
_BUDGET_ACCELERATOR = 32768


def token_budget(device: str) -> int:
    """Padded tokens a batch should have on a device."""
    return _BUDGET.get(device, _BUDGET_ACCELERATOR)


def token_batches(lengths: np.ndarray, budget: int, max_rows: int = 4096) -> list[np.ndarray]:
    """Cuts texts into batches of about equal work, longest first.

    Texts of like length share a batch, and a batch is as many of them as fit the budget once all
    are padded to its longest. A text longer than the budget is a batch of its own. Longest first,
    so that memory runs out at once or not at all.

    Args:
        lengths: Tokens of each text, `[n]`.
        budget: Padded tokens a batch may have.
        max_rows: Texts a batch may have.

    Returns:
        Row indices, one array a batch; together each of 0 .. n - 1 once.

    >>> [batch.tolist() for batch in token_batches(np.array([2, 9, 3, 2]), budget=6)]
    [[1], [2, 0], [3]]
    """
    order = np.argsort(-lengths, kind="stable")
    batches = []
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        rows = min(max(budget // longest, 1), max_rows)
        batches.append(order[start : start + rows])
        start += rows
    return batches
