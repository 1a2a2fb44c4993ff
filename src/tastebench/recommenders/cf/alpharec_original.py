"""AlphaRec as first published: text vectors through an MLP, then over the train graph."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tastebench.contracts import Recommender, RecommenderCard
from tastebench.items.adapt import Adaptor
from tastebench.training.settings import TrainSettings

PUBLISHED_EXPANSION = {768: 8.0, 1536: 2.0, 3072: 1 / 2, 4096: 9 / 32}
"""Hidden units per input dimension that the paper's code sets, by the width of the vectors."""

WEIGHTS = 4_800_000
"""What these come to, within 7 %: `m * d * (d + 64)` is 5.1, 4.9, 4.8 and 4.8 million."""


class AlphaRecOriginalConfig(TrainSettings):
    """Hyper-parameters, at the values of the paper's code."""

    lr: float = Field(5e-4, gt=0)
    """Learning rate of Adam."""

    batch_size: int = Field(4096, ge=1)
    """(user, item) pairs in a batch, each with its own negatives."""

    epochs: int = Field(500, ge=1)
    """Epochs at most; one draws as many pairs as the training part holds."""

    patience: int = Field(100, ge=1)
    """Stop after this many epochs in a row whose validation did not beat the best strictly.

    The reference looks at every fifth epoch and waits for 20 looks, but looks at the test part: its
    published numbers are selected on what they report. Here selection sees the validation part.
    """

    adaptor: Adaptor = "none"
    """`none` takes the vectors as the encoder made them; `pca` whitens them to `dimensions`.

    `mrl` keeps the first `dimensions` at unit length, for encoders with nested dimensions only.
    """

    dimensions: int | None = Field(None, ge=1)
    """Width after `pca` or `mrl`; None is 128, or what vectors and items allow if less."""

    mapping: Literal["mlp", "homo"] = "mlp"
    """`mlp` is two layers with a LeakyReLU between; `homo` one matrix without bias."""

    expansion: float | None = Field(None, gt=0)
    """Hidden units of the MLP per dimension of the vectors, the paper's m.

    None keeps the number of weights the same for encoders of any width, so that a wider encoder has
    no larger model: 8, 2, 1/2 and 9/32 at 768, 1536, 3072 and 4096 dimensions as published, and
    elsewhere as many as make 4.8 million weights.
    """

    hidden_size: int = Field(64, ge=1)
    """Width of the space that users and items are mapped into."""

    layers: int = Field(2, ge=0)
    """Steps over the graph; 0 leaves it out."""

    negatives: int = Field(256, ge=1)
    """Items per pair, drawn evenly from those that the user does not have in training."""

    temperature: float = Field(0.15, gt=0)
    """Divides the cosines in the loss; published: 0.15 for books and films, 0.2 for games."""

    def hidden_units(self, d: int) -> int:
        """Hidden units of the MLP for vectors of width `d`."""
        chosen = self.expansion or PUBLISHED_EXPANSION.get(d) or WEIGHTS / (d * (d + 64))
        return max(1, int(chosen * d))


def build(config: AlphaRecOriginalConfig) -> Recommender:
    """An unfitted AlphaRec."""
    from tastebench.recommenders.cf.graph_map import GraphMap

    return GraphMap(config)


CARD = RecommenderCard(
    name="alpharec-original",
    summary="text vectors through an MLP and two steps over the graph of who took what",
    tasks=("cf",),
    representations=("vector",),
    config=AlphaRecOriginalConfig,
    build=build,
    citation="Sheng et al., Language Representations Can be What Recommenders Need, ICLR 2025, "
    "arXiv:2407.05441; graph: He et al., LightGCN, SIGIR 2020, doi:10.1145/3397271.3401063",
)
