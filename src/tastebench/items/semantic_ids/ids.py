"""Paths that tell all items of a catalogue apart, and paths for items that come later.

A path is the codes of `levels` codebooks, and where items share one, a code more that numbers them
in the order of the catalogue. No path is the beginning of another: with `where-needed` a path that
goes on is one that several items share, so that none of them ends there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.errors import DataError, UsageError, counted
from tastebench.items.semantic_ids import methods
from tastebench.items.semantic_ids.codebooks import CHUNK, checked
from tastebench.items.semantic_ids.paths import order_within, prefix_groups, tie_codes
from tastebench.items.semantic_ids.random_codes import more_random_codes, random_codes
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.semantic_ids.repair import repaired
from tastebench.items.semantic_ids.settings import VectorSettings
from tastebench.training.seeds import generator

if TYPE_CHECKING:
    from tastebench.items.semantic_ids.codebooks import Quantiser

Progress = Callable[[dict[str, float]], None]


@dataclass(frozen=True, eq=False)
class SemanticIds:
    """The codes of a catalogue.

    Attributes:
        values: A path an item, -1 after its end, int64 `[n, width]`.
        sizes: Codes of each level, `width` of them.
        levels: Codes of a path without the one that tells equal paths apart.
        quantiser: What gives codes to other items; None where codes are drawn.
        about: The recipe, and how the codes were learned, as JSON values.
    """

    values: np.ndarray
    sizes: tuple[int, ...]
    levels: int
    quantiser: Quantiser | None
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def recipe(self) -> CodeRecipe:
        """What they were made by."""
        return CodeRecipe.model_validate(self.about["recipe"])


def make_ids(
    recipe: CodeRecipe,
    vectors: np.ndarray | None,
    n_items: int,
    *,
    learn_rows: np.ndarray | None = None,
    progress: Progress | None = None,
    state: Path | None = None,
) -> SemanticIds:
    """Learns codebooks, and gives every item its path.

    Args:
        recipe: The method, the shape of a path, and what is left to choose.
        vectors: Of all items, in the order of the catalogue, `[n_items, d]`; None where codes are
            drawn.
        n_items: Items of the catalogue.
        learn_rows: The items that codebooks are learned from; None for all.
        progress: Told numbers by name as it goes on.
        state: A file from which an interrupted training goes on; see `methods.learn`.

    Raises:
        DataError: A vector holds what is no number, or there is none to learn from.
        UsageError: The settings are not this method's, or vectors are missing.
    """
    began = time.perf_counter()
    settings = methods.settings_of(recipe)
    quantiser: Quantiser | None = None
    notes: dict[str, Any] = {"settings": settings.model_dump(mode="json")}
    if not isinstance(settings, VectorSettings):
        codes = random_codes(n_items, recipe.levels, recipe.size, _rng(recipe, "draw"))
    else:
        X = _matching(vectors, n_items, recipe)
        learned = X if learn_rows is None else X[learn_rows]
        rng = _rng(recipe, "learn")
        quantiser, notes = methods.learn(recipe, learned, rng, progress, state=state)
        codes, notes["repair"] = _apart(in_chunks(quantiser, X), X, quantiser, recipe)
    ties = tie_codes(codes, recipe.ties == "always")
    about = {
        "recipe": recipe.model_dump(mode="json"),
        "items": n_items,
        **notes,
        "seconds": round(time.perf_counter() - began, 3),
    }
    return _with_ties(codes, ties, (recipe.size,) * recipe.levels, quantiser, about)


def add_items(ids: SemanticIds, vectors: np.ndarray) -> SemanticIds:
    """Gives paths to items that come after those there are, whose paths stay as they are.

    A new item has the codes nearest to it, or, if the recipe moves items that share a path, near
    ones that nobody has. Among several with one path it has the next free number.
    Where tie-break codes are given only where needed and an old item ends where the new one would,
    that item cannot get one any more: the new one takes the nearest last code at which no old item
    ends. Codes that are drawn are drawn anew, from paths that no item has.

    Args:
        ids: Of the items there are.
        vectors: Of the new items, `[m, d]`; of drawn codes only their number counts.

    Raises:
        DataError: A vector holds what is no number or has another width than those before, or an
            old item ends at every last code that a new one could have.
    """
    if len(vectors) == 0:
        return ids
    old = ids.values[:, : ids.levels]
    rng = _rng(ids.recipe, f"add to {len(old)}")
    if ids.quantiser is None:
        new = more_random_codes(len(vectors), ids.sizes[0], old, rng)
    else:
        vectors = checked(vectors, dim=ids.quantiser.dim)
        new = _apart(in_chunks(ids.quantiser, vectors), vectors, ids.quantiser, ids.recipe, old)[0]
    always = ids.recipe.ties == "always"
    if not always:
        ends = old if ids.values.shape[1] == ids.levels else old[ids.values[:, ids.levels] < 0]
        new = _elsewhere(new, ends, ids, vectors, rng)
    ties = _next_ties(ids, new, always)
    return _with_ties(
        np.concatenate([old, new]),
        ties,
        ids.sizes[: ids.levels],
        ids.quantiser,
        {**ids.about, "items": len(old) + len(new), "added": _added(ids) + len(new)},
    )


def in_chunks(quantiser: Quantiser, vectors: np.ndarray) -> np.ndarray:
    """The nearest codes of many vectors, int64 `[n, levels]`."""
    parts = [quantiser.assign(vectors[i : i + CHUNK]) for i in range(0, len(vectors), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, len(quantiser.sizes)), dtype=np.int64)


def _apart(
    codes: np.ndarray,
    vectors: np.ndarray,
    quantiser: Quantiser,
    recipe: CodeRecipe,
    others: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, Any]]:
    """Moves items that share a path, if the recipe does so; and says how many."""
    settings = methods.settings_of(recipe)
    assert isinstance(settings, VectorSettings)
    rounds, epsilon = settings.repair, settings.epsilon
    return repaired(codes, vectors, quantiser, rounds=rounds, epsilon=epsilon, others=others)


def _rng(recipe: CodeRecipe, name: str) -> np.random.Generator:
    return generator(recipe.seed, f"codes {name}")


def _added(ids: SemanticIds) -> int:
    return int(ids.about.get("added", 0))


def _matching(vectors: np.ndarray | None, n_items: int, recipe: CodeRecipe) -> np.ndarray:
    if vectors is None:
        raise UsageError(
            f"codes by {recipe.method} are made of item vectors, and there are none",
            fix="name an encoder, or take random codes",
        )
    vectors = checked(vectors)
    if len(vectors) != n_items:
        raise DataError(
            f"there are {counted(len(vectors), 'vector')} and {counted(n_items, 'item')}",
            fix="give one vector an item, in the order of the catalogue",
        )
    return vectors


def _with_ties(
    codes: np.ndarray,
    ties: np.ndarray,
    sizes: tuple[int, ...],
    quantiser: Quantiser | None,
    about: dict[str, Any],
) -> SemanticIds:
    """Puts the tie-break codes behind the others, if any item has one."""
    levels = codes.shape[1]
    highest = int(ties.max(initial=-1))
    if highest >= 0:
        codes, sizes = np.column_stack([codes, ties]), (*sizes, highest + 1)
    return SemanticIds(codes, sizes, levels, quantiser, about)


def _elsewhere(
    new: np.ndarray,
    ends: np.ndarray,
    ids: SemanticIds,
    vectors: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Moves new items from paths at which an old one ends to the nearest at which none does.

    Args:
        new: Codes of the new items, int64 `[m, levels]`.
        ends: Paths of old items without a tie-break code, int64 `[k, levels]`.
        ids: Of the old items.
        vectors: Of the new items.
        rng: Says what is nearest where there are no vectors.
    """
    both = prefix_groups(np.concatenate([ends, new]))
    blocked = np.flatnonzero(np.isin(both[len(ends) :, -1], both[: len(ends), -1]))
    if len(blocked) == 0:
        return new
    size, new = ids.sizes[ids.levels - 1], new.copy()
    # A beginning of a path is a number, a place in it a number below `size` after it.
    begin = both[:, -2] if ids.levels > 1 else np.zeros(len(both), dtype=np.int64)
    closed = np.unique(begin[: len(ends)] * size + ends[:, -1])
    step = max(1, (1 << 22) // size)
    for first in range(0, len(blocked), step):
        rows = blocked[first : first + step]
        costs = (
            rng.random((len(rows), size))
            if ids.quantiser is None
            else ids.quantiser.last_costs(vectors[rows], new[rows]).astype(np.float64)
        )
        places = begin[len(ends) + rows][:, None] * size + np.arange(size)
        costs[np.isin(places, closed)] = np.inf
        full = ~np.isfinite(costs).any(axis=1)
        if full.any():
            path = "-".join(map(str, new[rows[full.argmax()], :-1]))
            raise DataError(
                "an old item without a tie-break code ends wherever a new item could",
                where=f"new item {rows[full.argmax()]}, codes beginning with {path or 'anything'}",
                fix="make the codes with ties: always, or with larger or more levels",
            )
        new[rows, -1] = costs.argmin(axis=1)
    return new


def _next_ties(ids: SemanticIds, new: np.ndarray, always: bool) -> np.ndarray:
    """Tie-break codes of old and new items: the old ones', and the next numbers of each path."""
    n = len(ids.values)
    has = ids.values.shape[1] > ids.levels
    before = ids.values[:, ids.levels] if has else np.full(n, -1, dtype=np.int64)
    group = prefix_groups(np.concatenate([ids.values[:, : ids.levels], new]))[:, -1]
    used = np.zeros(int(group.max(initial=-1)) + 1, dtype=np.int64)
    np.maximum.at(used, group[:n], before + 1)
    place = used[group[n:]] + order_within(group[n:])
    if not always:
        place = np.where(np.bincount(group)[group[n:]] > 1, place, -1)
    return np.concatenate([before, place])
