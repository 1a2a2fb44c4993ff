"""What goes together is known before anything is built, and what does not is refused with why."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import CtrProblem
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import get_recommender
from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS, PREDICTORS, USER_OPERATORS
from tastebench.recommenders.ctr.click_model import ClickModel
from tastebench.recommenders.ctr.config import bricks_of
from tastebench.recommenders.ctr.recipes import RECIPES
from tastebench.testing.tiny import tiny
from tastebench.training.fit import FabricTrainer


def check(representation: str, **params: Any) -> None:
    card = get_recommender("bricks")
    assert card.check is not None
    card.check(card.config(**params), representation)


WIDE = {"hidden_size": 24}


@pytest.mark.parametrize(
    ("representation", "params", "message"),
    [
        ("id", {"user": {"operator": "attention", "heads": 7}}, "attention: heads=7 .* width 24"),
        ("id", {"user": {"operator": "transformer", "heads": 7}}, "transformer: heads=7 does not"),
        ("id", {"user": {"operator": "fastformer", "heads": 7}}, "fastformer: heads=7 does not"),
        ("id", {"user": "target-transformer", "hidden_size": 20}, "target-transformer: heads=8 "),
        ("text", {"item": "attention"}, "attention: heads=16 does not divide the width 24"),
        (
            "text",
            {"item": {"operator": "attention", "variant": "reference", "embedding_size": 12}},
            "attention: heads=8 does not divide the width 12",
        ),
        (
            "text",
            {"item": {"operator": "transformer", "embedding_size": 12}},
            "transformer: heads=8 does not divide the width 12",
        ),
        ("text", {"item": "fastformer"}, "fastformer: heads=16 does not divide the width 24"),
        (
            "text",
            {"user": {"operator": "flatten-transformer", "embedding_size": 12}},
            "flatten-transformer: heads=8 does not divide the width 12",
        ),
        ("text", {"user": "flatten-fastformer"}, "flatten-fastformer: heads=16 does not"),
        (
            "code",
            {"item": "code-levels", "user": "levels", "predictor": "mixture"},
            "levels: attention: heads=16 does not divide the width 24",
        ),
    ],
)
def test_heads_that_do_not_divide_the_width_are_refused_before_anything_is_built(
    representation: str, params: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check(representation, **{**WIDE, **params})


@pytest.mark.parametrize(
    ("representation", "params"),
    [
        ("id", {"user": {"operator": "attention", "heads": 6}}),
        # What is read may have another width than what is made, and only one of them has heads.
        ("text", {"item": {"operator": "attention", "heads": 6, "embedding_size": 5}}),
        (
            "text",
            {"item": {"operator": "attention", "variant": "reference", "embedding_size": 16}},
        ),
        ("text", {"item": {"operator": "transformer", "embedding_size": 16}}),
    ],
)
def test_heads_that_do_are_not(representation: str, params: dict[str, Any]) -> None:
    check(representation, **{**WIDE, **params})


def every_pair() -> list[tuple[str, str]]:
    return [(user, predictor) for user in USER_OPERATORS for predictor in PREDICTORS]


def test_every_user_operator_goes_with_a_predictor_or_says_which_do() -> None:
    """Each of the pairs is either accepted or refused with the operators that would do."""
    accepted = set()
    for user, predictor in every_pair():
        negatives = 0 if "ranking" in PREDICTORS.get(predictor).schemes else 4
        try:
            get_recommender("bricks").config(user=user, predictor=predictor, negatives=negatives)
        except ValueError as error:
            assert f"the predictor {predictor} reads a user as" in str(error)
            assert "; use " in str(error)
        else:
            accepted.add((user, predictor))
    assert {user for user, _ in accepted} == set(USER_OPERATORS)
    assert {predictor for _, predictor in accepted} == set(PREDICTORS)
    assert ("none", "din") in accepted and ("none", "dot") not in accepted
    assert ("poly-attention", "miner") in accepted and ("gru", "miner") not in accepted


def test_every_item_operator_is_read_by_some_model() -> None:
    bricks = get_recommender("bricks").config
    for name in ITEM_OPERATORS:
        operator = ITEM_OPERATORS.get(name)
        levels = operator.makes == "vectors"
        user, predictor = ("levels", "mixture") if levels else ("pooling", "dot")
        made = bricks_of(bricks(item=name, user=user, predictor=predictor), operator.reads)
        assert [brick.name for brick, _ in made.items] == [name]


def test_no_two_published_models_are_the_same() -> None:
    """ONCE trains adapters of a language model where PLM-NR trains its last layers."""
    made: dict[str, str] = {}
    for recipe in RECIPES:
        card = get_recommender(recipe.name)
        config = card.config()
        bricks = bricks_of(config, card.representations[0])
        parts = [
            f"{brick.name} {settings.model_dump_json()}"
            for brick, settings in (*bricks.items, bricks.user, bricks.predictor)
        ]
        if recipe.name != "bricks":  # is what one makes of it
            made[recipe.name] = f"{parts} {config.negatives}"
    assert len(set(made.values())) == len(made)
    assert '"lora_rank":32' in made["once"] and '"lora_rank":null' in made["plm-nr"]


def test_what_goes_together_is_known_without_torch() -> None:
    code = (
        "import sys; from tastebench.recommenders import get_recommender;"
        "card = get_recommender('nrms'); card.check(card.config(), 'text');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("length", [3, 40])
def test_bst_has_a_position_for_every_item_that_the_protocol_shows(length: int) -> None:
    """Twenty are its publication's; histories of a dataset may be longer."""
    card = get_recommender("bst")
    made = card.build(
        card.config(hidden_size=8, epochs=1, predictor={"operator": "dnn", "tower": [4]})
    )
    assert isinstance(made, ClickModel)
    case = tiny("ctr")
    problem: CtrProblem = replace(
        case.problem,
        history=Ragged.from_lists([[int(i) % 12 for i in range(u, u + 50)] for u in range(8)]),
        history_length=length,
    )
    made.fit(problem, replace(case.items, forms=("id",)), FabricTrainer(seed=0))
    assert made.network.user.length == length
    assert np.isfinite(made.score(_first(problem))).all()


def _first(problem: CtrProblem) -> Any:
    from tastebench.contracts import Candidates

    return Candidates(problem.history[:1], np.array([0]), Ragged.from_lists([[1, 2]]))
