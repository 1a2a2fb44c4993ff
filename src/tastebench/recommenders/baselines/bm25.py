"""BM25: shared words, weighted; the lexical rival of every encoder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged


class BM25Config(BaseModel):
    """Hyper-parameters of BM25."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    k1: float = Field(1.5, ge=0)
    """How much repeats of a word add: 0 counts presence only."""

    b: float = Field(0.75, ge=0, le=1)
    """How much long texts are held back."""

    stop_words: Literal["english", "none"] = "english"
    """Leave out the 33 words of Lucene's English list, or none."""


class BM25:
    r"""Okapi BM25 in Lucene's form, over lower-cased words.

    $\sum_{t \in q} \ln(1 + \frac{N - n_t + 0.5}{n_t + 0.5}) \cdot
    \frac{f_t}{f_t + k_1 (1 - b + b |d| / \overline{|d|})}$ with $f_t$ how often the word is in the
    text, $n_t$ the texts that hold it, $|d|$ a text's length in words. A word said twice in the
    query counts twice. Unlike in older forms no word has negative weight, and the constant
    $k_1 + 1$, which changes no order, is left out. bm25s makes the index (a weight per word and
    text); scoring sums it up.
    """

    def __init__(self, config: BM25Config) -> None:
        self.config = config
        self.vocabulary: dict[str, int] = {}
        self.index: dict[str, Any] = {}

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Indexes the texts of the items.

        Raises:
            UsageError: The items have no texts, or none of them holds a word.
        """
        import bm25s

        start = time.perf_counter()
        if items.text is None:
            raise UsageError("bm25 needs item texts", fix="representation: text")
        words, self.vocabulary = _numbered(items.text, self._stop_words())
        if not len(words.values):
            raise UsageError("no item text holds a word", fix="choose a text recipe with content")
        engine = bm25s.BM25(k1=self.config.k1, b=self.config.b, method="lucene", backend="numba")
        engine.index(
            (words.to_lists(), self.vocabulary), create_empty_token=False, show_progress=False
        )
        self.index = {name: engine.scores[name] for name in ("data", "indices", "indptr")}
        return FitReport(parameters=len(self.index["data"]), seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """BM25 of each text for each query, float32 `[n, len(items)]`; 0 shares no word."""
        if queries.text is None:
            raise UsageError("bm25 needs the queries in words", fix="representation: text")
        words = _looked_up(queries.text, self.vocabulary)
        scores = np.zeros((len(queries), items.stop - items.start), np.float32)
        _summation()(words.values, words.offsets, *self.index.values(), items.start, scores)
        return scores

    def _stop_words(self) -> frozenset[str]:
        if self.config.stop_words == "none":
            return frozenset()
        from bm25s.stopwords import STOPWORDS_EN

        return frozenset(STOPWORDS_EN)


_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """The words of a text: runs of letters, digits and underscores, lower-cased."""
    return _WORD.findall(text.lower())


def _numbered(texts: Sequence[str], skip: frozenset[str]) -> tuple[Ragged, dict[str, int]]:
    """The words of all texts by number, and the numbers, in order of first appearance."""
    number: dict[str, int] = {}
    lists = [
        [number.setdefault(word, len(number)) for word in words_of(text) if word not in skip]
        for text in texts
    ]
    return Ragged.from_lists(lists), number


def _looked_up(texts: Sequence[str], number: dict[str, int]) -> Ragged:
    """The known words of each query by number."""
    return Ragged.from_lists(
        [[number[word] for word in words_of(text) if word in number] for text in texts]
    )


@cache
def _summation() -> Callable[..., None]:
    """The inner loop, compiled when first needed: adding a word's texts touches only those."""
    from numba import njit

    @njit(nogil=True)
    def add(
        words: np.ndarray,
        offsets: np.ndarray,
        data: np.ndarray,
        indices: np.ndarray,
        indptr: np.ndarray,
        first: int,
        scores: np.ndarray,
    ) -> None:
        width = scores.shape[1]
        for query in range(len(offsets) - 1):
            for at in range(offsets[query], offsets[query + 1]):
                word = words[at]
                for place in range(indptr[word], indptr[word + 1]):
                    text = indices[place] - first
                    if 0 <= text < width:
                        scores[query, text] += data[place]

    result: Callable[..., None] = add
    return result


CARD = RecommenderCard(
    name="bm25",
    summary="BM25 over the words of item texts",
    tasks=("search",),
    representations=("text",),
    config=BM25Config,
    build=BM25,
    citation="Robertson & Zaragoza 2009; Lucene's form: Kamphuis et al. 2020",
)
