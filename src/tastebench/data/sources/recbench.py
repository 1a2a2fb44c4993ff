"""Public datasets by the rules of RecBench, `recbench/NAME`: one table of what it does.

The files are those of another dataset and are read by its reader; what becomes a candidate, a
history or a sequence stands below, a row a dataset, and is made by `tastebench.data.click_rows`.
RecBench (Liu et al. 2025) and its sibling over more domains draw 20,000 rows for test, 100,000 for
finetuning or both; here every dataset has both, and users who are tested are the same either way.

`recbench-reference/NAME` is the same as RecBench's code makes it, where that harms no one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl
from pydantic import BaseModel, ConfigDict

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.click_rows import ClickRows, click_rows
from tastebench.data.comparison import Comparison
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.data.sources import SOURCES, Source, amazon_2018, recbench_counts
from tastebench.data.sources.categories import slug

_CITATION = (
    "Benchmark: Qijiong Liu et al. 2025. Benchmarking LLMs in Recommendation Tasks: A Comparative "
    "Evaluation with Conventional Recommenders. arXiv:2503.05493."
)


class View(BaseModel):
    """What RecBench does with one dataset.

    Attributes:
        name: After `recbench/`.
        base: The dataset whose files and reader it has.
        rows: Family, candidates and caps.
        drawn: Rows of test and of finetune that RecBench draws; 0 for a part that it has not.
        text: Item columns that are shown; an item without any of them does not exist.
        title: Columns of which the first that is there becomes the title.
        lists: How the ids of the impression lists begin that are used.
        category: Of Amazon's reviews, all of which are read and not those of the 5-core.
        reads: In what RecBench reads the files differently.
        ours: It is no dataset of RecBench's but made by the same rules.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    base: str
    rows: ClickRows
    drawn: tuple[int, int] = (20_000, 100_000)
    text: tuple[str, ...] = ("title",)
    title: tuple[str, ...] = ()
    lists: str = ""
    category: str | None = None
    reads: tuple[str, ...] = ()
    ours: bool = False

    @property
    def dataset(self) -> str:
        """What the dataset is called."""
        reference = self.rows.behaviour == "reference"
        return f"recbench-reference/{self.name}" if reference else f"recbench/{self.name}"

    @property
    def reference(self) -> View:
        """The same as the published code makes it."""
        rows = self.rows.model_copy(update={"behaviour": "reference"})
        return self.model_copy(update={"rows": rows})


# -------------------------------------------------------------------------------------- the table

_GIVEN = ClickRows(family="given")
_RATED = ClickRows(family="explicit")
_TAKEN = ClickRows(family="sampled")


def _amazon(
    name: str, category: str, rows: ClickRows = _RATED, drawn: tuple[int, int] = (20_000, 100_000)
) -> View:
    return View(
        name=name,
        base=f"amazon-2018-{slug(category)}",
        rows=rows,
        drawn=drawn,
        category=category,
        reads=(
            "RecBench reads the first ten million reviews or so, has times of a day, and keeps "
            "products without a title.",
        ),
    )


VIEWS = {
    view.name: view
    for view in (
        View(
            name="hm",
            base="hm",
            rows=_TAKEN,
            text=("description",),
            reads=(
                "RecBench reads the first 10,000,001 purchases, the early months; all are read "
                "here.",
            ),
        ),
        View(name="mind", base="mind-small", rows=_GIVEN, lists="train-"),
        View(name="microlens", base="microlens-50k", rows=_TAKEN),
        View(
            name="goodreads",
            base="goodreads",
            rows=ClickRows(family="explicit", threshold=None),
            reads=(
                "RecBench reads the first 10,000,001 shelvings, and 50,000,001 for lists, moves "
                "their times to UTC without their offset, and knows the best edition of a work "
                "only.",
            ),
        ),
        _amazon("cds", "CDs_and_Vinyl"),
        View(name="movielens", base="movielens-latest", rows=_RATED, drawn=(20_000, 0)),
        View(name="yelp", base="yelp", rows=_RATED),
        View(name="steam", base="steam", rows=_TAKEN, drawn=(20_000, 0)),
        _amazon("electronics", "Electronics"),
        View(
            name="hotelrec",
            base="hotelrec",
            rows=ClickRows(family="explicit", cap=50),
            drawn=(20_000, 0),
            text=("title", "location"),
        ),
        _amazon("books", "Books"),
        _amazon("digital-music", "Digital_Music", ClickRows(family="explicit", positives=1)),
        _amazon("automotive", "Automotive"),
        View(
            name="lastfm",
            base="lastfm-1k",
            rows=ClickRows(family="sampled", positives=10, negatives=100, cap=200),
            text=("track_name", "artist_name"),
        ),
        View(name="netflix", base="netflix", rows=_RATED, text=("title", "year")),
        View(name="pens", base="pens", rows=_GIVEN),
        View(name="ebnerd", base="eb-nerd-small", rows=_GIVEN, lists="train-"),
        View(
            name="pog",
            base="pog",
            rows=ClickRows(family="sampled", positives=1, negatives=100),
            title=("title_en", "title_zh"),
        ),
        View(name="beauty", base="beauty", rows=_TAKEN, ours=True),
        View(name="games", base="games", rows=_TAKEN, ours=True),
        View(name="toys", base="toys", rows=_TAKEN, ours=True),
    )
}
"""Every dataset by its name after `recbench/`."""


# ------------------------------------------------------------------------------------- the making


def derive(view: View, tables: Tables) -> tuple[Tables, dict[str, Any]]:
    """The view's tables from those of its base, and the account of it."""
    if view.title:
        tables = _titled(tables, view.title)
    if view.lists:
        tables = _in_lists(tables, view.lists)
    texts = [name for name in view.text if tables.items.schema[name] == pl.String]
    known = pl.any_horizontal(pl.col(texts).str.strip_chars().fill_null("") != "")
    return click_rows(tables, view.rows, known=known, where=view.dataset)


def _titled(tables: Tables, columns: tuple[str, ...]) -> Tables:
    items = tables.items.with_columns(pl.coalesce(columns).alias("title")).drop(columns)
    return Tables(items, tables.interactions, tables.users)


def _in_lists(tables: Tables, begin: str) -> Tables:
    """With the impression lists whose ids begin so, and the histories of their users."""
    shown, past = tables.impressions, tables.histories
    assert shown is not None and past is not None
    shown = shown.filter(pl.col("impression_id").str.starts_with(begin))
    past = past.join(shown.select("user_id"), on="user_id", how="semi", maintain_order="left")
    return Tables(tables.items, tables.interactions, tables.users, shown, past)


@cache
def source(view: View) -> Source:
    """The source of one view."""
    base = SOURCES.get(view.base)
    reads = partial(_read_all, category=view.category) if view.category else base.read
    compare: Callable[[Dataset], Comparison] = partial(_compare, view)
    return Source(
        _card(view, base.card),
        reads,
        rules=base.rules,
        downloads=view.base,
        derive=partial(derive, view),
        compare=compare,
    )


def _compare(view: View, dataset: Dataset) -> Comparison:
    reads = view.reads
    core = [name for name in dataset.manifest.get("raw", {}).get("files", {}) if "_5.json" in name]
    if core:
        reads = (f"{core[0]} is the 5-core; RecBench reads all reviews.", *reads)
    release = Counts() if view.category else SOURCES.get(view.base).card.known
    return recbench_counts.compare(view.name, dataset, reads, release)


def _card(view: View, base: DatasetCard) -> DatasetCard:
    splits = {
        "ctr": SplitSpec(kind="given"),
        # 5,000 sequences for test and 40,000 for finetuning, of which a tenth validates.
        "seqrec": SplitSpec(kind="user", users=(36_000, 4_000, 5_000), seed=view.rows.seed),
    }
    title = base.title.removesuffix(", 5-core") if view.category else base.title
    whose = "'s own code" if view.rows.behaviour == "reference" else ""
    told = {
        "name": view.dataset,
        "title": f"{title} (RecBench)",
        "summary": f"{title} as RecBench{whose} makes candidates, histories and sequences of it.",
        "citation": f"{base.citation} {_CITATION}",
        "tasks": tuple(splits),
        "splits": splits,
        "history_length": 20,
        "text_columns": view.text,
        "text_recipe": "all-text",
        "files": _all_reviews(view.category) if view.category else base.files,
        "known": Counts(),
        "about": _about(base),
        "notes": (*_notes(view), *base.notes),
    }
    return DatasetCard.model_validate({**base.model_dump(), **told})


def _about(base: DatasetCard) -> Counts:
    """Sizes of the base, before the rules."""
    known = {name: n for name, n in base.known if n is not None}
    return base.about.model_copy(update=known)


_FAMILIES = {
    "given": "Candidates are what was shown to users with a history: clicked or not.",
    "explicit": (
        "Candidates are a user's last {positives} positives and all negatives, whatever their "
        "time: {how}. What is before these positives is the history."
    ),
    "sampled": (
        "Candidates are the last {positives} items of a user, and {negatives} a user that the user "
        "never took, drawn uniformly. What is before is the history."
    ),
}


def _notes(view: View) -> tuple[str, ...]:
    rows = view.rows
    how = (
        "labelled 1 and 0"
        if rows.threshold is None
        else f"ratings above and below {rows.threshold:g}"
    )
    family = _FAMILIES[rows.family].format(
        positives=rows.positives, negatives=rows.negatives, how=how
    )
    notes = [
        family,
        f"Of each user at most {rows.per_label} candidates of either label; users for test until "
        f"there are {rows.test_rows:,} rows, others for finetuning until {rows.finetune_rows:,}, a "
        "tenth of whom validate. With too few users both parts shrink alike.",
        f"Items without text ({', '.join(view.text)}) do not exist. Interactions are the positives "
        "of all users in order, for seqrec.",
        "As in RecBench's code drawn negatives may repeat, a user may have an item more than once, "
        "with different labels, and a sequence may have one item. Unlike there all draws are "
        "seeded."
        if rows.behaviour == "reference"
        else "Unlike in RecBench all draws are seeded, drawn negatives are distinct, a user has an "
        "item once, positive if it was ever taken, and a sequence has two items or more. "
        f"recbench-reference/{view.name} does as RecBench's code.",
    ]
    for part, n in zip(("test", "finetuning"), view.drawn, strict=True):
        if not n:
            notes.append(f"RecBench draws no rows for {part} here.")
    if view.ours:
        notes.append("This is no dataset of RecBench's: its rules, on other data.")
    return tuple(notes)


# -------------------------------------------------------------------------------- all of Amazon's


def _all_reviews(category: str) -> tuple[RawFile, RawFile]:
    """All reviews of a category, else its 5-core where only that is there; and the metadata."""
    core, meta = amazon_2018.files(category)
    name = f"{category}.json"

    def full(url: str) -> str:
        return url.replace(f"categoryFilesSmall/{category}_5", f"categoryFiles/{category}")

    reviews = RawFile(
        path=f"{name}.gz",
        also=(name, core.path, f"{category}_5.json"),
        url=full(core.url or ""),
        mirrors=tuple(full(url) for url in core.mirrors),
    )
    return reviews, meta.model_copy(update={"required": True})


def _read_all(raw: Path, category: str) -> Tables:
    return amazon_2018.read(raw, category, _all_reviews(category)[0])


def __getattr__(name: str) -> Source:
    """`recbench.DIGITAL_MUSIC` is the source of `recbench/digital-music`.

    `recbench.DIGITAL_MUSIC_REFERENCE` is that of `recbench-reference/digital-music`.
    """
    known = name.removesuffix("_REFERENCE")
    view = VIEWS.get(known.replace("_", "-").lower())
    if view is None:
        raise AttributeError(name)
    return source(view if known == name else view.reference)
