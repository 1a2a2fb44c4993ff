"""AlphaRec in its linear form: one matrix between text and taste."""

from __future__ import annotations

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.items.adapt import Adaptor
from tastebench.training.settings import TrainSettings


class AlphaRecConfig(TrainSettings):
    """Hyper-parameters of the linear form without graph convolution."""

    patience: int = Field(20, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly."""

    adaptor: Adaptor = "pca"
    """`pca` whitens the vectors to `dimensions`; `none` takes them as the encoder made them.

    `mrl` keeps the first `dimensions` at unit length, for encoders with nested dimensions only.
    """

    dimensions: int | None = Field(None, ge=1)
    """Width after `pca` or `mrl`; None is 128, or what vectors and items allow if less."""

    hidden_size: int = Field(64, ge=1)
    """Width of the space that users and items are mapped into."""

    temperature: float = Field(0.15, gt=0)
    """Divides the cosines in the loss."""

    mask_known_positives: bool = True
    """Other items of the batch that the user has in training are no negatives.

    The reference punishes them; switch off to compare with it.
    """


def build(config: AlphaRecConfig) -> Recommender:
    """An unfitted AlphaRec."""
    from tastebench.recommenders.cf.linear_map import LinearMap

    return LinearMap(config)


CARD = RecommenderCard(
    name="alpharec",
    summary="one linear map of text vectors; a user is the mean of their items",
    tasks=("cf",),
    representations=("vector",),
    config=AlphaRecConfig,
    build=build,
    citation="Sheng et al., Language Representations Can be What Recommenders Need, ICLR 2025, "
    "arXiv:2407.05441",
)
