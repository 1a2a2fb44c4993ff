"""Item vectors as a model takes them: checked, adapted, and said in words for the record."""

from __future__ import annotations

from typing import Literal

import numpy as np

from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.items.adapt import adapt

DEFAULT_DIMENSIONS = 128
"""What the published comparisons of text encoders use: encoders of any width meet at one."""


def adapted(
    items: Items, how: Literal["pca", "none"], dimensions: int | None
) -> tuple[np.ndarray, str]:
    """The vectors, float32 `[n, d']` and writable, and a note on how they were adapted.

    Args:
        items: The catalogue.
        how: `pca` whitens to `dimensions`; `none` leaves the vectors as they are.
        dimensions: Width after `pca`; None is 128, or less where the vectors are narrower or the
            items too few to span as many (`n` centred vectors span `n - 1` dimensions at most).

    Raises:
        UsageError: There are no vectors, or they do not have `dimensions`.
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
    width = dimensions or max(1, min(DEFAULT_DIMENSIONS, d, n - 1))
    whitened = adapt(items.vector, "pca", width, False)
    return whitened, f"item vectors whitened by PCA from {d} to {width} dimensions"
