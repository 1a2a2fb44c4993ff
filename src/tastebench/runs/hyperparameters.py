"""Hyper-parameters: as a recommender's config reads them, and what a grid searches of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from tastebench.contracts import RecommenderCard
from tastebench.errors import UsageError, did_you_mean
from tastebench.runs.plan import Plan, RecommenderChoice, describe_invalid
from tastebench.runs.resources import Resources


def resolve(card: RecommenderCard, params: Mapping[str, Any]) -> dict[str, Any]:
    """All hyper-parameters of a recommender, the given ones over the defaults, as JSON values.

    Raises:
        UsageError: A name or a value that its config does not accept.
    """
    try:
        config: BaseModel = card.config(**params)
    except ValidationError as error:
        message, _ = describe_invalid(error, card.config)
        raise UsageError(message, where=f"hyper-parameters of {card.name}") from error
    values: dict[str, Any] = config.model_dump(mode="json")
    return values


def combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every setting of a grid, the last key varying fastest; one empty setting for no grid.

    >>> combinations({"lr": [1, 2], "width": [8]})
    [{'lr': 1, 'width': 8}, {'lr': 2, 'width': 8}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def check_grid(plan: Plan, resources: Resources) -> None:
    """Every key of the plan's grid must belong to some recommender of the plan."""
    known = _names(plan, resources)
    for key in plan.grid:
        if key not in known:
            raise UsageError(
                f"no recommender of the plan has a hyper-parameter {key!r}: "
                f"{did_you_mean(key, known)}",
                where=f"grid of plan {plan.name!r}",
            )


def grid_left_behind(before: Plan, after: Plan) -> tuple[str, ...]:
    """Keys of a plan's grid that its recommenders have and those in their place have not."""
    from tastebench.recommenders import RECOMMENDERS

    known = [choice for choice in before.recommenders or () if choice.name in RECOMMENDERS]
    if before.recommenders is not None:
        before = before.model_copy(update={"recommenders": tuple(known)})
    nothing_brought = Resources({}, {})
    were = _names(before, nothing_brought)
    are = _names(after, nothing_brought)
    return tuple(key for key in before.grid if key in were - are)


def _names(plan: Plan, resources: Resources) -> set[str]:
    """What a grid of the plan can search."""
    from tastebench.tasks import TASKS

    if plan.recommenders is None:
        names = plan.tasks or TASKS.names()
        cards = [resources.recommender(TASKS.get(name).default_recommender) for name in names]
    else:
        cards = [resources.recommender(choice.name) for choice in plan.recommenders]
    return {key for card in cards for key in card.config.model_fields}


def searched(plan: Plan, choice: RecommenderChoice, card: RecommenderCard) -> dict[str, list[Any]]:
    """The values a recommender searches, each as its config reads it."""
    own = choice.grid is not None
    grid = choice.grid if choice.grid is not None else plan.grid
    own_keys = {
        key: values
        for key, values in grid.items()
        if own or (key in card.config.model_fields and key not in choice.params)
    }
    both = sorted(set(own_keys) & set(choice.params))
    if both:
        raise UsageError(f"{card.name} both sets and searches {', '.join(both)}")
    return {
        key: [_resolved(card, {**choice.params, key: value}, key) for value in values]
        for key, values in own_keys.items()
    }


def _resolved(card: RecommenderCard, params: Mapping[str, Any], key: str) -> Any:
    """One hyper-parameter as its config reads it; a later one at its default is not written."""
    return resolve(card, params).get(key, card.config.model_fields[key].default)
