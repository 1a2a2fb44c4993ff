"""What each method lets one set, with its defaults."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class RandomSettings(BaseModel):
    """Nothing is left to choose."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class VectorSettings(RandomSettings):
    """What all methods that read vectors have."""

    unit: bool = True
    """Brings vectors to unit length first, so that cosines count and no item's scale does."""

    repair: int = Field(30, ge=0)
    """Rounds in which items that share a path move to near codes of the last level that nobody has;
    those that still share one get a tie-break code. 0 leaves all items at their nearest codes."""

    epsilon: float = Field(0.003, gt=0)
    """Entropy of the transport that moves them, where distances lie in -1 .. 1."""


class KMeansSettings(VectorSettings):
    """What one can set about residual k-means."""

    priced: int = Field(10, ge=0)
    """Iterations at the start of a level in which centres that are asked for much become dearer;
    what comes of it is taken where it has a lower error than as many without. 0 leaves it out."""

    iterations: int = Field(50, ge=1)
    """Of Lloyd's algorithm after them, at most."""

    tolerance: float = Field(1e-3, ge=0)
    """A level is done when an iteration changes its error by no more than this share of it."""

    balance: bool = False
    """Keeps the prices, so that the codes of a level are used about equally, for some error."""

    sample: int = Field(262_144, ge=1)
    """Codebooks are learned from at most this many items, drawn without replacement."""


class ProductSettings(KMeansSettings):
    """What one can set about product codes."""

    rotate: bool = True
    """Rotates first, so that the parts have alike shares of the variance; else coordinates are cut
    in the order they come in."""


class RqVaeSettings(VectorSettings):
    """What one can set about RQ-VAE; widths, beta, batch and k-means are TIGER's."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (512, 256, 128)
    """Widths between the vectors and what is quantised; the decoder has them backwards."""

    latent: int = Field(32, ge=1)
    """Width of what is quantised."""

    beta: float = Field(0.25, ge=0)
    """How strongly the encoder is drawn to the codes, where codes are drawn to the encoder by 1."""

    lr: float = Field(1e-3, gt=0)
    """Learning rate of AdamW."""

    weight_decay: float = Field(1e-4, ge=0)
    """Of AdamW, apart from the gradient; codebooks have none."""

    batch_size: int = Field(1024, ge=1)
    """Items in a batch."""

    warmup: int = Field(5, ge=0)
    """Epochs before there are codes: k-means on what an untrained encoder says would find nothing
    that stays."""

    epochs: int = Field(500, ge=1)
    """At most so many after that."""

    check_every: int = Field(5, ge=1)
    """Epochs between counts of collisions."""

    patience: int = Field(10, ge=1)
    """Stop after so many counts in a row that were not the lowest."""

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` is `cuda` where there is one, else `cpu`. It is not part of what identifies codes."""
