"""What can be told without knowing the user: guessing has to be about as good.

Who answers here sees the options alone, or the options and how the questions of train users were
answered. Of some hundred questions a guesser gets .2 to .3 right; what is allowed beyond that is
what values give away that are far more usual than others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator

import numpy as np
import polars as pl
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSet, QuestionSpec, generate

Guess = Callable[[list[str]], list[float]]
DatasetOf = Callable[[pl.DataFrame, dict[str, list[int]]], Dataset]


@pytest.fixture(scope="module")
def many(shop: Dataset) -> QuestionSet:
    return generate(
        shop,
        QuestionSpec(
            questions=2400,
            train_questions=2400,
            valid_questions=0,
            ratios=(0.5, 0.0, 0.5),
            proportions=dict.fromkeys(("df", "mf", "ap", "li", "si", "it"), 1.0),
        ),
    )


def _parts(option: str) -> list[str]:
    return re.split(" -> | > ", option)


def _likeness(options: list[str]) -> list[float]:
    """How many places an option shares with the others: the middle of them."""
    split = [_parts(option) for option in options]
    return [
        float(sum(a == b for other in split for a, b in zip(own, other, strict=True)))
        for own in split
    ]


def _common(options: list[str]) -> list[float]:
    """How many values an option shares with the others, in any order."""
    split = [set(_parts(option)) for option in options]
    return [float(sum(len(own & other) for other in split)) for own in split]


GUESSES: dict[str, Guess] = {
    "first": lambda options: [3.0, 2.0, 1.0, 0.0],
    "longest": lambda options: [float(len(option)) for option in options],
    "shortest": lambda options: [-float(len(option)) for option in options],
    "fewest_values": lambda options: [-float(len(set(_parts(option)))) for option in options],
    "likeness": _likeness,
    "common": _common,
}


def _shares(table: pl.DataFrame, guess: Guess) -> Iterator[tuple[str, float]]:
    """Share of right guesses by kind; equal guesses share it."""
    for (kind,), rows in table.group_by("subtask"):
        right = []
        for options, label in rows.select("options", "gold_label").iter_rows():
            scores = np.array(guess(options))
            best = scores == scores.max()
            right.append(best["ABCD".index(label)] / best.sum())
        yield str(kind), float(np.mean(right))


@pytest.mark.parametrize("name", GUESSES)
def test_options_do_not_say_which_is_right(many: QuestionSet, name: str) -> None:
    for kind, share in _shares(many.table, GUESSES[name]):
        # Small numbers have few below them, and are shorter.
        limit = 0.4 if kind == "mf" else 0.3
        assert share < limit, (kind, share)


def test_what_train_users_answer_says_little(many: QuestionSet) -> None:
    """An option's share of right answers among train questions that have it, smoothed."""
    train = many.table.filter(pl.col("part") == "train")
    shown, right = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for kind, options, gold in train.select("subtask", "options", "gold_text").iter_rows():
        for option in options:
            for value in _parts(option):
                shown[kind, value] += 1
                right[kind, value] += option == gold
    test = many.table.filter(pl.col("part") == "test")
    for (kind,), rows in test.group_by("subtask"):
        name = str(kind)

        def usual(options: list[str], kind: str = name) -> list[float]:
            return [
                float(
                    np.mean([(right[kind, v] + 1) / (shown[kind, v] + 4) for v in _parts(option)])
                )
                for option in options
            ]

        ((_, share),) = _shares(rows, usual)
        assert share < (0.45 if name == "mf" else 0.36), (name, share)


@pytest.fixture(scope="module")
def skewed(dataset_of: DatasetOf) -> QuestionSet:
    """Thirty categories, the first eleven times as popular as the last.

    No option can hide an answer that is right for more than one user in four.
    """
    rng = np.random.default_rng(8)
    n_categories, each = 30, 4
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(n_categories * each)],
            "title": [f"Thing {i}" for i in range(n_categories * each)],
            "category": [f"c{i // each}" for i in range(n_categories * each)],
        }
    )
    share = 1 / np.arange(1, n_categories + 1) ** 0.7
    share /= share.sum()
    sequences = {}
    for user in range(1600):
        liked = rng.choice(n_categories, size=4, p=share)
        category = np.where(
            rng.random(30) < 0.5,
            liked[rng.integers(4, size=30)],
            rng.choice(n_categories, size=30, p=share),
        )
        sequences[f"u{user}"] = (category * each + rng.integers(each, size=30)).tolist()
    spec = QuestionSpec(
        questions=2100,
        train_questions=2100,
        valid_questions=0,
        ratios=(0.5, 0.0, 0.5),
        proportions={"ap": 1, "si": 1, "it": 1},
    )
    return generate(dataset_of(items, sequences), spec)


def test_the_usual_answer_is_not_the_likelier_one(skewed: QuestionSet) -> None:
    """Of the options, the one that most train users are right with is right about 1 time in 4."""
    train, test = (skewed.table.filter(pl.col("part") == part) for part in ("train", "test"))
    for kind in ("ap", "si"):
        golds = Counter(train.filter(pl.col("subtask") == kind)["gold_text"].to_list())
        rows = test.filter(pl.col("subtask") == kind)
        ((_, share),) = _shares(rows, lambda o, golds=golds: [float(golds[v]) for v in o])
        assert share < 0.36, (kind, share)
        # Were the others any values, the usual one would be right far more often.
        rng = np.random.default_rng(0)
        values = sorted({value for options in rows["options"] for value in options})
        right = []
        for gold in rows["gold_text"]:
            others = rng.choice([v for v in values if v != gold], size=3, replace=False)
            right.append(golds[gold] > max(golds[v] for v in others))
        assert np.mean(right) > 0.42


def test_the_usual_path_is_not_the_likelier_one(skewed: QuestionSet) -> None:
    train, test = (skewed.table.filter(pl.col("part") == part) for part in ("train", "test"))
    golds = Counter(
        value
        for path in train.filter(pl.col("subtask") == "it")["gold_text"]
        for value in _parts(path)
    )
    rows = test.filter(pl.col("subtask") == "it")
    ((_, share),) = _shares(rows, lambda o: [float(sum(golds[v] for v in _parts(x))) for x in o])
    assert share < 0.36


def test_knowing_the_user_tells_the_answer(shop: Dataset, many: QuestionSet) -> None:
    """The same options, and the latest events counted: the questions can be answered."""
    items = {column: shop.tables.items[column].to_list() for column in ("category", "brand")}
    questions = many.parts["test"]
    table = many.table.filter(pl.col("part") == "test")
    right = []
    for i, row in enumerate(table.iter_rows(named=True)):
        if row["subtask"] == "si" and row["attribute"] in items:
            history = questions.history[int(questions.user[i])][-10:]
            counts = Counter(items[row["attribute"]][int(item)] for item in history)
            scores = [counts[option] for option in row["options"]]
            right.append(np.argmax(scores) == questions.gold[i])
    assert np.mean(right) > 0.8
