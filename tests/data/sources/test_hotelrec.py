"""HotelRec in its format: hotels from addresses, and reviews as JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.prepare import obey
from tastebench.data.sources.hotelrec import HOTELREC, read_addresses
from tastebench.data.text import item_texts
from tastebench.errors import DataError

BALTIC = (
    "Hotel_Review-g194775-d1121769-Reviews-Hotel_Baltic-Giulianova_Province_of_Teramo_Abruzzo.html"
)
RENAMED = "Hotel_Review-g194775-d1121769-Reviews-Baltic_Palace-Giulianova_Abruzzo.html"
INN = "Hotel_Review-g1-d11217-Reviews-Inn_by_the_Sea-Bath_England.html"


def review(url: str, author: str | None, **other: Any) -> dict[str, Any]:
    return {
        "hotel_url": url,
        "author": author,
        "date": "2010-02-01T00:00:00",
        "rating": 4.0,
        "title": "Great, really",
        "text": 'Line one\nline "two", and more',
        "property_dict": {"sleep quality": 4.0},
        **other,
    }


def put(folder: Path, *records: dict[str, Any]) -> Path:
    path = folder / "HotelRec.txt"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


GOOD = (
    review(BALTIC, "ladispoli"),
    review(INN, "Zoë", rating=2.0, date="2019-05-01T00:00:00"),
    review(RENAMED, "Zoë"),
    review(BALTIC, "ladispoli", rating=1.0),
)


def test_reviews_and_hotels(tmp_path: Path) -> None:
    put(tmp_path, *GOOD)
    tables = HOTELREC.read(tmp_path)
    day = 1_264_982_400_000  # 2010-02-01T00:00Z
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "ladispoli", "d1121769", day, 4.0),
        (1, "Zoë", "d11217", 1_556_668_800_000, 2.0),
        (2, "Zoë", "d1121769", day, 4.0),
        (3, "ladispoli", "d1121769", day, 1.0),
    ]
    assert tables.items.rows() == [
        ("d1121769", "Hotel Baltic", "Giulianova Province of Teramo Abruzzo"),
        ("d11217", "Inn by the Sea", "Bath England"),
    ]
    dataset = Dataset.create(HOTELREC.card, tables)
    texts = item_texts(dataset.tables.items, HOTELREC.card.text_recipe, HOTELREC.card.text_columns)
    assert texts[1] == "Inn by the Sea. Bath England"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("g1-d5-Reviews-Best_Inn-Bath_England.html", ("d5", "Best Inn", "Bath England")),
        # RecBench splits at every hyphen and fails at the second.
        ("g1-d5-Reviews-Inn-by_the_Sea-Bath.html", ("d5", "Inn-by the Sea", "Bath")),
        ("g1-d5-Reviews-or20-Caf%C3%A9__Zo%C3%AB-Bath.html", ("d5", "or20-Café Zoë", "Bath")),
        ("g1-d5-Reviews-Dr._Wilkinson_s-Bath.html", ("d5", "Dr. Wilkinson s", "Bath")),
        ("g1-d5-Reviews-Nameless.html", ("d5", "Nameless", None)),
        ("g1-d5-Reviews-.html", ("d5", None, None)),
        ("Hotel_Review-g1-Bath.html", ("Hotel_Review-g1-Bath.html", None, None)),
    ],
)
def test_addresses(url: str, expected: tuple[str | None, ...]) -> None:
    frame = read_addresses(pl.Series("hotel_url", [url], dtype=pl.Categorical))
    assert frame.drop("hotel_url").row(0) == expected


def test_different_places_never_share_an_id() -> None:
    """The first six hex digits of a hash, which RecBench takes, collide from thousands on."""
    urls = [f"Hotel_Review-g{i % 7}-d{i}-Reviews-A-B.html" for i in range(20_000)]
    urls += [f"Elsewhere-{i}" for i in range(20_000)]
    assert read_addresses(pl.Series("hotel_url", urls))["item_id"].n_unique() == 40_000


def test_reviews_without_an_author_are_left_out_and_counted(tmp_path: Path) -> None:
    put(tmp_path, *GOOD, review(INN, ""), review(INN, None), review(INN, " "))
    tables, steps = obey(HOTELREC.read(tmp_path), HOTELREC.rules, "hotelrec")
    assert steps == [{"step": "with_author", "rows_before": 7, "rows_after": 4}]
    dataset = Dataset.create(HOTELREC.card, tables)
    assert dataset.n_users == 2


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"date": "01/02/2010"}, "date is not of the form YYYY"),
        ({"date": None}, "date is not of the form YYYY"),
        ({"rating": "good"}, "rating is not a number"),
        ({"rating": None}, "rating is missing"),
        ({"hotel_url": ""}, "hotel_url is missing"),
    ],
)
def test_bad_lines_are_named(other: dict[str, Any], what: str, tmp_path: Path) -> None:
    path = put(tmp_path, *GOOD, review(INN, "x") | other)
    with pytest.raises(DataError, match=what) as caught:
        HOTELREC.read(tmp_path)
    assert caught.value.where == f"{path}, row 5"


def test_lines_of_a_json_array_are_no_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "HotelRec.txt"
    path.write_text("[\n" + ",\n".join(json.dumps(record) for record in GOOD) + "\n]\n")
    with pytest.raises(DataError, match="no JSON object in 5 rows") as caught:
        HOTELREC.read(tmp_path)
    assert caught.value.where == f"{path}, rows 1, 2, 3, 4, 6"
