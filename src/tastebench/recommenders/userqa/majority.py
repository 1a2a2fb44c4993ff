"""Majority: the answer that is right most often in training, whoever is asked about.

What is said by those who know the questions and no user. The same question in words counts first;
what is right for its kind decides where that was never asked.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict

import numpy as np

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
from tastebench.recommenders import NoParameters

PRIOR = 1.0
"""Answers of the kind that are added to those of a question: few of them say little."""


class Majority:
    """Counts right answers by question and by kind.

        score(option) = log(n(option, question) + PRIOR * (n(option, kind) + 1) / (n(kind) + 1))

    and the options of a question share a probability of one.
    """

    def __init__(self, config: NoParameters) -> None:
        self.config = config
        self._by_text: dict[str, Counter[str]] = {}
        self._by_kind: dict[str, Counter[str]] = {}

    def fit(self, problem: QaProblem, items: Items, trainer: Trainer) -> FitReport:
        """Counts.

        Raises:
            UsageError: There are no training questions.
        """
        begin = time.perf_counter()
        train = problem.train
        if not len(train):
            raise UsageError("majority counts right answers, and there are no training questions")
        by_text: dict[str, Counter[str]] = defaultdict(Counter)
        by_kind: dict[str, Counter[str]] = defaultdict(Counter)
        for text, options, gold, kind in zip(
            train.text, train.options, train.gold.tolist(), train.kind.tolist(), strict=True
        ):
            by_text[text][options[gold]] += 1
            by_kind[train.kinds[kind]][options[gold]] += 1
        self._by_text, self._by_kind = dict(by_text), dict(by_kind)
        numbers = sum(len(own) for own in (*by_text.values(), *by_kind.values()))
        return FitReport(parameters=numbers, seconds=time.perf_counter() - begin)

    def answer(self, questions: Questions) -> Answers:
        """Log-probabilities of the options."""
        n = len(questions)
        nothing: Counter[str] = Counter()
        shares = np.empty((n, len(questions.options[0]) if n else 0))
        for row, (text, options, kind) in enumerate(
            zip(questions.text, questions.options, questions.kind.tolist(), strict=True)
        ):
            asked = self._by_text.get(text, nothing)
            alike = self._by_kind.get(questions.kinds[kind], nothing)
            prior = PRIOR / (alike.total() + 1)
            shares[row] = [asked[one] + prior * (alike[one] + 1) for one in options]
        scores = np.log(shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
        none = np.zeros(n, dtype=np.int64)
        return Answers(scores, ["answered"] * n, none, none)


CARD = RecommenderCard(
    name="majority",
    summary="the answer that is right most often in training, whoever is asked about",
    tasks=("userqa",),
    representations=("id",),
    config=NoParameters,
    build=Majority,
    kind="control",
)
