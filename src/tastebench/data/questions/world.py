"""What questions are made from: people, attributes, and how often train users take what."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from tastebench.data.dataset import Dataset
from tastebench.data.questions.attributes import Attribute, read_attribute, rules_of
from tastebench.data.questions.options import Popularity
from tastebench.data.questions.people import People, people_of
from tastebench.data.questions.spec import QuestionSpec
from tastebench.ragged import Ragged, spans

Form = Literal["whole", "each"]
"""Of a value: all that an item is, or one of its values."""

_DRAWN = 16
"""Values drawn for three options, from the user's own items and as many from others'."""


@dataclass(frozen=True, eq=False)
class World:
    """One dataset as the makers of questions see it.

    Attributes:
        attributes: The title first.
        taken: Items of train users' events, their last one included, int32.
    """

    spec: QuestionSpec
    people: People
    attributes: tuple[Attribute, ...]
    taken: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, spec: QuestionSpec) -> World:
        """Reads a dataset."""
        people = people_of(dataset, spec)
        rules = rules_of(dataset, spec.attributes)
        train = np.flatnonzero(people.part == 0)
        return cls(
            spec=spec,
            people=people,
            attributes=tuple(read_attribute(dataset, r, spec.title_characters) for r in rules),
            taken=np.concatenate([people.history[train].values, people.next[train]]),
        )

    def events(
        self, who: np.ndarray, first: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The events of each question's user from place `first` on.

        Returns:
            The question, the place in the history and the item of each, int64 each.
        """
        n = self.people.lengths[who]
        place = spans(first, n - first)
        question = np.repeat(np.arange(len(who)), n - first)
        return question, place, self.people.at(who[question], place)

    def single(
        self, attribute: Attribute, items: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """One value of each item, drawn where there are several; -1 where there is none."""
        lists = attribute.each
        start, size = lists.offsets[items], lists.lengths[items]
        place = start + np.floor(rng.random(items.shape) * size).astype(np.int64)
        padded = np.append(lists.values, -1)
        values: np.ndarray = np.where(size > 0, padded[np.minimum(place, len(padded) - 1)], -1)
        return values

    def likely(
        self, attribute: Attribute, form: Form, who: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Values that could be an answer about these users, `[q, m]`, -1 among them.

        Half of the questions see values of the user's own items first and those that train users
        take behind them, the other half the reverse; in the end any that there are.
        """
        n = self.people.lengths[who]
        place = np.floor(rng.random((len(who), _DRAWN)) * n[:, None]).astype(np.int64)
        own = self.people.at(who[:, None], place)
        foreign = self.taken[rng.integers(len(self.taken), size=own.shape)]
        first = rng.random(len(who)) < 0.5
        items = np.concatenate(
            [np.where(first[:, None], own, foreign), np.where(first[:, None], foreign, own)], axis=1
        )
        if form == "whole":
            codes, n_values = attribute.whole[items], len(attribute.texts)
        else:
            codes, n_values = self.single(attribute, items, rng), len(attribute.values)
        rest = rng.integers(n_values, size=(len(who), _DRAWN // 2))
        return np.concatenate([codes, rest], axis=1)

    def popularity(self, place: int) -> Popularity:
        """Of what items are by the attribute at `place`."""
        return self._popularity[place]

    @cached_property
    def _popularity(self) -> tuple[Popularity, ...]:
        found = []
        for attribute in self.attributes:
            codes = attribute.whole[self.taken]
            counts = np.bincount(codes[codes >= 0], minlength=len(attribute.texts))
            found.append(Popularity.of(counts))
        return tuple(found)

    @cached_property
    def _pairs(self) -> np.ndarray:
        history, title = self.people.history, self.attributes[0]
        codes = title.whole[history.values]
        return np.unique((history.rows * len(title.texts) + codes)[codes >= 0])

    def had_title(self, who: np.ndarray, titles: np.ndarray) -> np.ndarray:
        """Whether the history of a user has an item of a title, bool, of the shape of `titles`.

        Args:
            who: Users, `[q]`.
            titles: Of the title's `texts`, `[q]` or `[q, m]`.
        """
        user = who if titles.ndim == 1 else who[:, None]
        return np.isin(user * len(self.attributes[0].texts) + titles, self._pairs)


def by_question(question: np.ndarray, values: np.ndarray, n: int) -> Ragged:
    """Values of questions as lists; both in the order of the questions."""
    return Ragged.from_lengths(values, np.bincount(question, minlength=n))
