"""Public datasets by the rules of the BLaIR benchmark, `blair/NAME`: one table of what it does.

The files are those of the dataset of the same name and are read by its reader; what the benchmark
then leaves out, how it splits and how much history it gives stands below, a row a dataset. Its
splits of collaborative filtering differ from dataset to dataset, and are kept so. Where a split is
random the shares are the benchmark's and the draw is not: its shuffles hang on its libraries.
"""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from tastebench.data import prepare
from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.sources import Rule, Source, amazon_2023
from tastebench.data.sources.book_crossing import BOOK_CROSSING as BOOKS
from tastebench.data.sources.categories import slug
from tastebench.data.sources.movielens import ML_1M
from tastebench.data.sources.yelp import YELP as ALL_OF_YELP

_CITATION = (
    "Benchmark: the BLaIR benchmark of language models for recommendation, which builds on Yupeng "
    "Hou et al. 2024. Bridging Language and Items for Retrieval and Recommendation. "
    "arXiv:2403.03952."
)


# -------------------------------------------------------------------------------------- the rules


def _taken(tables: Tables) -> pl.DataFrame:
    assert tables.interactions is not None
    return tables.interactions


def described(tables: Tables) -> pl.DataFrame:
    """Interactions with items that have a record; readers leave the columns of the others null."""
    about = [name for name in tables.items.columns if name != "item_id"]
    records = tables.items.filter(~pl.all_horizontal(pl.col(about).is_null()))
    return _taken(tables).join(records, on="item_id", how="semi", maintain_order="left")


def first_of_pair(tables: Tables) -> pl.DataFrame:
    """The earliest interaction of every user with every item."""
    return prepare.dedup(_taken(tables))


def with_history(tables: Tables) -> pl.DataFrame:
    """Users who have an item before some other."""
    return prepare.min_length(_taken(tables), 2)


def users_of_20(tables: Tables) -> pl.DataFrame:
    """Users with 20 interactions or more."""
    return prepare.min_count(_taken(tables), "user", 20)


def items_of_20(tables: Tables) -> pl.DataFrame:
    """Items with 20 interactions or more, once: users may then have fewer."""
    return prepare.min_count(_taken(tables), "item", 20)


def in_2019(tables: Tables) -> pl.DataFrame:
    """Rated in 2019. The benchmark's upper bound is the midnight before the last day."""
    first, last = (
        int(datetime(2019, month, day, tzinfo=UTC).timestamp() * 1000)
        for month, day in ((1, 1), (12, 31))
    )
    return _taken(tables).filter(pl.col("time").is_between(first, last), pl.col("rating") > 0)


def core_of_5(tables: Tables) -> pl.DataFrame:
    """The largest set in which users and items have 5 interactions, repeats counted."""
    return pl.DataFrame(prepare.k_core(_taken(tables), 5).frame)


# -------------------------------------------------------------------------------------- the table


def _view(
    name: str,
    base: Source,
    rules: tuple[Rule, ...],
    *,
    splits: dict[str, SplitSpec],
    history_length: int = 50,
    files: tuple[RawFile, ...] | None = None,
    about: Counts,
    notes: tuple[str, ...],
) -> Source:
    card = base.card
    told = {
        "name": f"blair/{name}",
        "title": f"{card.title} (BLaIR benchmark)",
        "summary": f"{card.title} as the BLaIR benchmark filters and splits it.",
        "citation": f"{card.citation} {_CITATION}",
        "tasks": tuple(splits),
        "splits": splits,
        "history_length": history_length,
        "files": card.files if files is None else files,
        "known": Counts(),
        "about": about,
        "notes": notes,
    }
    view = DatasetCard.model_validate({**card.model_dump(), **told})
    return Source(view, base.read, rules=rules, downloads=card.name)


_LAST_OUT = SplitSpec(kind="last_out")
_OF_EACH_USER = SplitSpec(
    kind="random", ratios=(0.4, 0.3, 0.3), by="user", seed=101, drop_cold=True
)
_OF_ALL_PAIRS = SplitSpec(kind="random", ratios=(0.4, 0.3, 0.3), by="all", seed=101)
_BY_TIME = SplitSpec(
    kind="time", valid_from=amazon_2023.VALID_FROM, test_from=amazon_2023.TEST_FROM
)


def _amazon(category: str, about: Counts) -> Source:
    ratings, meta, *parts = amazon_2023.files(category, cores=("0core",))
    return _view(
        slug(category),
        amazon_2023.source(category),
        (described, first_of_pair, with_history),
        splits={"seqrec": _BY_TIME, "cf": _OF_ALL_PAIRS},
        files=(ratings, meta.model_copy(update={"required": True}), *parts),
        about=about,
        notes=(
            "Products without metadata are left out, then users who are left with one product.",
            "Targets without an earlier product are not asked.",
            "cf takes no account of time, and keeps users and products that are not in train.",
            "Item text of the benchmark: the recipe title.",
        ),
    )


# Sizes of the whole categories, before the rules.
ALL_BEAUTY = _amazon("All_Beauty", Counts(users=632_000, items=112_600, interactions=701_500))
VIDEO_GAMES = _amazon("Video_Games", Counts(users=2_800_000, items=137_200, interactions=4_600_000))
BABY_PRODUCTS = _amazon(
    "Baby_Products", Counts(users=3_400_000, items=217_700, interactions=6_000_000)
)

MOVIELENS_1M = _view(
    "movielens-1m",
    ML_1M,
    (users_of_20, items_of_20),
    splits={"seqrec": _LAST_OUT, "cf": _OF_EACH_USER},
    history_length=200,
    about=Counts(users=6_000, items=3_000, interactions=1_000_000),
    notes=(
        "Every rating counts, whatever its value.",
        "Users with 20 ratings, then movies with 20, once.",
        "cf loses what is not in train from valid and test; of a user's 0.4 and 0.3 the whole "
        "numbers below are taken where the benchmark rounds.",
    ),
)

BOOK_CROSSING = _view(
    "book-crossing",
    BOOKS,
    (described, users_of_20, items_of_20),
    splits={"cf": _OF_EACH_USER},
    about=Counts(users=3_000, items=3_400, interactions=150_000),
    notes=(
        "Every row counts, also those that are read and not rated.",
        "Described books only; readers with 20, then books with 20, once.",
        "cf loses what is not in train from valid and test; of a reader's 0.4 and 0.3 the whole "
        "numbers below are taken where the benchmark rounds.",
        "Read from the original dump it is the benchmark's; Case Recommender's cleaned form has "
        "fewer readers and books to begin with.",
    ),
)

YELP = _view(
    "yelp",
    ALL_OF_YELP,
    (in_2019, core_of_5),
    splits={"seqrec": _LAST_OUT, "cf": _OF_ALL_PAIRS},
    about=Counts(users=30_000, items=20_000, interactions=320_000),
    notes=(
        "The benchmark takes the release of 2020.",
        "Reviews of 2019, 5-core; people who reviewed a business again have it again.",
        "cf keeps users and businesses that are not in train. The benchmark shuffles reviews, so "
        "that a repeated pair can be in train and test; here a pair is in one part.",
        "Item text of the benchmark: the recipe yelp-sentence, which tells the target's stars and "
        "number of reviews; the default yelp-plain leaves these out.",
    ),
)
