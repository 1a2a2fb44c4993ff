"""Text recipes: how an item's columns become the one text that an encoder reads.

A recipe is named and versioned because it changes every number that follows. Three are published
with the Amazon Reviews 2023 data and the BLaIR models and benchmark and are kept to the letter,
non-ASCII characters lost included; use `all-text` or `title+description` where titles are not
English. Where the published code fails on a missing or a whole-number value, the value is empty
text or the number's digits here.

`shuffled:NAME` gives every item another one's text: the control of whatever reads words.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from tastebench.errors import UsageError, did_you_mean

# What Python's `str.strip` takes off: Rust's idea of white space lacks the four separators.
_SPACE = "".join(map(chr, (*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680))) + "".join(
    map(chr, (*range(0x2000, 0x200B), 0x2028, 0x2029, 0x202F, 0x205F, 0x3000))
)

_STOP = (
    "[.!?;:\u3002\uff01\uff1f]"  # what ends a sentence, in Latin and in Chinese and Japanese script
)

SHUFFLED = "shuffled:"
"""Before the name of a recipe: good texts on the wrong items."""

Make = Callable[[pl.DataFrame, Sequence[str]], pl.Series]


@dataclass(frozen=True)
class TextRecipe:
    """A named way to write an item down.

    Attributes:
        version: Raised when the recipe comes to make other texts.
        make: Items and the dataset's text columns to one text per item.
        reads: Item columns that it reads where they are there; None for the dataset's text columns.
    """

    name: str
    version: int
    summary: str
    make: Make
    reads: tuple[str, ...] | None


def get_recipe(name: str) -> TextRecipe:
    """The recipe called `name`, e.g. `title`, or `shuffled:title` with the texts changed round.

    Raises:
        UsageError: There is none; names the nearest.
    """
    if name.startswith(SHUFFLED):
        recipe = get_recipe(name.removeprefix(SHUFFLED))
        make = recipe.make
        return replace(recipe, name=name, make=lambda items, columns: make(_mixed(items), columns))
    if name not in RECIPES:
        raise UsageError(f"unknown text recipe {name!r}: {did_you_mean(name, RECIPES)}")
    return RECIPES[name]


def _mixed(items: pl.DataFrame) -> pl.DataFrame:
    """The rows in another order, the same for all tables of as many."""
    order = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(len(items),)))
    return items[order.permutation(len(items))]


def item_texts(items: pl.DataFrame, recipe: str, columns: Sequence[str] = ("title",)) -> list[str]:
    """One text per item, in the order of the items table; never None, possibly empty.

    Args:
        items: The items table.
        recipe: A name in `RECIPES`, `shuffled:` before it or not.
        columns: The dataset's text columns in order (`DatasetCard.text_columns`). The first stands
            for the title where there is no column `title`.

    Raises:
        UsageError: No such recipe, or the items lack a column it needs.
    """
    return get_recipe(recipe).make(items, columns).to_list()


def columns_read(items: pl.DataFrame, recipe: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The item columns that a recipe makes text of.

    Args:
        items: The items table.
        recipe: A name in `RECIPES`, `shuffled:` before it or not.
        columns: The dataset's text columns in order.

    Raises:
        UsageError: No such recipe.
    """
    reads = get_recipe(recipe).reads
    if reads is None:
        return tuple(columns)
    stands_in = columns[:1] if "title" not in items.columns else ()
    return (*stands_in, *(column for column in reads if column in items.columns))


def left_open(items: pl.DataFrame, recipe: str, columns: Sequence[str]) -> str | None:
    """What the texts depend on besides the items and the recipe's name; part of a run's identity.

    The card of a dataset, not its values, says which columns hold text: the same items give other
    texts after an import with other text columns.

    Args:
        items: The items table.
        recipe: A name in `RECIPES`, `shuffled:` before it or not.
        columns: The dataset's text columns in order.

    Returns:
        Name and version with the columns that the dataset chooses, e.g. `all-text/1:title,brand`;
        None for the first version of a recipe that names its own.

    Raises:
        UsageError: No such recipe.
    """
    found = get_recipe(recipe)
    if recipe.removeprefix(SHUFFLED) == "all-text":
        chosen = tuple(columns)
    else:
        chosen = () if "title" in items.columns else tuple(columns[:1])
    if not chosen and found.version == 1:
        return None
    return f"{found.name}/{found.version}:{','.join(chosen)}"


# ------------------------------------------------------------------------------------- recipes


def _title(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    return _published_field(_title_column(items, columns))


def _title_raw(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    text = _as_text(_title_column(items, columns), " ").str.strip_chars(_SPACE)
    return _where(text.str.len_bytes() > 0, text, ".")


def _v1_seqrec(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    fields = [_title_column(items, columns)]
    fields += [items[c] for c in ("features", "categories", "description") if c in items.columns]
    return _concat([_published_field(field) for field in fields])


def _v1_pretrain(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    fields = [_title_column(items, columns)]
    fields += [items[c] for c in ("features", "description") if c in items.columns]
    pieces = [_where(_given(field), " " + _as_text(field, " "), "") for field in fields]
    text = _concat(pieces).str.replace_all(r"[\t\n]", " ").str.replace_all("\r", "", literal=True)
    return text.str.strip_chars(_SPACE)


def _title_description(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    fields = [_title_column(items, columns), _column(items, "description")]
    return _sentences(fields)


def _all_text(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    if not columns:
        raise UsageError("the recipe all-text needs text columns, and the dataset names none")
    return _sentences([_column(items, name) for name in columns])


def _yelp_sentence(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    return _told(items, columns, _YELP)


def _yelp_plain(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    told = {name: words for name, words in _YELP.items() if name in _YELP_PLAIN}
    return _told(items, columns, told)


_YELP = {
    "title": ("Name: ", "."),
    "categories": ("Categories: ", "."),
    "stars": ("Rating: ", " stars."),
    "review_count": ("Number of reviews: ", "."),
    "city": ("Located in ", "."),
    "state": ("State: ", "."),
    "attributes": ("", ""),
    "hours": ("Hours: ", "."),
}
"""What the benchmark says before and after each column of a Yelp business, in its order."""
_YELP_PLAIN = ("title", "categories", "city", "state", "attributes", "hours")


RECIPES: dict[str, TextRecipe] = {
    recipe.name: recipe
    for recipe in (
        TextRecipe(
            "title", 1, "BLaIR benchmark: cleaned title, non-ASCII lost", _title, ("title",)
        ),
        TextRecipe(
            "title-raw",
            1,
            "BLaIR search pools: stripped title, '.' if empty",
            _title_raw,
            ("title",),
        ),
        TextRecipe(
            "v1-seqrec",
            1,
            "Amazon Reviews 2023: cleaned title, features, categories, description",
            _v1_seqrec,
            ("title", "features", "categories", "description"),
        ),
        TextRecipe(
            "v1-pretrain",
            1,
            "BLaIR pre-training: title, features, description",
            _v1_pretrain,
            ("title", "features", "description"),
        ),
        TextRecipe(
            "title+description",
            1,
            "title and description without HTML",
            _title_description,
            ("title", "description"),
        ),
        TextRecipe("all-text", 1, "all text columns without HTML", _all_text, None),
        TextRecipe(
            "yelp-sentence",
            1,
            "BLaIR benchmark, Yelp: all that is known, the target's popularity included",
            _yelp_sentence,
            tuple(_YELP),
        ),
        TextRecipe(
            "yelp-plain",
            1,
            "yelp-sentence without stars and number of reviews, which tell the target's popularity",
            _yelp_plain,
            _YELP_PLAIN,
        ),
    )
}


# ------------------------------------------------------------------------------------ cleaning


def _published_field(field: pl.Series) -> pl.Series:
    """A field as the published recipes write it, with the space that follows it.

    Each element of a list is cleaned, the elements are joined with ", " and closed with "."; a
    float is closed with "."; anything else is cleaned.
    """
    if isinstance(field.dtype, pl.List):
        full = field.list.len().fill_null(0) > 0
        text = _where(full, _join(field, ", ", _published_clean) + ".", "")
    elif field.dtype.is_float():
        text = _where(field.is_not_null(), _as_text(field, "") + ".", "")
    else:
        text = _published_clean(_as_text(field, ", "))
    return text + " "


def _published_clean(text: pl.Series) -> pl.Series:
    """Entities, strip, tags, line ends and tabs, runs of spaces, non-ASCII: in this order."""
    text = _unescape(text).str.strip_chars(_SPACE)
    text = text.str.replace_all(r"<[^>]+>", "").str.replace_all(r"[\n\t]", " ")
    return text.str.replace_all(r" +", " ").str.replace_all(r"[^\x00-\x7F]", " ")


def _told(
    items: pl.DataFrame, columns: Sequence[str], words: Mapping[str, tuple[str, str]]
) -> pl.Series:
    """Each column that is there and not empty between its words, separated by spaces."""
    pieces = []
    for name, (before, after) in words.items():
        if name != "title" and name not in items.columns:
            continue
        field = _title_column(items, columns) if name == "title" else items[name]
        text = _as_text(field, " " if name == "attributes" else ", ")
        told = before + _published_clean(text) + after + " "
        pieces.append(_where(text.str.len_bytes() > 0, told, ""))
    return _concat(pieces).str.strip_chars(_SPACE)


def clean(text: pl.Series) -> pl.Series:
    """Entities decoded, tags to spaces, white space to single spaces; all characters kept.

    A tag begins with a letter, so that "size < 5" and "I <3 tea" keep their words.
    """
    text = _unescape(text).str.replace_all(r"</?[A-Za-z][^<>]*>|<!--.*?-->", " ")
    return text.str.replace_all(rf"[{_SPACE}]+", " ").str.strip_chars(" ")


def _sentences(fields: Sequence[pl.Series]) -> pl.Series:
    """Cleaned fields in a row, each but the last ended like a sentence; empty ones left out."""
    text: pl.Series | None = None
    for field in fields:
        piece = _listed(field) if isinstance(field.dtype, pl.List) else clean(_as_text(field, ""))
        if text is None:
            text = piece
            continue
        closed = _where(text.str.contains(f"{_STOP}$"), text, text + ".")
        both = (text.str.len_bytes() > 0) & (piece.str.len_bytes() > 0)
        text = _where(both, closed + " " + piece, text + piece)
    assert text is not None
    return text


def _listed(field: pl.Series) -> pl.Series:
    """The cleaned elements of each list that are not empty, as a series or as sentences."""
    cleaned = _join(field, "\n", clean).str.strip_chars("\n").str.replace_all("\n+", "\n")
    return cleaned.str.replace_all(f"({_STOP})\n", "${1} ").str.replace_all("\n", ", ")


def _unescape(text: pl.Series) -> pl.Series:
    """HTML entities decoded; only the texts that hold an ampersand leave Polars for it."""
    rows = text.str.contains("&", literal=True).arg_true()
    if rows.is_empty():
        return text
    return text.clone().scatter(rows, [html.unescape(value) for value in text.gather(rows)])


def _as_text(field: pl.Series, separator: str) -> pl.Series:
    """A column as text without nulls; lists joined, numbers as Python prints them."""
    if isinstance(field.dtype, pl.List):
        return _join(field, separator, lambda text: text)
    if field.dtype != pl.String:
        values = [None if value is None else str(value) for value in field]
        field = pl.Series(field.name, values, dtype=pl.String)
    return field.fill_null("")


def _join(field: pl.Series, separator: str, clean: Callable[[pl.Series], pl.Series]) -> pl.Series:
    """Each list's elements, cleaned and joined; missing and empty lists are empty texts."""
    full = field.list.len().fill_null(0) > 0
    rows = full.arg_true()
    lists = field.filter(full)
    owner = pl.Series(rows).gather(_repeat(lists.list.len()))
    elements = pl.DataFrame({"row": owner, "text": clean(_as_text(lists.explode(), ""))})
    joined = elements.group_by("row", maintain_order=True).agg(pl.col("text").str.join(separator))
    empty = pl.Series(field.name, [""], dtype=pl.String).new_from_index(0, len(field))
    return empty.scatter(joined["row"], joined["text"])


def _repeat(lengths: pl.Series) -> pl.Series:
    """0 repeated `lengths[0]` times, 1 repeated `lengths[1]` times, ..."""
    return pl.int_range(len(lengths), eager=True).repeat_by(lengths).explode()


def _given(field: pl.Series) -> pl.Series:
    """Where a field is not missing: not null, and not an empty list."""
    if isinstance(field.dtype, pl.List):
        return field.list.len().fill_null(0) > 0
    return field.is_not_null()


def _where(mask: pl.Series, yes: pl.Series, no: pl.Series | str) -> pl.Series:
    otherwise = pl.lit(no) if isinstance(no, str) else no
    return pl.select(pl.when(mask).then(yes).otherwise(otherwise)).to_series()


def _concat(parts: Sequence[pl.Series]) -> pl.Series:
    return pl.select(pl.concat_str(list(parts))).to_series()


# ------------------------------------------------------------------------------------- columns


def _title_column(items: pl.DataFrame, columns: Sequence[str]) -> pl.Series:
    name = "title" if "title" in items.columns or not columns else columns[0]
    return _column(items, name)


def _column(items: pl.DataFrame, name: str) -> pl.Series:
    if name not in items.columns:
        raise UsageError(
            f"the items have no column {name} to make text of "
            f"(found: {', '.join(items.columns)}); {did_you_mean(name, items.columns)}",
            fix="choose another text recipe or other text columns",
        )
    return items[name]
