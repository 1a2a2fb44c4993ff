"""Questions in words, with their options in random order."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import polars as pl

from tastebench.data.questions.answers import Variant
from tastebench.data.questions.makers import ORDER, TIME, Made
from tastebench.data.questions.templates import Templates
from tastebench.data.questions.world import World
from tastebench.ragged import Ragged


@dataclass(frozen=True, eq=False)
class Asked:
    """Finished questions, `q` of them.

    Attributes:
        who: Row of `People`.
        attribute: Place in `World.attributes`, -1 for none.
        what: What is asked of a user but for the wording, in words.
    """

    who: np.ndarray
    attribute: np.ndarray
    what: np.ndarray
    text: np.ndarray
    template: np.ndarray
    options: np.ndarray
    gold: np.ndarray
    evidence: Ragged


def equal(options: np.ndarray) -> np.ndarray:
    """Whether two options of a question read the same, bool `[q]`."""
    n = options.shape[1]
    same = [options[:, i] == options[:, j] for i in range(n) for j in range(i)]
    equal: np.ndarray = np.logical_or.reduce(same)
    return equal


def worded(
    world: World,
    words: Templates,
    variant: Variant,
    who: np.ndarray,
    made: Made,
    good: np.ndarray,
    rng: np.random.Generator,
) -> Asked:
    """Questions in words, their options in random order."""
    wordings = words.of(variant.form)
    wording = rng.integers(len(wordings), size=len(good))
    names = np.array([template.id for template in wordings], dtype=object)[wording]
    value = None if made.value is None else made.value[good]
    # The values to be counted are drawn, so that two draws may be one question.
    what = np.full(len(good), f"{variant.form} {variant.attribute} {variant.k}", dtype=object)
    if value is not None:
        what = f"{variant.form} {variant.attribute} " + value
    text = _filled(world, words, variant, wording, value)
    order = rng.permuted(np.tile(np.arange(world.spec.options), (len(good), 1)), axis=1)
    return Asked(
        who=who[good],
        attribute=np.full(len(good), variant.attribute),
        what=what,
        text=text,
        template=names,
        options=np.take_along_axis(made.options[good], order, axis=1),
        gold=np.argmax(order == 0, axis=1).astype(np.int64),
        evidence=made.evidence[good],
    )


def _filled(
    world: World, words: Templates, variant: Variant, wording: np.ndarray, value: np.ndarray | None
) -> np.ndarray:
    """The wording of each question with its places filled, object `[q]`."""
    filled = []
    for template in words.of(variant.form):
        text = template.text
        if variant.attribute >= 0:
            text = text.replace(
                "{attribute}", words.called(world.attributes[variant.attribute].name)
            )
        if variant.form in ("last", "first"):
            ordinals = words.last if variant.form == "last" else words.first
            text = text.replace("{ordinal}", ordinals[variant.k - 1])
        filled.append(text.replace("{k}", str(variant.k)))
    if value is None:
        text_of: np.ndarray = np.array(filled, dtype=object)[wording]
        return text_of
    before, after = (
        np.array([text.split("{value}")[side] for text in filled], dtype=object)[wording]
        for side in (0, 1)
    )
    around: np.ndarray = before + value + after
    return around


def all_wordings(words: Templates, attributes: Iterable[str]) -> list[str]:
    """Every template about every attribute, without any value of a user, and what joins values."""
    called = [words.called(name) for name in attributes]
    ordinals = {"last": " ".join(words.last), "first": " ".join(words.first)}
    texts = [
        template.text.replace("{attribute}", name)
        .replace("{ordinal}", ordinals.get(template.form, ""))
        .replace("{k}", "")
        .replace("{value}", "")
        for template in words.templates
        for name in (called if "{attribute}" in template.text else [""])
    ]
    return [*texts, ORDER, TIME]


# ------------------------------------------------------------------------------- put together


def nothing(options: int) -> Asked:
    """No question."""
    number, text = np.empty(0, dtype=np.int64), np.empty(0, dtype=object)
    empty = Ragged.from_lengths(number, number)
    table = np.empty((0, options), dtype=object)
    return Asked(number, number, text, text, text, table, number, empty)


def joined(several: list[Asked]) -> Asked:
    """Questions one after the other."""
    names = [field.name for field in fields(Asked) if field.name != "evidence"]
    evidence = [asked.evidence for asked in several]
    return Asked(
        **{name: np.concatenate([getattr(asked, name) for asked in several]) for name in names},
        evidence=Ragged.from_lengths(
            np.concatenate([lists.values for lists in evidence]),
            np.concatenate([lists.lengths for lists in evidence]),
        ),
    )


def take(asked: Asked, rows: np.ndarray) -> Asked:
    """Some of the questions."""
    return Asked(**{field.name: getattr(asked, field.name)[rows] for field in fields(Asked)})


def first_time(asked: Asked) -> np.ndarray:
    """The questions that no earlier one asks already of the same user, int64."""
    what = pl.DataFrame({"who": asked.who, "what": pl.Series(asked.what, dtype=pl.String)})
    first = what.select(pl.struct("who", "what").is_first_distinct()).to_series()
    return np.flatnonzero(first.to_numpy())
