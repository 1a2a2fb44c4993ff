"""Which item of the catalogue is meant by a title that a model wrote.

Word for word first, upper and lower case, signs and the width of letters aside. What is no item's
title stands for the item whose title is most like it: by the letters they share, or by the vectors
of an encoder. An item without a title cannot be named.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tastebench.errors import UsageError
from tastebench.ragged import Ragged

if TYPE_CHECKING:
    from tastebench.contracts import Encoder

LETTERS = "letters"
"""The name of likeness by letters; every other name is an encoder's."""
NGRAMS = (2, 4)
_BUDGET = 2**24
"""Likenesses held at once."""
_WORD = re.compile(r"\w+")


def plain(text: str) -> str:
    """A title as it is compared: its words in lower case, parted by blanks.

    >>> plain("The  Matrix (1999)!"), plain("WAKE-UP")
    ('the matrix 1999', 'wake up')
    """
    return " ".join(_WORD.findall(unicodedata.normalize("NFKC", text).casefold()))


@dataclass(frozen=True, eq=False)
class Grounded:
    """What written titles stand for.

    Attributes:
        title: Which different title of the catalogue, -1 for none, int64 `[n]`.
        exact: It is written word for word, bool `[n]`.
        likeness: To the title it stands for, 1 if exact and 0 for none, float64 `[n]`.
    """

    title: np.ndarray
    exact: np.ndarray
    likeness: np.ndarray


class Likeness(Protocol):
    """Which title of a catalogue is most like others."""

    def nearest(self, titles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The title that each is most like, the first of equals, and how much, `[n]` each."""
        ...


class Catalogue:
    """The different titles of a catalogue.

    Args:
        titles: One an item; those without a word name nothing.
        by: `letters`, or the name of an encoder.
        least: Titles that are less alike than that stand for nothing.

    Attributes:
        items: The items of each different title, `m` lists.

    Raises:
        UsageError: No item has a title.
    """

    def __init__(self, titles: Sequence[str], by: str, least: float) -> None:
        shown = [plain(title) for title in titles]
        named = np.flatnonzero([bool(title) for title in shown])
        if not len(named):
            raise UsageError(
                "no item has a title, so none can be named", fix="choose another text recipe"
            )
        # Not as an array of strings, which would give each as much room as the longest.
        self._place: dict[str, int] = {}
        of = [self._place.setdefault(shown[item], len(self._place)) for item in named.tolist()]
        order = np.argsort(of, kind="stable")
        self.items = Ragged.from_lengths(named[order], np.bincount(of))
        self._least = least
        words = [titles[int(items[0])] for items in self.items]
        self._likeness: Likeness = Letters(words) if by == LETTERS else Vectors(words, by)

    def ground(self, written: Sequence[str]) -> Grounded:
        """What each title stands for."""
        shown = [plain(title) for title in written]
        title = np.array([self._place.get(one, -1) for one in shown], dtype=np.int64)
        exact = title >= 0
        likeness = exact.astype(np.float64)
        rows = [row for row, one in enumerate(shown) if one and not exact[row]]
        if rows:
            asked = {text: i for i, text in enumerate(dict.fromkeys(written[row] for row in rows))}
            place, alike = self._likeness.nearest(list(asked))
            near = (alike > 0) & (alike >= self._least)
            of = np.array([asked[written[row]] for row in rows], dtype=np.int64)
            title[rows] = np.where(near, place, -1)[of]
            likeness[rows] = np.where(near, alike, 0.0)[of]
        return Grounded(title, exact, likeness)


class Letters:
    """The cosine of weighted runs of two to four letters within words (TF-IDF).

    Args:
        titles: Of the catalogue.
    """

    def __init__(self, titles: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self._weigh: Any = TfidfVectorizer(
            analyzer="char_wb", ngram_range=NGRAMS, preprocessor=plain, dtype=np.float32
        )
        self._titles: Any = self._weigh.fit_transform(titles).T.tocsr()

    def nearest(self, titles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The title that each is most like, the first of equals, and how much, `[n]` each."""
        written: Any = self._weigh.transform(titles)
        return _best(
            lambda rows: (written[rows] @ self._titles).toarray(),
            len(titles),
            self._titles.shape[1],
        )


class Vectors:
    """The cosine of two vectors of an encoder.

    Args:
        titles: Of the catalogue.
        encoder: Its name.
    """

    def __init__(self, titles: Sequence[str], encoder: str) -> None:
        from tastebench.encoders import get_encoder
        from tastebench.encoders.hooks import Absent, FitsCatalogue

        found: Encoder = get_encoder(encoder)
        found = found.fetch() if isinstance(found, Absent) else found
        self._encoder = found.fitted(titles) if isinstance(found, FitsCatalogue) else found
        self._titles = _unit(self._encoder.encode(titles))

    def nearest(self, titles: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The title that each is most like, the first of equals, and how much, `[n]` each."""
        written = _unit(self._encoder.encode(titles))
        return _best(lambda rows: written[rows] @ self._titles.T, len(titles), len(self._titles))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: np.ndarray = vectors / np.where(lengths > 0, lengths, 1)
    return unit


def _best(alike: Any, n: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Places and values of the greatest of each row, some rows at a time."""
    place, value = np.empty(n, dtype=np.int64), np.empty(n)
    step = max(1, _BUDGET // max(width, 1))
    for begin in range(0, n, step):
        rows = slice(begin, begin + step)
        likeness = alike(rows)
        place[rows] = likeness.argmax(axis=1)
        value[rows] = likeness.max(axis=1)
    return place, value
