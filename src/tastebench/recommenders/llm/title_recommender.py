"""The recommender that has titles written and finds the items that are meant."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tastebench.contracts import (
    Account,
    FitReport,
    Items,
    Queries,
    Ranking,
    SeqProblem,
    Trainer,
)
from tastebench.errors import UsageError
from tastebench.lm.asking import REFUSED
from tastebench.lm.calls import Call
from tastebench.lm.transcript import Transcript
from tastebench.ragged import Ragged, spans
from tastebench.recommenders.llm.answers import without_thoughts
from tastebench.recommenders.llm.grounding import Catalogue, Grounded
from tastebench.recommenders.llm.prompt import one_line
from tastebench.recommenders.llm.texts import texts_of
from tastebench.recommenders.llm.title_writers import LocalWriter, RemoteWriter

if TYPE_CHECKING:
    from tastebench.recommenders.llm.llm_title import TitleConfig

COUNTS = ("answered", "exact", "nearest", "no_item", "refused", "repeated", "cut", "left_out")


class TitleRecommender:
    """Asks for titles of what comes next; the items that they stand for are the list.

    A title that several items bear stands for all of them, tied. Scores only order.

    Args:
        config: Which model, how it is asked and how it is tuned.

    Attributes:
        transcript: What was asked, and what was written.
    """

    def __init__(self, config: TitleConfig) -> None:
        self.config = config
        self.transcript = Transcript()
        self._writer: LocalWriter | RemoteWriter | None = None
        self._catalogue: Catalogue | None = None
        self._history_length = 0
        self._counts: Counter[str] = Counter()
        self._likeness = 0.0

    def fit(self, problem: SeqProblem, items: Items, trainer: Trainer) -> FitReport:
        """Opens the model and, if it is to be tuned, teaches it titles of the training part.

        Raises:
            UsageError: Somebody else's server and no cap, no titles, or nothing to train on.
            DataError: No such model, or a prompt has no room.
        """
        began = time.perf_counter()
        config, texts, titles = self.config, texts_of(items), titles_of(items)
        self._catalogue = Catalogue(titles, config.nearest, config.least_alike)
        self._history_length = problem.history_length
        report = None
        if config.remote:
            writer = self._writer = RemoteWriter(config, texts, problem.history_length)
            writer.check_cap([problem.test.history, problem.valid.history])
            self.transcript = Transcript(writer.model.endpoint.known_key())
        else:
            from tastebench.recommenders.llm.title_training import train

            local = self._writer = LocalWriter(config, texts, problem.history_length, trainer.seed)
            self.transcript = Transcript()
            if config.tune != "none":
                report = train(local, config, problem, titles, trainer)
        self._begin_anew()
        seconds = time.perf_counter() - began
        notes = (self._writer.note,)
        if report is None:
            return FitReport(parameters=0, seconds=seconds, notes=notes)
        return replace(report, seconds=seconds, notes=(*notes, *report.notes))

    def generate(self, queries: Queries, k: int) -> Ranking:
        """The items that at most `k` titles stand for, and what is tied with the last of them.

        Raises:
            UsageError: `fit` was not called, or the queries hold no histories.
            BudgetError: The cap is reached; what was answered is kept.
            RemoteError: The server cannot be asked; what was answered is kept.
        """
        if self._writer is None or self._catalogue is None:
            raise UsageError("llm-title is not fitted", fix="call fit first")
        if queries.history is None:
            raise UsageError("llm-title needs histories to say what comes next")
        history = queries.history.tail(self._history_length)
        n = min(k, self.config.titles)
        conversations, calls = self._writer.write(history, n)
        written = [title_in(call) for row in calls for call in row]
        found = self._catalogue.ground([text or "" for text in written])
        new = first_of_each(found.title.reshape(len(calls), n))
        self._count(found, written, new, history, n)
        items = self._catalogue.items
        for i, (conversation, row) in enumerate(zip(conversations, calls, strict=True)):
            user = None if queries.user is None else int(queries.user[i])
            for j, call in enumerate(row):
                at = i * n + j
                title = int(found.title[at])
                meant = items[title].tolist() if title >= 0 else []
                self.transcript.add(
                    user, meant, conversation, call, _kind(found, written[at], at, new[i, j])
                )
        return listed(np.where(new, found.title.reshape(new.shape), -1), items, k)

    def account(self) -> Account:
        """What was asked since the last call, and what came of it.

        `answered` are askers; the other counts are of titles: written word for word as an item's
        (`exact`), standing for the `nearest`, for `no_item`, `refused`, and `repeated`, which stand
        for what an earlier title of the list does. Probes: the share that is no item's title
        (`title_miss_rate`), the mean likeness of those that stand for the nearest, and the share
        that stands for an item of the history.
        """
        if self._writer is None:
            raise UsageError("llm-title is not fitted", fix="call fit first")
        counts = {**dict.fromkeys(COUNTS, 0), **self._counts, **self._writer.shortened()}
        copied = counts.pop("in_history", 0)
        written = counts["exact"] + counts["nearest"] + counts["no_item"]
        probes = {}
        if written:
            probes = {
                "title_miss_rate": 1 - counts["exact"] / written,
                "title_in_history_rate": copied / written,
                "title_repeat_rate": counts["repeated"] / written,
            }
        if counts["nearest"]:
            probes["title_likeness"] = self._likeness / counts["nearest"]
        asked = counts["answered"]
        self._begin_anew()
        return self._writer.account(counts, probes, asked)

    def _begin_anew(self) -> None:
        self._counts, self._likeness = Counter(), 0.0

    def _count(
        self,
        found: Grounded,
        written: list[str | None],
        new: np.ndarray,
        history: Ragged,
        n: int,
    ) -> None:
        assert self._catalogue is not None
        there = np.array([text is not None for text in written], dtype=bool)
        near = (found.title >= 0) & ~found.exact
        self._counts["answered"] += len(history)
        self._counts["refused"] += int((~there).sum())
        self._counts["exact"] += int(found.exact.sum())
        self._counts["nearest"] += int(near.sum())
        self._counts["no_item"] += int((there & (found.title < 0)).sum())
        self._counts["repeated"] += int(((found.title >= 0) & ~new.ravel()).sum())
        self._likeness += float(found.likeness[near].sum())
        asker = np.repeat(np.arange(len(history)), n)
        self._counts["in_history"] += _among(asker, found.title, history, self._catalogue)


def titles_of(items: Items) -> list[str]:
    """The title of each item, or its text where there is no column `title`."""
    columns = items.columns or {}
    return [one_line(text) for text in columns["title"]] if "title" in columns else texts_of(items)


def title_in(call: Call) -> str | None:
    """The title in an answer, its first line that says anything; None of one that was refused."""
    if call.finish_reason in {REFUSED, "content_filter"} or call.refusal:
        return None
    lines = (line.strip() for line in without_thoughts(call.text).splitlines())
    return next((line for line in lines if line), "")


def first_of_each(titles: np.ndarray) -> np.ndarray:
    """Whether a title stands for something and is the first of its row to do so, bool `[q, n]`.

    >>> first_of_each(np.array([[3, 1, 3, -1]])).tolist()
    [[True, True, False, False]]
    """
    n = titles.shape[1]
    earlier = np.tri(n, k=-1, dtype=bool)
    repeats = ((titles[:, :, None] == titles[:, None, :]) & earlier).any(axis=2)
    new: np.ndarray = (titles >= 0) & ~repeats
    return new


def listed(titles: np.ndarray, items: Ragged, k: int) -> Ranking:
    """The items of titles in their order, those of one title tied.

    Args:
        titles: Best first, -1 for none, int64 `[q, n]`.
        items: Of each title.
        k: Slots of a list; it goes on to the end of what is tied with the last.
    """
    lengths = np.where(titles >= 0, items.lengths[titles], 0)
    begins = np.cumsum(lengths, axis=1) - lengths
    lengths = np.where(begins < k, lengths, 0)
    totals = lengths.sum(axis=1)
    width = max(k, int(totals.max(initial=0)))
    found = np.full((len(titles), width), -1, dtype=np.int32)
    scores = np.full((len(titles), width), -np.inf, dtype=np.float32)
    row = np.repeat(np.arange(len(titles)), totals)
    column = np.arange(int(totals.sum())) - np.repeat(np.cumsum(totals) - totals, totals)
    flat = lengths.ravel()
    found[row, column] = items.values[spans(items.offsets[:-1][titles.ravel()], flat)]
    place = np.tile(np.arange(titles.shape[1]), len(titles))
    scores[row, column] = -np.repeat(place, flat)
    return Ranking(found, scores, ties=True)


def _kind(found: Grounded, text: str | None, at: int, new: bool) -> str:
    if text is None:
        return "refused"
    if found.title[at] < 0:
        return "no_item"
    if not new:
        return "repeated"
    return "exact" if found.exact[at] else "nearest"


def _among(asker: np.ndarray, title: np.ndarray, history: Ragged, catalogue: Catalogue) -> int:
    """How many titles are those of an item of their asker's history."""
    items = catalogue.items
    of_item = np.full(int(max(items.values.max(), history.values.max(initial=0))) + 1, -1)
    of_item[items.values] = items.rows
    m = len(items)
    known = history.rows * m + of_item[history.values]
    known = known[of_item[history.values] >= 0]
    there = title >= 0
    return int(np.isin(asker[there] * m + title[there], known).sum())
