"""Bricks: what an item operator, a user operator or a predictor reads, makes and can be set to.

A brick is declared as data, so that plans are checked and lists printed without loading torch; its
network is imported when a model is built. Tensors that bricks hand each other, `n` rows of width
`h`:

    items        int64 [n]                     an item operator's input
    vector       [n, h]                        an item, or a user as one vector
    vectors      [n, k, h]                     a user as k interests, or an item as k levels
    sequence     [n, s, h] and a mask [n, s]   what a user clicked, vector by vector

Networks are built by `network(config, ...)` with these arguments:

    item operator    (config, content, width)   forward(items) -> vector (or vectors)
    user operator    (config, content, width)   forward(clicks) or, where `per_candidate`,
                                                 forward(clicks, candidate) -> vector or vectors
    predictor        (config, width, fields)    forward(fields [n, f, h]) where it reads `fields`,
                                                 else forward(user, item) and, where it reads
                                                 `sequence`, forward(user, item, mask) -> [n]

Masks are bool, True where there is something. What stands at masked places never changes an
output, and someone who clicked nothing has a defined one.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from tastebench.contracts import Form
from tastebench.errors import UsageError
from tastebench.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor, nn

Shape = Literal["vector", "vectors", "sequence", "fields"]
Scheme = Literal["matching", "ranking"]
Variant = Literal["published", "reference"]


class BrickConfig(BaseModel):
    """Settings of a brick; each brick extends it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def check(self, brick: str, width: int) -> None:
        """Refuses a width of item and user vectors that these settings do not go with.

        Args:
            brick: Whose settings they are, for messages.
            width: The model's.

        Raises:
            UsageError: Says what does not fit; here everything does.
        """


def check_heads(brick: str, width: int, heads: int) -> None:
    """Refuses attention heads that do not divide a width.

    Raises:
        UsageError: They do not; the message names both.
    """
    if width % heads:
        fits = [n for n in range(1, width + 1) if width % n == 0]
        near = min(fits, key=lambda n: abs(n - heads))
        raise UsageError(
            f"{brick}: heads={heads} does not divide the width {width}",
            fix=f"heads={near} does, or choose a width that is a multiple of {heads}",
        )


class Clicks(NamedTuple):
    """What some users clicked, right-padded.

    Attributes:
        items: int64 `[b, s]`, 0 in the padding.
        mask: Where there is an item, bool `[b, s]`.
        vectors: The items' vectors `[b, s, h]`, or `[b, s, k, h]` where an item has k levels; None
            for a user operator that reads items.
    """

    items: Tensor
    mask: Tensor
    vectors: Tensor | None = None


@dataclass(frozen=True)
class Brick:
    """One brick as data.

    Attributes:
        name: Public name.
        summary: One line for lists.
        config: Its settings, all defaulted.
        network: Where its network is, `module:Class`.
        citation: Where its definition comes from.
    """

    name: str
    summary: str
    config: type[BrickConfig]
    network: str
    citation: str | None = None

    def settings(self, given: dict[str, Any], where: str) -> BrickConfig:
        """Its settings, the given ones over the defaults.

        Raises:
            UsageError: It has no such setting, or not such a value.
        """
        from tastebench.errors import did_you_mean

        for key in given:
            if key not in self.config.model_fields:
                known = list(self.config.model_fields)
                hint = did_you_mean(key, known) if known else "it has none"
                raise UsageError(
                    f"{self.name} has no setting {key!r}: {hint}",
                    where=where,
                    fix=f"tastebench show {self.name}",
                )
        try:
            return self.config(**given)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            message = first["msg"].removeprefix("Value error, ")
            raise UsageError(f"{self.name}: {key or 'settings'}: {message}", where=where) from error

    def build(self, *arguments: Any) -> nn.Module:
        """The untrained network; the arguments are those of its kind of brick."""
        module, _, attribute = self.network.partition(":")
        network: nn.Module = getattr(import_module(module), attribute)(*arguments)
        return network


@dataclass(frozen=True)
class ItemOperator(Brick):
    """An item's content to a vector.

    Attributes:
        reads: The form of an item that it reads.
        makes: `vector`, or `vectors` where an item has several levels.
    """

    reads: Form = "text"
    makes: Shape = "vector"


@dataclass(frozen=True)
class UserOperator(Brick):
    """What a user clicked to a vector or vectors.

    Attributes:
        reads: `sequence` for the item vectors, `vectors` where each item has levels, or the form of
            the items themselves (`text`) where it does without an item operator for the history.
        makes: `vector`, `vectors` or `sequence`.
        per_candidate: The user's vector depends on the candidate, so it cannot be kept.
    """

    reads: Literal["sequence", "vectors", "text"] = "sequence"
    makes: Shape = "vector"
    per_candidate: bool = False


@dataclass(frozen=True)
class Predictor(Brick):
    """User and item to a logit.

    Attributes:
        reads: What it takes as the user; `fields` stands for user and item as rows of one matrix.
        item: What it takes as the item.
        schemes: Training schemes it is defined for.
    """

    reads: Shape = "fields"
    item: Shape = "vector"
    schemes: tuple[Scheme, ...] = ("ranking", "matching")


def _within(package: str, names: dict[str, str]) -> dict[str, Any]:
    return {
        name: f"tastebench.recommenders.ctr.{package}:{attribute}"
        for name, attribute in names.items()
    }


ITEM_OPERATORS: Registry[ItemOperator] = Registry(
    "item operator",
    _within(
        "item_operators",
        {
            "id": "ID",
            "vector": "VECTOR",
            "pooling": "POOLING",
            "cnn": "CNN",
            "cnn-columns": "CNN_COLUMNS",
            "attention": "ATTENTION",
            "transformer": "TRANSFORMER",
            "fastformer": "FASTFORMER",
            "language-model": "LANGUAGE_MODEL",
            "iisan": "IISAN",
            "code": "CODE",
            "code-levels": "CODE_LEVELS",
        },
    ),
    group="tastebench.item_operators",
    listed="bricks",
)

USER_OPERATORS: Registry[UserOperator] = Registry(
    "user operator",
    _within(
        "user_operators",
        {
            "pooling": "POOLING",
            "additive-attention": "ADDITIVE_ATTENTION",
            "attention": "ATTENTION",
            "gru": "GRU",
            "transformer": "TRANSFORMER",
            "fastformer": "FASTFORMER",
            "poly-attention": "POLY_ATTENTION",
            "target-attention": "TARGET_ATTENTION",
            "target-transformer": "TARGET_TRANSFORMER",
            "none": "NONE",
            "flatten-transformer": "FLATTEN_TRANSFORMER",
            "flatten-fastformer": "FLATTEN_FASTFORMER",
            "levels": "LEVELS",
        },
    ),
    group="tastebench.user_operators",
    listed="bricks",
)

PREDICTORS: Registry[Predictor] = Registry(
    "predictor",
    _within(
        "predictors",
        {
            "dot": "DOT",
            "dnn": "DNN",
            "pnn": "PNN",
            "deepfm": "DEEPFM",
            "dcn": "DCN",
            "dcnv2": "DCNV2",
            "masknet": "MASKNET",
            "finalmlp": "FINALMLP",
            "autoint": "AUTOINT",
            "gdcn": "GDCN",
            "din": "DIN",
            "miner": "MINER",
            "mixture": "MIXTURE",
        },
    ),
    group="tastebench.predictors",
    listed="bricks",
)

REGISTRIES: tuple[Registry[Any], ...] = (ITEM_OPERATORS, USER_OPERATORS, PREDICTORS)
"""All bricks, by what they do."""
