"""Items drawn as negatives, uniformly or as often as they are targets."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ItemDraws:
    """Independent draws from the catalogue, with replacement.

    What is asked about is not left out: whoever uses draws knows it, and leaves it out of the loss.

    Attributes:
        n_items: Size of the catalogue.
        targets: Every training target, int `[n]`: an item is drawn as often as it is among them.
            None draws every item alike.
    """

    n_items: int
    targets: np.ndarray | None = None

    def draw(self, rng: np.random.Generator, *shape: int) -> np.ndarray:
        """Items, int64 of that shape."""
        if self.targets is None:
            return rng.integers(self.n_items, size=shape)
        places = rng.integers(len(self.targets), size=shape)
        return self.targets[places].astype(np.int64)

    def probabilities(self) -> np.ndarray:
        """How likely one draw is each item, float64 `[n_items]`; 0 for what is never a target."""
        if self.targets is None:
            return np.full(self.n_items, 1 / self.n_items)
        return np.bincount(self.targets, minlength=self.n_items) / len(self.targets)

    def log_expected(self, draws: int) -> np.ndarray:
        """The log of how often each item is expected among so many draws, float32 `[n_items]`.

        That of an item that is never drawn is -inf, which is never looked up.
        """
        with np.errstate(divide="ignore"):
            logs: np.ndarray = np.log(draws * self.probabilities()).astype(np.float32)
        return logs
