"""A frozen language model and a catalogue in its tokens: what its item operators begin with."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from tastebench.encoders.catalog import language_model
from tastebench.encoders.pooled import input_limit
from tastebench.errors import UsageError
from tastebench.lm.layers import LayerStack
from tastebench.lm.load import choose_device, ready
from tastebench.lm.padded import Padded
from tastebench.lm.states import StateCache, Stored, sample_of
from tastebench.lm.text_model import load_text_model
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators import ReadingConfig


class Reader:
    """A model as it was published, in eval mode, and the texts of all items.

    Args:
        config: Which model, and how it reads.
        content: The catalogue.

    Raises:
        UsageError: Items have no text.
        DataError: There is no such model here.
    """

    def __init__(self, config: ReadingConfig, content: Content) -> None:
        self.texts = joined(content, config.separator)
        folder = language_model(config.model)
        source = load_text_model(folder)
        ready(source.model, choose_device(config.device), stored=config.precision == "auto")
        self.stack = LayerStack(source)
        self.tokens = source.tokens(self.texts, input_limit(folder, config.max_length))
        self._revision = folder.revision

    @property
    def width(self) -> int:
        """Width of the model's output."""
        (states,) = self.stack.states(*self.sample(1), at=(self.stack.n,)).values()
        return int(states.shape[-1])

    def sample(self, size: int = 4) -> tuple[Tensor, Tensor]:
        """Tokens int64 `[b, tokens]` and mask of a few items of different lengths."""
        texts = Padded(self.tokens.values, self.tokens.offsets)
        ids, mask = texts.take(sample_of(self.tokens, size), self.stack.device)
        return ids.long(), mask

    def states(self, at: tuple[int, ...], *, pooled: bool, stored: Stored) -> np.ndarray:
        """States of all items, kept on disk: see `tastebench.lm.states`."""
        cache = StateCache(
            self.stack, self._revision, self.tokens, at, pooled, stored, self._name_of
        )
        return cache.get()

    def _name_of(self, row: int) -> str:
        text = self.texts[row]
        return f"item {row} ({text[:40]!r}{'...' * (len(text) > 40)})"


def joined(content: Content, separator: str) -> list[str]:
    """One text an item: its columns in order, empty ones left out.

    Raises:
        UsageError: Items have no text columns.
    """
    if not content.text:
        raise UsageError(
            "a language model reads the text of items, and these have none",
            fix="use a representation with text",
        )
    rows = zip(*content.text.values(), strict=True)
    return [separator.join(part for part in row if part) for row in rows]
