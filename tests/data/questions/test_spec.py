"""QuestionSpec: what can be meant, and how many of which kind."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from tastebench.data.questions import KINDS, QuestionSpec


def test_the_published_number_gives_the_published_counts() -> None:
    wanted = QuestionSpec(questions=7192).wanted("test")
    assert list(wanted.values()) == [1506, 128, 1165, 1459, 796, 1372, 766]
    assert tuple(wanted) == KINDS


@pytest.mark.parametrize("n", [1, 10, 99, 2000])
def test_shares_are_whole_and_sum_up(n: int) -> None:
    spec = QuestionSpec(questions=n, train_questions=0)
    assert sum(spec.wanted("test").values()) == n
    assert set(spec.wanted("train").values()) == {0}


def test_by_largest_remainder() -> None:
    # 10 in the shares 2/4, 1/4, 1/4: 5, 2.5, 2.5; the first of equals gets one more.
    spec = QuestionSpec(questions=10, proportions={"it": 1, "df": 2, "si": 1, "mf": 0})
    assert spec.wanted("test") == {"df": 5, "si": 3, "it": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"proportions": {"df": 0}}, "are no shares of questions"),
        ({"proportions": {"df": -1, "li": 2}}, "are no shares of questions"),
        ({"proportions": {"xx": 1}}, "proportions"),
        ({"ratios": (0.9, 0.2, -0.1)}, "are not shares that sum to 1"),
        ({"ratios": (0.9, 0.1, 0.0)}, "with some of test"),
        ({"ratios": (0.0, 0.1, 0.9)}, "without train users"),
        ({"max_length": 5}, "max_length is less than min_length"),
        ({"recent": 11}, "may not be more than min_length"),
        ({"max_length": None, "too_long": "cut"}, "too_long says nothing"),
        ({"options": 3}, "options"),
        ({"question": 3}, "Extra inputs"),
    ],
)
def test_what_cannot_be_meant(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        QuestionSpec(**change)
