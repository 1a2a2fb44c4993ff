"""A shop whose questions follow from histories: small enough to learn in a test."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from tastebench.contracts import Items, QaProblem, Questions
from tastebench.ragged import Ragged

COLOURS = ("red", "grey", "blue", "black")
"""Categories: each is one token of the tiny models."""

N_ITEMS, LENGTH = 24, 12
OF_ITEM = np.arange(N_ITEMS) % len(COLOURS)
FAITHFUL = 0.8
"""Share of a user's events that are of the favourite category."""


def shop(forms: Any = ("id", "side", "text")) -> Items:
    """Items of a category each, with a title that does not name it."""
    titles = [f"set {n}" for n in range(N_ITEMS)]
    colours = [COLOURS[c] for c in OF_ITEM]
    return Items(
        n=N_ITEMS,
        text=[f"{t} {c}" for t, c in zip(titles, colours, strict=True)],
        columns={"title": titles, "category": colours},
        side={"category": OF_ITEM.astype(np.int32)},
        forms=forms,
    )


def favourites(users: int, seed: int, per_user: int = 1, *, turned: bool = False) -> Questions:
    """Which category does the user take most?

    Args:
        users: How many.
        seed: Of all that is drawn.
        per_user: Questions about each.
        turned: Options stand in an order of their own in each question; else always in the same.
    """
    rng = np.random.default_rng(seed)
    k = len(COLOURS)
    lengths = rng.integers(6, LENGTH + 1, users)
    favourite = rng.integers(k, size=users)
    of_event = np.repeat(favourite, lengths)
    faithful = rng.random(len(of_event)) < FAITHFUL
    of_event = np.where(faithful, of_event, rng.integers(k, size=len(of_event)))
    items = of_event + k * rng.integers(N_ITEMS // k, size=len(of_event))
    history = Ragged.from_lengths(items.astype(np.int32), lengths)
    counts = np.zeros((users, k), dtype=np.int64)
    np.add.at(counts, (history.rows, of_event), 1)
    most = counts.argmax(axis=1)
    user = np.repeat(np.arange(users), per_user)
    order = np.tile(np.arange(k), (len(user), 1))
    if turned:
        order = rng.permuted(order, axis=1)
    return Questions(
        history=history,
        user=user,
        text=["oak for chair"] * len(user),
        options=[tuple(COLOURS[c] for c in row) for row in order],
        gold=(order == most[user][:, None]).argmax(axis=1),
        kind=np.zeros(len(user), dtype=np.int64),
        kinds=("si",),
    )


def problem(
    train: int = 600, test: int = 200, seed: int = 0, per_user: int = 1, *, turned: bool = False
) -> QaProblem:
    """Questions of three groups of users; arguments as of `favourites`."""
    return QaProblem(
        n_items=N_ITEMS,
        history_length=LENGTH,
        train=favourites(train, seed, per_user, turned=turned),
        valid=favourites(test, seed + 1, turned=turned),
        test=favourites(test, seed + 2, turned=turned),
    )


def shuffled(questions: Questions, seed: int = 5) -> Questions:
    """The same questions about the histories of others."""
    order = np.random.default_rng(seed).permutation(len(questions.history))
    return replace(questions, history=questions.history[order])


def accuracy(scores: np.ndarray, questions: Questions) -> float:
    """Share of right answers."""
    return float((scores.argmax(axis=1) == questions.gold).mean())
