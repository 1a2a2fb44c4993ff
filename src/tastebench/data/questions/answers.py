"""The right answer to each form of question as codes, and the events it rests on.

All that is asked here is asked of many users at once. What cannot be asked of a user has a fault,
and what else is said of it then means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.data.questions.templates import Form
from tastebench.data.questions.tops import tops
from tastebench.data.questions.world import World
from tastebench.ragged import Ragged, spans

FAULTS = (
    "",
    "attribute_missing",
    "too_few_values",
    "no_value_twice",
    "no_change_of_interest",
    "next_item_seen_before",
    "history_was_cut",
    "too_few_other_options",
    "nothing_to_change_round",
    "equal_options",
    "usual_answer",
)
"""Why a question was not asked, by number."""


@dataclass(frozen=True, eq=False)
class Variant:
    """One thing that can be asked.

    Attributes:
        form: Which templates ask it.
        attribute: Place of the attribute in `World.attributes`; -1 for none.
        k: How far from an end, how many, or which draw; 0 for none of these.
    """

    form: Form
    attribute: int = -1
    k: int = 0


@dataclass(frozen=True, eq=False)
class Gold:
    """Right answers.

    Attributes:
        codes: Rows of the attribute's `texts` (`last`, `first`, `latest` and what is next), of its
            `values` (interests), or numbers (`length`, `count`), int64 `[q, w]`.
        fault: Row of `FAULTS`, int64 `[q]`.
        evidence: Places that the answer rests on, counted from 1; n + 1 is what comes next.
        named: The value that the question names, a row of `values`, int64 `[q]`; None for none.
    """

    codes: np.ndarray
    fault: np.ndarray
    evidence: Ragged
    named: np.ndarray | None = None


Finder = Callable[[World, np.ndarray, Variant, np.random.Generator], Gold]


def first_fault(*faults: tuple[Any, str]) -> np.ndarray:
    """The first fault that holds, of each question."""
    return np.select([mask for mask, _ in faults], [FAULTS.index(name) for _, name in faults], 0)


def _nth(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """What one of the first or last items is: `k` counts from 1, from the end that `form` names."""
    n, from_start = world.people.lengths[who], variant.form == "first"
    place = np.full(len(who), variant.k - 1) if from_start else n - variant.k
    codes = world.attributes[variant.attribute].whole[world.people.at(who, place)]
    fault = first_fault(
        (world.people.cut[who] & np.array(from_start), "history_was_cut"),
        (codes < 0, "attribute_missing"),
    )
    return Gold(codes[:, None], fault, _lists(place[:, None] + 1))


def _lists(places: np.ndarray) -> Ragged:
    """Equally many places of each question, `[q, w]`, as lists."""
    return Ragged.from_lengths(places.ravel(), np.full(len(places), places.shape[1]))


def _latest(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """What the last `k` items are, oldest first."""
    places = world.people.lengths[who][:, None] - variant.k + np.arange(variant.k)
    codes = world.attributes[variant.attribute].whole[world.people.at(who[:, None], places)]
    fault = first_fault(((codes < 0).any(axis=1), "attribute_missing"))
    return Gold(codes, fault, _lists(places + 1))


def _length(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """How many events there are."""
    n = world.people.lengths[who]
    evidence = Ragged.from_lengths(spans(np.ones(len(who), dtype=np.int64), n), n)
    return Gold(n[:, None], first_fault((world.people.cut[who], "history_was_cut")), evidence)


def _count(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """How many items have a value: that of one of them, so that it is never none."""
    attribute = world.attributes[variant.attribute]
    n = world.people.lengths[who]
    place = np.floor(rng.random(len(who)) * n).astype(np.int64)
    value = world.single(attribute, world.people.at(who, place), rng)
    question, places, items = world.events(who, np.zeros(len(who), dtype=np.int64))
    each = attribute.each[items]
    event = each.rows[each.values == np.repeat(value[question], each.lengths)]
    count = np.bincount(question[event], minlength=len(who))
    fault = first_fault((value < 0, "attribute_missing"))
    return Gold(count[:, None], fault, Ragged.from_lengths(places[event] + 1, count), value)


def _next(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """What the next item is; its title only where it is new to the user."""
    codes = world.attributes[variant.attribute].whole[world.people.next[who]]
    seen = world.had_title(who, np.maximum(codes, 0)) & np.array(variant.form == "next_item")
    fault = first_fault((codes < 0, "attribute_missing"), (seen, "next_item_seen_before"))
    return Gold(codes[:, None], fault, _lists(world.people.lengths[who][:, None] + 1))


def _long_term(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """The three most frequent values of all, in order."""
    question, place, item = world.events(who, np.zeros(len(who), dtype=np.int64))
    top = tops(world.attributes[variant.attribute], question, place, item, len(who), 3)
    fault = first_fault(
        (top.value[:, 2] < 0, "too_few_values"), (top.count[:, 0] < 2, "no_value_twice")
    )
    return Gold(top.value, fault, top.evidence(question, place, top.value))


def _short_term(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """The most frequent value of the latest events."""
    question, place, item = world.events(who, world.people.lengths[who] - world.spec.recent)
    top = tops(world.attributes[variant.attribute], question, place, item, len(who), 1)
    fault = first_fault(
        (top.value[:, 0] < 0, "attribute_missing"), (top.count[:, 0] < 2, "no_value_twice")
    )
    return Gold(top.value, fault, top.evidence(question, place, top.value))


def _trace(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Gold:
    """The most frequent value of each third, where it is not the same in all."""
    question, place, item = world.events(who, np.zeros(len(who), dtype=np.int64))
    third = 3 * question + place * 3 // world.people.lengths[who][question]
    top = tops(world.attributes[variant.attribute], third, place, item, 3 * len(who), 1)
    path = top.value.reshape(len(who), 3)
    fault = first_fault(
        ((path < 0).any(axis=1), "attribute_missing"),
        (np.ptp(path, axis=1) == 0, "no_change_of_interest"),
    )
    of_third = top.evidence(third, place, top.value)
    sizes = of_third.lengths.reshape(len(who), 3).sum(axis=1)
    return Gold(path, fault, Ragged.from_lengths(of_third.values, sizes))


FINDERS: dict[Form, Finder] = {
    "last": _nth,
    "first": _nth,
    "latest": _latest,
    "length": _length,
    "count": _count,
    "next_item": _next,
    "next_value": _next,
    "long_term": _long_term,
    "short_term": _short_term,
    "trace": _trace,
}
