"""Questions about the users of a dataset, with right answers, other options and evidence.

Questions of a kind are drawn without repetition from all (user, what is asked) that there are, each
equally likely, until there are as many as are wanted or no more can be asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from tastebench.contracts import Questions
from tastebench.data.dataset import Dataset
from tastebench.data.questions.answers import FAULTS, Variant
from tastebench.data.questions.attributes import AttributeRule
from tastebench.data.questions.makers import Maker
from tastebench.data.questions.spec import KINDS, PARTS, Kind, Language, Part, QuestionSpec
from tastebench.data.questions.templates import Templates, get_templates
from tastebench.data.questions.variants import variants
from tastebench.data.questions.wording import (
    Asked,
    equal,
    first_time,
    joined,
    nothing,
    take,
    worded,
)
from tastebench.data.questions.world import World
from tastebench.errors import DataError, UsageError
from tastebench.ragged import Ragged

GENERATOR = 1
"""Raised when the same data, spec and wordings come to give other questions."""

LABELS = ("A", "B", "C", "D")

_WHOLE = 1 << 22
"""Things that can be asked, up to which all of them are shuffled."""

_SPARE = 1.25
"""Questions made at a time, for each that is wanted."""

_DRAWS = 40
"""Things drawn for each question that is wanted, where not all are shuffled."""


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """Questions about the users of one dataset.

    Attributes:
        spec: What was asked for.
        dataset, fingerprint: Name and values of the dataset.
        attributes: Which column each attribute is, the title first.
        parts: The questions of each part. Their histories are those of the users asked about; in
            train, of all train users that have a history, so that models can learn from them.
        users: Row in `Dataset.user_ids` of each history, by part, int64.
        table: A row a question, those of train first: qid, part, user_id, subtask, attribute,
            template, question, options, gold_label, gold_text, evidence (places in the user's
            sequence, counted from 1; n + 1 is what comes next).
        counts: Questions and users by part and kind, and what could not be asked, by reason.
        chance: Share of right answers by guessing, of each kind that is asked.
        templates: Hash of all wordings.
    """

    spec: QuestionSpec
    dataset: str
    fingerprint: str
    attributes: tuple[AttributeRule, ...]
    parts: dict[Part, Questions]
    users: dict[Part, np.ndarray]
    table: pl.DataFrame
    counts: dict[str, dict[str, int]]
    chance: dict[Kind, float]
    templates: str


def generate(dataset: Dataset, spec: QuestionSpec) -> QuestionSet:
    """Makes the questions of all parts: the same for the same data and spec.

    Args:
        dataset: Whose users.
        spec: What is asked.

    Raises:
        DataError: Items have no titles.
        UsageError: An attribute is not there, or nobody of test can be asked anything.
    """
    maker, words = Maker(World.of(dataset, spec)), get_templates(spec.language)
    world, people = maker.world, maker.world.people
    frames, parts, users = [], {}, {}
    counts: dict[str, dict[str, int]] = {"users": dict(people.left_out)}
    if world.few:
        counts["attributes_with_too_few_values"] = dict(world.few)
    for number, part in enumerate(PARTS):
        asked, kinds = _part(maker, words, number, part, counts)
        known = people.part == number
        lists = np.flatnonzero(known) if part == "train" else np.unique(asked.who)
        users[part] = people.user[lists]
        counts["users"] |= {part: int(known.sum()), f"{part}_asked": len(np.unique(asked.who))}
        parts[part] = _questions(people.history[lists], lists, asked, kinds, spec.language)
        frames.append(_table(world, dataset, part, asked, kinds))
    if not len(parts["test"]):
        raise UsageError(
            f"no test user of {dataset.name} can be asked anything",
            where=", ".join(f"{name} {n:,}" for name, n in counts["users"].items()),
            fix="min_length asks for shorter sequences, attributes for other columns",
        )
    return QuestionSet(
        spec=spec,
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        attributes=tuple(attribute.rule for attribute in world.attributes),
        parts=parts,
        users=users,
        table=pl.concat(frames),
        counts=counts,
        chance={kind: 1 / spec.options for kind in spec.wanted("test")},
        templates=words.hash,
    )


def _questions(
    history: Ragged, lists: np.ndarray, asked: Asked, kinds: np.ndarray, language: Language
) -> Questions:
    """As recommenders get them; `lists` says whose each history is, ascending."""
    return Questions(
        history=history,
        user=np.searchsorted(lists, asked.who),
        text=asked.text.tolist(),
        options=list(map(tuple, asked.options.tolist())),
        gold=asked.gold,
        kind=kinds,
        kinds=KINDS,
        language=language,
    )


def _part(
    maker: Maker, words: Templates, number: int, part: Part, counts: dict[str, dict[str, int]]
) -> tuple[Asked, np.ndarray]:
    """All questions of a part, by kind, and the place of each one's kind in `KINDS`."""
    world = maker.world
    who = np.flatnonzero((world.people.part == number) & world.people.asked)
    found: dict[Kind, Asked] = {}
    all_wanted = world.spec.wanted(part)
    for kind, wanted in all_wanted.items():
        rng = np.random.default_rng(
            np.random.SeedSequence(world.spec.seed, spawn_key=(number, KINDS.index(kind)))
        )
        found[kind], dropped = _kind(maker, words, kind, who, wanted, rng)
        n = len(found[kind].who)
        counts[f"{part}_{kind}"] = {**({"lacking": wanted - n} if n < wanted else {}), **dropped}
    if world.spec.keep_proportions:
        share = min((len(found[k].who) / n for k, n in all_wanted.items() if n), default=1.0)
        _refuse_to_leave_nothing(part, found, all_wanted)
        for kind, wanted in all_wanted.items():
            found[kind] = take(found[kind], np.arange(int(share * wanted + 1e-9)))
    sizes = {kind: len(asked.who) for kind, asked in found.items()}
    for kind, n in sizes.items():
        counts[f"{part}_{kind}"] = {"asked": n, **counts[f"{part}_{kind}"]}
    kinds = np.repeat([KINDS.index(kind) for kind in sizes], list(sizes.values()))
    return joined([nothing(world.spec.options), *found.values()]), kinds


def _refuse_to_leave_nothing(part: Part, found: dict[Kind, Asked], wanted: dict[Kind, int]) -> None:
    """Of kinds that nothing can be asked of, the share of all others would be nothing, too."""
    none = [kind for kind, n in wanted.items() if n and not len(found[kind].who)]
    some = [kind for kind, asked in found.items() if len(asked.who)]
    if none and some:
        raise DataError(
            f"no {part} question can be asked of {' and '.join(none)}, and keep_proportions would "
            f"leave none of {', '.join(some)} either",
            where="questions",
            fix=f"proportions of {', '.join(some)} alone, or no keep_proportions",
        )


def _kind(
    maker: Maker,
    words: Templates,
    kind: Kind,
    who: np.ndarray,
    wanted: int,
    rng: np.random.Generator,
) -> tuple[Asked, dict[str, int]]:
    """Up to `wanted` questions of a kind about some people, and what was dropped and why."""
    able, dropped = variants(maker.world, kind), Counter[str]()
    kept = nothing(maker.world.spec.options)
    for drawn in _draws(len(who) * len(able), wanted, rng):
        if len(kept.who) >= wanted:
            break
        asked = _ask(maker, words, able, who[drawn // len(able)], drawn % len(able), dropped, rng)
        kept = joined([kept, asked])
        new = first_time(kept)
        dropped["asked_already"] += len(kept.who) - len(new)
        kept = take(kept, new)
    return take(kept, np.arange(len(kept.who))[:wanted]), {k: n for k, n in dropped.items() if n}


def _draws(space: int, wanted: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Numbers below `space` in random order, none twice, some at a time."""
    if space <= max(_WHOLE, _DRAWS * wanted):
        order = rng.permutation(space)
    else:
        order = rng.permutation(np.unique(rng.integers(space, size=_DRAWS * wanted)))
    step = max(int(_SPARE * wanted), 256)
    return (order[i : i + step] for i in range(0, len(order), step))


# ---------------------------------------------------------------------------------- one kind


def _ask(
    maker: Maker,
    words: Templates,
    able: list[Variant],
    who: np.ndarray,
    variant: np.ndarray,
    dropped: Counter[str],
    rng: np.random.Generator,
) -> Asked:
    """Those of the drawn questions that can be asked, in the order in which they were drawn."""
    world = maker.world
    made, order = [nothing(world.spec.options)], [np.empty(0, dtype=np.int64)]
    for number in np.unique(variant):
        rows, one = np.flatnonzero(variant == number), able[number]
        found = maker.make(who[rows], one, rng)
        fault = found.fault
        fault = np.where((fault == 0) & equal(found.options), FAULTS.index("equal_options"), fault)
        for name, n in zip(FAULTS, np.bincount(fault, minlength=len(FAULTS)), strict=True):
            if name:
                dropped[name] += int(n)
        good = np.flatnonzero(fault == 0)
        order.append(rows[good])
        made.append(worded(world, words, one, who[rows], found, good, rng))
    return take(joined(made), np.argsort(np.concatenate(order), kind="stable"))


def _table(
    world: World, dataset: Dataset, part: Part, asked: Asked, kinds: np.ndarray
) -> pl.DataFrame:
    """A row a question; see `QuestionSet.table`."""
    n = len(asked.who)
    names = np.array([attribute.name for attribute in world.attributes] + [None], dtype=object)
    evidence = pl.DataFrame({"row": asked.evidence.rows, "place": asked.evidence.values})
    places = evidence.group_by("row", maintain_order=True).agg(pl.col("place").cast(pl.Int64))
    right = np.take_along_axis(asked.options, asked.gold[:, None], axis=1)[:, 0]
    frame = pl.DataFrame(
        {
            "qid": np.arange(n),
            "part": pl.repeat(part, n, dtype=pl.String, eager=True),
            "user_id": dataset.user_ids.gather(world.people.user[asked.who]),
            "subtask": pl.Series(np.array(KINDS, dtype=object)[kinds], dtype=pl.String),
            "attribute": pl.Series(names[asked.attribute], dtype=pl.String),
            "template": pl.Series(asked.template, dtype=pl.String),
            "question": pl.Series(asked.text, dtype=pl.String),
            "options": _lists(asked.options),
            "gold_label": pl.Series(np.array(LABELS, dtype=object)[asked.gold], dtype=pl.String),
            "gold_text": pl.Series(right, dtype=pl.String),
            "evidence": places["place"],
        }
    )
    return frame.with_columns(pl.format("{}-{}", pl.lit(part), "qid").alias("qid"))


def _lists(options: np.ndarray) -> pl.Series:
    """A list of texts a row; from one flat column, which is far faster than from lists."""
    flat = pl.Series(options.ravel(), dtype=pl.String)
    return flat.reshape(options.shape).arr.to_list()
