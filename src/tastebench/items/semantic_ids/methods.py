"""The methods by name: what each lets one set, how its codebooks are learned and read back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import ValidationError

from tastebench.errors import UsageError, did_you_mean
from tastebench.items.semantic_ids.recipe import CodeRecipe, Method
from tastebench.items.semantic_ids.settings import (
    KMeansSettings,
    ProductSettings,
    RandomSettings,
    RqVaeSettings,
    VectorSettings,
)

if TYPE_CHECKING:
    from tastebench.items.semantic_ids.codebooks import Quantiser

Progress = Callable[[dict[str, float]], None]

SETTINGS: dict[Method, type[RandomSettings]] = {
    "rq-vae": RqVaeSettings,
    "rk-means": KMeansSettings,
    "product": ProductSettings,
    "random": RandomSettings,
}
"""What each method lets one set."""


def settings_of(recipe: CodeRecipe) -> RandomSettings:
    """The recipe's settings, those not given being the defaults.

    Raises:
        UsageError: The method has no such setting, or not such a value.
    """
    model = SETTINGS[recipe.method]
    try:
        return model.model_validate(recipe.settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "settings"
        if first["type"] == "extra_forbidden":
            raise UsageError(
                f"codes by {recipe.method} have no setting {key!r}",
                fix=did_you_mean(key, model.model_fields),
            ) from error
        raise UsageError(
            f"the setting {key} of codes by {recipe.method} cannot be {first['input']!r}",
            fix=str(first["msg"]),
        ) from error


def learn(
    recipe: CodeRecipe,
    vectors: np.ndarray,
    rng: np.random.Generator,
    progress: Progress | None = None,
    *,
    state: Path | None = None,
) -> tuple[Quantiser, dict[str, Any]]:
    """Learns a recipe's codebooks.

    Args:
        recipe: Of a method that reads vectors.
        vectors: Of the items that are learned from, `[m, d]`.
        rng: All its randomness.
        progress: Told numbers by name as it goes on.
        state: A file from which an interrupted training goes on, to the same codebooks; None keeps
            none. What takes no epochs has none. It is left when all is done.

    Returns:
        What gives codes to any vector, and notes on how it was learned, as JSON values.

    Raises:
        UsageError: The settings are not this method's.
        DataError: There are no vectors, or some hold what is no number.
    """
    from tastebench.items.semantic_ids.codebooks import checked

    settings = _vector_settings(recipe)
    vectors = checked(vectors, some=True)
    kept = {"state": state} if recipe.method == "rq-vae" else {}
    quantiser, notes = _module(recipe).learn(
        settings, recipe.levels, recipe.size, vectors, rng, progress, **kept
    )
    return quantiser, {"settings": settings.model_dump(mode="json"), **notes}


def restore(recipe: CodeRecipe, tensors: dict[str, np.ndarray]) -> Quantiser:
    """The codebooks again, from what their `tensors()` gave: equal codes for equal vectors."""
    quantiser: Quantiser = _module(recipe).restore(_vector_settings(recipe), tensors)
    return quantiser


def _vector_settings(recipe: CodeRecipe) -> VectorSettings:
    settings = settings_of(recipe)
    if not isinstance(settings, VectorSettings):
        raise ValueError(f"codes by {recipe.method} have no codebooks")
    return settings


def _module(recipe: CodeRecipe) -> Any:
    # Imported where it is used: names and settings are read without torch.
    name = recipe.method.replace("-", "_")
    return import_module(f"tastebench.items.semantic_ids.{name}")
