"""Groups of a plan's recommenders."""

from __future__ import annotations

import pytest

from tastebench.errors import UsageError
from tastebench.runs.groups import groups_of, keep_groups
from tastebench.runs.plan import Plan, RecommenderChoice, make_plan

PLAN = make_plan(
    {
        "name": "s",
        "datasets": "shop",
        "recommenders": [
            {"name": "dnn", "group": "A"},
            {"name": "dnn", "group": "B", "representations": "text"},
            {"name": "gdcn", "group": "B", "representations": "text"},
            "popularity",
        ],
    }
)
BARE = make_plan({"name": "s", "datasets": "shop", "recommenders": ["dnn"]})


def left(plan: Plan) -> list[tuple[str, str | None]]:
    return [(choice.name, choice.group) for choice in plan.recommenders or ()]


def test_groups_are_kept_and_what_belongs_to_none() -> None:
    assert groups_of(PLAN) == ("A", "B")
    assert left(keep_groups(PLAN, ["b"], ("A", "B"))) == [
        ("dnn", "B"),
        ("gdcn", "B"),
        ("popularity", None),
    ]
    assert keep_groups(PLAN, ["B", "A"], ("A", "B")) == PLAN


def test_tasks_that_no_wanted_group_has_are_left_out() -> None:
    """Baselines of both tasks are not run in the one that nobody asked about."""
    both = PLAN.model_copy(update={"tasks": ("ctr", "seqrec")})
    both = both.model_copy(
        update={
            "recommenders": (
                *(both.recommenders or ()),
                RecommenderChoice(name="sasrec", group="G"),
            )
        }
    )
    assert keep_groups(both, ["A"], ("A", "B", "G")).tasks == ("ctr",)
    assert keep_groups(both, ["G"], ("A", "B", "G")).tasks == ("seqrec",)
    assert keep_groups(both, ["A", "G"], ("A", "B", "G")).tasks == ("ctr", "seqrec")


def test_a_group_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError, match=r"no group X: it has A, B\n[\s\S]*--groups A,B"):
        keep_groups(PLAN, ["A", "X"], ("A", "B"))
    with pytest.raises(UsageError, match="no group a: its recommenders have none"):
        keep_groups(BARE, ["a"], groups_of(BARE))


def test_a_group_without_its_recommenders_is_an_error() -> None:
    """As `-m popularity --groups B` asks."""
    others = PLAN.model_copy(update={"recommenders": PLAN.recommenders[::3]})  # type: ignore[index]
    with pytest.raises(UsageError, match="none of dnn, popularity is in group B"):
        keep_groups(others, ["B"], ("A", "B"))
