"""Content: what item operators read, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import Items
from tastebench.errors import UsageError, did_you_mean
from tastebench.items.tokens import (
    ModelTokenizer,
    Tokenizer,
    Unknown,
    WordTokenizer,
    columns_as_tokens,
)


@dataclass(frozen=True, eq=False)
class Content:
    """The catalogue as item operators read it; a form not asked for is None or empty.

    Attributes:
        n: Number of items.
        columns: Text columns as padded tokens, int32 `[n, longest]` each, 0 where there is none. A
            column of one token an item (a category) has width 1.
        vocabulary: Number of tokens; token 0 is padding.
        text: The columns as strings, for models with tokens of their own.
        vector: Encoded text, float32 `[n, d]`.
        code: Semantic ids, int64 `[n, levels]`.
        code_sizes: Number of codes in each level.
        history_length: Latest items of a user that user operators are given.
    """

    n: int
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    vocabulary: int = 0
    text: dict[str, Sequence[str]] = field(default_factory=dict)
    vector: np.ndarray | None = None
    code: np.ndarray | None = None
    code_sizes: tuple[int, ...] = ()
    history_length: int = 20


class TextSettings(BaseModel):
    """How the text columns of items become tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    tokenizer: str = "word"
    """`word` learns words from the items that training knows; else the path of a folder with a
    language model's tokenizer."""

    max_length: int = Field(30, ge=1)
    """Tokens kept of a column, the first ones."""

    lengths: dict[str, int] = Field(default_factory=dict)
    """Tokens kept of single columns, where that differs: `{description: 100}`."""

    categories: tuple[str, ...] = ()
    """Columns whose whole text is one token, such as a genre."""

    min_count: int = Field(1, ge=1)
    """A word occurs so often in what training knows, or is unknown; for `word` only."""

    most: int = Field(30_000, ge=1)
    """Words at most, the most frequent ones; for `word` only."""

    unknown: Unknown = "drop"
    """Unknown words are left out (`drop`, as RecBench does) or become one token (`keep`).

    With all words of the training items in the vocabulary, that token would never be trained.
    """


def make_content(items: Items, settings: TextSettings, taught: np.ndarray) -> Content:
    """Items in the forms they have, as click models read them.

    Args:
        items: The catalogue; text comes by its columns, or as one column `text` if it has none.
        settings: How text becomes tokens.
        taught: Items that occur in the training part, bool `[n]`: words and categories are learnt
            from them alone, as no other's embedding would be trained.

    Raises:
        UsageError: Settings name a column that there is not.
        DataError: The tokenizer's folder cannot be read.
    """
    text = dict(items.columns or {})
    if not text and items.text is not None:
        text = {"text": items.text}
    rest: dict[str, Any] = {"n": items.n, "vector": items.vector}
    if items.code is not None:
        sizes = tuple((items.code.max(axis=0) + 1).tolist())
        rest |= {"code": items.code, "code_sizes": sizes}
    if not text:
        return Content(**rest)
    lengths = _lengths(text, settings)
    words = {name: texts for name, texts in text.items() if name not in settings.categories}
    tokenizer = _tokenizer(words, settings, taught)
    columns, vocabulary = columns_as_tokens(text, tokenizer, lengths, settings.categories, taught)
    return Content(columns=columns, vocabulary=vocabulary, text=text, **rest)


def _lengths(columns: Mapping[str, object], settings: TextSettings) -> dict[str, int]:
    for name, length in settings.lengths.items():
        if name not in columns:
            raise UsageError(
                f"lengths names a text column {name!r} that there is not: "
                f"{did_you_mean(name, columns)}"
            )
        if length < 1:
            raise UsageError(f"lengths: {name} has to be 1 or more, got {length}")
    return dict.fromkeys(columns, settings.max_length) | settings.lengths


def _tokenizer(
    words: Mapping[str, Sequence[str]], settings: TextSettings, taught: np.ndarray
) -> Tokenizer:
    if settings.tokenizer != "word":
        return ModelTokenizer(settings.tokenizer, unknown=settings.unknown)
    texts = list(chain.from_iterable(compress(column, taught) for column in words.values()))
    return WordTokenizer.learn(
        texts, min_count=settings.min_count, most=settings.most, unknown=settings.unknown
    )
