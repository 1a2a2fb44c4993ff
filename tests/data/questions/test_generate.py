"""Questions about users: right by hand on a small shop, without leaks, balanced, the same again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.questions import KINDS, QuestionSet, QuestionSpec, generate
from tastebench.data.schema import Tables

N_ITEMS, N_USERS = 60, 300


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """Users who take items mostly of one category and brand, then of another."""
    rng = np.random.default_rng(5)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N_ITEMS)],
            "title": [f"Thing {i}" for i in range(N_ITEMS)],
            "category": [f"c{i % 6}" for i in range(N_ITEMS)],
            "genres": [[f"g{i % 5}", f"g{i % 7}"] for i in range(N_ITEMS)],
            "brand": [None if i % 10 == 0 else f"b{i % 8}" for i in range(N_ITEMS)],
        }
    )
    frames = []
    for user in range(N_USERS):
        n = int(rng.integers(3, 40))
        liked = rng.integers(6, size=2)
        category = np.where(
            rng.random(n) < 0.6, np.repeat(liked, [n // 2, n - n // 2]), rng.integers(6, size=n)
        )
        item = category + 6 * rng.integers(N_ITEMS // 6, size=n)
        frames.append(pl.DataFrame({"user_id": f"u{user}", "item_id": [f"i{i}" for i in item]}))
    taken = (
        pl.concat(frames)
        .with_row_index("row")
        .with_columns(pl.col("row").cast(pl.Int64), time=pl.col("row").cast(pl.Int64))
    )
    card = DatasetCard(name="shop", title="A shop")
    return Dataset.create(card, Tables(items=items, interactions=taken))


@pytest.fixture(scope="module")
def spec() -> QuestionSpec:
    return QuestionSpec(
        questions=600, train_questions=900, valid_questions=120, ratios=(0.5, 0.1, 0.4)
    )


@pytest.fixture(scope="module")
def made(shop: Dataset, spec: QuestionSpec) -> QuestionSet:
    return generate(shop, spec)


def test_the_same_data_and_spec_give_the_same_questions(
    shop: Dataset, spec: QuestionSpec, made: QuestionSet
) -> None:
    assert generate(shop, spec).table.equals(made.table)
    assert not generate(shop, spec.model_copy(update={"seed": 7})).table.equals(made.table)


def test_parts_say_what_the_table_says(made: QuestionSet) -> None:
    for part, questions in made.parts.items():
        rows = made.table.filter(pl.col("part") == part)
        assert list(questions.text) == rows["question"].to_list()
        assert [list(o) for o in questions.options] == rows["options"].to_list()
        assert [KINDS[k] for k in questions.kind] == rows["subtask"].to_list()
        assert ["ABCD"[g] for g in questions.gold] == rows["gold_label"].to_list()
        right = [o[g] for o, g in zip(questions.options, questions.gold, strict=True)]
        assert right == rows["gold_text"].to_list()
    assert made.table["qid"].is_unique().all()


def test_histories_are_those_of_the_users_without_their_last_event(
    shop: Dataset, made: QuestionSet
) -> None:
    taken = shop.tables.interactions
    assert taken is not None
    for part, questions in made.parts.items():
        rows = made.table.filter(pl.col("part") == part)
        for i in range(0, len(questions), 7):
            own = taken.filter(pl.col("user_id") == rows["user_id"][i])["item_id"].to_list()
            history = questions.history[int(questions.user[i])]
            assert [f"i{item}" for item in history] == own[:-1]


def test_no_user_is_in_two_parts(made: QuestionSet) -> None:
    users = [set(made.users[part].tolist()) for part in made.parts]
    assert sum(map(len, users)) == len(set.union(*users))
    assert made.table.group_by("user_id").agg(pl.col("part").n_unique())["part"].max() == 1


def test_options_differ_and_hold_the_right_one_once(made: QuestionSet) -> None:
    options = made.table["options"]
    assert (options.list.n_unique() == 4).all()
    assert Counter(map(len, options)) == {4: len(options)}


def test_kinds_stand_in_the_published_proportions(spec: QuestionSpec, made: QuestionSet) -> None:
    wanted = spec.wanted("test")
    asked = dict(made.table.filter(pl.col("part") == "test")["subtask"].value_counts().iter_rows())
    for kind, n in wanted.items():
        assert asked[kind] + made.counts[f"test_{kind}"].get("lacking", 0) == n
        assert made.chance[kind] == 0.25
