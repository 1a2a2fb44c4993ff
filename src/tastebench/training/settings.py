"""What every trained recommender lets its user set; each recommender's config extends it."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from tastebench.later import WithLaterFields


class TrainSettings(WithLaterFields):
    """How long, how fast and how precisely to train.

    The defaults are RecBole's and those of the published text-based recommenders: Adam, batches of
    2,048 targets, at most 300 epochs, patience 10, no weight decay.
    """

    LATER: ClassVar[tuple[str, ...]] = ("validate_every", "accumulate")

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    lr: float = Field(1e-3, gt=0)
    """Learning rate of Adam."""

    weight_decay: float = Field(0.0, ge=0)
    """L2 penalty inside Adam's gradient, as `torch.optim.Adam` defines it."""

    batch_size: int = Field(2048, ge=1)
    """Targets in a batch: predicted positions of sequences, or (user, item) pairs."""

    accumulate: int = Field(1, ge=1)
    """Batches whose gradients, averaged, make one step; as many devices can share a step.

    The last step of an epoch may have fewer. Numbers depend on it, and not on how many devices
    share its batches.
    """

    epochs: int = Field(300, ge=1)
    """Passes over the training part at most."""

    patience: int = Field(10, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly.

    RecBole counts an equal value as an improvement and stops one epoch later.
    """

    validate_every: int = Field(1, ge=1)
    """Validate every so many epochs, and after the last one.

    For where asking all users costs more than an epoch. Patience still counts epochs: the fit ends
    at the first validation that comes `patience` epochs or more after the best one.
    """

    precision: Literal["fp32", "bf16"] = "fp32"
    """`bf16` runs matrix products in bfloat16 (autocast); weights, sums and scores stay fp32.

    Measured on a CPU with native bfloat16 (1 thread, 12,101 items, 2,048 targets): a UniSRec step
    takes 0.45 s instead of 1.1 s. Not the default: where bfloat16 is emulated (AVX2 and no more) a
    step takes 6 to 20 times as long as in fp32, and weights come out a little different.
    """

    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$")
    """`auto` is `cuda` where there is one, else `cpu`."""
