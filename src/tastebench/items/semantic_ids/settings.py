"""What each method lets one set, with its defaults."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RandomSettings(BaseModel):
    """Nothing is left to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class VectorSettings(RandomSettings):
    """What all methods that read vectors have."""

    unit: bool = True
    """Brings vectors to unit length first, so that cosines count and no item's scale does."""


class KMeansSettings(VectorSettings):
    """What one can set about residual k-means."""

    iterations: int = Field(100, ge=1)
    """Of Lloyd's algorithm a level, at most."""

    tolerance: float = Field(1e-4, ge=0)
    """A level is done when an iteration lowers its error by less than this share of it."""

    balance: float = Field(0.0, ge=0)
    """Above 0, the codes of a level are used more alike, by prices: entropy in units of the mean
    squared distance, so smaller is stricter."""

    sample: int = Field(262_144, ge=1)
    """Codebooks are learned from at most this many items, drawn without replacement."""


class ProductSettings(KMeansSettings):
    """What one can set about product codes."""

    rotate: bool = True
    """Rotates first, so that the parts have alike shares of the variance; else coordinates are cut
    in the order they come in."""
