"""What an encoder of users reads of an item: its id, its attributes and its words.

Each feature is a bag whose mean is taken: an id and an attribute are a bag of one, a text is one of
its tokens, and what is missing is an empty bag, of zeros. Behind one another they are projected to
the encoder's width (UQABench).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.items.tokens import first
from tastebench.ragged import Ragged

Input = Literal["id", "side", "text"]

_STD = 0.02
_LONGEST = 64
"""Tokens of a text that are read, the first ones."""


@dataclass(frozen=True, eq=False)
class Bags:
    """The features of a catalogue.

    Attributes:
        n: Items.
        has_id: Items have embeddings of their own.
        side: Attribute codes, -1 where missing, int64 `[n, attributes]`.
        sizes: Codes of each attribute.
        text: Tokens of each text column, of one vocabulary, `n` lists each.
        vocabulary: Tokens that occur.
    """

    n: int
    has_id: bool
    side: np.ndarray
    sizes: tuple[int, ...]
    text: tuple[Ragged, ...]
    vocabulary: int


def make_bags(items: Items, inputs: Sequence[Input], tokenizer: Any) -> Bags:
    """What `inputs` ask for of a catalogue.

    Args:
        items: The catalogue.
        inputs: Which features.
        tokenizer: Of the model that will be told of the user, as a function from texts to ids.

    Raises:
        UsageError: Items have no attributes or no words, and they are asked for.
    """
    side = np.empty((items.n, 0), np.int64)
    sizes: tuple[int, ...] = ()
    if "side" in inputs:
        if not items.side:
            raise _missing("side", "attributes")
        side = np.stack([codes.astype(np.int64) for codes in items.side.values()], axis=1)
        sizes = tuple(int(size) for size in side.max(axis=0, initial=-1) + 1)
    text: tuple[Ragged, ...] = ()
    vocabulary = 0
    if "text" in inputs:
        if items.text is None:
            raise _missing("text", "words")
        columns: Mapping[str, Sequence[str]] = items.columns or {"text": items.text}
        text, vocabulary = _tokens(list(columns.values()), tokenizer)
    return Bags(items.n, "id" in inputs, side, sizes, text, vocabulary)


def _tokens(columns: Sequence[Sequence[str]], tokenizer: Any) -> tuple[tuple[Ragged, ...], int]:
    """Columns in tokens that are numbered anew: a token that no item has is learned by nothing."""
    read = [first(tokenizer(list(column)), _LONGEST) for column in columns]
    known, number = np.unique(np.concatenate([one.values for one in read]), return_inverse=True)
    cuts = np.cumsum([len(one.values) for one in read])[:-1]
    parts = np.split(number.astype(np.int64), cuts)
    bags = (Ragged(own, one.offsets) for own, one in zip(parts, read, strict=True))
    return tuple(bags), len(known)


def _missing(form: str, what: str) -> UsageError:
    return UsageError(
        f"the user encoder is to read items by {form}, and these have no {what}",
        fix=f"a representation with {form}, or inputs without it",
    )


class ItemFeatures(nn.Module):
    """Features of items to embeddings of the encoder's width.

    Args:
        bags: The catalogue.
        width: Of the encoder.
        id_width: Of an item's own embedding; None is a quarter of `width`, at least 64.
        feature_width: Of every other feature; None is an eighth of `width`, at least 32.

    Raises:
        UsageError: There is no feature.
    """

    def __init__(
        self, bags: Bags, width: int, id_width: int | None = None, feature_width: int | None = None
    ) -> None:
        super().__init__()
        id_width = max(width // 4, 64) if id_width is None else id_width
        feature_width = max(width // 8, 32) if feature_width is None else feature_width
        self.n, self.columns = bags.n, len(bags.text)
        self.ids = _table(bags.n, id_width) if bags.has_id else None
        self.attributes = nn.ParameterList(_table(size, feature_width) for size in bags.sizes)
        self.words = _table(bags.vocabulary, feature_width) if bags.text else None
        features = len(bags.sizes) + len(bags.text)
        self.width = (id_width if bags.has_id else 0) + features * feature_width
        if not self.width:
            raise UsageError("a user encoder reads nothing of items", fix="inputs: [id]")
        self.project = nn.Linear(self.width, width)
        nn.init.normal_(self.project.weight, std=_STD)
        nn.init.zeros_(self.project.bias)
        self.register_buffer("side", torch.from_numpy(bags.side), persistent=False)
        for column, text in enumerate(bags.text):
            self.register_buffer(
                f"values_{column}", torch.from_numpy(text.values), persistent=False
            )
            self.register_buffer(
                f"offsets_{column}", torch.from_numpy(text.offsets), persistent=False
            )

    @property
    def compared_width(self) -> int:
        """Of what states are compared with."""
        return self.width if self.ids is None else self.ids.shape[1]

    def forward(self, items: Tensor) -> Tensor:
        """Items int64 `[n]` to embeddings `[n, width]`."""
        projected: Tensor = self.project(self.concatenated(items))
        return projected

    def compared(self, items: Tensor | None = None) -> Tensor:
        """What states are compared with: an item's own embedding, or all that is read of it.

        Args:
            items: int64 `[n]`; None for all.
        """
        if self.ids is not None:
            return self.ids if items is None else self.ids[items]
        every = torch.arange(self.n, device=self.project.weight.device)
        return self.concatenated(every if items is None else items)

    def concatenated(self, items: Tensor) -> Tensor:
        """All features of items int64 `[n]` one behind the other, `[n, concatenated width]`."""
        parts = [] if self.ids is None else [self.ids[items]]
        side: Any = self.side
        for column, table in enumerate(self.attributes):
            codes = side[items, column]
            parts.append(table[codes.clamp(min=0)] * (codes >= 0)[:, None])
        if self.words is not None:
            parts += [self._text(column, items) for column in range(self.columns)]
        return torch.cat(parts, dim=1)

    def _text(self, column: int, items: Tensor) -> Tensor:
        """The mean of the tokens' embeddings, zero where there is none, `[n, feature width]`."""
        assert self.words is not None
        values: Any = getattr(self, f"values_{column}")
        offsets: Any = getattr(self, f"offsets_{column}")
        begins = offsets[items]
        lengths = offsets[items + 1] - begins
        ends = lengths.cumsum(0)
        starts = ends - lengths
        total = int(ends[-1]) if len(ends) else 0
        places = torch.arange(total, device=items.device)
        places = places + (begins - starts).repeat_interleave(lengths)
        return functional.embedding_bag(values[places], self.words, starts, mode="mean")


def _table(rows: int, width: int) -> nn.Parameter:
    """Embeddings drawn as the published ones: a normal cut at two standard deviations."""
    return nn.Parameter(
        nn.init.trunc_normal_(torch.empty(rows, width), std=_STD, a=-2 * _STD, b=2 * _STD)
    )
