"""What a click model is made of and how it is trained; which bricks go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, cast

from pydantic import BeforeValidator, Field, model_validator

from tastebench.contracts import Form
from tastebench.errors import TastebenchError, UsageError
from tastebench.recommenders.ctr.bricks import (
    ITEM_OPERATORS,
    PREDICTORS,
    USER_OPERATORS,
    Brick,
    BrickConfig,
    ItemOperator,
    Predictor,
    Scheme,
    UserOperator,
)
from tastebench.recommenders.ctr.content import TextSettings
from tastebench.registry import Registry
from tastebench.training.settings import TrainSettings

Choice = dict[str, Any]
"""A brick and its settings: `{operator: cnn, window: 3}`."""


def _choice(registry: Registry[Any]) -> Any:
    """`cnn` or `{operator: cnn, ...}` to the operator with all of its settings."""

    def read(value: Any) -> Any:
        if value is None:
            return None
        given = {"operator": value} if isinstance(value, str) else value
        if not isinstance(given, Mapping) or not isinstance(given.get("operator"), str):
            raise ValueError(f"a name, or operator: NAME with settings, got {value!r}")
        try:
            brick: Brick = registry.get(given["operator"])
            own = {key: setting for key, setting in given.items() if key != "operator"}
            settings = brick.settings(own, where=registry.kind)
        except TastebenchError as error:
            raise ValueError(error.what) from error
        return {"operator": brick.name, **settings.model_dump(mode="json")}

    return BeforeValidator(read)


class ClickConfig(TrainSettings):
    """Hyper-parameters, at RecBench's values where it says any."""

    operators: ClassVar[Mapping[Form, str]] = {
        "id": "id",
        "vector": "vector",
        "text": "pooling",
        "code": "code",
    }
    """What reads a form where `item` says nothing; a recipe has its own."""

    lr: float = Field(1e-3, gt=0)
    """Learning rate of Adam."""

    item_lr: float | None = Field(None, gt=0)
    """Learning rate of a language model within the item operator; None is `lr`."""

    batch_size: int = Field(5000, ge=1)
    """Rows in a batch: labelled rows, or clicks with their negatives."""

    epochs: int = Field(50, ge=1)
    """Passes over the training part at most."""

    patience: int = Field(5, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""

    hidden_size: int = Field(64, ge=1)
    """Width of item and user vectors."""

    item: Annotated[Choice | None, _choice(ITEM_OPERATORS)] = Field(None, validate_default=True)
    """Item operator and its settings; None is that of the recipe for the representation."""

    user: Annotated[Choice, _choice(USER_OPERATORS)] = Field(
        {"operator": "pooling"}, validate_default=True
    )
    """User operator and its settings."""

    predictor: Annotated[Choice, _choice(PREDICTORS)] = Field(
        {"operator": "dnn"}, validate_default=True
    )
    """Predictor and its settings."""

    negatives: int = Field(0, ge=0)
    """0 ranks: cross-entropy of each labelled row. K above 0 matches: a click against K items."""

    text: TextSettings = TextSettings()
    """How words become tokens, for operators that read words."""

    @model_validator(mode="after")
    def _fits(self) -> ClickConfig:
        try:
            fit(self.user_operator, self.chosen_predictor, self.scheme)
        except UsageError as error:
            raise ValueError(error.what) from error
        return self

    @property
    def scheme(self) -> Scheme:
        """How it is trained."""
        return "matching" if self.negatives else "ranking"

    @property
    def user_operator(self) -> UserOperator:
        """The user operator, as data."""
        return USER_OPERATORS.get(self.user["operator"])

    @property
    def chosen_predictor(self) -> Predictor:
        """The predictor, as data."""
        return PREDICTORS.get(self.predictor["operator"])


@dataclass(frozen=True)
class Bricks:
    """The bricks of one run with their settings.

    Attributes:
        items: An item operator for each form of the representation.
    """

    items: tuple[tuple[ItemOperator, BrickConfig], ...]
    user: tuple[UserOperator, BrickConfig]
    predictor: tuple[Predictor, BrickConfig]


def bricks_of(config: ClickConfig, representation: str) -> Bricks:
    """The bricks that a config means for items in the forms of a representation.

    Raises:
        UsageError: They do not go together; says which and why.
    """
    forms = cast("tuple[Form, ...]", tuple(representation.split("+")))
    items = tuple(_item_operator(config, form) for form in forms)
    if config.item is not None:
        chosen = ITEM_OPERATORS.get(config.item["operator"])
        if chosen.reads not in forms:
            raise UsageError(
                f"the item operator {chosen.name} reads {chosen.reads}, and items are represented "
                f"by {representation}",
                fix=f"representations: [{chosen.reads}], or another item operator",
            )
    user, predictor = config.user_operator, config.chosen_predictor
    fit(user, predictor, config.scheme)
    for operator, settings in items:
        _fit_item(operator, user, predictor)
        settings.check(operator.name, config.hidden_size)
    if user.reads == "text" and "text" not in forms:
        raise UsageError(
            f"the user operator {user.name} reads the words of what was clicked, and items are "
            f"represented by {representation}",
            fix="representations: [text]",
        )
    bricks = Bricks(
        items,
        (user, _settings(user, config.user)),
        (predictor, _settings(predictor, config.predictor)),
    )
    for brick, settings in (bricks.user, bricks.predictor):
        settings.check(brick.name, config.hidden_size)
    return bricks


def fit(user: UserOperator, predictor: Predictor, scheme: Scheme) -> None:
    """Refuses a user operator, a predictor and a scheme that do not go together.

    Raises:
        UsageError: Says which and why.
    """
    wanted = "vector" if predictor.reads == "fields" else predictor.reads
    if user.makes != wanted:
        able = [name for name in USER_OPERATORS if USER_OPERATORS.get(name).makes == wanted]
        raise UsageError(
            f"the predictor {predictor.name} reads a user as {wanted}, and the user operator "
            f"{user.name} makes {user.makes}; use {' or '.join(able)}"
        )
    if scheme not in predictor.schemes:
        how = "negatives: 0" if scheme == "matching" else "negatives: 4"
        raise UsageError(f"the predictor {predictor.name} is not defined for {scheme}; use {how}")


def _fit_item(item: ItemOperator, user: UserOperator, predictor: Predictor) -> None:
    if item.makes != predictor.item:
        raise UsageError(
            f"the predictor {predictor.name} reads an item as {predictor.item}, and the item "
            f"operator {item.name} makes {item.makes}"
        )
    wanted = {"sequence": "vector", "vectors": "vectors"}.get(user.reads, item.makes)
    if item.makes != wanted:
        raise UsageError(
            f"the user operator {user.name} reads items as {wanted}, and the item operator "
            f"{item.name} makes {item.makes}"
        )


def _item_operator(config: ClickConfig, form: Form) -> tuple[ItemOperator, BrickConfig]:
    if config.item is not None:
        chosen = ITEM_OPERATORS.get(config.item["operator"])
        if chosen.reads == form:
            return chosen, _settings(chosen, config.item)
    name = config.operators.get(form)
    if name is None:
        raise UsageError(f"no item operator reads {form}")
    operator = ITEM_OPERATORS.get(name)
    return operator, operator.config()


def _settings(brick: Brick, choice: Choice) -> BrickConfig:
    return brick.config(**{key: value for key, value in choice.items() if key != "operator"})
