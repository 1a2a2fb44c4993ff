"""Question sets: what parts and table say, users in one part, proportions, the same again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy.stats import chisquare

from tastebench.data.dataset import Dataset
from tastebench.data.questions import KINDS, QuestionSet, QuestionSpec, generate
from tastebench.data.questions.check import check
from tastebench.data.questions.wording import equal
from tastebench.errors import DataError, UsageError
from tastebench.tasks import TASKS

DatasetOf = Callable[[pl.DataFrame, dict[str, list[int]]], Dataset]


def test_the_same_data_and_spec_give_the_same_questions(
    shop: Dataset, spec: QuestionSpec, made: QuestionSet
) -> None:
    assert generate(shop, spec).table.equals(made.table)
    assert not generate(shop, spec.model_copy(update={"seed": 7})).table.equals(made.table)


def test_more_questions_for_training_change_none_of_the_test(
    shop: Dataset, spec: QuestionSpec, made: QuestionSet
) -> None:
    more = generate(shop, spec.model_copy(update={"train_questions": 300}))
    of_test = pl.col("part") == "test"
    assert more.table.filter(of_test).equals(made.table.filter(of_test))


def test_another_language_asks_the_same_with_the_same_options(
    made: QuestionSet, chinese: QuestionSet
) -> None:
    same = ["qid", "user_id", "attribute", "template", "options", "gold_label", "evidence"]
    assert chinese.table.select(same).equals(made.table.select(same))
    assert (chinese.table["question"] != made.table["question"]).all()
    assert {part.language for part in chinese.parts.values()} == {"zh"}
    assert chinese.templates != made.templates


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
    ids = shop.user_ids
    own = dict(taken.group_by("user_id").agg("item_id").iter_rows())
    for part, questions in made.parts.items():
        rows = made.table.filter(pl.col("part") == part)
        of_list = [ids[int(user)] for user in made.users[part]]
        assert [of_list[int(user)] for user in questions.user] == rows["user_id"].to_list()
        for user, history in zip(of_list, questions.history, strict=True):
            assert [f"i{item}" for item in history] == own[user][:-1]
        if part == "train":
            assert {len(own[user]) for user in of_list} >= {2, 3, 4}  # too short to be asked about
        else:
            assert set(questions.user) == set(range(len(questions.history)))


def test_no_user_is_in_two_parts(made: QuestionSet) -> None:
    users = [set(made.users[part].tolist()) for part in made.parts]
    assert sum(map(len, users)) == len(set.union(*users))
    assert made.table.group_by("user_id").agg(pl.col("part").n_unique())["part"].max() == 1


def test_nothing_is_asked_twice(made: QuestionSet) -> None:
    """But for the wording: the same template's two wordings end in 1 and 2."""
    what = made.table.with_columns(
        pl.col("template").str.head(-2), pl.col("question").str.extract('"(.*)"').alias("value")
    )
    ordinal = pl.col("question").str.extract(r"(second|third|fourth|fifth|[0-9])")
    what = what.with_columns(ordinal.alias("k"))
    assert not what.select("user_id", "attribute", "template", "value", "k").is_duplicated().any()


def test_options_differ_and_the_right_one_stands_anywhere(made: QuestionSet) -> None:
    assert (made.table["options"].list.n_unique() == 4).all()
    assert (made.table["options"].list.len() == 4).all()
    for kind in KINDS:
        labels = made.table.filter(pl.col("subtask") == kind)["gold_label"]
        counts = [int((labels == label).sum()) for label in "ABCD"]
        assert chisquare(counts).pvalue > 1e-3, (kind, counts)


def test_kinds_stand_in_the_published_proportions(
    shop: Dataset, spec: QuestionSpec, made: QuestionSet
) -> None:
    of_test = made.table.filter(pl.col("part") == "test")
    asked = dict(of_test["subtask"].value_counts().iter_rows())
    for kind, n in spec.wanted("test").items():
        counts = made.counts[f"test_{kind}"]
        assert counts["asked"] == asked[kind]
        assert asked[kind] + counts.get("lacking", 0) == n
        assert made.chance[kind] == 0.25
    # One kind asks once about a user: there are fewer users than it wants questions.
    assert made.counts["test_ip"]["lacking"] > 0
    kept = generate(shop, spec.model_copy(update={"keep_proportions": True}))
    of_kept = kept.table.filter(pl.col("part") == "test")["subtask"].value_counts()
    fewer = dict(of_kept.iter_rows())
    share = fewer["ip"] / spec.wanted("test")["ip"]
    assert share < 1
    for kind, n in spec.wanted("test").items():
        assert abs(fewer[kind] - share * n) <= 1


def test_two_options(shop: Dataset, spec: QuestionSpec) -> None:
    two = generate(shop, spec.model_copy(update={"options": 2}))
    assert (two.table["options"].list.n_unique() == 2).all()
    assert set(two.table["gold_label"]) == {"A", "B"}
    assert set(two.chance.values()) == {0.5}
    assert check(shop, two.table, two.spec, two.attributes) == []


def test_longer_users_are_left_out_or_cut(shop: Dataset, spec: QuestionSpec) -> None:
    short: dict[str, Any] = {"max_length": 15}
    dropped = generate(shop, spec.model_copy(update=short))
    assert all(part.history.lengths.max() <= 15 for part in dropped.parts.values())
    cut = generate(shop, spec.model_copy(update={**short, "too_long": "cut"}))
    assert all(part.history.lengths.max() == 15 for part in cut.parts.values())
    assert len(cut.users["train"]) > len(dropped.users["train"])
    assert cut.counts["users"]["users_cut"] == dropped.counts["users"]["users_too_long"] > 0
    # Of a cut history nobody can say how long it was, or how it began.
    assert any(c.get("history_was_cut", 0) for c in cut.counts.values())
    for found in (dropped, cut):
        assert check(shop, found.table, found.spec, found.attributes) == []


def test_what_comes_next_is_in_no_history_of_a_question_about_its_title(
    shop: Dataset, made: QuestionSet
) -> None:
    titles = shop.tables.items["title"]
    for questions in made.parts.values():
        kind = KINDS.index("ip")
        for i in np.flatnonzero(questions.kind == kind):
            history = questions.history[int(questions.user[i])]
            assert not set(questions.options[i]) & {titles[int(item)] for item in history}


def test_only_titles_leave_three_kinds(shop: Dataset, dataset_of: DatasetOf) -> None:
    items = shop.tables.items.select("item_id", "title")
    taken = shop.tables.interactions
    assert taken is not None
    row = {item: i for i, item in enumerate(items["item_id"].to_list())}
    sequences = {
        user: [row[item] for item in own]
        for user, own in taken.group_by("user_id").agg("item_id").iter_rows()
    }
    made = generate(dataset_of(items, sequences), QuestionSpec(questions=100))
    assert set(made.table["subtask"]) == {"df", "mf", "ip"}
    assert made.counts["test_li"]["asked"] == 0 < made.counts["test_li"]["lacking"]


def test_what_cannot_be_asked_is_said(shop: Dataset, spec: QuestionSpec) -> None:
    with pytest.raises(UsageError, match="no test user of shop can be asked anything"):
        generate(shop, QuestionSpec(min_length=50))
    with pytest.raises(UsageError, match="have no column 'colour'"):
        generate(shop, spec.model_copy(update={"attributes": ("colour",)}))
    unordered = shop.tables.interactions
    assert unordered is not None
    tables = type(shop.tables)(
        items=shop.tables.items,
        interactions=unordered.with_columns(row=pl.lit(0, pl.Int64), time=pl.lit(None, pl.Int64)),
    )
    with pytest.raises(DataError, match="nothing says in which order users took their items"):
        generate(Dataset.create(shop.card, tables), spec)


def test_equal_options_are_seen() -> None:
    options = np.array([["a", "b", "c", "d"], ["a", "b", "c", "b"]], dtype=object)
    assert equal(options).tolist() == [False, True]


def test_proportions_of_what_cannot_be_asked_are_refused_by_name(shop: Dataset) -> None:
    """Titles alone have no interests: the share of all kinds would be nothing."""
    spec = QuestionSpec(
        attributes=(), questions=40, train_questions=40, valid_questions=0, keep_proportions=True
    )
    with pytest.raises(DataError, match=r"can be asked of (ap and )?li(.|\n)*proportions of df"):
        generate(shop, spec)


def test_questions_are_in_the_language_of_the_dataset(shop: Dataset) -> None:
    task = TASKS.get("userqa")
    chinese = replace(shop, card=shop.card.model_copy(update={"language": "zh-CN"}))
    for dataset, given, language in (
        (shop, {}, "en"),
        (chinese, {"questions": 5}, "zh"),
        (chinese, {"language": "en"}, "en"),
        (chinese, QuestionSpec(), "en"),
    ):
        protocol = task.protocol(dataset, questions=given)
        assert protocol.questions is not None
        assert protocol.questions.language == language
