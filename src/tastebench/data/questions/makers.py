"""The right answer to each kind of question, other options, and the events it rests on.

All that is asked here is asked of many users at once. A question that cannot be asked has a fault,
and what else is said of it then means nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tastebench.data.questions.attributes import Attribute
from tastebench.data.questions.options import mirror, near, pick
from tastebench.data.questions.templates import Form
from tastebench.data.questions.tops import tops
from tastebench.data.questions.world import World, by_question
from tastebench.ragged import Ragged, spans

ORDER, TIME = " > ", " -> "
"""Between values in order of interest, and in order of time."""

FAULTS = (
    "",
    "attribute_missing",
    "too_few_other_options",
    "nothing_to_change_round",
    "too_few_values",
    "no_value_twice",
    "no_change_of_interest",
    "next_item_seen_before",
    "history_was_cut",
    "equal_options",
)
"""Why a question was not asked, by number."""


@dataclass(frozen=True, eq=False)
class Variant:
    """One thing that can be asked.

    Attributes:
        form: Which templates ask it.
        attribute: Place of the attribute in `World.attributes`; -1 for none.
        k: How far from an end, or which draw; 0 for neither.
    """

    form: Form
    attribute: int = -1
    k: int = 0


@dataclass(frozen=True, eq=False)
class Made:
    """Questions of one variant, `q` of them.

    Attributes:
        fault: Row of `FAULTS`, int64 `[q]`.
        options: In words, the right one first, object `[q, options]`.
        evidence: Places that the answer rests on, counted from 1; n + 1 is what comes next.
        value: The value that the question names, object `[q]`; None where it names none.
    """

    fault: np.ndarray
    options: np.ndarray
    evidence: Ragged
    value: np.ndarray | None = None


Maker = Callable[[World, np.ndarray, Variant, np.random.Generator], Made]


def _first(*faults: tuple[Any, str]) -> np.ndarray:
    """The first fault that holds, of each question."""
    return np.select([mask for mask, _ in faults], [FAULTS.index(name) for _, name in faults], 0)


def _one_each(places: np.ndarray) -> Ragged:
    return Ragged.from_lengths(places, np.ones(len(places), dtype=np.int64))


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


def _single_choice(
    world: World,
    attribute: Attribute,
    form: str,
    who: np.ndarray,
    gold: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Options with `gold` first, in words, and whether there are so many."""
    likely = world.likely(attribute, "whole" if form == "whole" else "each", who, rng)
    others, enough = pick(likely, gold[:, None], world.spec.options - 1)
    texts = attribute.texts if form == "whole" else attribute.values
    return _words(texts, np.concatenate([gold[:, None], others], axis=1)), enough


# ---------------------------------------------------------------------------- direct, match


def nth(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """What one of the first or last items is: `k` counts from 1, from the end that `form` names."""
    attribute = world.attributes[variant.attribute]
    n = world.people.lengths[who]
    from_start = variant.form == "first"
    place = np.full(len(who), variant.k - 1) if from_start else n - variant.k
    gold = attribute.whole[world.people.at(who, place)]
    options, enough = _single_choice(world, attribute, "whole", who, gold, rng)
    fault = _first(
        (world.people.cut[who] & np.array(from_start), "history_was_cut"),
        (gold < 0, "attribute_missing"),
        (~enough, "too_few_other_options"),
    )
    return Made(fault, options, _one_each(place + 1))


def latest(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """What the last `k` items are, oldest first."""
    attribute = world.attributes[variant.attribute]
    places = world.people.lengths[who][:, None] - variant.k + np.arange(variant.k)
    gold = attribute.whole[world.people.at(who[:, None], places)]
    lists, found = mirror(gold, world.likely(attribute, "whole", who, rng), rng)
    fault = _first(
        ((gold < 0).any(axis=1), "attribute_missing"), (~found, "nothing_to_change_round")
    )
    chosen = lists[:, _subset(world.spec.options, rng)]
    evidence = Ragged.from_lengths((places + 1).ravel(), np.full(len(who), variant.k))
    return Made(fault, _joined(attribute.texts, chosen, TIME), evidence)


def _subset(options: int, rng: np.random.Generator) -> list[int]:
    """Which of four lists are shown: all, or the right one and another."""
    return [0, 1, 2, 3] if options == 4 else [0, int(rng.integers(1, 4))]


def length(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """How many events there are."""
    n = world.people.lengths[who]
    options = np.concatenate([n[:, None], near(n, world.spec.options - 1, rng)], axis=1)
    evidence = Ragged.from_lengths(spans(np.ones(len(who), dtype=np.int64), n), n)
    fault = _first((world.people.cut[who], "history_was_cut"))
    return Made(fault, options.astype(str).astype(object), evidence)


def count(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """How many items have a value: that of one of them, so that it is never none."""
    attribute = world.attributes[variant.attribute]
    n = world.people.lengths[who]
    place = np.floor(rng.random(len(who)) * n).astype(np.int64)
    value = world.single(attribute, world.people.at(who, place), rng)
    question, places, items = world.events(who, np.zeros(len(who), dtype=np.int64))
    each = attribute.each[items]
    has = each.values == np.repeat(value[question], each.lengths)
    event = each.rows[has]
    gold = np.bincount(question[event], minlength=len(who))
    options = np.concatenate([gold[:, None], near(gold, world.spec.options - 1, rng)], axis=1)
    return Made(
        _first((value < 0, "attribute_missing")),
        options.astype(str).astype(object),
        by_question(question[event], places[event] + 1, len(who)),
        _words(attribute.values, value),
    )


# ------------------------------------------------------------------------------------ what is next

_DRAWN_NEXT = 24


def next_item(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """The title of what comes next; others are about as popular, and not in the history."""
    attribute, item = world.attributes[0], world.people.next[who].astype(np.int64)
    gold = attribute.whole[item]
    titles = world.popularity(0).draw(np.maximum(gold, 0), _DRAWN_NEXT, rng)
    titles = np.where(world.had_title(who, titles), -1, titles)
    others, enough = pick(titles, gold[:, None], world.spec.options - 1)
    fault = _first(
        (gold < 0, "attribute_missing"),
        (world.had_title(who, np.maximum(gold, 0)), "next_item_seen_before"),
        (~enough, "too_few_other_options"),
    )
    options = _words(attribute.texts, np.concatenate([gold[:, None], others], axis=1))
    return Made(fault, options, _one_each(world.people.lengths[who] + 1))


def next_value(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """What the next item is; others are about as frequent among train users."""
    attribute = world.attributes[variant.attribute]
    gold = attribute.whole[world.people.next[who]]
    drawn = world.popularity(variant.attribute).draw(np.maximum(gold, 0), _DRAWN_NEXT, rng)
    others, enough = pick(drawn, gold[:, None], world.spec.options - 1)
    fault = _first((gold < 0, "attribute_missing"), (~enough, "too_few_other_options"))
    options = _words(attribute.texts, np.concatenate([gold[:, None], others], axis=1))
    return Made(fault, options, _one_each(world.people.lengths[who] + 1))


# --------------------------------------------------------------------------------------- interests


def long_term(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """The three most frequent values of all, in order."""
    attribute = world.attributes[variant.attribute]
    question, place, item = world.events(who, np.zeros(len(who), dtype=np.int64))
    top = tops(attribute, question, place, item, len(who), 3)
    lists, found = mirror(top.value, world.likely(attribute, "each", who, rng), rng)
    fault = _first(
        (top.value[:, 2] < 0, "too_few_values"),
        (top.count[:, 0] < 2, "no_value_twice"),
        (~found, "nothing_to_change_round"),
    )
    chosen = lists[:, _subset(world.spec.options, rng)]
    evidence = top.evidence(question, place, top.value)
    return Made(fault, _joined(attribute.values, chosen, ORDER), evidence)


def short_term(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """The most frequent value of the latest events."""
    attribute = world.attributes[variant.attribute]
    question, place, item = world.events(who, world.people.lengths[who] - world.spec.recent)
    top = tops(attribute, question, place, item, len(who), 1)
    gold = top.value[:, 0]
    options, enough = _single_choice(world, attribute, "each", who, gold, rng)
    fault = _first(
        (gold < 0, "attribute_missing"),
        (top.count[:, 0] < 2, "no_value_twice"),
        (~enough, "too_few_other_options"),
    )
    return Made(fault, options, top.evidence(question, place, top.value))


def trace(world: World, who: np.ndarray, variant: Variant, rng: np.random.Generator) -> Made:
    """The most frequent value of each third, where it is not the same in all."""
    attribute = world.attributes[variant.attribute]
    question, place, item = world.events(who, np.zeros(len(who), dtype=np.int64))
    third = 3 * question + place * 3 // world.people.lengths[who][question]
    top = tops(attribute, third, place, item, 3 * len(who), 1)
    path = top.value[:, 0].reshape(len(who), 3)
    lists, found = mirror(path, world.likely(attribute, "each", who, rng), rng)
    fault = _first(
        ((path < 0).any(axis=1), "attribute_missing"),
        (np.ptp(path, axis=1) == 0, "no_change_of_interest"),
        (~found, "nothing_to_change_round"),
    )
    chosen = lists[:, _subset(world.spec.options, rng)]
    of_third = top.evidence(third, place, top.value)
    per_user = of_third.lengths.reshape(len(who), 3).sum(axis=1)
    evidence = Ragged.from_lengths(of_third.values, per_user)
    return Made(fault, _joined(attribute.values, chosen, TIME), evidence)
