"""The second reading: silent where all is right, and not where something is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data.catalog import load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSet, QuestionSpec, generate
from tastebench.data.questions.check import check
from tastebench.data.questions.spec import KINDS


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"language": "zh", "seed": 2},
        {"attributes": ("brand", "category", "genre=genres:each"), "title_characters": 8},
        {"min_length": 3, "recent": 3, "direct_within": 3, "seed": 9},
    ],
)
def test_every_answer_is_right(shop: Dataset, spec: QuestionSpec, change: dict[str, Any]) -> None:
    made = generate(shop, spec.model_copy(update=change))
    assert set(made.table["subtask"]) == set(KINDS)
    assert check(shop, made.table, made.spec, made.attributes) == []


def _first(table: pl.DataFrame, template: str) -> dict[str, Any]:
    found = table.filter(pl.col("template").str.starts_with(template))
    return dict(found.row(0, named=True))


@pytest.mark.parametrize("template", ["df-last", "df-first", "df-latest", "mf-length", "mf-count"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_another_answer_is_seen(
    shop: Dataset, made: QuestionSet, chinese: QuestionSet, template: str, language: str
) -> None:
    _sees_another_answer(shop, made if language == "en" else chinese, template)


@pytest.mark.parametrize("template", ["ip", "ap", "li", "si", "it"])
def test_another_answer_is_seen_of_interests(
    shop: Dataset, made: QuestionSet, template: str
) -> None:
    _sees_another_answer(shop, made, template)


def _sees_another_answer(shop: Dataset, made: QuestionSet, template: str) -> None:
    row = _first(made.table, template)
    other = next(label for label in "ABCD" if label != row["gold_label"])
    text = row["options"]["ABCD".index(other)]
    wrong = pl.DataFrame([{**row, "gold_label": other, "gold_text": text}], made.table.schema)
    (fault,) = check(shop, wrong, made.spec, made.attributes)
    assert fault.qid == row["qid"]
    assert fault.why == f"the answer is {row['gold_text']!r}, not {text!r}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"gold_text": "other"}, "is not the answer that the table says"),
        ({"options": ["a", "a", "b", "c"]}, "not all different"),
        ({"evidence": [1, 2]}, "it rests on the events"),
        ({"question": "What is it?"}, "its words are not those of its template"),
        ({"user_id": "nobody"}, "its user or its template is not known"),
        ({"subtask": "li"}, "a template of si asks it as li"),
    ],
)
def test_what_else_is_wrong_is_seen(
    shop: Dataset, made: QuestionSet, change: dict[str, Any], why: str
) -> None:
    row = {**_first(made.table, "si"), **change}
    faults = check(shop, pl.DataFrame([row], made.table.schema), made.spec, made.attributes)
    assert any(why in fault.why for fault in faults)


def test_a_user_in_two_parts_and_an_id_twice_are_seen(shop: Dataset, made: QuestionSet) -> None:
    row = _first(made.table, "si")
    table = pl.DataFrame([row, {**row, "part": "test"}], made.table.schema)
    assert row["part"] == "train"
    faults = [fault.why for fault in check(shop, table, made.spec, made.attributes)]
    assert faults == ["this id stands twice", "its user is in the parts test, train"]


@pytest.mark.parametrize(
    ("name", "raw", "attributes"),
    [
        ("movielens-100k", "data/ml-100k", ["genre=genres:each"]),
        ("storefront", None, ["department=department:whole", "brand=brand:whole"]),
        (
            "beauty",
            "data/amazon-2014-beauty-toys-titles/beauty",
            ["category=categories:last", "first word=title:head"],
        ),
    ],
)
def test_every_answer_about_real_users_is_right(
    name: str, raw: str | None, attributes: list[str], asset: Any
) -> None:
    folder: Path | None = None if raw is None else asset(raw)
    dataset = load_dataset(name, raw=folder)
    made = generate(dataset, QuestionSpec(questions=1500, train_questions=1500))
    assert [str(rule) for rule in made.attributes[1:]] == attributes
    assert len(made.parts["test"]) > 800
    assert check(dataset, made.table, made.spec, made.attributes) == []
