"""The table of recommenders, and how to bring one's own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from tastebench.contracts import FORMS, FitReport, Items, Queries, RecommenderCard
from tastebench.errors import UsageError
from tastebench.recommenders import (
    RECOMMENDERS,
    as_recommender,
    build_recommender,
    get_recommender,
)
from tastebench.registry import Registry


class Constant:
    """The least that is a recommender."""

    def __init__(self, config: Any = None) -> None:
        self.config = config

    def fit(self, problem: Any, items: Items, trainer: Any) -> FitReport:
        return FitReport(parameters=0, seconds=0.0)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return np.zeros((len(queries), items.stop - items.start))


class Level(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    level: int = 3


@pytest.mark.parametrize("name", RECOMMENDERS.names())
def test_every_entry_is_a_card_of_that_name(name: str) -> None:
    card = get_recommender(name)
    assert card.name == name
    assert card.summary and card.tasks and card.representations
    assert all(form in FORMS for one in card.representations for form in one.split("+"))
    config = card.config()
    assert config.model_config["frozen"]
    assert config.model_config["extra"] == "forbid"
    if card.kind == "model" and card.name in {
        "unisrec",
        "sasrec",
        "sasrec-text",
        "alpharec",
        "alpharec-original",
    }:
        assert card.citation


def test_listing_loads_no_torch() -> None:
    code = (
        "import sys; from tastebench.recommenders import RECOMMENDERS, get_recommender\n"
        "[get_recommender(name).config() for name in RECOMMENDERS]\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_told_its_neighbours() -> None:
    with pytest.raises(UsageError, match="unknown recommender 'unirec': did you mean unisrec"):
        get_recommender("unirec")


def test_an_entry_point_that_is_no_card_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = Registry[RecommenderCard]("recommender", {"odd": "math:pi"}, group="none")
    monkeypatch.setattr("tastebench.recommenders.RECOMMENDERS", foreign)
    with pytest.raises(UsageError, match="registered as a float, not as a card"):
        get_recommender("odd")


def test_a_class_becomes_a_recommender() -> None:
    card = as_recommender(Constant, "constant", tasks=["seqrec"], representations=["id"])
    assert (card.name, card.tasks, card.representations) == ("constant", ("seqrec",), ("id",))
    built = card.build(card.config())
    assert isinstance(built, Constant)
    assert built.config is None
    assert built is not card.build(card.config())


def test_a_config_reaches_what_is_built() -> None:
    card = as_recommender(
        Constant, "constant", tasks=["cf"], representations=["id+vector"], config=Level
    )
    assert card.build(card.config(level=5)).config.level == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build": Constant()}, r"got a Constant object(.|\n)*pass the class itself"),
        ({"build": None}, "must make a new recommender"),
        ({"representations": ["vectors"]}, "no form 'vectors'.*did you mean vector"),
        ({"representations": "vector"}, "representations must be a list of names, got 'vector'"),
        ({"tasks": []}, "tasks must be a list of names"),
    ],
)
def test_what_cannot_be_a_recommender(change: dict[str, Any], message: str) -> None:
    given = {"build": Constant, "tasks": ["cf"], "representations": ["vector"], **change}
    with pytest.raises(UsageError, match=message):
        as_recommender(name="mine", **given)


class Untaught:
    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        return np.zeros((len(queries), 1))


class Mute:
    def fit(self, problem: Any, items: Items, trainer: Any) -> FitReport:
        return FitReport(parameters=0, seconds=0.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (Untaught, r"Untaught has no method fit(.|\n)*recommender 'mine'(.|\n)*fit\(problem"),
        (Mute, r"Mute has none of scores, generate and score(.|\n)*scores\(queries, items\)"),
    ],
)
def test_a_missing_method_is_named(build: type, message: str) -> None:
    card = as_recommender(build, "mine", tasks=["cf"], representations=["id"])
    with pytest.raises(UsageError, match=message):
        build_recommender(card, card.config())


def test_what_has_the_methods_is_built() -> None:
    card = as_recommender(Constant, "constant", tasks=["cf"], representations=["id"])
    assert isinstance(build_recommender(card, card.config()), Constant)
