"""Attribute count: the option whose values the user had most often, whatever is asked.

It reads no question but for a value in quotation marks: what counting alone is worth.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import polars as pl

from tastebench.contracts import (
    Answers,
    FitReport,
    Items,
    QaProblem,
    Questions,
    RecommenderCard,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.ragged import Ragged
from tastebench.recommenders import NoParameters

_QUOTED = r"[\"“「](.+)[\"”」]"
_LISTS = r" > | -> "
"""Between the values of an option that is a list (`tastebench.data.questions`)."""


class AttributeCount:
    """Scores options by counts over the user's history, as much of it as models are shown.

        one value        how many events have it
        a list           sum over its places j = 1 .. k of (k + 1 - j) times the count of the j-th
        numbers          how near, by the logarithm, to the count of a quoted value, else to the
                         number of events

    A list in the order of its counts has the largest sum of all orders. A value counts in whichever
    column of the items it stands.
    """

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self._each: Ragged | None = None
        self._values: np.ndarray = np.empty(0, dtype=object)
        self._events = 0

    def fit(self, problem: QaProblem, items: Items, trainer: Trainer) -> FitReport:
        """Takes what items are; there is nothing to learn.

        Raises:
            UsageError: Items have no words.
        """
        from tastebench.recommenders.userqa.values import codes_of, columns_of

        begin = time.perf_counter()
        columns = columns_of(items, "attribute-count").values()
        wholes = [column.whole for column in columns]
        known = [column.values for column in columns]
        self._values = np.unique(np.concatenate([*known, *wholes]).astype(object))
        self._values = self._values[self._values != ""]
        rows, codes = [], []
        for column in columns:
            rows += [column.each.rows, np.arange(items.n)]
            codes += [codes_of(self._values, column.values)[column.each.values]]
            codes += [codes_of(self._values, column.whole)]
        row, code = np.concatenate(rows), np.concatenate(codes)
        pair = np.unique((row * len(self._values) + code)[code >= 0])
        size, self._events = max(len(self._values), 1), problem.history_length
        self._each = Ragged.from_rows(pair // size, pair % size, items.n)
        seconds = time.perf_counter() - begin
        return FitReport(parameters=len(self._each.values), seconds=seconds)

    def answer(self, questions: Questions) -> Answers:
        """The logarithms of the options' shares of the counts.

        Raises:
            UsageError: `fit` was not called.
        """
        from tastebench.recommenders.userqa.narrow import asked_only, no_answers
        from tastebench.recommenders.userqa.values import log_softmax, option_texts

        if self._each is None:
            raise UsageError("attribute-count is not fitted", fix="call fit first")
        n = len(questions)
        if not n:
            return no_answers(questions)
        questions = asked_only(questions, self._events)
        options = option_texts(questions.options)
        numbers = pl.Series(options.ravel()).cast(pl.String).str.to_integer(strict=False)
        number = numbers.cast(pl.Float64).to_numpy().reshape(options.shape)
        counts = self._counts(questions)
        scores = self._by_values(questions.user, options, counts)
        is_number = ~np.isnan(number).any(axis=1)
        target = self._targets(questions, counts)
        with np.errstate(divide="ignore", invalid="ignore"):
            near = -np.abs(np.log(np.maximum(number, 0.5) / np.maximum(target, 0.5)[:, None]))
        none = np.zeros(n, dtype=np.int64)
        scores = log_softmax(np.where(is_number[:, None], near, scores))
        return Answers(scores, ["answered"] * n, none, none)

    def _counts(self, questions: Questions) -> tuple[np.ndarray, np.ndarray]:
        """Pairs of user and value, ascending, and how many of the user's events have it."""
        assert self._each is not None
        of_event = self._each[questions.history.values]
        user = questions.history.rows[of_event.rows]
        return np.unique(user * len(self._values) + of_event.values, return_counts=True)

    def _looked_up(self, counts: Any, user: np.ndarray, values: np.ndarray) -> np.ndarray:
        """How often users had values, in words, float64 `[n]`."""
        from tastebench.recommenders.userqa.values import codes_of

        pairs, size = counts
        code = codes_of(self._values, values)
        pair = user * len(self._values) + code
        at = np.minimum(np.searchsorted(pairs, pair), max(len(pairs) - 1, 0))
        found = (code >= 0) & (pairs[at] == pair) if len(pairs) else np.zeros(len(pair), bool)
        return np.where(found, size[at] if len(pairs) else 0, 0).astype(np.float64)

    def _by_values(self, user: np.ndarray, options: np.ndarray, counts: Any) -> np.ndarray:
        n, k = options.shape
        texts = pl.Series(options.ravel()).cast(pl.String)
        parts = texts.str.replace_all(_LISTS, "\0").str.split("\0")
        width = parts.list.len().to_numpy().astype(np.int64)
        flat = parts.explode().to_numpy().astype(object)
        option = np.repeat(np.arange(n * k), width)
        place = np.arange(len(flat)) - np.repeat(np.cumsum(width) - width, width)
        had = self._looked_up(counts, user[option // k], flat)
        weighted = had * (width[option] - place)
        # A text that holds what stands between values may be one value.
        alone = self._looked_up(counts, np.repeat(user, k), options.ravel())
        summed = np.bincount(option, weighted, minlength=n * k)
        best: np.ndarray = np.maximum(summed, alone).reshape(n, k)
        return best

    def _targets(self, questions: Questions, counts: Any) -> np.ndarray:
        """What numbers are near to, float64 `[n]`."""
        quoted = pl.Series(list(questions.text)).str.extract(_QUOTED, 1).fill_null("")
        lengths = questions.history.lengths[questions.user].astype(np.float64)
        value = self._looked_up(counts, questions.user, quoted.to_numpy().astype(object))
        return np.where((quoted != "").to_numpy(), value, lengths)


CARD = RecommenderCard(
    name="attribute-count",
    summary="the option whose values the user had most often, whatever is asked",
    tasks=("userqa",),
    representations=("text",),
    config=NoParameters,
    build=AttributeCount,
    kind="control",
)
