"""What a user encoder learns from before it is frozen."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from tastebench.recommenders.seqrec.settings import SequenceSettings


class PretrainSettings(SequenceSettings):
    """What the encoder learns from, and how long.

    `supervised` predicts the next item at every position, by the `loss` that is set. `contrastive`
    is InfoNCE by cosines over the different next items of a batch and `others` drawn ones:

        -log( exp(cos(y, v+) / tau) / sum over candidates v of exp(cos(y, v) / tau) )

    An item that is the next of several positions is one candidate, so that no position has its own
    next item among what it is told apart from. `none` leaves the encoder as it was drawn: the
    control.
    """

    by: Literal["supervised", "contrastive", "none"] = "supervised"

    temperature: float = Field(0.07, gt=0)
    """`tau` of `contrastive`."""

    positions: Literal["all", "last"] = "all"
    """Which positions of a history predict in `contrastive`."""

    others: int = Field(0, ge=0)
    """Items drawn uniformly beside those of the batch in `contrastive`."""

    epochs: int = Field(50, ge=1)
    """Passes over the histories at most."""

    patience: int = Field(5, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""

    @model_validator(mode="after")
    def _of_this_way(self) -> Self:
        if self.by == "contrastive" and self.loss != "softmax":
            raise ValueError(f"loss={self.loss} changes nothing where by=contrastive")
        if self.by != "contrastive":
            for name in ("temperature", "positions", "others"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"{name} changes nothing where by={self.by}")
        if self.table == "touched":
            raise ValueError("table=touched is not for encoders that read more than ids")
        return self
