"""Who shops here: households, and tastes that drift from period to period.

A shopper likes a few departments, within them a few kinds of things, and from those kinds some
scenes, virtues and materials: tastes hang together. At the start of each period some of these are
exchanged for others. Dislikes, sense of price, favourite brand and colours stay.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tastebench.data.storefront.calendar import PERIODS
from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.vocabulary import Vocabulary

N_USERS = 1500

HOUSEHOLDS = {
    "her": ("women",),
    "him": ("men",),
    "couple": ("women", "men"),
    "her and children": ("women", "kids"),
    "him and children": ("men", "kids"),
    "family with a baby": ("women", "men", "babies"),
    "family": ("women", "men", "kids"),
    "her and a dog": ("women", "dogs"),
    "him and a cat": ("men", "cats"),
    "couple with a dog": ("women", "men", "dogs"),
    "family with a cat": ("women", "men", "kids", "cats"),
}
"""Whom a household shops for, besides `anyone`."""

# Points of affinity; three points double a weight.
_LIKES = {"department": (9, 6, 3), "kind": (8,) * 5, "scene": (8,) * 4, "virtue": (7,) * 4}
_LIKES |= {"material": (5,) * 3, "style": (5, 4), "brand": (5, 4), "colour": (3, 3)}
_DISLIKES = {"style": -5, "material": -6, "virtue": -3}
_STRANGER = -16
_PRICE_SENSE = ((4, 0, -7), (3, 1, -3), (0, 2, 0), (-3, 1, 4))

# Chance in 16 that a like is exchanged when a period begins.
_DRIFT = {"department": 2, "kind": 5, "scene": 6, "virtue": 3, "material": 2}


def households(draws: Draws) -> np.ndarray:
    """Household of each shopper, an index into `HOUSEHOLDS`, int64 `[users]`."""
    return draws.below(len(HOUSEHOLDS), "household", N_USERS)


def tastes(words: Vocabulary, household: np.ndarray, draws: Draws) -> np.ndarray:
    """Taste of each shopper for each trait in each period, int8 `[users, periods, traits]`."""
    out = np.zeros((N_USERS, PERIODS, len(words.traits)), dtype=np.int8)
    _add_constant(words, out, household, draws)
    likes: dict[str, np.ndarray] = {}
    for period in range(PERIODS):
        likes = _likes(words, likes, period, draws)
        for facet, points in _LIKES.items():
            _set(out[:, period], likes[facet], points)
    return out


def _likes(
    words: Vocabulary, before: dict[str, np.ndarray], period: int, draws: Draws
) -> dict[str, np.ndarray]:
    """What each shopper likes in this period: facet to traits, `[users, number of likes]`."""
    likes: dict[str, np.ndarray] = {}
    for facet, points in _LIKES.items():
        shape = (N_USERS, len(points))
        name = f"like/{facet}/{period}"
        if facet in ("department", "style", "brand", "colour"):
            fresh = draws.below(len(words.ids(facet)), name, *shape) + words.ids(facet)[0]
        elif facet == "kind":
            # Kind `j` comes out of liked department `j % 3`.
            parents = likes["department"][:, np.arange(shape[1]) % 3]
            fresh = _child(_kinds_of_departments(words), parents, name, draws)
        else:
            # From a liked kind, so that boots and trails go together.
            parents = likes["kind"][:, np.arange(shape[1])]
            fresh = _child(_traits_of_kinds(words, facet), parents, name, draws)
        if period:
            changed = draws.below(16, f"drift/{facet}/{period}", *shape) < _DRIFT.get(facet, 0)
            fresh = np.where(changed, fresh, before[facet])
        likes[facet] = fresh
    return likes


def _child(table: np.ndarray, parents: np.ndarray, name: str, draws: Draws) -> np.ndarray:
    """For each parent, one of the traits in its row of `table` (-1 beyond the row's end)."""
    first = table[0, 0]
    rows = table[parents - first, 1:]
    counts = (rows >= 0).sum(axis=-1)
    column = draws.below(counts, name, *parents.shape)
    out: np.ndarray = np.take_along_axis(rows, column[..., None], axis=-1)[..., 0]
    return out


def _kinds_of_departments(words: Vocabulary) -> np.ndarray:
    rows = [
        [number, *(words.traits["kind", k.name] for k in words.kinds if k.department == name)]
        for (facet, name), number in words.traits.items()
        if facet == "department"
    ]
    return _padded(rows)


def _traits_of_kinds(words: Vocabulary, facet: str) -> np.ndarray:
    rows = [
        [
            words.traits["kind", kind.name],
            *(words.traits[facet, name] for name in getattr(kind, f"{facet}s")),
        ]
        for kind in words.kinds
    ]
    return _padded(rows)


def _padded(rows: list[list[int]]) -> np.ndarray:
    """The rows as a matrix; the first column is the parent, -1 fills up."""
    width = max(map(len, rows))
    return np.array([row + [-1] * (width - len(row)) for row in rows], dtype=np.int64)


def _add_constant(words: Vocabulary, out: np.ndarray, household: np.ndarray, draws: Draws) -> None:
    """Writes what never changes: for whom one shops, what a price may be, what one dislikes."""
    strange = np.full((len(HOUSEHOLDS), len(words.ids("audience"))), _STRANGER, dtype=np.int8)
    for row, members in enumerate(HOUSEHOLDS.values()):
        for member in ("anyone", *members):
            strange[row, words.traits["audience", member] - words.ids("audience")[0]] = 0
    out[:, :, words.ids("audience")] = strange[household][:, None]
    sense = draws.below(len(_PRICE_SENSE), "price sense", N_USERS)
    out[:, :, words.ids("tier")] = np.array(_PRICE_SENSE, dtype=np.int8)[sense][:, None]
    for facet, points in _DISLIKES.items():
        numbers = words.ids(facet)
        disliked = draws.below(len(numbers), f"dislike/{facet}", N_USERS, 2) + numbers[0]
        for period in range(PERIODS):
            _set(out[:, period], disliked, (points, points))


def _set(taste: np.ndarray, traits: np.ndarray, points: Sequence[int]) -> None:
    """Sets the taste for each shopper's traits, the first one last: it wins where two are equal."""
    users = np.arange(len(taste))
    for column in reversed(range(traits.shape[1])):
        taste[users, traits[:, column]] = points[column]
