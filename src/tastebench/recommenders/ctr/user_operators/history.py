"""What several user operators do to a history before they read it."""

from __future__ import annotations

from torch import Tensor

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import Clicks


def item_vectors(clicks: Clicks) -> Tensor:
    """The vectors of what was clicked, `[b, s, h]`, zeros where there is nothing."""
    assert clicks.vectors is not None, "an operator that reads a sequence is given its vectors"
    return clicks.vectors.masked_fill(~clicks.mask[..., None], 0.0)


def fitted(brick: str, mask: Tensor, length: int) -> int:
    """How many places of right-padded histories `[b, s]` an operator with `length` positions reads.

    Padding may be wider than the positions; what was clicked may not.

    Raises:
        UsageError: Somebody clicked more than `length` items.
    """
    s = mask.shape[1]
    if s > length and bool(mask[:, length:].any()):
        longest = int(mask.sum(1).max())
        raise UsageError(
            f"the user operator {brick} has positions for {length} items, and a history has "
            f"{longest}",
            fix=f"set its length to {longest} or more, or shorten the histories",
        )
    return min(s, length)
