"""Amazon Video Games as DEALRec has it: numbered sequences in three parts, titles and shelves.

Its maps were released as pickled arrays, which are not opened here; read is their content as JSON.
With the maps of users and items, ids are Amazon's; without them they are the layout's numbers.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import PARTS, Tables
from tastebench.data.sources import Source
from tastebench.data.sources.amazon_sequences import lookup, read_sequences
from tastebench.data.sources.reading import find, need, read_json
from tastebench.errors import DataError

_DEALREC = (
    "https://raw.githubusercontent.com/Linxyhaha/DEALRec"
    "/8bd1d9c0a1eeb86dda957ef569a449a6e275f794/data/games"
)
_SEQUENCES = tuple(
    RawFile(
        path=f"sequential_{part}.txt",
        also=(f"data/games/sequential_{part}.txt",),
        url=f"{_DEALREC}/sequential_{part}.txt",
        sha256=sha256,
    )
    for part, sha256 in zip(
        PARTS,
        (
            "2cf292f2098254781d312c98ba824af7c9e07748d05fe09ab6c1b443ace71c26",
            "43ffe2fea62b09b3ce00bd9821eecfd94fb924abd289ab017fabdd7282d25c9d",
            "f34272dc8a352f4f242c014835b3d65e6c0049bb1d1e35c8bc61cfbedc3dcbea",
        ),
        strict=True,
    )
)
_TITLES = RawFile(path="title_maps.json")
_SHELVES = RawFile(path="category_map.json", required=False)
_ITEMS = RawFile(path="item_map.json", required=False)
_USERS = RawFile(path="user_map.json", required=False)


def read(raw: Path) -> Tables:
    """A user's items of train, then valid, then test, oldest first, and which part each is in."""
    parts = pl.concat(
        read_sequences(need(raw, file), may_be_empty=True).with_columns(part=pl.lit(part))
        for part, file in zip(PARTS, _SEQUENCES, strict=True)
    )
    taken = parts.drop("row").sort(pl.col("user_id").cast(pl.Int64), maintain_order=True)
    titles = lookup(need(raw, _TITLES), ("seqid2title",))
    items = pl.DataFrame({"item_id": list(titles), "title": list(titles.values())}, strict=False)
    shelves = find(raw, _SHELVES)
    if shelves is not None:
        paths = lookup(shelves, ("seqid2category",))
        about = {"item_id": list(paths), "categories": list(paths.values())}
        frame = pl.DataFrame(about, schema_overrides={"categories": pl.List(pl.String())})
        items = items.join(frame, on="item_id", how="left", maintain_order="left")
    names, people = _names(find(raw, _ITEMS)), _names(find(raw, _USERS))
    items = items.with_columns(pl.col("item_id").replace(names))
    taken = taken.with_columns(
        pl.col("item_id").replace(names), pl.col("user_id").replace(people)
    ).with_row_index("row")
    return Tables(
        items=items,
        interactions=taken.select("row", "user_id", "item_id"),
        split=taken.select("user_id", "item_id", "part"),
    )


def _names(path: Path | None) -> dict[str, str]:
    """The id of each number in the sequences, where they count from 1 and the map from 0."""
    if path is None:
        return {}
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(n, int) for n in content.values()):
        raise DataError(
            "this is no map of ids to numbers", where=str(path), fix="get the original file again"
        )
    return {str(number + 1): name for name, number in content.items()}


GAMES = Source(
    DatasetCard(
        name="games",
        title="Amazon Video Games sequences",
        summary=(
            "What people reviewed in Video Games on Amazon, in order and without times, split into "
            "train, valid and test at two moments: the data of DEALRec."
        ),
        source="https://github.com/Linxyhaha/DEALRec",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Jianmo Ni, Jiacheng Li and Julian McAuley. 2019. Justifying Recommendations using "
            "Distantly-Labeled Reviews and Fine-Grained Aspects. EMNLP. Sequences as released with "
            "Xinyu Lin et al. 2024. Data-efficient Fine-tuning for LLM-based Recommendation. SIGIR."
        ),
        text_columns=("title", "categories"),
        splits={"seqrec": SplitSpec(kind="given"), "cf": SplitSpec(kind="given")},
        files=(*_SEQUENCES, _TITLES, _SHELVES, _ITEMS, _USERS),
        known=Counts(users=49_156, items=17_332, interactions=342_329),
        seen_on="real",
        notes=(
            "There is order only, no time: a row's position is its place in time.",
            "The maps were released as pickled arrays, not opened here: bring them as JSON.",
        ),
    ),
    read,
)
