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
from tastebench.errors import DataError, UsageError
from tastebench.ragged import spans

Form = Literal["whole", "each"]
"""Of a value: all that an item is, or one of its values."""

DRAWN = 16
"""Values drawn for three options, from the user's own items and as many from others'."""

_SAMPLE = 20_000
"""Train users whose right answers say which answers are usual, at most."""

_LATEST, _EVER, _UNSEEN = 0.2, 0.2, 0.02
"""What else says how likely an item is next, beside the next items of train users who are asked
about: those of all train users, their other events (as if they were as many), and nothing."""


@dataclass(frozen=True, eq=False)
class World:
    """One dataset as the makers of questions see it.

    Attributes:
        attributes: The title first.
        few: Attributes with too few values to ask about, and how many they have.
        taken: Items of train users' events, their last one included, int32.
    """

    spec: QuestionSpec
    people: People
    attributes: tuple[Attribute, ...]
    few: dict[str, int]
    taken: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, spec: QuestionSpec) -> World:
        """Reads a dataset.

        Raises:
            DataError: Items have no titles, or too few, or nothing says what came first.
            UsageError: An attribute is not there, or has too few values.
        """
        people = people_of(dataset, spec)
        rules = rules_of(dataset, spec.attributes)
        read = [read_attribute(dataset, rule, spec.title_characters) for rule in rules]
        sizes = {each.name: min(len(each.texts), len(each.values)) for each in read}
        few = {name: size for name, size in sizes.items() if size < spec.options}
        if read[0].name in few:
            raise DataError(
                f"{few[read[0].name]} different titles do not make {spec.options} options",
                where=dataset.name,
            )
        if few and spec.attributes is not None:
            told = ", ".join(f"{name} has {size:,}" for name, size in few.items())
            raise UsageError(
                f"a question has {spec.options} options, and {told} values",
                where=dataset.name,
                fix="leave it out of attributes",
            )
        train = np.flatnonzero(people.part == 0)
        return cls(
            spec=spec,
            people=people,
            attributes=tuple(each for each in read if each.name not in few),
            few=few,
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

    def own(
        self, attribute: Attribute, form: Form, who: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Values of some of the users' own items, `[q, m]`, -1 among them."""
        n = self.people.lengths[who]
        place = np.floor(rng.random((len(who), DRAWN)) * n[:, None]).astype(np.int64)
        items = self.people.at(who[:, None], place)
        return attribute.whole[items] if form == "whole" else self.single(attribute, items, rng)

    @cached_property
    def sample(self) -> np.ndarray:
        """Train users who can be asked about, some where there are many; rows of `people`."""
        able = np.flatnonzero((self.people.part == 0) & self.people.asked)
        rng = np.random.default_rng(np.random.SeedSequence(self.spec.seed, spawn_key=(9,)))
        return np.sort(rng.permutation(able)[:_SAMPLE])

    @cached_property
    def next_rates(self) -> tuple[Popularity, ...]:
        """How often train users take what next, by what items are by each attribute.

        Of the next items of those who can be asked about, and, as there may be few of these, of
        those of all train users and of all their events with less weight.
        """
        people, found = self.people, []
        train = people.part == 0
        for attribute in self.attributes:
            n = len(attribute.texts)
            asked, latest, ever = (
                np.bincount(attribute.whole[items][attribute.whole[items] >= 0], minlength=n)
                for items in (people.next[train & people.asked], people.next[train], self.taken)
            )
            share = train.sum() / max(len(self.taken), 1)
            rates = asked + _LATEST * latest + _EVER * share * ever + _UNSEEN
            found.append(Popularity.of(rates))
        return tuple(found)

    @cached_property
    def _pairs(self) -> np.ndarray:
        history, title = self.people.history, self.attributes[0]
        codes = title.whole[history.values]
        return np.sort((history.rows * len(title.texts) + codes)[codes >= 0])

    def had_title(self, who: np.ndarray, titles: np.ndarray) -> np.ndarray:
        """Whether the history of a user has an item of a title, bool, of the shape of `titles`.

        Args:
            who: Users, `[q]`.
            titles: Of the title's `texts`, `[q]` or `[q, m]`.
        """
        if not len(self._pairs):
            return np.zeros(titles.shape, dtype=bool)
        user = who if titles.ndim == 1 else who[:, None]
        pair = user * len(self.attributes[0].texts) + titles
        at = np.minimum(np.searchsorted(self._pairs, pair), len(self._pairs) - 1)
        found: np.ndarray = self._pairs[at] == pair
        return found
