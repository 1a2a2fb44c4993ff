"""BM25: shared words, weighted; the lexical rival of every encoder."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from tastebench.contracts import FitReport, Items, Queries, RecommenderCard, Trainer
from tastebench.errors import UsageError
from tastebench.ragged import Ragged

Variant = Literal["lucene", "okapi-floored", "blair-published"]

FLOOR = 0.25  # of the mean weight, for words in more than half of the texts


class BM25Config(BaseModel):
    """Hyper-parameters of BM25."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    k1: float = Field(1.5, ge=0)
    """How much repeats of a word add: 0 counts presence only."""

    b: float = Field(0.75, ge=0, le=1)
    """How much long texts are held back."""

    variant: Variant = "lucene"
    """What a shared word is worth.

    - `lucene`: never negative.
    - `okapi-floored`: the odds of a text without the word; a negative weight is replaced by a
      quarter of the mean over all words.
    - `blair-published`: `okapi-floored` as the published code of the BLaIR benchmark has it: the
      number of texts stands in place of a text's length, so that length no longer matters, and
      words keep their case while stop words are in lower case ("The" stays).
    """

    stop_words: Literal["english", "nltk", "none"] = "english"
    """Leave out the 33 words of Lucene's English list, the 179 of NLTK's, or none.

    The published code of the BLaIR benchmark leaves out NLTK's.
    """


class BM25:
    r"""BM25 over words: runs of letters, digits and underscores, in lower case.

    $\sum_{t \in q} w_t \cdot \frac{f_t}{f_t + k_1 (1 - b + b |d| / \overline{|d|})}$ with $f_t$ how
    often the word is in the text and $|d|$ a text's length in words. A word said twice in the query
    counts twice. With $N$ texts, $n_t$ of which hold the word, the variants differ in

    - `lucene`: $w_t = \ln(1 + \frac{N - n_t + 0.5}{n_t + 0.5})$. Older forms multiply it by
      $k_1 + 1$, which changes no order.
    - `okapi-floored`: $w_t = (k_1 + 1) \ln \frac{N - n_t + 0.5}{n_t + 0.5}$; where the logarithm is
      negative, 0.25 times its mean over the vocabulary stands for it (which is negative itself
      where most words are in most texts).
    - `blair-published`: that weight, $N$ in place of $|d|$, and no lower case. The published code
      splits words as NLTK does, which also makes punctuation a word; here it never is one.

    A weight per word and text is kept; scoring sums them up.
    """

    def __init__(self, config: BM25Config) -> None:
        self.config = config
        self.vocabulary: dict[str, int] = {}
        self.index: tuple[np.ndarray, ...] = ()

    def fit(self, problem: Any, items: Items, trainer: Trainer) -> FitReport:
        """Indexes the texts of the items.

        Raises:
            UsageError: The items have no texts, or none of them holds a word.
        """
        start = time.perf_counter()
        if items.text is None:
            raise UsageError("bm25 needs item texts", fix="representation: text")
        split = self._split(items.text)
        self.vocabulary = {}
        words = Ragged.from_lists(
            [[self.vocabulary.setdefault(w, len(self.vocabulary)) for w in text] for text in split]
        )
        if not len(words.values):
            raise UsageError("no item text holds a word", fix="choose a text recipe with content")
        self.index = _weighted(words, len(self.vocabulary), self.config)
        return FitReport(parameters=len(self.index[0]), seconds=time.perf_counter() - start)

    def scores(self, queries: Queries, items: slice) -> np.ndarray:
        """BM25 of each text for each query, float32 `[n, len(items)]`; 0 shares no word."""
        if queries.text is None:
            raise UsageError("bm25 needs the queries in words", fix="representation: text")
        number = self.vocabulary
        words = Ragged.from_lists(
            [[number[w] for w in text if w in number] for text in self._split(queries.text)]
        )
        scores = np.zeros((len(queries), items.stop - items.start), np.float32)
        _summation()(words.values, words.offsets, *self.index, items.start, scores)
        return scores

    def _split(self, texts: Sequence[str]) -> Iterator[list[str]]:
        """The words of each text that count."""
        skip = _stop_words(self.config.stop_words)
        lower = self.config.variant != "blair-published"
        return ([w for w in words_of(text, lower=lower) if w not in skip] for text in texts)


_WORD = re.compile(r"\w+")


def words_of(text: str, *, lower: bool = True) -> list[str]:
    """The words of a text: runs of letters, digits and underscores, in lower case or as written."""
    return _WORD.findall(text.lower() if lower else text)


def _stop_words(name: str) -> frozenset[str]:
    from bm25s.stopwords import STOPWORDS_EN, STOPWORDS_EN_PLUS

    return frozenset({"english": STOPWORDS_EN, "nltk": STOPWORDS_EN_PLUS, "none": ()}[name])


def _weighted(words: Ragged, n_words: int, config: BM25Config) -> tuple[np.ndarray, ...]:
    """The weight of each word in each text that holds it, the texts by word.

    Args:
        words: Numbers of the words of each text.
        n_words: Size of the vocabulary.
        config: The formula.

    Returns:
        Weights float32 and texts int32 `[nnz]`, and where each word's begin `[n_words + 1]`.
    """
    n = len(words)
    both, often = np.unique(words.values.astype(np.int64) * n + words.rows, return_counts=True)
    word, text = np.divmod(both, n)
    holding = np.bincount(word, minlength=n_words)
    length = n if config.variant == "blair-published" else words.lengths[text]
    norm = config.k1 * (1 - config.b + config.b * length / words.lengths.mean())
    weights = _word_weights(holding, n, config)[word] * (often / (often + norm))
    begin = np.concatenate([[0], np.cumsum(holding)])
    return weights.astype(np.float32), text.astype(np.int32), begin


def _word_weights(holding: np.ndarray, n: int, config: BM25Config) -> np.ndarray:
    """What each word counts, by how many of the `n` texts hold it."""
    odds = (n - holding + 0.5) / (holding + 0.5)
    if config.variant == "lucene":
        return np.log1p(odds)
    idf = np.log(odds)
    return (config.k1 + 1) * np.where(idf < 0, FLOOR * idf.mean(), idf)


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
    citation="Robertson & Zaragoza 2009; Lucene's form: Kamphuis et al. 2020; floored: rank_bm25",
)
