"""What the names in a plan stand for, once they are looked up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tastebench.contracts import EncoderCard, RecommenderCard

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset


@dataclass(frozen=True)
class Resources:
    """What the names in a plan stand for.

    Attributes:
        datasets: Loaded datasets by name.
        encoders: Cards by name.
        recommenders: Cards of objects that the caller brought; they win over registered names.
        fetch: Pretrained weights that recommenders name may be fetched.
    """

    datasets: Mapping[str, Dataset]
    encoders: Mapping[str, EncoderCard]
    recommenders: Mapping[str, RecommenderCard] = field(default_factory=dict)
    fetch: bool = True

    def recommender(self, name: str) -> RecommenderCard:
        """The card called `name`."""
        from tastebench.recommenders import get_recommender

        return self.recommenders.get(name) or get_recommender(name)
