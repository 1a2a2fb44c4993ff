"""The rules that questions about a sequence go by, applied to their options.

Of each option it is worked out how well it fits, as numbers that are compared one after the other;
the option with the largest is the answer.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl

from tastebench.contracts import Answers, FitReport, Items, QaProblem, Questions, Trainer
from tastebench.data.questions.makers import ORDER, TIME
from tastebench.errors import UsageError
from tastebench.ragged import Ragged, spans
from tastebench.recommenders.userqa.asked import Asking, read_questions
from tastebench.recommenders.userqa.narrow import asked_only, no_answers
from tastebench.recommenders.userqa.values import Column, columns_of, option_texts

_THIRDS = 3
_WRONG = 1e-6
"""Probability of what is not the answer."""


class ReadsAll:
    """Answers by the rules; what no template asks stays without an answer."""

    def __init__(self) -> None:
        self._columns: dict[str, Column] = {}
        self._train: Ragged | None = None
        self._events = 0

    def fit(self, problem: QaProblem, items: Items, trainer: Trainer) -> FitReport:
        """Takes what items are, and who had what in training.

        Raises:
            UsageError: Items have no words.
        """
        begin = time.perf_counter()
        self._columns = columns_of(items, "reads-all")
        self._train, self._events = problem.train.history, problem.history_length
        return FitReport(parameters=0, seconds=time.perf_counter() - begin)

    def answer(self, questions: Questions) -> Answers:
        """The log of almost one for the option that is right, of almost none for the others.

        Raises:
            UsageError: `fit` was not called.
        """
        if self._train is None:
            raise UsageError("reads-all is not fitted", fix="call fit first")
        n = len(questions)
        if not n:
            return no_answers(questions)
        questions = asked_only(questions, self._events)
        options = option_texts(questions.options)
        scores = np.full(options.shape, -np.inf, dtype=np.float32)
        for asking in read_questions(questions, tuple(self._columns)):
            if asking.form != "length" and asking.attribute not in self._columns:
                continue
            scores[asking.rows] = _largest(self._fits(questions, asking, options[asking.rows]))
        known = np.isfinite(scores[:, 0])
        none = np.zeros(n, dtype=np.int64)
        status = np.where(known, "answered", "unparsed").tolist()
        return Answers(scores, status, none, none)

    def _fits(self, questions: Questions, asking: Asking, options: np.ndarray) -> np.ndarray:
        """How well each option fits, `[q, options, numbers]`."""
        history = questions.history[questions.user[asking.rows]]
        lengths = history.lengths
        if asking.form == "length":
            return _equal(options, lengths.astype(str).astype(object))
        if asking.form == "next_item":
            return self._beside(history, options)
        column = self._columns[asking.attribute]
        if asking.form in ("last", "first", "latest"):
            return _equal(options, _direct(history, column, asking))
        if asking.form == "count":
            everything = np.zeros_like(history.values)
            had = _tops(history, column, asking.value[:, None, None], everything)[:, 0, 0]
            return _equal(options, had.astype(np.int64).astype(str).astype(object))
        return _interests(history, column, asking, options)

    def _beside(self, history: Ragged, options: np.ndarray) -> np.ndarray:
        """How often train users had the option's item beside items of the user's, over its own.

        Cosine of item columns, summed over the user's items, as item-knn has it.
        """
        from scipy import sparse

        assert self._train is not None
        column = next(iter(self._columns.values()))
        train = self._train
        n = len(column.whole)

        def matrix(lists: Ragged) -> Any:
            ones = np.ones(len(lists.values))
            made = sparse.csr_matrix((ones, (lists.rows, lists.values)), (len(lists), n))
            made.data[:] = np.minimum(made.data, 1)
            return made

        taken = matrix(train)
        size = np.sqrt(np.maximum(np.asarray(taken.sum(axis=0)).ravel(), 1))
        scaled = sparse.diags(1 / size)
        alike = (matrix(history) @ scaled) @ taken.T  # by question and train user
        items = _items_of(column.whole, options)  # titles stand first
        of_item = (taken @ scaled).T.tocsr()[np.maximum(items, 0).ravel()]
        rows = alike[np.repeat(np.arange(len(options)), options.shape[1])]
        found = np.asarray(rows.multiply(of_item).sum(axis=1)).reshape(options.shape)
        fits: np.ndarray = np.where(items >= 0, found, 0.0)[:, :, None]
        return fits


def _largest(fits: np.ndarray) -> np.ndarray:
    """Log-probabilities: almost all of it to the option with the largest numbers.

    Numbers are compared one after the other; equals share.
    """
    # The last key of lexsort is the first to be compared.
    best = np.lexsort(tuple(np.moveaxis(fits, 2, 0)[::-1]), axis=1)[:, -1]
    is_best = (fits == fits[np.arange(len(fits)), best][:, None]).all(axis=2)
    logs: np.ndarray = np.log(np.where(is_best, 1 / is_best.sum(axis=1, keepdims=True), _WRONG))
    return logs.astype(np.float32)


def _interests(history: Ragged, column: Column, asking: Asking, options: np.ndarray) -> np.ndarray:
    """Counts of the values of each option, in the events that the question is about."""
    lengths, stretch = history.lengths, np.zeros_like(history.values)
    parts = options[:, :, None]
    if asking.form == "trace":
        stretch = _places(history) * _THIRDS // np.repeat(lengths, lengths)
        parts = _split(options, TIME)
    elif asking.form == "long_term":
        parts = _split(options, ORDER)
    elif asking.form == "short_term":
        recent = _places(history) >= np.repeat(lengths - asking.k, lengths)
        stretch = np.where(recent, 0, -1)
    return _tops(history, column, parts, stretch, by_place=asking.form == "trace")


def _items_of(whole: np.ndarray, titles: np.ndarray) -> np.ndarray:
    """An item of each title, the first of several; -1 for none."""
    number = {text: i for i, text in reversed(list(enumerate(whole.tolist())))}
    flat = [number.get(text, -1) for text in titles.ravel().tolist()]
    return np.array(flat, dtype=np.int64).reshape(titles.shape)


def _equal(options: np.ndarray, right: np.ndarray) -> np.ndarray:
    same: np.ndarray = (options == right[:, None])[:, :, None]
    return same


def _places(history: Ragged) -> np.ndarray:
    """Place of each event in its history, from 0."""
    return spans(np.zeros_like(history.lengths), history.lengths)


def _direct(history: Ragged, column: Column, asking: Asking) -> np.ndarray:
    """What the item at a place is, or what the last `k` are, object `[q]`."""
    words = column.whole[history.values]
    begin, end = history.offsets[:-1], history.offsets[1:]
    if asking.form != "latest":
        place = begin + asking.k - 1 if asking.form == "first" else end - asking.k
        there = (place >= begin) & (place < end)
        right = np.full(len(history), "", dtype=object)
        right[there] = words[place[there]]
        return right
    latest = Ragged.windows(words, end, np.minimum(asking.k, history.lengths))
    frame = pl.DataFrame({"row": latest.rows, "word": latest.values.astype(str)})
    joined = frame.group_by("row", maintain_order=True).agg(pl.col("word").str.join(TIME))
    right = np.full(len(history), "", dtype=object)
    right[joined["row"].to_numpy()] = joined["word"].to_numpy()
    return right


def _split(options: np.ndarray, between: str) -> np.ndarray:
    """Lists of values by place, object `[q, options, parts]`; empty where a list is shorter."""
    parts = pl.Series(options.ravel()).cast(pl.String).str.split(between)
    width = int(parts.list.len().max() or 1)  # type: ignore[arg-type]
    places = [parts.list.get(j, null_on_oob=True).fill_null("").to_numpy() for j in range(width)]
    return np.stack(places, axis=1).astype(object).reshape(*options.shape, width)


def _tops(
    history: Ragged,
    column: Column,
    parts: np.ndarray,
    stretch: np.ndarray,
    *,
    by_place: bool = False,
) -> np.ndarray:
    """How often each value stands in a stretch of events, how late last, and how early in its item.

    Args:
        history: Of each question.
        column: The attribute.
        parts: Values in words, object `[q, options, parts]`.
        stretch: Of each event; -1 for one that does not count.
        by_place: The part at place `j` is looked for in stretch `j`; else all in stretch 0.

    Returns:
        float64 `[q, options, 3 * parts]`: of each part its count, its last place, and less the
        place at which the item of that event names it.
    """
    each = column.each[history.values]
    event = each.rows
    named = np.arange(len(each.values)) - each.offsets[event]
    stretches = int(parts.shape[2]) if by_place else 1
    n_values = max(len(column.values), 1)
    counts = stretch[event] >= 0
    of = (history.rows[event] * stretches + stretch[event]) * n_values + each.values
    of, event, named = of[counts], event[counts], named[counts]
    order = np.argsort(of, kind="stable")
    pairs, first, count = np.unique(of[order], return_index=True, return_counts=True)
    last = order[first + count - 1]
    stats = np.stack([count, _places(history)[event[last]], -named[last]], axis=1)
    code = column.code(parts)
    place = np.arange(parts.shape[2]) if by_place else np.zeros(parts.shape[2], dtype=np.int64)
    wanted = (np.arange(len(parts))[:, None, None] * stretches + place) * n_values + code
    at = np.minimum(np.searchsorted(pairs, wanted), max(len(pairs) - 1, 0))
    if not len(pairs):
        return np.zeros((*parts.shape[:2], 3 * parts.shape[2]))
    found = (code >= 0) & (pairs[at] == wanted)
    fits: np.ndarray = np.where(found[..., None], stats[at], 0)
    return fits.reshape(*parts.shape[:2], -1).astype(np.float64)
