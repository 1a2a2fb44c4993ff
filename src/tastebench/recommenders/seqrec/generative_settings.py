"""What a recommender that spells items by their codes lets its user set."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.training.settings import TrainSettings


class GenerativeSettings(TrainSettings):
    """How items are spelt, and how the best of them are found."""

    beams: int = Field(20, ge=1)
    """Paths kept at every step; no list is longer than what they lead to."""

    decoding: Literal["constrained", "free"] = "constrained"
    """`constrained` extends a path by codes that lead to an item; `free` by any code, and counts
    the paths that are no item's: each takes a place in the list."""

    renormalise: Literal["children", "level"] = "children"
    """What probabilities of a step add up to 1 over: the codes that lead on from where a path
    stands, or all codes of the level. In free decoding it is always the level."""

    output: Literal["tied", "separate"] = "tied"
    """What states are compared with: the embeddings that codes are read by, or other ones."""

    user_tokens: int = Field(0, ge=0)
    """Users are told apart by one of this many tokens, by their row; TIGER has 2,000. 0 has none,
    and a user is what the history says."""
