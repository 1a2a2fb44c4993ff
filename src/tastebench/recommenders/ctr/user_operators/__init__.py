"""User operators: what somebody clicked to one vector, to several, or as it is.

Someone who clicked nothing is the zero vector (and no gradient flows), except where the candidate
stands in the sequence (`target-transformer`). User ids reach no operator: a user is what they
clicked, so new users need nothing of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from tastebench.errors import UsageError
from tastebench.recommenders.ctr.bricks import (
    USER_OPERATORS,
    BrickConfig,
    UserOperator,
    check_heads,
)
from tastebench.recommenders.ctr.item_operators import (
    BERT,
    FASTFORMER_PAPER,
    LSTUR,
    NAML,
    NRMS,
    RECBENCH,
    UIST,
    FastformerConfig,
    TransformerConfig,
)
from tastebench.recommenders.ctr.variants import VariantConfig

_HERE = "tastebench.recommenders.ctr.user_operators"

MINER = (
    "Li et al., MINER: Multi-Interest Matching Network for News Recommendation, ACL Findings 2022"
)
DIN = "Zhou et al., Deep Interest Network for Click-Through Rate Prediction, KDD 2018"
BST = "Chen et al., Behavior Sequence Transformer for E-commerce Recommendation in Alibaba, 2019"


# --------------------------------------------------------------------------- of the item vectors


class UserPoolingConfig(BrickConfig):
    """Mean of what was clicked."""

    pool: Literal["mean", "max"] = "mean"
    """Over the items; `max` takes the largest of each dimension."""


class UserAdditiveAttentionConfig(VariantConfig):
    """NAML's user encoder: additive attention over what was clicked."""

    reference_values: ClassVar[dict[str, Any]] = {"query_size": 256}

    query_size: int = Field(200, ge=1)
    """Width inside the attention; the reference has 256."""


class UserAttentionConfig(VariantConfig):
    """NRMS's user encoder.

    `published`: heads without an output projection, then additive attention. `reference`: torch's
    attention, with biases and an output projection, and a dense layer after it.
    """

    reference_values: ClassVar[dict[str, Any]] = {"heads": 8, "query_size": 256, "dropout": 0.1}

    heads: int = Field(16, ge=1)
    """Attention heads; the reference has 8. They divide the width."""

    query_size: int = Field(200, ge=1)
    """Width inside the additive attention; the reference has 256."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """Of the heads (published) or of the attention weights (reference, 0.1)."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide the width."""
        check_heads(brick, width, self.heads)


class UserGruConfig(VariantConfig):
    """LSTUR's short-term user: the last state of a GRU.

    `reference` puts a dense layer after it. The long-term user of LSTUR, an embedding of the user's
    id that is dropped half of the time in training, is in neither: operators see no user ids.
    """


class UserTransformerConfig(BrickConfig):
    """A BERT encoder over what was clicked, then additive attention."""

    layers: int = Field(3, ge=1)
    """Blocks of attention and feed-forward."""

    heads: int = Field(8, ge=1)
    """Attention heads; they divide the width."""

    inner_factor: int = Field(4, ge=1)
    """Width inside the feed-forward part, as a multiple of the width."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After embedding, attention and feed-forward, and of the attention weights."""

    query_size: int | None = Field(None, ge=1)
    """Width inside the additive attention that pools; None is the model's width."""

    length: int = Field(1024, ge=1)
    """Longest history that has positions."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide the width."""
        check_heads(brick, width, self.heads)


class UserFastformerConfig(BrickConfig):
    """Fastformer over what was clicked."""

    layers: int = Field(1, ge=1)
    """Blocks of attention and feed-forward."""

    heads: int = Field(16, ge=1)
    """Attention heads; they divide the width."""

    inner_factor: int = Field(4, ge=1)
    """Width inside the feed-forward part, as a multiple of the width."""

    dropout: float = Field(0.1, ge=0, lt=1)
    """After embedding, attention and feed-forward."""

    length: int = Field(1024, ge=1)
    """Longest history that has positions."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide the width."""
        check_heads(brick, width, self.heads)


class PolyAttentionConfig(VariantConfig):
    """MINER's interests: each of several codes attends to what was clicked.

    Without MINER's weighting by categories: that compares the category of each click with the
    candidate's, so interests could not be kept from one candidate to the next.
    """

    reference_values: ClassVar[dict[str, Any]] = {"query_size": 256}

    interests: int = Field(32, ge=1)
    """Context codes, and so vectors of a user."""

    query_size: int = Field(200, ge=1)
    """Width of the codes; the reference has 256."""


POOLING = UserOperator(
    name="pooling",
    summary="mean of what was clicked",
    config=UserPoolingConfig,
    network=f"{_HERE}.pooling:Pooling",
    citation=RECBENCH,
)

ADDITIVE_ATTENTION = UserOperator(
    name="additive-attention",
    summary="NAML: additive attention over what was clicked",
    config=UserAdditiveAttentionConfig,
    network=f"{_HERE}.attention:Additive",
    citation=NAML,
)

ATTENTION = UserOperator(
    name="attention",
    summary="NRMS: multi-head self-attention over what was clicked, then additive attention",
    config=UserAttentionConfig,
    network=f"{_HERE}.attention:Attention",
    citation=NRMS,
)

GRU = UserOperator(
    name="gru",
    summary="LSTUR: the last state of a GRU over what was clicked",
    config=UserGruConfig,
    network=f"{_HERE}.gru:Gru",
    citation=LSTUR,
)

TRANSFORMER = UserOperator(
    name="transformer",
    summary="a BERT encoder over what was clicked, then additive attention",
    config=UserTransformerConfig,
    network=f"{_HERE}.transformer:Transformer",
    citation=BERT,
)

FASTFORMER = UserOperator(
    name="fastformer",
    summary="Fastformer over what was clicked",
    config=UserFastformerConfig,
    network=f"{_HERE}.fastformer:Fastformer",
    citation=FASTFORMER_PAPER,
)

POLY_ATTENTION = UserOperator(
    name="poly-attention",
    summary="MINER: several interests, each a code that attends to what was clicked",
    config=PolyAttentionConfig,
    network=f"{_HERE}.poly_attention:PolyAttention",
    citation=MINER,
    makes="vectors",
)


# ------------------------------------------------------------------------------- by the candidate


class TargetAttentionConfig(BrickConfig):
    """DIN's activation unit: each click is weighed by how it bears on the candidate."""

    hidden_size: int = Field(36, ge=1)
    """Width inside the unit."""

    activation: Literal["dice", "prelu"] = "dice"
    """Inside the unit; Dice normalises over the clicks of the batch, padding left out."""

    dropout: float = Field(0.0, ge=0, lt=1)
    """Inside the unit."""

    softmax: bool = False
    """Weights of a user sum to one; the publication leaves them as they are, so that their sum says
    how much of the history bears on the candidate."""


class TargetTransformerConfig(BrickConfig):
    """BST: the candidate is the last of the sequence that a transformer reads.

    Positions count back from the candidate (the publication has the time before the candidate
    there). All states end to end are what BST hands to its tower; here a linear layer brings them
    to the model's width.
    """

    layers: int = Field(1, ge=1)
    """Blocks of attention and feed-forward."""

    heads: int = Field(8, ge=1)
    """Attention heads; they divide the width."""

    inner_factor: int = Field(4, ge=1)
    """Width inside the feed-forward part, as a multiple of the width."""

    dropout: float = Field(0.2, ge=0, lt=1)
    """After embedding, attention and feed-forward, and of the attention weights."""

    readout: Literal["concat", "target"] = "concat"
    """All states end to end, or the candidate's state alone."""

    length: int | None = Field(None, ge=1)
    """Longest history; None is that of the protocol (20 in the publication)."""

    def check(self, brick: str, width: int) -> None:
        """The heads divide the width."""
        check_heads(brick, width, self.heads)


TARGET_ATTENTION = UserOperator(
    name="target-attention",
    summary="DIN: what was clicked, weighed by how it bears on the candidate",
    config=TargetAttentionConfig,
    network=f"{_HERE}.target_attention:TargetAttention",
    citation=DIN,
    per_candidate=True,
)

TARGET_TRANSFORMER = UserOperator(
    name="target-transformer",
    summary="BST: a transformer over what was clicked and the candidate",
    config=TargetTransformerConfig,
    network=f"{_HERE}.target_transformer:TargetTransformer",
    citation=BST,
    per_candidate=True,
)


# ---------------------------------------------------------------------------------- pass-through


class NoneConfig(BrickConfig):
    """Nothing to set."""


NONE = UserOperator(
    name="none",
    summary="what was clicked as it is, for predictors that read sequences",
    config=NoneConfig,
    network=f"{_HERE}.none:PassThrough",
    citation=DIN,
    makes="sequence",
)


# ------------------------------------------------------------------------------------- of words


class FlattenTransformerConfig(TransformerConfig):
    """A BERT encoder over the words of all that was clicked, as one sequence."""

    separators: bool = True
    """A token of its own ends every column, another one every item."""

    length: int = Field(512, ge=2)
    """Longest sequence in tokens; of a longer history the newest are kept."""


class FlattenFastformerConfig(FastformerConfig):
    """Fastformer over the words of all that was clicked, as one sequence."""

    separators: bool = True
    """A token of its own ends every column, another one every item."""

    length: int = Field(512, ge=2)
    """Longest sequence in tokens; of a longer history the newest are kept."""


FLATTEN_TRANSFORMER = UserOperator(
    name="flatten-transformer",
    summary="a BERT encoder over the words of all that was clicked",
    config=FlattenTransformerConfig,
    network=f"{_HERE}.flatten:FlattenTransformer",
    citation=BERT,
    reads="text",
)

FLATTEN_FASTFORMER = UserOperator(
    name="flatten-fastformer",
    summary="Fastformer over the words of all that was clicked",
    config=FlattenFastformerConfig,
    network=f"{_HERE}.flatten:FlattenFastformer",
    citation=FASTFORMER_PAPER,
    reads="text",
)


# ------------------------------------------------------------------------------------ of levels


def _each(value: Any) -> Any:
    """`gru` or `{operator: gru, ...}` to the operator with all of its settings."""
    given = {"operator": value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not isinstance(given.get("operator"), str):
        raise ValueError(f"a name, or operator: NAME with settings, got {value!r}")
    try:
        brick = USER_OPERATORS.get(given["operator"])
        if (brick.reads, brick.makes, brick.per_candidate) != ("sequence", "vector", False):
            raise ValueError(f"{brick.name} does not make one vector of a sequence")
        own = {key: setting for key, setting in given.items() if key != "operator"}
        settings = brick.settings(own, where=USER_OPERATORS.kind)
    except UsageError as error:
        raise ValueError(error.what) from error
    return {"operator": brick.name, **settings.model_dump(mode="json")}


class LevelsConfig(BrickConfig):
    """A user operator for each level of the items."""

    each: Annotated[dict[str, Any], BeforeValidator(_each)] = Field(
        {"operator": "attention"}, validate_default=True
    )
    """The user operator and its settings; each level has one of its own."""

    def check(self, brick: str, width: int) -> None:
        """What reads a level goes with the width."""
        own = {key: value for key, value in self.each.items() if key != "operator"}
        each = USER_OPERATORS.get(self.each["operator"])
        each.config(**own).check(f"{brick}: {each.name}", width)


LEVELS = UserOperator(
    name="levels",
    summary="UIST: a user operator for each level of the items",
    config=LevelsConfig,
    network=f"{_HERE}.levels:Levels",
    citation=UIST,
    reads="vectors",
    makes="vectors",
)
