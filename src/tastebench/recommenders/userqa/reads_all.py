"""Reads all: answers from the user's sequence by the rules that the questions go by.

The other end of the scale: what is written in the events that models are shown (`history_length`)
it reads without fault, and what asks about earlier ones it does not know either. What comes
next is written nowhere. There it takes, of attributes, what the user had most, and of items, the
one that train users had most beside what this user had: a guess, and beaten by whoever guesses
better.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tastebench.recommenders import NoParameters

if TYPE_CHECKING:
    from tastebench.contracts import Recommender

from tastebench.contracts import RecommenderCard


def _build(config: NoParameters) -> Recommender:
    from tastebench.recommenders.userqa.whole_sequence import ReadsAll

    return ReadsAll()


CARD = RecommenderCard(
    name="reads-all",
    summary="reads all that is shown of a user without fault; what comes next it has to guess",
    tasks=("userqa",),
    representations=("text",),
    config=NoParameters,
    build=_build,
    kind="ceiling",
)
