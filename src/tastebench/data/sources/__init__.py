"""Public datasets: one file per family, each with its cards and a `read(raw) -> Tables`.

To add a dataset, copy the file nearest to it (`movielens.py` is a good start), write its card and
its `read`, and add a line to `SOURCES`. `read` gets a folder that holds the files the card names
and returns canonical tables; fetching, checking, repairing and keeping them is done elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tastebench.data.card import DatasetCard
from tastebench.data.sources import categories
from tastebench.registry import Registry

if TYPE_CHECKING:
    import polars as pl

    from tastebench.data.comparison import Comparison
    from tastebench.data.dataset import Dataset
    from tastebench.data.schema import Tables

Rule = Callable[["Tables"], "pl.DataFrame"]
"""From tables to the interactions that are left of theirs."""


@dataclass(frozen=True)
class Source:
    """A public dataset.

    Attributes:
        card: What is known of it before a row is read.
        read: From the folder with the card's files to tables. Names file and row of what it cannot
            read (`DataError`), and leaves repeated rows in: repairs are counted later.
        rules: What a benchmark then leaves out, in order; counted like repairs.
        downloads: The dataset whose downloaded files these are; None for its own.
        derive: What a benchmark then makes of the tables, once they are in order, and an account of
            it for the manifest; its `summary` is said, a line each.
        compare: The prepared dataset's counts beside those that the benchmark publishes.
    """

    card: DatasetCard
    read: Callable[[Path], Tables]
    rules: tuple[Rule, ...] = ()
    downloads: str | None = None
    derive: Callable[[Tables], tuple[Tables, dict[str, Any]]] | None = None
    compare: Callable[[Dataset], Comparison] | None = None


def _by_category(year: int, names: Iterable[str]) -> dict[str, str]:
    module = f"tastebench.data.sources.amazon_{year}"
    return {f"amazon-{year}-{categories.slug(name)}": f"{module}:{name}" for name in names}


def _by_recbench(names: str) -> dict[str, str]:
    module = "tastebench.data.sources.recbench"
    targets = {name: f"{module}:{name.replace('-', '_').upper()}" for name in names.split()}
    fixed = {f"recbench/{name}": target for name, target in targets.items()}
    return fixed | {
        f"recbench-reference/{name}": f"{target}_REFERENCE" for name, target in targets.items()
    }


SOURCES: Registry[Source] = Registry(
    "dataset",
    {
        "movielens-100k": "tastebench.data.sources.movielens:ML_100K",
        "movielens-1m": "tastebench.data.sources.movielens:ML_1M",
        "movielens-latest-small": "tastebench.data.sources.movielens:ML_LATEST_SMALL",
        "movielens-latest": "tastebench.data.sources.movielens:ML_LATEST",
        "beauty": "tastebench.data.sources.amazon_sequences:BEAUTY",
        "toys": "tastebench.data.sources.amazon_sequences:TOYS",
        "sports": "tastebench.data.sources.amazon_sequences:SPORTS",
        "games": "tastebench.data.sources.amazon_games:GAMES",
        "office": "tastebench.data.sources.amazon_rere:OFFICE",
        "industrial": "tastebench.data.sources.amazon_rere:INDUSTRIAL",
        "yelp": "tastebench.data.sources.yelp:YELP",
        "yelp-s3rec": "tastebench.data.sources.yelp_s3rec:YELP_S3REC",
        "hm": "tastebench.data.sources.hm:HM",
        "microlens-50k": "tastebench.data.sources.microlens:MICROLENS_50K",
        "goodreads": "tastebench.data.sources.goodreads:GOODREADS",
        "goodreads-once": "tastebench.data.sources.goodreads_once:GOODREADS_ONCE",
        "steam": "tastebench.data.sources.steam:STEAM",
        "steam-200k": "tastebench.data.sources.steam:STEAM_200K",
        "hotelrec": "tastebench.data.sources.hotelrec:HOTELREC",
        "mind-small": "tastebench.data.sources.mind:SMALL",
        "mind-large": "tastebench.data.sources.mind:LARGE",
        "pens": "tastebench.data.sources.pens:PENS",
        "eb-nerd-demo": "tastebench.data.sources.eb_nerd:DEMO",
        "eb-nerd-small": "tastebench.data.sources.eb_nerd:SMALL",
        "eb-nerd-large": "tastebench.data.sources.eb_nerd:LARGE",
        "bing-news": "tastebench.data.sources.bing_news:BING_NEWS",
        "collm-movielens": "tastebench.data.sources.collm:COLLM",
        **{
            f"tallrec/{domain}-{n}": f"tastebench.data.sources.tallrec:{domain.upper()}_{n}"
            for domain in ("movie", "book")
            for n in (16, 64, 256)
        },
        "netflix": "tastebench.data.sources.netflix:NETFLIX",
        "lastfm-1k": "tastebench.data.sources.lastfm:LASTFM_1K",
        "pog": "tastebench.data.sources.pog:POG",
        "book-crossing": "tastebench.data.sources.book_crossing:BOOK_CROSSING",
        "uqabench": "tastebench.data.sources.uqabench:UQABENCH",
        "esci": "tastebench.data.sources.esci:ESCI",
        "conversational-movies": "tastebench.data.sources.conversational_movies:MOVIES",
        "blair/esci": "tastebench.data.sources.esci:BLAIR",
        "blair/amazon-c4": "tastebench.data.sources.amazon_c4:AMAZON_C4",
        "blair/reddit-movie": "tastebench.data.sources.reddit_movie:REDDIT_MOVIE",
        "blair/all-beauty": "tastebench.data.sources.blair:ALL_BEAUTY",
        "blair/video-games": "tastebench.data.sources.blair:VIDEO_GAMES",
        "blair/baby-products": "tastebench.data.sources.blair:BABY_PRODUCTS",
        "blair/movielens-1m": "tastebench.data.sources.blair:MOVIELENS_1M",
        "blair/book-crossing": "tastebench.data.sources.blair:BOOK_CROSSING",
        "blair/yelp": "tastebench.data.sources.blair:YELP",
        **_by_recbench(
            "hm mind microlens goodreads cds movielens yelp steam electronics hotelrec books "
            "digital-music automotive lastfm netflix pens ebnerd pog beauty games toys"
        ),
        **_by_category(2014, categories.AMAZON_2014),
        **_by_category(2018, categories.AMAZON_2018),
        **_by_category(2023, categories.AMAZON_2023),
    },
    group="tastebench.datasets",
)
"""Every public dataset by name."""
