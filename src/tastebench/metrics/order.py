"""Sort keys: group and score in one integer, so that one fast sort orders every group at once."""

from __future__ import annotations

import numpy as np


def score_codes(scores: np.ndarray) -> np.ndarray:
    """Unsigned 32-bit integers in the order of `scores`, equal where the scores are equal.

    Args:
        scores: Numbers without NaN, `[n]`, fewer than 2^32; infinities are allowed.
    """
    if scores.dtype == np.float32:
        # Of IEEE numbers the positive ones sort by their bits and the negative ones backwards.
        bits = (scores + np.float32(0)).view(np.uint32)  # -0 becomes 0
        flip = np.where(bits >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
        codes: np.ndarray = bits ^ flip
        return codes
    order = np.argsort(scores)
    steps = np.empty(len(scores), dtype=np.uint32)
    ordered = scores[order]
    steps[:1] = 0
    np.cumsum(ordered[1:] != ordered[:-1], out=steps[1:], dtype=np.uint32)
    codes = np.empty_like(steps)
    codes[order] = steps
    return codes


def sort_keys(group: np.ndarray, scores: np.ndarray, bit: np.ndarray | None = None) -> np.ndarray:
    """Keys that sort by group, then score, then bit, uint64 `[n]`.

    Args:
        group: Integers in 0 .. 2^31 - 1.
        scores: Numbers without NaN.
        bit: A boolean carried along in the lowest bit.
    """
    codes = score_codes(scores).astype(np.uint64)
    keys: np.ndarray = (group.astype(np.uint64) << np.uint64(33)) | (codes << np.uint64(1))
    if bit is not None:
        keys |= bit.astype(np.uint64)
    return keys
