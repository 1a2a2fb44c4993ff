"""Wordings as data: their places, and the words by which published scoring tells a kind."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tastebench.data.questions import QuestionSet
from tastebench.data.questions.templates import FORMS, Template, get_templates

PUBLISHED = (
    ("df", ("次浏览的商品的", "次（从1开始计数）浏览的")),  # noqa: RUF001 - Chinese
    ("mf", ("长度是多少？", "的商品有多少个")),  # noqa: RUF001 - Chinese
    ("ip", ("下一个可能点击的商品的标题是什么",)),
    ("ap", ("用户下一个可能点击的商品的",)),
    ("li", ("用户最感兴趣的3个",)),
    ("si", ("用户近期最感兴趣的",)),
    ("it", ("偏好的转移路径是什么",)),
)
"""Of UQABench's scoring, in its order: the first that a question holds is its kind."""


def published_kind(question: str) -> str | None:
    return next((k for k, words in PUBLISHED if any(word in question for word in words)), None)


def test_published_scoring_tells_the_kind_of_chinese_questions(chinese: QuestionSet) -> None:
    for kind, question in chinese.table.select("subtask", "question").iter_rows():
        assert published_kind(question) == kind, question


@pytest.mark.parametrize("language", ["en", "zh"])
def test_wordings(language: str) -> None:
    words = get_templates(language)  # type: ignore[arg-type]
    other = get_templates("en")
    assert {template.form for template in words.templates} == set(FORMS)
    # The same ids in every language, so that the same questions are drawn.
    assert [t.id for t in words.templates] == [t.id for t in other.templates]
    assert len(words.last) == len(words.first) == 10
    assert len({t.text for t in words.templates}) == len(words.templates)
    assert words.called("no such attribute") == "no such attribute"


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("last", "What is the {attribute}?"),
        ("length", "How many {value}?"),
        ("next_item", "What is {next}?"),
        ("trace", "{attribute} or {attribute}?"),
    ],
)
def test_places_that_cannot_be_filled(form: str, text: str) -> None:
    with pytest.raises(ValidationError, match="needs"):
        Template(id="x", form=form, text=text)  # type: ignore[arg-type]
