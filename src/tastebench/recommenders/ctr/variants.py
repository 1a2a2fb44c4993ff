"""Settings of bricks whose port in RecBench and Legommenders differs from their publication."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import model_validator

from tastebench.recommenders.ctr.bricks import BrickConfig, Variant


class VariantConfig(BrickConfig):
    """Settings with a published and a ported set of values.

    Choosing the variant chooses its values for all settings that are not given, so a record shows
    the values that were used.
    """

    reference_values: ClassVar[dict[str, Any]] = {}
    """What settings are in the port where that differs from the defaults."""

    variant: Variant = "published"
    """`published` is the definition of the paper, `reference` that of RecBench and Legommenders."""

    @model_validator(mode="before")
    @classmethod
    def _values_of_variant(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("variant") == "reference":
            return {**cls.reference_values, **given}
        return given
