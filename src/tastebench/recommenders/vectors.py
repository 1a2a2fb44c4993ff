"""Item vectors as a model takes them: checked, adapted, and said in words for the record."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from tastebench.contracts import Items
from tastebench.errors import DataError, UsageError
from tastebench.items.adapt import Adaptor, Whitened, adapt, pca_whiten

DEFAULT_DIMENSIONS = 128
"""What the published comparisons of text encoders use: encoders of any width meet at one."""


def adapted(items: Items, how: Adaptor, dimensions: int | None) -> tuple[np.ndarray, str]:
    """The vectors, float32 `[n, d']` and writable, and a note on how they were adapted.

    Args:
        items: The catalogue; PCA learns from its known items and maps the others by what it learnt.
        how: `pca` whitens to `dimensions`; `mrl` keeps the first `dimensions` at unit length;
            `none` leaves the vectors as they are.
        dimensions: Width after `pca` or `mrl`. None is 128 or the vectors' width if less; `pca`
            takes fewer where they vary in fewer (few items, many equal texts).

    Raises:
        UsageError: There are no vectors, they do not have `dimensions`, or they are to be cut and
            their encoder was not trained for that.
        DataError: The vectors vary in fewer directions than `dimensions`, or in none.
    """
    if items.vector is None:
        raise UsageError(
            "this recommender needs item vectors, and the items have none",
            fix="choose a representation with vector, and an encoder",
        )
    n, d = items.vector.shape
    if how == "none":
        if dimensions not in (None, d):
            raise UsageError(
                f"dimensions={dimensions}, but the vectors have {d} and adaptor=none keeps them",
                fix="use adaptor=pca, or leave dimensions away",
            )
        return np.array(items.vector, dtype=np.float32), f"item vectors as encoded, {d} dimensions"
    if how == "mrl":
        width = min(DEFAULT_DIMENSIONS, d) if dimensions is None else dimensions
        cut = adapt(items.vector, "mrl", width, items.nested)
        return cut, f"item vectors cut from {d} to {width} dimensions, at unit length"
    known = items.vector[: items.known]
    if dimensions is None:
        white = _widest(known, max(1, min(DEFAULT_DIMENSIONS, d, len(known) - 1)))
    else:
        white = pca_whiten(known, dimensions)
    whitened = white.values
    if len(known) < n:
        whitened = np.concatenate([whitened, white.transform(items.vector[len(known) :])])
    return whitened, f"item vectors whitened by PCA from {d} to {whitened.shape[1]} dimensions"


def _widest(vectors: np.ndarray, most: int) -> Whitened:
    """Whitened to `most` dimensions, or to as many as the vectors vary in if fewer.

    Nearly always the first attempt succeeds; vectors with fewer directions are small enough to try
    again.
    """

    def whitened(width: int) -> Whitened | None:
        try:
            return pca_whiten(vectors, width)
        except DataError:
            return None

    found = whitened(most)
    if found is not None:
        return found
    width = bisect_left(range(1, most), True, key=lambda width: whitened(width) is None)
    return pca_whiten(vectors, max(width, 1))
