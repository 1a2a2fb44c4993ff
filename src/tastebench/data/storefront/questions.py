"""Search queries: what shoppers type, in other words than the shop's.

A query is made from a need, a list of traits that an item must have or must not have; relevant are
the items that meet the need. Its words come from the `short` and `ask` phrases, which are kept
apart from what titles say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.phrasing import Roll
from tastebench.data.storefront.vocabulary import Kind, Vocabulary

N_SHORT = 150
N_COMPLEX = 150
MOST_RELEVANT = 15
_LONGEST_SHORT = 4
CONDITIONS = 3
"""At most so many in a need."""

Condition = tuple[str, str, bool]
"""Facet, trait name, and whether it is wanted (True) or unwanted."""


@dataclass(frozen=True)
class Question:
    """A query: its words, its group, its need, and the items that meet it."""

    text: str
    group: str
    need: tuple[Condition, ...]
    relevant: np.ndarray


def questions(words: Vocabulary, traits: np.ndarray, draws: Draws) -> list[Question]:
    """All queries, the short ones first."""
    has = _has(words, traits)
    short = _collect(words, has, list(_short_needs(words)), "short", N_SHORT, draws)
    long = _collect(words, has, list(_complex_needs(words)), "complex", N_COMPLEX, draws)
    return short + long


def need_table(words: Vocabulary, asked: list[Question]) -> np.ndarray:
    """The needs, int16 `[queries, conditions, 2]`: trait, wanted (1) or not (0); -1 for none."""
    table = np.full((len(asked), CONDITIONS, 2), -1, dtype=np.int16)
    for row, question in enumerate(asked):
        for column, (facet, name, wanted) in enumerate(question.need):
            table[row, column] = words.traits[facet, name], wanted
    return table


def _collect(
    words: Vocabulary,
    has: np.ndarray,
    needs: list[tuple[Condition, ...]],
    group: str,
    n: int,
    draws: Draws,
) -> list[Question]:
    """`n` questions from needs in random order, spread evenly over the needs' first traits."""
    found: list[Question] = []
    texts: set[str] = set()
    # The k-th need of each kind of thing comes before the (k+1)-th of any.
    seen: dict[Condition, int] = {}
    ranked = []
    for at in draws.order(f"needs/{group}", len(needs)).tolist():
        seen[needs[at][0]] = seen.get(needs[at][0], 0) + 1
        ranked.append((seen[needs[at][0]], at))
    ranked.sort()
    rolls = draws.below(1 << 32, f"questions/{group}", len(needs), 12).tolist()
    for _, at in ranked:
        meets = np.logical_and.reduce(
            [has[:, words.traits[facet, name]] == wanted for facet, name, wanted in needs[at]]
        )
        if not 1 <= meets.sum() <= MOST_RELEVANT:
            continue
        phrase = _short_text if group == "short" else _complex_text
        text = phrase(words, needs[at], Roll(rolls[at]))
        if text not in texts and (group == "complex" or len(text.split()) <= _LONGEST_SHORT):
            texts.add(text)
            found.append(Question(text, group, needs[at], np.flatnonzero(meets)))
        if len(found) == n:
            break
    return found


def _has(words: Vocabulary, traits: np.ndarray) -> np.ndarray:
    """Whether each item has each trait, bool `[items, traits]`."""
    has = np.zeros((len(traits), len(words.traits) + 1), dtype=bool)
    has[np.arange(len(traits))[:, None], traits] = True
    return has[:, :-1]


# ---------------------------------------------------------------------------------------- needs


def _short_needs(words: Vocabulary) -> Iterator[tuple[Condition, ...]]:
    """A kind of thing and one property for which there is a search word."""
    for kind in words.kinds:
        thing: Condition = ("kind", kind.name, True)
        for facet, name in _properties(kind):
            if "short" in _phrases(words, facet, name):
                yield thing, (facet, name, True)


def _complex_needs(words: Vocabulary) -> Iterator[tuple[Condition, ...]]:
    """A kind of thing and two properties, one of them perhaps unwanted; or a thing of any kind."""
    for kind in words.kinds:
        thing: Condition = ("kind", kind.name, True)
        audiences = [("audience", name) for name in _audiences(kind)]
        scenes = [("scene", name) for name in kind.scenes]
        for virtue in kind.virtues:
            good: Condition = ("virtue", virtue, True)
            yield from ((thing, (*scene, True), good) for scene in scenes)
            yield from ((thing, (*audience, True), good) for audience in audiences)
            for material in kind.materials:
                if "avoid" in words.materials[material]:
                    yield thing, ("material", material, False), good
        yield from (
            (thing, ("virtue", a, True), ("virtue", b, True))
            for a, b in combinations(kind.virtues, 2)
        )
    for department in words.departments:
        kinds = [kind for kind in words.kinds if kind.department == department]
        for scene in dict.fromkeys(name for kind in kinds for name in kind.scenes):
            for virtue in dict.fromkeys(name for kind in kinds for name in kind.virtues):
                place: Condition = ("department", department, True)
                yield place, ("scene", scene, True), ("virtue", virtue, True)


def _properties(kind: Kind) -> Iterator[tuple[str, str]]:
    yield from (("virtue", name) for name in kind.virtues)
    yield from (("scene", name) for name in kind.scenes)
    yield from (("material", name) for name in kind.materials)
    yield from (("audience", name) for name in _audiences(kind))


def _audiences(kind: Kind) -> list[str]:
    """For whom, where that tells some things of the kind from others."""
    names = list(dict.fromkeys(kind.audiences))
    return [name for name in names if name != "anyone"] if len(names) > 1 else []


def _phrases(words: Vocabulary, facet: str, name: str) -> dict[str, list[str]]:
    phrases: dict[str, list[str]] = getattr(words, f"{facet}s")[name]
    return phrases


# ---------------------------------------------------------------------------------------- words


def _short_text(words: Vocabulary, need: tuple[Condition, ...], roll: Roll) -> str:
    (_, kind, _), (facet, name, _) = need
    thing = roll.pick(_kind(words, kind).short)
    return f"{roll.pick(_phrases(words, facet, name)['short'], unlike=[thing])} {thing}"


def _complex_text(words: Vocabulary, need: tuple[Condition, ...], roll: Roll) -> str:
    (facet, name, _), (second, detail, _), (_, virtue, _) = need
    ask = roll.pick(_kind(words, name).ask) if facet == "kind" else ""
    must = roll.pick(words.virtues[virtue]["ask"])
    if second == "virtue":
        also = roll.pick(words.virtues[detail]["ask"])
        forms: tuple[str, ...] = (
            f"I could do with {ask}. {_up(also)}, and {must}.",
            f"{_up(also)}. Also, {must}. Do you have {ask}?",
            f"What do you have if I want {ask}? {_up(must)}, and {also}.",
        )
    elif second == "material":
        avoid = words.materials[detail]["avoid"]
        forms = (
            f"Can you recommend {ask}? {_up(must)}, but {avoid}.",
            f"I need {ask}. {_up(avoid)}, and {must}.",
            f"{_up(must)}, so I want {ask}. One thing, though: {avoid}.",
        )
    elif second == "audience":
        whom = roll.pick(words.audiences[detail]["ask"])
        forms = (
            f"I'm looking for {ask}. {whom} {_up(must)}.",
            f"What would you suggest if I need {ask}? {whom} {_up(must)}.",
        )
    elif facet == "kind":
        occasion = roll.pick(words.scenes[detail]["ask"])
        forms = (
            f"{occasion} I'm looking for {ask}, and {must}.",
            f"{occasion} What I am missing is {ask}. {_up(must)}.",
            f"I'd like {ask}. {occasion} {_up(must)}.",
        )
    else:
        occasion = roll.pick(words.scenes[detail]["ask"])
        where = roll.pick(words.departments[name])
        forms = (f"{occasion} {where} {_up(must)}.", f"{occasion} {_up(must)}. {where}")
    return roll.pick(forms)


def _kind(words: Vocabulary, name: str) -> Kind:
    return next(kind for kind in words.kinds if kind.name == name)


def _up(text: str) -> str:
    return text[0].upper() + text[1:]
