"""What holds for every public dataset, and for every real folder at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.schema import validate
from tastebench.data.sources import SOURCES
from tastebench.data.sources.categories import slug, words
from tastebench.errors import DataError, UsageError


def test_every_name_has_a_source_whose_card_says_so() -> None:
    for name in SOURCES:
        card = SOURCES.get(name).card
        assert card.name == name
        assert card.source
        assert card.licence
        assert card.citation
        assert set(card.splits) <= set(card.tasks)
        assert card.seen_on in ("real", "format")


def test_every_file_has_one_place_and_no_name_leads_elsewhere() -> None:
    for name in SOURCES:
        files = SOURCES.get(name).card.files
        names = [other for file in files for other in (file.path, *file.also)]
        assert len(names) == len(set(names)), name
        assert any(file.required for file in files), name
        assert not any(path.startswith("/") or ".." in path for path in names), name


def test_files_of_one_archive_agree_on_its_hash_and_mirrors() -> None:
    for name in SOURCES:
        archives: dict[str, set[object]] = {}
        for file in SOURCES.get(name).card.files:
            if file.url:
                same = (file.sha256, file.bytes, file.mirrors, file.unpack)
                archives.setdefault(file.url, set()).add(same)
        assert all(len(said) == 1 for said in archives.values()), name


def test_there_is_a_source_per_amazon_category() -> None:
    releases = [name.split("-")[1] for name in SOURCES if name.startswith("amazon-")]
    assert {year: releases.count(year) for year in releases} == {"2014": 24, "2018": 29, "2023": 34}


def test_a_misspelt_name_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean movielens-1m"):
        SOURCES.get("movielens-1M")


def test_a_category_by_its_names() -> None:
    assert slug("AMAZON_FASHION") == "amazon-fashion"
    assert words("Patio_Lawn_and_Garden") == "Patio Lawn and Garden"


@pytest.mark.parametrize(
    ("name", "folder", "users", "items", "interactions"),
    [
        ("movielens-100k", "ml-100k", 943, 1_682, 100_000),
        ("movielens-latest-small", "ml-latest-small", 610, 9_724, 100_836),
        ("beauty", "amazon-2014-beauty-toys-titles/beauty", 22_363, 12_101, 198_502),
        ("toys", "amazon-2014-beauty-toys-titles/toys", 19_412, 11_924, 167_597),
        ("beauty", "amazon-2014-p5-5core/beauty", 22_363, 12_101, 198_502),
        ("sports", "amazon-2014-p5-5core/sports", 35_598, 18_357, 296_337),
        ("amazon-2014-musical-instruments", "amazon-2014-raw", 1_429, 900, 10_261),
        ("amazon-2018-gift-cards", "amazon-2018-raw", 458, 148, 2_972),
        ("amazon-2018-magazine-subscriptions", "amazon-2018-raw", 348, 157, 2_375),
        ("amazon-2018-all-beauty", "amazon-2018-raw", 991, 85, 5_269),
        ("office", "amazon-2018-office-industrial", 3_231, 3_317, 21_290),
        ("industrial", "amazon-2018-office-industrial", 3_285, 3_541, 21_737),
        ("games", "amazon-games-dealrec", 49_156, 17_332, 342_329),
        ("yelp-s3rec", "yelp-s3rec", 30_431, 20_033, 316_354),
        ("book-crossing", "book-crossing", 2_946, 17_384, 272_678),
    ],
)
def test_real_files_have_their_published_counts(
    name: str,
    folder: str,
    users: int,
    items: int,
    interactions: int,
    asset: Callable[[str], Path],
) -> None:
    tables = SOURCES.get(name).read(asset(f"data/{folder}"))
    assert tables.interactions is not None
    assert tables.interactions["user_id"].n_unique() == users
    assert tables.items["item_id"].n_unique() == items
    assert len(tables.interactions) == interactions
    # What is left is canonical once repeated items are dropped, as the catalogue does.
    once = tables.items.unique("item_id", keep="first", maintain_order=True)
    validate(type(tables)(items=once, interactions=tables.interactions), name)


def test_a_required_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    for name in ("movielens-100k", "beauty", "mind-small", "book-crossing", "esci"):
        with pytest.raises(DataError, match="there is no ") as caught:
            SOURCES.get(name).read(tmp_path)
        assert caught.value.where == str(tmp_path)
