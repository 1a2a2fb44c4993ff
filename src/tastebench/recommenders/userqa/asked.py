"""What a question asks, read from its words by the templates that questions are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import cast

import numpy as np
import polars as pl

from tastebench.contracts import Questions
from tastebench.data.questions.spec import Language
from tastebench.data.questions.templates import SLOTS, Form, Templates, get_templates
from tastebench.errors import UsageError

_TITLE = "title"


@dataclass(frozen=True, eq=False)
class Asking:
    """Questions of one form and one attribute.

    Attributes:
        rows: Which questions, int64 `[q]`.
        form: Of the template.
        attribute: Its name; empty where the form has none.
        k: How far from an end, counted from 1, or how many; 0 where the form says neither.
        value: The value that is named, object `[q]`; empty where the form names none.
    """

    rows: np.ndarray
    form: Form
    attribute: str
    k: np.ndarray
    value: np.ndarray


def read_questions(questions: Questions, columns: tuple[str, ...]) -> list[Asking]:
    """Questions by form and attribute; what no template says is in none of them.

    Args:
        questions: In the words of `tastebench.data.questions`.
        columns: Names of the attributes that there may be.

    Raises:
        UsageError: There are no templates of that language.
    """
    if questions.language not in ("en", "zh"):
        raise UsageError(f"no templates of questions in the language {questions.language!r}")
    words = get_templates(cast(Language, questions.language))
    names = {words.called(name): name for name in columns}
    texts = pl.Series("text", list(questions.text), dtype=pl.String)
    left, found = np.arange(len(texts)), []
    for template in words.templates:
        slots = texts.gather(left).str.extract_groups(_pattern(template.text, words, names))
        frame = slots.struct.unnest().with_columns(pl.Series("row", left, dtype=pl.Int64))
        frame = frame.filter(pl.col("all").is_not_null())
        left = np.setdiff1d(left, frame["row"].to_numpy())
        found += _askings(frame, template.form, words, names)
    return found


def _pattern(text: str, words: Templates, names: dict[str, str]) -> str:
    """The whole text of a template as an expression that finds what was filled in."""
    ordinals = sorted({*words.last, *words.first}, key=len, reverse=True)
    holes = {
        "attribute": "|".join(map(re.escape, sorted(names, key=len, reverse=True))),
        "ordinal": "|".join(map(re.escape, ordinals)),
        "k": r"\d+",
        "value": ".+",
    }
    escaped = re.escape(text).replace(r"\ ", " ")
    for slot in SLOTS:
        escaped = escaped.replace(rf"\{{{slot}\}}", f"(?P<{slot}>{holes[slot]})")
    return f"^(?P<all>{escaped})$"


def _askings(
    frame: pl.DataFrame, form: Form, words: Templates, names: dict[str, str]
) -> list[Asking]:
    ordinals = words.first if form == "first" else words.last
    places = {ordinal: i for i, ordinal in enumerate(ordinals, start=1)}
    there = frame.with_columns(
        _or_nothing(frame, "attribute"), _or_nothing(frame, "value"), _numbers(frame, places)
    )
    found = []
    for (called,), own in there.group_by("attribute", maintain_order=True):
        name = names.get(str(called), "") or (_TITLE if form == "next_item" else "")
        rows, k = own["row"].to_numpy(), own["k"].to_numpy()
        found.append(Asking(rows, form, name, k, own["value"].to_numpy().astype(object)))
    return found


def _or_nothing(frame: pl.DataFrame, name: str) -> pl.Expr:
    there = pl.col(name) if name in frame.columns else pl.lit("")
    return there.alias(name)


def _numbers(frame: pl.DataFrame, places: dict[str, int]) -> pl.Expr:
    if "ordinal" in frame.columns:
        return pl.col("ordinal").replace_strict(places, default=0, return_dtype=pl.Int64).alias("k")
    number = pl.col("k").cast(pl.Int64) if "k" in frame.columns else pl.lit(0, pl.Int64)
    return number.alias("k")
