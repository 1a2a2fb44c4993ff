"""The storefront: a generated shop whose truth is known, the dataset that needs no download.

Everything is a function of one seed, in integer arithmetic: the same fingerprint everywhere. The
generator was frozen at version 1.0 before any encoder or recommender was scored on it, and is not
tuned to a result. A change of a single value is a new version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from tastebench.contracts import Truth
from tastebench.data.card import Counts, DatasetCard, SplitSpec
from tastebench.data.schema import Tables
from tastebench.data.storefront.catalogue import (
    Article,
    articles,
    launches,
    popularity,
    trait_table,
)
from tastebench.data.storefront.draws import Draws
from tastebench.data.storefront.questions import Question, need_table, questions
from tastebench.data.storefront.shoppers import HOUSEHOLDS, households, tastes
from tastebench.data.storefront.visits import Pages, Purchases, World, pages, purchases
from tastebench.data.storefront.vocabulary import vocabulary
from tastebench.data.storefront.wording import write
from tastebench.errors import DataError

if TYPE_CHECKING:
    from tastebench.data.dataset import Dataset

VERSION = "1.0"
SEED = 7

CARD = DatasetCard(
    name="storefront",
    title="Storefront",
    summary="A generated shop whose shoppers' true preferences are known, so that a ceiling is.",
    licence="Apache-2.0",
    redistributable=True,
    language="en",
    tasks=("seqrec", "cf", "search"),
    text_columns=("title", "description"),
    text_recipe="all-text",
    splits={
        "seqrec": SplitSpec(kind="time"),
        "cf": SplitSpec(kind="random", by="user"),
    },
    known=Counts(users=1500, items=2000, interactions=35569),
    seen_on="generated",
    generator=VERSION,
    notes=(
        "Generated: no number on it says anything about people.",
        "interactions are purchases; clicks are the labels of impressions.",
    ),
)


def generate(seed: int = SEED) -> Tables:
    """The shop of a seed: items, users, purchases, pages with clicks, queries, and the truth.

    Args:
        seed: Another seed is another shop that speaks the same language.

    Returns:
        Tables whose `arrays` hold what the truth needs: `item_traits`, `item_popularity`,
        `item_launch`, `user_taste` and `query_need`; see `docs/storefront.md`.
    """
    words, draws = vocabulary(), Draws(seed)
    catalogue = articles(words, draws)
    traits = trait_table(words, catalogue)
    household = households(draws)
    world = World(
        traits=traits,
        taste=tastes(words, household, draws),
        popularity=popularity(words, traits, draws),
        launch=launches(draws),
    )
    bought = purchases(world, draws)
    seen = pages(world, bought, draws)
    asked = questions(words, traits, draws)
    titles, descriptions = write(words, catalogue, draws)
    item_ids = _ids("i", len(catalogue))
    user_ids = _ids("u", len(household))
    query_ids = _ids("q", len(asked))
    return Tables(
        items=_items(catalogue, titles, descriptions, item_ids),
        users=pl.DataFrame(
            {"user_id": user_ids, "household": pl.Series(list(HOUSEHOLDS)).gather(household)}
        ),
        interactions=_interactions(bought, user_ids, item_ids),
        impressions=_impressions(seen, user_ids, item_ids),
        queries=pl.DataFrame(
            {
                "query_id": query_ids,
                "text": [question.text for question in asked],
                "group": [question.group for question in asked],
            }
        ),
        relevance=_relevance(asked, query_ids, item_ids),
        arrays={
            "item_traits": world.traits,
            "item_popularity": world.popularity,
            "item_launch": world.launch,
            "user_taste": world.taste,
            "query_need": need_table(words, asked),
        },
    )


def truth(dataset: Dataset) -> Truth:
    """The true preferences behind a storefront dataset.

    Raises:
        DataError: Not a storefront, or one of another version of the generator.
    """
    from tastebench.data.storefront.ceiling import StorefrontTruth

    if dataset.card.generator != VERSION or "user_taste" not in dataset.tables.arrays:
        raise DataError(
            f"no truth is known for {dataset.name!r}: it was not made by storefront {VERSION}",
            where=f"generator {dataset.card.generator!r}",
            fix="load the dataset called storefront, with refresh=True if it is an old copy",
        )
    return StorefrontTruth(dataset)


def _ids(letter: str, n: int) -> pl.Series:
    return pl.Series([f"{letter}{number:04d}" for number in range(1, n + 1)])


def _items(
    catalogue: list[Article], titles: list[str], descriptions: list[str | None], ids: pl.Series
) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": ids,
            "title": titles,
            "description": descriptions,
            "brand": [item.brand for item in catalogue],
            "department": [item.kind.department for item in catalogue],
            # Cents are what was decided; a division by 100 is rounded alike everywhere.
            "price": [item.cents / 100 for item in catalogue],
        }
    )


def _interactions(bought: Purchases, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    """The shop's log: all purchases in the order in which they happened."""
    order = np.lexsort((bought.user, bought.time))
    return pl.DataFrame(
        {
            "user_id": user_ids.gather(bought.user[order]),
            "item_id": item_ids.gather(bought.item[order]),
            "time": bought.time[order],
            "row": np.arange(len(order)),
        }
    )


def _impressions(seen: Pages, user_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "impression_id": _ids("p", int(seen.page[-1]) + 1).gather(seen.page),
            "user_id": user_ids.gather(seen.user),
            "item_id": item_ids.gather(seen.item),
            "time": seen.time,
            "position": seen.position,
            "label": seen.label.astype(np.int8),
        }
    )


def _relevance(asked: list[Question], query_ids: pl.Series, item_ids: pl.Series) -> pl.DataFrame:
    row = np.repeat(np.arange(len(asked)), [len(question.relevant) for question in asked])
    return pl.DataFrame(
        {
            "query_id": query_ids.gather(row),
            "item_id": item_ids.gather(np.concatenate([q.relevant for q in asked])),
            "grade": np.ones(len(row)),
        }
    )
