"""Texts as words that can be compared: whatever two writers may do differently is taken away."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from tastebench.data.text import clean

# Scripts that put no spaces between words: each sign counts as a word.
_SIGNS = r"\p{Han}\p{Hiragana}\p{Katakana}"
_WORD = rf"[{_SIGNS}]|[[\p{{L}}\p{{N}}]--[{_SIGNS}]]+"


def plain(texts: pl.Series) -> pl.Series:
    """Without HTML, entities, accents, case, apostrophes and other forms of the same character.

    Inches and per cent as words, numbers without separators of thousands; missing texts are empty.
    """
    text = clean(texts.fill_null(""))
    text = text.str.normalize("NFKD").str.replace_all(r"\p{Mn}", "").str.normalize("NFKC")
    text = text.str.to_lowercase().str.replace_all("['\u2019\u02bc`]", "")
    text = text.str.replace_all('(\\d)\\s*["\u201d\u2033]', "${1} inch ")
    text = text.str.replace_all(r"(\d)\s*%", "${1} percent ")
    for _ in range(2):  # neighbouring separators share a digit's place
        text = text.str.replace_all(r"(\d),(\d{3})\b", "${1}${2}")
    return text


def words(texts: Sequence[str | None] | pl.Series) -> pl.Series:
    """The words of each text in order, `List(String)`.

    >>> words(["Caf\u00e9 &amp; Don\u2019t", "16GB \u8336"]).to_list()
    [['cafe', 'dont'], ['16gb', '\u8336']]
    """
    series = texts if isinstance(texts, pl.Series) else pl.Series(texts, dtype=pl.String)
    return plain(series).str.extract_all(_WORD)


def codes(texts: pl.Series) -> pl.Series:
    """What looks like a model number: words, also hyphenated ones, of letters and digits.

    >>> codes(pl.Series(["Sony WH-1000XM4, 2 in 1"])).to_list()
    [['1000xm4', 'wh1000xm4']]
    """
    text = plain(texts)
    joined = text.str.replace_all(r"[^\p{L}\p{N}\s]", "").str.extract_all(_WORD)
    both = pl.DataFrame({"a": text.str.extract_all(_WORD), "b": joined})
    mixed = pl.element().str.contains(r"\p{L}") & pl.element().str.contains(r"\p{N}")
    found = pl.col("a").list.concat("b").list.eval(pl.element().filter(mixed))
    return both.select(found.list.unique().list.sort()).to_series()


def as_text(column: pl.Series) -> pl.Series:
    """A column of items as text, lists joined."""
    if isinstance(column.dtype, pl.List):
        return column.list.join(" ", ignore_nulls=True)
    return column.cast(pl.String)


def runs(of: Sequence[str], length: int) -> Iterator[tuple[str, ...]]:
    """Every `length` words in a row.

    >>> list(runs(["a", "b", "c"], 2))
    [('a', 'b'), ('b', 'c')]
    """
    return (tuple(of[i : i + length]) for i in range(len(of) - length + 1))
