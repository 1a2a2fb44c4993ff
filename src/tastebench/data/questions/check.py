"""A second reading of a question set: every right answer worked out again from the raw tables.

Nothing here is shared with what makes the questions but the wordings and how a text is cleaned:
sequences are put in order again, attributes read again, and what is asked is read from the words of
the question. It goes question by question and is slow on purpose: it has to be right at sight.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from tastebench.data.dataset import Dataset
from tastebench.data.questions.attributes import HEAD_ITEMS, NO_BRANDS, AttributeRule
from tastebench.data.questions.spec import QuestionSpec
from tastebench.data.questions.templates import FORMS, Template, Templates, get_templates
from tastebench.data.text import clean

Values = list[list[str]]
"""The values of each item of a sequence."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a question."""

    qid: str
    why: str

    def __str__(self) -> str:
        return f"{self.qid}: {self.why}"


@dataclass(frozen=True)
class _Reader:
    """One dataset as the questions of one spec are about it.

    Attributes:
        sequences: Rows of items by user, oldest first, the last event included.
        cut: Users whose earlier events were left out.
        values: By attribute, the single values of each item.
        wholes: By attribute, what each item is; empty where nobody knows.
    """

    spec: QuestionSpec
    words: Templates
    sequences: dict[str, list[int]]
    cut: set[str]
    values: dict[str, Values]
    wholes: dict[str, list[str]]


def check(
    dataset: Dataset,
    table: pl.DataFrame,
    spec: QuestionSpec,
    attributes: Sequence[AttributeRule],
) -> list[Fault]:
    """What is wrong with the questions; nothing, if all is right.

    Args:
        dataset: Whose users they are about.
        table: As `QuestionSet.table`.
        spec: How they were made.
        attributes: How attributes were read.
    """
    reader = _read(dataset, spec, attributes)
    faults = [
        Fault(row["qid"], why) for row in table.iter_rows(named=True) for why in _wrong(reader, row)
    ]
    twice = table.filter(table["qid"].is_duplicated())["qid"].unique(maintain_order=True)
    faults += [Fault(qid, "this id stands twice") for qid in twice]
    parts = table.group_by("user_id", maintain_order=True).agg(pl.col("part").unique(), "qid")
    for _, names, qids in parts.filter(pl.col("part").list.len() > 1).iter_rows():
        faults.append(Fault(qids[0], f"its user is in the parts {', '.join(sorted(names))}"))
    return faults


# ----------------------------------------------------------------------------------- the raw data


def _read(dataset: Dataset, spec: QuestionSpec, rules: Sequence[AttributeRule]) -> _Reader:
    frame = dataset.tables.interactions
    events: dict[str, list[tuple[int, int, int]]] = {}
    if frame is not None:
        number = {item: row for row, item in enumerate(dataset.item_ids.to_list())}
        columns = ("user_id", "item_id", "time", "row", "label")
        for user, item, time, row, label in frame.select(columns).iter_rows():
            if label != 0:
                events.setdefault(user, []).append((time or 0, row, number[item]))
    sequences = {user: [item for _, _, item in sorted(own)] for user, own in events.items()}
    most = len(dataset.item_ids) + frame.height if frame is not None else 0
    if spec.max_length is not None and spec.too_long == "cut":
        most = spec.max_length + 1
    cut = {user for user, own in sequences.items() if len(own) > most}
    values = {rule.name: _values(dataset.tables.items, rule) for rule in rules}
    longest = spec.title_characters
    return _Reader(
        spec=spec,
        words=get_templates(spec.language),
        sequences={user: own[-most:] for user, own in sequences.items()},
        cut=cut,
        values={
            name: [list(dict.fromkeys(_short(v, longest) for v in own)) for own in items]
            for name, items in values.items()
        },
        wholes={
            name: [_short(", ".join(own), longest) for own in items]
            for name, items in values.items()
        },
    )


def _values(items: pl.DataFrame, rule: AttributeRule) -> Values:
    raw = [
        [text or "" for text in value] if isinstance(value, list) else [value or ""]
        for value in items[rule.column].to_list()
    ]
    cleaned = iter(clean(pl.Series([t for own in raw for t in own], dtype=pl.String)).to_list())
    values = [[text for text in (next(cleaned) for _ in own) if text] for own in raw]
    if rule.how == "last":
        values = [own[-1:] for own in values]
    if rule.how == "head":
        return _heads([own[0] if own else "" for own in values])
    return [list(dict.fromkeys(own)) for own in values]


def _heads(titles: list[str]) -> Values:
    """First words without the punctuation behind them, where several items share one."""
    heads = [title.split(" ")[0] if " " in title else "" for title in titles]
    heads = [head.rstrip(",:;") or head[:1] for head in heads]
    spellings: dict[str, Counter[str]] = {}
    for head in heads:
        spellings.setdefault(head.lower(), Counter())[head] += 1
    # `most_common` keeps the order of first appearance among equals.
    usual = {
        lower: counter.most_common(1)[0][0]
        for lower, counter in spellings.items()
        if counter.total() >= HEAD_ITEMS and lower not in NO_BRANDS
    }
    return [
        [usual[head.lower()]]
        if head.lower() in usual and any(letter.isalpha() for letter in head)
        else []
        for head in heads
    ]


def _short(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    cut = text[:longest]
    return (re.sub(r"\s+\S*$", "", cut) or cut) + "..."


# ---------------------------------------------------------------------------------- one question


def _wrong(reader: _Reader, row: dict[str, object]) -> Iterator[str]:
    """What is wrong with one question."""
    sequence = reader.sequences.get(str(row["user_id"]))
    template = next((t for t in reader.words.templates if t.id == row["template"]), None)
    if sequence is None or template is None:
        yield "its user or its template is not known"
        return
    n, longest = len(sequence) - 1, reader.spec.max_length
    if n < reader.spec.min_length or (longest is not None and n > longest):
        yield f"its user has {n} events before the last one"
        return
    options, label = row["options"], str(row["gold_label"])
    assert isinstance(options, list)
    if len(set(options)) != reader.spec.options or len(options) != reader.spec.options:
        yield "its options are not all there or not all different"
    if options["ABCD".index(label)] != row["gold_text"]:
        yield f"option {label} is not the answer that the table says"
    if row["subtask"] != FORMS[template.form][0]:
        yield f"a template of {FORMS[template.form][0]} asks it as {row['subtask']}"
    asked = _parse(reader, template, str(row["question"]), row["attribute"])
    if asked is None:
        yield "its words are not those of its template"
        return
    yield from _judge(reader, row, template, asked, sequence)


def _judge(
    reader: _Reader,
    row: dict[str, object],
    template: Template,
    asked: dict[str, str],
    sequence: list[int],
) -> Iterator[str]:
    name = str(row["attribute"] or "title")
    history = sequence[:-1]
    truth, evidence = _ANSWERS[template.form](reader, name, asked, sequence)
    if truth is None:
        yield "nothing answers it"
    elif truth != row["gold_text"]:
        yield f"the answer is {truth!r}, not {row['gold_text']!r}"
    if evidence != row["evidence"]:
        yield f"it rests on the events {evidence}, not {row['evidence']}"
    options = row["options"]
    assert isinstance(options, list)
    if template.form == "next_item":
        had = {reader.wholes["title"][item] for item in history}
        if had & set(options):
            yield "an option stands in the history"
    if template.form == "trace" and any(len(set(path.split(" -> "))) == 1 for path in options):
        yield "a path without a change is among its options"
    if template.form in ("first", "length") and str(row["user_id"]) in reader.cut:
        yield "the history it is about was cut"


def _parse(
    reader: _Reader, template: Template, question: str, attribute: object
) -> dict[str, str] | None:
    """What stands in the places of the template, `attribute` included."""
    words = reader.words
    pattern = re.escape(template.text)
    called = words.attributes.get(str(attribute), str(attribute))
    for slot, allowed in {
        "attribute": re.escape(called),
        "ordinal": "|".join(words.last if template.form == "last" else words.first),
        "k": "[0-9]+",
        "value": ".+",
    }.items():
        pattern = pattern.replace(re.escape(f"{{{slot}}}"), f"(?P<{slot}>{allowed})")
    found = re.fullmatch(pattern, question, flags=re.DOTALL)
    return None if found is None else found.groupdict()


# ------------------------------------------------------------------------------ the right answers

_Answer = tuple[str | None, list[int]]


def _last(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    k = reader.words.last.index(asked["ordinal"]) + 1
    return reader.wholes[name][sequence[-1 - k]] or None, [len(sequence) - k]


def _from_start(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    k = reader.words.first.index(asked["ordinal"]) + 1
    return reader.wholes[name][sequence[k - 1]] or None, [k]


def _latest(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    k, n = int(asked["k"]), len(sequence) - 1
    texts = [reader.wholes[name][item] for item in sequence[n - k : n]]
    return " -> ".join(texts) if all(texts) else None, list(range(n - k + 1, n + 1))


def _length(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    return str(len(sequence) - 1), list(range(1, len(sequence)))


def _count(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    places = [
        place
        for place, item in enumerate(sequence[:-1], start=1)
        if asked["value"] in reader.values[name][item]
    ]
    return str(len(places)) if places else None, places


def _next(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    return reader.wholes[name][sequence[-1]] or None, [len(sequence)]


def _ranked(values: Values) -> list[tuple[str, int]]:
    """Values by how often they stand, of equals the later, of the same event the earlier named."""
    counts: dict[str, int] = {}
    latest: dict[str, tuple[int, int]] = {}
    for place, own in enumerate(values):
        for named, value in enumerate(own):
            counts[value] = counts.get(value, 0) + 1
            latest[value] = (-place, named)
    order = sorted(counts, key=lambda value: (-counts[value], latest[value]))
    return [(value, counts[value]) for value in order]


def _holding(values: Values, wanted: set[str], start: int) -> list[int]:
    return [start + i + 1 for i, own in enumerate(values) if wanted & set(own)]


def _long_term(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    values = [reader.values[name][item] for item in sequence[:-1]]
    ranked = _ranked(values)[:3]
    if len(ranked) < 3 or ranked[0][1] < 2:
        return None, []
    top = [value for value, _ in ranked]
    return " > ".join(top), _holding(values, set(top), 0)


def _short_term(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    k, n = int(asked["k"]), len(sequence) - 1
    values = [reader.values[name][item] for item in sequence[n - k : n]]
    ranked = _ranked(values)
    if k != reader.spec.recent or not ranked or ranked[0][1] < 2:
        return None, []
    return ranked[0][0], _holding(values, {ranked[0][0]}, n - k)


def _trace(reader: _Reader, name: str, asked: dict[str, str], sequence: list[int]) -> _Answer:
    n = len(sequence) - 1
    path: list[str] = []
    evidence: list[int] = []
    for third in range(3):
        # Event i (from 0) of n lies in the third 3 i // n.
        inside = [i for i in range(n) if 3 * i // n == third]
        values = [reader.values[name][sequence[i]] for i in inside]
        ranked = _ranked(values)
        if not ranked:
            return None, []
        path.append(ranked[0][0])
        evidence += _holding(values, {ranked[0][0]}, inside[0])
    return " -> ".join(path) if len(set(path)) > 1 else None, evidence


_ANSWERS: dict[str, Callable[[_Reader, str, dict[str, str], list[int]], _Answer]] = {
    "last": _last,
    "first": _from_start,
    "latest": _latest,
    "length": _length,
    "count": _count,
    "next_item": _next,
    "next_value": _next,
    "long_term": _long_term,
    "short_term": _short_term,
    "trace": _trace,
}
