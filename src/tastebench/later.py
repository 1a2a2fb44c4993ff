"""Models that keep their written form, and so their hash, when they get new fields."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class WithLaterFields(BaseModel):
    """Leaves out of what it writes each later field that holds its default.

    So records, fingerprints and artefacts from before a field was there stay valid for everything
    that the field does not touch.

    Attributes:
        LATER: Fields that came after records were made. A subclass that gets such fields adds their
            names to those of its parent.
    """

    LATER: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        defaults = {name: type(self).model_fields[name].default for name in self.LATER}
        return {k: v for k, v in write(self).items() if k not in defaults or v != defaults[k]}
