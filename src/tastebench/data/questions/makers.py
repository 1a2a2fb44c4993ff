"""Questions with their options: the right one, and others as likely before the user is known.

Other options come from the distribution that the right answers of train users have to the same
question. Then the more usual of the options is not the likelier one: each of them is right about
as often as it stands there (P(gold = a | a, b, c, d) is in proportion to q(a) q(b) q(c) q(d), the
same for all). Half of the questions have others from the user's own items, drawn in proportion to
the same distribution, so that knowing what a user ever took is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from tastebench.data.questions.answers import FINDERS, Gold, Variant, first_fault
from tastebench.data.questions.attributes import Attribute
from tastebench.data.questions.options import mirror, near, once, pick
from tastebench.data.questions.templates import Form
from tastebench.data.questions.world import DRAWN, World
from tastebench.data.questions.world import Form as ValueForm
from tastebench.ragged import Ragged

ORDER, TIME = " > ", " -> "
"""Between values in order of interest, and in order of time."""

_LISTS: dict[Form, str] = {"latest": TIME, "long_term": ORDER, "trace": TIME}
_NUMBERS: tuple[Form, ...] = ("length", "count")
_NEXT: tuple[Form, ...] = ("next_item", "next_value")
_INTERESTS: tuple[Form, ...] = ("long_term", "short_term", "trace")

_RARE = 0.01
"""Weight of an answer that no train user gives, where one that a train user gives weighs 1."""

_USUAL = 8
"""A number is the right answer to one in so many questions, about, however usual it is."""


@dataclass(frozen=True, eq=False)
class Made:
    """Questions of one variant, `q` of them.

    Attributes:
        fault: Row of `FAULTS`, int64 `[q]`; the rest means nothing where it is not 0.
        options: In words, the right one first, object `[q, options]`.
        evidence: Places that the answer rests on, counted from 1; n + 1 is what comes next.
        value: The value that the question names, object `[q]`; None where it names none.
    """

    fault: np.ndarray
    options: np.ndarray
    evidence: Ragged
    value: np.ndarray | None = None


class Maker:
    """Makes questions about the users of one world; keeps which answers are usual."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._weights = cache(self._weigh)

    def make(self, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
        """One question about each user.

        Args:
            who: Users, rows of `World.people`.
            variant: What is asked.
            rng: Draws values to be counted and other options.
        """
        gold = FINDERS[variant.form](self.world, who, variant, rng)
        if variant.form in _NUMBERS:
            return self._number(variant, gold, rng)
        attribute = self.world.attributes[variant.attribute]
        if variant.form in _LISTS:
            options, fault = self._list(who, variant, gold, rng)
            words = _joined(_texts(attribute, variant), options, _LISTS[variant.form])
        else:
            options, fault = self._one(who, variant, gold, rng)
            words = _words(_texts(attribute, variant), options)
        return Made(np.where(gold.fault, gold.fault, fault), words, gold.evidence)

    def _number(self, variant: Variant, gold: Gold, rng: np.random.Generator) -> Made:
        """Numbers near the right one; where most answers are alike, most of these are left out."""
        right = gold.codes[:, 0]
        weights = self._weights(variant)
        share = weights[np.minimum(right, len(weights) - 1)] / weights.sum()
        usual = rng.random(len(right)) * share * _USUAL > 1
        fault = np.where(gold.fault, gold.fault, first_fault((usual, "usual_answer")))
        others = near(np.maximum(right, 1), self.world.spec.options - 1, rng)
        options = np.concatenate([right[:, None], others], axis=1).astype(str).astype(object)
        if gold.named is None:
            return Made(fault, options, gold.evidence)
        values = self.world.attributes[variant.attribute].values
        return Made(fault, options, gold.evidence, _words(values, gold.named))

    def _one(
        self, who: np.ndarray, variant: Variant, gold: Gold, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Single values, the right one first, int64 `[q, options]`, and faults."""
        key = None
        if variant.form in _NEXT:
            rates = self.world.next_rates[variant.attribute]
            drawn = rates.draw(np.maximum(gold.codes[:, 0], 0), 2 * DRAWN, rng)
            if variant.form == "next_item":
                drawn = np.where(self.world.had_title(who, drawn), -1, drawn)
        else:
            drawn, key = self._likely(who, variant, rng)
        others, enough = pick(drawn, gold.codes, self.world.spec.options - 1, key)
        fault = first_fault((~enough, "too_few_other_options"))
        return np.concatenate([gold.codes, others], axis=1), fault

    def _list(
        self, who: np.ndarray, variant: Variant, gold: Gold, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Lists of values, the right one first, int64 `[q, options, w]`, and faults."""
        drawn, key = self._likely(who, variant, rng)
        others, _ = pick(drawn, gold.codes, gold.codes.shape[1], key)
        lists, found = mirror(gold.codes, others, rng)
        shown = [0, 1, 2, 3] if self.world.spec.options == 4 else [0, int(rng.integers(1, 4))]
        return lists[:, shown], first_fault((~found, "nothing_to_change_round"))

    def _likely(
        self, who: np.ndarray, variant: Variant, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Values that could be right, `[q, m]`, -1 among them, and keys to pick them by.

        Own values of a user are picked in proportion to their weights, since the smallest of
        exponential variables divided by weights is one's in proportion to its weight; how often the
        user took them counts for nothing.
        """
        attribute, weights = self.world.attributes[variant.attribute], self._weights(variant)
        own = once(self.world.own(attribute, _form(variant), who, rng))
        total = np.cumsum(weights)
        at = np.searchsorted(total, rng.random(own.shape) * total[-1], side="right")
        usual = np.minimum(at, len(weights) - 1)
        rest = rng.integers(len(weights), size=(len(who), DRAWN // 2))
        place = np.broadcast_to(np.linspace(0, 0.5, own.shape[1]), own.shape)
        key_own = rng.exponential(size=own.shape) / weights[np.maximum(own, 0)]
        key_own = key_own / (1 + key_own)  # below 1, in the same order
        own_first = rng.random((len(who), 1)) < 0.5
        keys = [key_own + ~own_first, place + own_first, np.full(rest.shape, 2.0)]
        return np.concatenate([own, usual, rest], axis=1), np.concatenate(keys, axis=1)

    def _weigh(self, variant: Variant) -> np.ndarray:
        """How often each answer is right for train users, float64 by code."""
        sample = self.world.sample
        rng = np.random.default_rng(np.random.SeedSequence(self.world.spec.seed, spawn_key=(8,)))
        gold = FINDERS[variant.form](self.world, sample, variant, rng)
        codes = gold.codes[gold.fault == 0].ravel()
        n = 0
        if variant.form not in _NUMBERS:
            n = len(_texts(self.world.attributes[variant.attribute], variant))
        return np.bincount(codes, minlength=max(n, 1)) + _RARE


def _form(variant: Variant) -> ValueForm:
    return "each" if variant.form in _INTERESTS else "whole"


def _texts(attribute: Attribute, variant: Variant) -> np.ndarray:
    return attribute.values if _form(variant) == "each" else attribute.texts


def _words(texts: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The texts of codes; those of -1 belong to questions with a fault."""
    words: np.ndarray = np.append(texts, "")[codes]
    return words


def _joined(texts: np.ndarray, codes: np.ndarray, between: str) -> np.ndarray:
    words = _words(texts, codes)
    joined: np.ndarray = words[..., 0]
    for i in range(1, codes.shape[-1]):
        joined = joined + between + words[..., i]
    return joined
