"""Settings of the predictors."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tastebench.recommenders.ctr.bricks import PREDICTORS
from tastebench.recommenders.ctr.variants import VariantConfig

Widths = Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
Activation = Literal["relu", "gelu", "silu", "tanh", "prelu", "dice"]


class DotConfig(VariantConfig):
    """Nothing to set: both variants are the inner product."""


class TowerConfig(VariantConfig):
    """A tower of dense layers, which nearly all predictors have."""

    tower: Widths = (1000, 1000, 1000)
    """Widths of its layers."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After every activation of the tower."""

    activation: Activation = "relu"
    """Of the tower's layers; `dice` is DIN's."""

    batch_norm: bool = False
    """Batch normalisation before every activation of the tower."""


class DnnConfig(TowerConfig):
    """A tower over all fields; both variants are the same."""


class PnnConfig(TowerConfig):
    """Inner products of fields beside the fields themselves (IPNN)."""

    reference_values: ClassVar[dict[str, Any]] = {"squares": False}

    squares: bool = True
    """Products of a field with itself too, which the paper's sum has and the reference has not."""


class DeepFmConfig(TowerConfig):
    """A factorisation machine and a tower over the same fields.

    `published`: linear part + factorisation machine + tower. `reference`: the mean of the last two.
    """


class DcnConfig(TowerConfig):
    """Cross layers with a weight vector each, beside a tower; both variants are the same."""

    layers: int = Field(3, ge=1)
    """Cross layers."""


class Dcnv2Config(TowerConfig):
    """Cross layers with a weight matrix each, and a tower.

    `published`: a tower beside the cross layers reads the fields. `reference`: it reads what they
    made, as does the second tower.
    """

    reference_values: ClassVar[dict[str, Any]] = {
        "rank": 32,
        "experts": 4,
        "structure": "stacked_parallel",
    }

    layers: int = Field(3, ge=1)
    """Cross layers."""

    structure: Literal["parallel", "stacked", "stacked_parallel"] = "parallel"
    """A tower beside the cross layers, on top of them, or one of each."""

    rank: int | None = Field(None, ge=1)
    """Rank of the matrices; None leaves them whole. The reference has 32."""

    experts: int = Field(1, ge=1)
    """Low-rank matrices a layer, mixed by a gate; the reference has 4."""

    @model_validator(mode="after")
    def _experts_have_a_rank(self) -> Dcnv2Config:
        if self.experts > 1 and self.rank is None:
            raise ValueError(f"experts={self.experts} are of low rank: set rank (the paper's way)")
        return self


class MaskNetConfig(TowerConfig):
    """Blocks that multiply what they read with a mask made of all fields.

    Both variants are the same but for their sizes.
    """

    reference_values: ClassVar[dict[str, Any]] = {"blocks": 1, "reduction": 1.0, "dropout": 0.0}

    structure: Literal["parallel", "serial"] = "parallel"
    """Blocks side by side under a tower, or each on the one before it, without a tower."""

    blocks: int = Field(3, ge=1)
    """Mask blocks; the reference has 1."""

    block_width: int = Field(64, ge=1)
    """Width of what a block makes."""

    reduction: float = Field(2.0, gt=0)
    """Width inside the mask, as a multiple of the mask's own; the reference has 1."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After every block and every layer of the tower; the reference has 0."""


class FinalMlpConfig(TowerConfig):
    """Two towers and their bilinear product, each behind a gate that weighs its features.

    `published` has the gates, `reference` has not.
    """

    reference_values: ClassVar[dict[str, Any]] = {"gates": None, "dropout": 0.0}

    second_tower: Widths | None = None
    """Widths of the second tower; None are those of the first."""

    gates: tuple[int, int] | None = (0, -1)
    """Fields whose vectors make the gates of the first and the second tower, negative from the end.

    Of two fields the first is the user and the last the item, as in the paper. None is no gates.
    """

    gate_width: int = Field(64, ge=1)
    """Width inside a gate."""

    heads: int = Field(1, ge=1)
    """Parts that the towers' outputs are cut into; only parts of equal place are multiplied."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After every activation of the towers; the reference has 0."""

    @model_validator(mode="after")
    def _heads_divide_widths(self) -> FinalMlpConfig:
        for width in (self.tower[-1], (self.second_tower or self.tower)[-1]):
            if width % self.heads:
                raise ValueError(f"heads={self.heads} does not divide the last width {width}")
        return self


class AutoIntConfig(TowerConfig):
    """Self-attention of the fields to each other, without scaling, beside a tower.

    `published`: what a layer adds to the attention is its input through a matrix. `reference`: it
    is the input itself where widths allow.
    """

    reference_values: ClassVar[dict[str, Any]] = {"heads": 8, "attention_dropout": 0.1}

    layers: int = Field(3, ge=1)
    """Attention layers."""

    attention_width: int = Field(64, ge=1)
    """Width of a layer's states, all heads together."""

    heads: int = Field(2, ge=1)
    """Attention heads; the reference has 8. They divide `attention_width`."""

    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Of the attention weights; the reference has 0.1."""

    deep: bool = True
    """A tower beside the attention, which the paper calls AutoInt+; without it there is none."""

    @model_validator(mode="after")
    def _heads_divide_width(self) -> AutoIntConfig:
        if self.attention_width % self.heads:
            raise ValueError(
                f"heads={self.heads} does not divide attention_width={self.attention_width}"
            )
        return self


class GdcnConfig(TowerConfig):
    """Cross layers with a gate each, and a tower.

    The variants differ in the initial bias of the cross layers, of which the paper says nothing:
    zero, and uniform between 0 and 1 in the reference.
    """

    layers: int = Field(3, ge=1)
    """Cross layers."""

    structure: Literal["parallel", "stacked"] = "parallel"
    """A tower beside the cross layers (GDCN-P) or on top of them (GDCN-S)."""


class DinConfig(TowerConfig):
    """The history weighed by the candidate, then a tower.

    `published`: the tower reads interest, candidate and their product. `reference`: the interest
    alone, so that the candidate is seen by the attention only.
    """

    reference_values: ClassVar[dict[str, Any]] = {
        "activation": "relu",
        "attention_width": 64,
        "attention_dropout": 0.1,
    }

    activation: Activation = "dice"
    """Of the tower's layers; the reference has relu."""

    attention_width: int = Field(36, ge=1)
    """Width inside the attention; the reference has 64."""

    attention_activation: Literal["dice", "prelu"] = "dice"
    """Inside the attention; Dice normalises over the clicks of the batch, padding left out."""

    attention_dropout: float = Field(0.0, ge=0, lt=1)
    """Inside the attention; the reference has 0.1."""

    softmax: bool = False
    """Weights of a history sum to one; the paper and the reference leave them as they are."""


class MinerConfig(VariantConfig):
    """The candidate against each interest of a user; both variants are the same."""

    score: Literal["weighted", "max", "mean"] = "weighted"
    """How a score an interest becomes one: by attention of the candidate, the highest, the mean."""

    disagreement: float = Field(0.8, ge=0)
    """Weight of the penalty for interests that resemble each other; 0 is none."""


class MixtureConfig(TowerConfig):
    """One predictor over every pair of a user's and an item's level, and their weighted sum.

    Variant and tower are those of the base; its other settings are its own defaults.
    """

    base: str = "dcn"
    """The predictor, any that reads fields."""

    @field_validator("base")
    @classmethod
    def _reads_fields(cls, name: str) -> str:
        if PREDICTORS.get(name).reads != "fields":
            able = [known for known in PREDICTORS if PREDICTORS.get(known).reads == "fields"]
            raise ValueError(f"{name} does not read fields; those that do: {', '.join(able)}")
        return name
