"""TALLRec's yes-no questions about films and books, with a few of them to learn from.

A question names what a person liked, what they did not, and a target that they liked or not. Names
are all there is: an item is its name, and every question is a person of its own, since the release
does not say whose it is. Its file of training questions is not in the release; the few that are
learned from are drawn from the validation file, the rest of which stays to choose by.
"""

from __future__ import annotations

import re
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, need, read_json

Domain = Literal["movie", "book"]

_SITE = (
    "https://raw.githubusercontent.com/SAI990323/TALLRec/c1db29ce6501bce32cc8c3e343c4eb14155beeb1"
)
_SEED = 2023  # of the draw; the fewer are among the more
_QUESTION = re.compile(
    r"User Preference: (?P<liked>.*)\nUser Unpreference: .*\n"
    r'Whether the user will like the target (?:movie|book) "(?P<target>.*)"\?'
)
_ANSWERS = {"Yes.": 1, "No.": 0}
_BOOK = re.compile(r'"(.+)" written by (.+)')


def _file(path: str, sha256: str, size: int) -> RawFile:
    return RawFile(path=path, url=f"{_SITE}/data/{path}", sha256=sha256, bytes=size)


_FILES: dict[Domain, tuple[RawFile, RawFile]] = {
    "movie": (
        _file(
            "movie/valid.json",
            "d4aa0c005868aef9b8a85583db946662a2be9c2e0e09f810fe3a7ad31d89274f",
            628_187,
        ),
        _file(
            "movie/test.json",
            "474e02cde467c8c7001168a4a390a581217edcd8f4726c39aa88c9aa37c54d5e",
            612_555,
        ),
    ),
    "book": (
        _file(
            "book/valid.json",
            "484165aefc7941fd9f19cc9f42144832d5cee7424b15dc661b753d7705769aa2",
            2_015_549,
        ),
        _file(
            "book/test.json",
            "28ab5fe8b28f4094b7fa5b0d46acdbb3984f55e728d04f78e3ea42e7c2bf102b",
            2_003_057,
        ),
    ),
}


def read(raw: Path, domain: Domain, n: int) -> Tables:
    """A question as a person with one row; `n` of the validation file are to learn from.

    What a person did not like is not read: a history is of what was taken.

    Raises:
        DataError: A file is missing, or a question is not of its form; names the questions.
    """
    valid, test = (_questions(need(raw, file), domain) for file in _FILES[domain])
    learned = np.zeros(len(valid), dtype=bool)
    learned[np.random.default_rng(_SEED).permutation(len(valid))[:n]] = True
    rows = pl.concat(
        [
            valid.with_columns(part=pl.Series(np.where(learned, "train", "valid"))),
            test.with_columns(part=pl.lit("test")),
        ]
    )
    names = pl.concat([rows["liked"].explode().drop_nulls(), rows["target"]])
    ids = {name: _id(name) for name in names.unique(maintain_order=True)}
    impressions = rows.select(
        "user_id",
        pl.col("user_id").alias("impression_id"),
        pl.col("target").replace_strict(ids).alias("item_id"),
        "label",
        "part",
    )
    liked = pl.col("liked").list.eval(pl.element().replace_strict(ids))
    return Tables(
        items=_items(ids, domain),
        interactions=impressions.filter(pl.col("label") == 1)
        .select("user_id", "item_id")
        .with_row_index("row"),
        impressions=impressions,
        histories=rows.select("user_id", liked.alias("item_ids")),
    )


def _questions(path: Path, domain: Domain) -> pl.DataFrame:
    """Person, names that were liked, the target's, and the label, a row a question."""
    value = read_json(path)
    found = [_question(one, domain) for one in value] if isinstance(value, list) else [None]
    bad = [number for number, row in enumerate(found, start=1) if row is None]
    if bad:
        raise bad_rows(path, bad, "this is no question with Yes. or No. for an answer")
    schema = {"liked": pl.List(pl.String()), "target": pl.String(), "label": pl.Int8()}
    rows = pl.DataFrame(found, schema=schema, orient="row")
    users = [f"{path.stem}-{number}" for number in range(1, len(rows) + 1)]
    return rows.with_columns(user_id=pl.Series(users, dtype=pl.String()))


def _question(value: Any, domain: Domain) -> tuple[list[str], str, int] | None:
    """The names and the label of a question; None of what is none."""
    if not isinstance(value, dict):
        return None
    found = _QUESTION.fullmatch(str(value.get("input")))
    label = _ANSWERS.get(str(value.get("output")).strip())
    if found is None or label is None:
        return None
    names, target = _names(found["liked"], domain), found["target"]
    whole = all(names) and bool(target)
    if domain == "book":
        whole = all(_BOOK.fullmatch(name) for name in (*names, target))
    return (names, target, label) if whole else None


def _names(listed: str, domain: Domain) -> list[str]:
    """The names in a list of them: films in quotes, books in quotes with who wrote them."""
    if not listed:
        return []
    return listed[1:-1].split('", "') if domain == "movie" else re.split(r', (?=")', listed)


def _items(ids: dict[str, str], domain: Domain) -> pl.DataFrame:
    names = list(ids)
    if domain == "movie":
        return pl.DataFrame({"item_id": list(ids.values()), "title": names})
    fields = [found.groups() for name in names if (found := _BOOK.fullmatch(name))]
    return pl.DataFrame(
        {
            "item_id": list(ids.values()),
            "title": [title for title, _ in fields],
            "author": [author for _, author in fields],
        }
    )


def _id(name: str) -> str:
    """A name's id: 64 bits of its BLAKE2b hash, which a million names share by rare chance."""
    return blake2b(name.encode(), digest_size=8).hexdigest()


def _source(domain: Domain, n: int, known: Counts) -> Source:
    what = {"movie": "films of MovieLens 100K", "book": "books of Book-Crossing"}[domain]
    return Source(
        DatasetCard(
            name=f"tallrec/{domain}-{n}",
            title=f"TALLRec's {domain}s, {n} questions to learn from",
            summary=f"Yes or no about one of the {what}, {n} drawn questions to learn from.",
            source="https://github.com/SAI990323/TALLRec",
            licence=(
                "TALLRec: Apache-2.0; of what it is made of, "
                + {
                    "movie": "GroupLens terms: research use with acknowledgement",
                    "book": "the terms of Book-Crossing are not known",
                }[domain]
            ),
            citation=(
                "Keqin Bao, Jizhi Zhang, Yang Zhang, Wenjie Wang, Fuli Feng and Xiangnan He. 2023. "
                "TALLRec: An Effective and Efficient Tuning Framework to Align Large Language "
                "Model with Recommendation. RecSys. arXiv:2305.00447."
            ),
            tasks=("ctr",),
            text_columns=("title",) if domain == "movie" else ("title", "author"),
            files=_FILES[domain],
            known=known,
            seen_on="real",
            notes=(
                "Not comparable with the published rows of 16, 64 and 256 samples: their training "
                "file is not in the release, so that the samples are drawn here from the "
                "validation file, and the rest of that chooses.",
                "16 are among the 64, and these among the 256.",
                "What a person did not like is left out: a history is of what was taken.",
                "Every question is a person of its own. Whose it is the release does not say, so "
                "that one person may be in two parts, and what one question asks may be in the "
                "history of another.",
                *_OF[domain],
                "Names are all there is of an item; an item's id is a hash of its name.",
            ),
        ),
        partial(read, domain=domain, n=n),
        downloads=None if n == _MOST else f"tallrec/{domain}-{_MOST}",
    )


_OF: dict[Domain, tuple[str, ...]] = {
    "movie": (
        "Of 1,000 questions in each file 986 and 984 go on where the one before ends: windows that "
        "slide along the ratings of about thirty people. Intervals that draw questions are too "
        "narrow for it.",
    ),
    "book": (),
}
_MOST = 256
_MOVIES = Counts(users=1_186, items=761, interactions=1_186)
_BOOKS = Counts(users=2_065, items=14_194, interactions=2_065)
MOVIE_16, MOVIE_64, MOVIE_256 = (_source("movie", n, _MOVIES) for n in (16, 64, _MOST))
BOOK_16, BOOK_64, BOOK_256 = (_source("book", n, _BOOKS) for n in (16, 64, _MOST))
