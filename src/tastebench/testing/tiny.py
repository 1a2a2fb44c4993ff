"""A shop of twelve items, as the problem of any task: small enough to train on in a test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.contracts import (
    CfProblem,
    CtrProblem,
    Items,
    Pairs,
    QaProblem,
    Queries,
    Questions,
    SearchProblem,
    SeqProblem,
    Targets,
)
from tastebench.data.card import RowsSpec, SplitSpec
from tastebench.data.questions.spec import QuestionSpec
from tastebench.ragged import Ragged
from tastebench.tasks import QueryForms, TaskProtocol
from tastebench.tasks.protocol import TaskName

N_ITEMS = 12
TEXTS = (
    "red wool scarf",
    "blue wool scarf",
    "red leather belt",
    "brown leather belt",
    "green tea, loose leaves",
    "black tea in bags",
    "cup for tea",
    "kettle of steel",
    "novel about the sea",
    "novel about a belt maker",
    "atlas of the sea",
    "",  # shops have items without a word
)
QUERY_TEXTS = ("a warm red scarf", "something for tea", "the sea", "zzz")

# Who took what, oldest first. Items 10 and 11 occur in no training part: they are cold.
_TRAIN = [[0, 1, 2], [1, 0, 3, 2], [4, 5, 6], [5, 6, 4, 7], [8, 9], [0, 1, 4], [], [9, 8, 2, 8]]
_VALID = [3, 1, 7, 5, 8, 5, 6, 9]
_TEST = [1, 11, 4, 6, 10, 6, 7, 3]

# What was shown to whom after that, two clicks and two others each; user 6 has no history.
_SHOWN = [
    [3, 4, 8, 9],
    [4, 2, 9, 5],
    [7, 4, 1, 0],
    [5, 6, 2, 3],
    [9, 8, 0, 1],
    [2, 3, 6, 7],
    [0, 4, 8, 9],
    [8, 11, 5, 10],
]
_PART_OF_USER = {"train": (0, 1, 2, 3), "valid": (4, 5), "test": (6, 7)}


class TinyTruth:
    """True preferences: whoever asks likes the item whose row is nearest to their own."""

    def scores(self, task: str, queries: Queries, items: slice) -> np.ndarray:
        """float64 `[n, len(items)]`."""
        asker = queries.row if queries.user is None else queries.user
        assert asker is not None
        away: np.ndarray = np.abs(asker[:, None] - np.arange(items.start, items.stop))
        return -away.astype(np.float64)


@dataclass(frozen=True)
class Tiny:
    """A problem and all that a run would hand over with it."""

    problem: Any
    protocol: TaskProtocol
    items: Items
    forms: QueryForms


def tiny(task: TaskName, *, other_test: bool = False) -> Tiny:
    """The shop as a problem of `task`.

    Args:
        task: `seqrec`, `cf`, `search`, `ctr` or `userqa`.
        other_test: Other answers in the test part, everything else the same.
    """
    rng = np.random.default_rng(11)
    items = Items(
        n=N_ITEMS,
        text=TEXTS,
        columns={"title": TEXTS, "kind": [f"kind {n // 2}" for n in range(N_ITEMS)]},
        code=np.stack([np.arange(N_ITEMS) // 4, np.arange(N_ITEMS) % 4], axis=1),
        vector=rng.normal(size=(N_ITEMS, 8)).astype(np.float32),
        side={"kind": (np.arange(N_ITEMS) // 2).astype(np.int32)},
        truth=TinyTruth(),
    )
    vectors = rng.normal(size=(len(QUERY_TEXTS), 8)).astype(np.float32)
    test = [(item + 5) % N_ITEMS for item in _TEST] if other_test else _TEST
    make = {
        "seqrec": _sequences,
        "cf": _sets,
        "search": _queries,
        "ctr": _shown,
        "userqa": _questions,
    }[task]
    forms = QueryForms(QUERY_TEXTS, vectors) if task == "search" else QueryForms()
    return Tiny(make(test), _protocol(task), items, forms)


def _protocol(task: TaskName) -> TaskProtocol:
    if task == "ctr":
        return TaskProtocol(
            task=task,
            rows=RowsSpec(source="impressions"),
            group="user",
            candidates="shown",
            split=SplitSpec(kind="given"),
            history_length=5,
            min_history=0,
            metrics=("gauc", "ndcg@3", "logloss"),
        )
    if task == "userqa":
        return TaskProtocol(
            task=task,
            questions=QuestionSpec(),
            candidates="options",
            history_length=5,
            min_history=0,
            metrics=("accuracy", "accuracy_sequence", "accuracy_df"),
        )
    return TaskProtocol(
        task=task,
        split=None if task == "search" else SplitSpec(kind="last_out"),
        history_length=5 if task == "seqrec" else None,
        min_history=0,
        mask_seen=task == "cf",
        metrics=("ndcg@3", "recall@3"),
    )


def _sequences(test: list[int]) -> SeqProblem:
    users = np.arange(len(_TRAIN))
    before_test = [[*items, valid] for items, valid in zip(_TRAIN, _VALID, strict=True)]
    return SeqProblem(
        n_items=N_ITEMS,
        n_users=len(users),
        history_length=5,
        train=Ragged.from_lists(_TRAIN),
        valid=Targets(users, Ragged.from_lists(_TRAIN), np.array(_VALID, np.int32), users + 100),
        test=Targets(users, Ragged.from_lists(before_test), np.array(test, np.int32), users + 200),
    )


def _shown(test: list[int]) -> CtrProblem:
    parts = {part: list(users) for part, users in _PART_OF_USER.items()}
    labels = [1, 1, 0, 0] if test is _TEST else [0, 0, 1, 1]

    def pairs(part: str) -> Pairs:
        user = np.repeat(parts[part], 4)
        shown = np.array([_SHOWN[u] for u in parts[part]], np.int32).ravel()
        label = np.tile(labels if part == "test" else [1, 1, 0, 0], len(parts[part]))
        return Pairs(user, user, shown, label.astype(np.int8), user)

    return CtrProblem(
        n_items=N_ITEMS,
        n_users=len(_TRAIN),
        history_length=5,
        history=Ragged.from_lists(_TRAIN),
        train=pairs("train"),
        valid=pairs("valid"),
        test=pairs("test"),
    )


def _questions(test: list[int]) -> QaProblem:
    """Two questions a user: what the last item was, and how many there were."""
    of = {part: [user for user in users if _TRAIN[user]] for part, users in _PART_OF_USER.items()}

    def part(name: str, shift: int = 0) -> Questions:
        users = of[name]
        texts, options, gold = [], [], []
        for user in users:
            last, length = _TRAIN[user][-1], len(_TRAIN[user])
            texts += [
                "What is the title of the last item that the user interacted with?",
                "How many interactions does the user's sequence have?",
            ]
            titles = [TEXTS[(last + step) % (N_ITEMS - 1)] for step in (0, 1, 2, 3)]
            lengths = [str(length + step) for step in (0, 1, 2, 3)]
            place = (user + shift) % 4
            options += [tuple(_turned(titles, place)), tuple(_turned(lengths, place))]
            gold += [place, place]
        return Questions(
            history=Ragged.from_lists([_TRAIN[user] for user in users]),
            user=np.repeat(np.arange(len(users)), 2),
            text=texts,
            options=options,
            gold=np.array(gold, dtype=np.int64),
            kind=np.tile([0, 1], len(users)),
            kinds=("df", "mf"),
            asker=np.array(users, dtype=np.int64),
        )

    return QaProblem(N_ITEMS, 5, part("train"), part("valid"), part("test", test is not _TEST))


def _turned(options: list[str], place: int) -> list[str]:
    """The first option at a place, the others behind it, round the end."""
    return options[len(options) - place :] + options[: len(options) - place]


def _sets(test: list[int]) -> CfProblem:
    train = [sorted(set(items)) for items in _TRAIN]
    valid = [[v] if v not in items else [] for items, v in zip(train, _VALID, strict=True)]
    new = [
        [item] if item not in [*items, *known] else []
        for items, known, item in zip(train, valid, test, strict=True)
    ]
    return CfProblem(
        n_items=N_ITEMS,
        n_users=len(train),
        train=Ragged.from_lists(train),
        valid=Ragged.from_lists(valid),
        test=Ragged.from_lists(new),
    )


def _queries(test: list[int]) -> SearchProblem:
    relevant = [[test[0]], [test[1], test[2]], [test[4]], []]
    lengths = [len(items) for items in relevant]
    return SearchProblem(
        n_items=N_ITEMS,
        n_queries=len(relevant),
        relevance=Ragged.from_lists(relevant),
        gain=Ragged.from_lengths(np.ones(sum(lengths)), np.array(lengths)),
        group=np.array([0, 0, 1, 1], np.int32),
        groups=("short", "complex"),
    )
