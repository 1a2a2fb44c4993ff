"""EB-NeRD from small files of its format."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.schema import validate
from tastebench.data.sources import SOURCES, eb_nerd
from tastebench.data.text import item_texts
from tastebench.errors import DataError

MAY_18, MAY_25 = datetime(2023, 5, 18, 7), datetime(2023, 5, 25, 7)  # noqa: DTZ001 - as released
AT_18, AT_25 = 1_684_393_200_000, 1_684_998_000_000
Lists = list[tuple[int, int | None, datetime | None, list[int] | None, list[int] | None]]
TRAIN: Lists = [
    (48_401, 22_779, MAY_18, [11, 12, 13], [12]),
    (153_068, 150_224, MAY_18, [13, 99, 11], [11, 13, 13]),  # two clicked, one of them twice
]
VALID: Lists = [
    (48_401, 22_779, MAY_25, [12, 13], [77]),  # the id of a train list; clicked off the list
    (2, 9, MAY_25, [11], []),
]
HISTORY = {"train": [(22_779, [12, 12, 98]), (5, [])], "validation": [(22_779, [11]), (9, [13])]}


def put(folder: Path, train: Lists = TRAIN, valid: Lists = VALID, top: str = "ebnerd_demo") -> Path:
    for part, lists in (("train", train), ("validation", valid)):
        (folder / top / part).mkdir(parents=True, exist_ok=True)
        names = ("impression_id", "user_id", "impression_time")
        frame = pl.DataFrame(
            lists,
            schema={
                **dict(zip(names, (pl.UInt32, pl.UInt32, pl.Datetime("us")), strict=True)),
                "article_ids_inview": pl.List(pl.Int32),
                "article_ids_clicked": pl.List(pl.Int32),
            },
            orient="row",
        )
        frame = frame.with_columns(read_time=pl.lit(1.5, pl.Float32))
        frame.write_parquet(folder / top / part / "behaviors.parquet")
        pl.DataFrame(
            HISTORY[part],
            schema={"user_id": pl.UInt32, "article_id_fixed": pl.List(pl.Int32)},
            orient="row",
        ).write_parquet(folder / top / part / "history.parquet")
    articles = pl.DataFrame(
        {
            "article_id": pl.Series([12, 11, 13, 14], dtype=pl.Int32),
            "title": ["Rådden kørsel", "Ishockey", "", None],
            "subtitle": ["Under", None, None, None],
            "body": ["Brød", "tekst", None, None],
            "category": pl.Series([140, 142, 142, 1], dtype=pl.Int16),
            "category_str": ["krimi", "sport", "sport", "sex"],
            "total_pageviews": [1, 2, 3, 4],
        }
    )
    articles.write_parquet(folder / top / "articles.parquet")
    return folder


def test_both_parts_as_one(tmp_path: Path) -> None:
    tables = eb_nerd.read(put(tmp_path), "demo")
    assert tables.impressions is not None
    rows = tables.impressions.select(
        "impression_id", "user_id", "item_id", "time", "label", "part"
    ).rows()
    assert rows == [
        ("train-48401", "22779", "11", AT_18, 0, "train"),
        ("train-48401", "22779", "12", AT_18, 1, "train"),
        ("train-48401", "22779", "13", AT_18, 0, "train"),
        ("train-153068", "150224", "13", AT_18, 1, "train"),
        ("train-153068", "150224", "99", AT_18, 0, "train"),
        ("train-153068", "150224", "11", AT_18, 1, "train"),
        ("validation-48401", "22779", "12", AT_25, 0, "test"),
        ("validation-48401", "22779", "13", AT_25, 0, "test"),
        ("validation-2", "9", "11", AT_25, 0, "test"),
    ]
    assert "position" not in tables.impressions.columns  # the lists are shuffled
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "22779", "12", AT_18),
        (1, "150224", "11", AT_18),
        (2, "150224", "13", AT_18),
        (3, "150224", "13", AT_18),
        (4, "22779", "77", AT_25),
    ]
    validated = validate(tables, "eb-nerd-demo").impressions
    assert validated is not None
    assert validated["position"].null_count() == 9


def test_a_history_is_that_of_the_first_part(tmp_path: Path) -> None:
    histories = eb_nerd.read(put(tmp_path), "demo").histories
    assert histories is not None
    assert histories.rows() == [("22779", ["12", "12", "98"]), ("9", ["13"])]


def test_articles_and_then_what_has_no_record(tmp_path: Path) -> None:
    items = eb_nerd.read(put(tmp_path), "demo").items
    assert items.rows() == [
        ("12", "Rådden kørsel", "Under", "Brød", "krimi"),
        ("11", "Ishockey", None, "tekst", "sport"),
        ("13", "", None, None, "sport"),
        ("14", None, None, None, "sex"),
        ("99", None, None, None, None),
        ("77", None, None, None, None),
        ("98", None, None, None, None),
    ]
    card = eb_nerd.DEMO.card
    texts = item_texts(items, card.text_recipe, card.text_columns)
    assert texts == ["Rådden kørsel", "Ishockey", ".", ".", ".", ".", "."]


@pytest.mark.parametrize("size", ["demo", "small", "large"])
def test_every_bundle_is_read_by_its_folder_or_from_within(size: str, tmp_path: Path) -> None:
    source = SOURCES.get(f"eb-nerd-{size}")
    inside = source.read(put(tmp_path, top=f"ebnerd_{size}") / f"ebnerd_{size}")
    above = source.read(tmp_path)
    assert inside.interactions is not None
    assert inside.interactions.equals(above.interactions)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ((7, None, MAY_25, [11], [11]), "user_id is missing"),
        ((7, 9, None, [11], [11]), "impression_time is missing"),
        ((7, 9, MAY_25, None, [11]), "article_ids_inview is missing"),
        ((7, 9, MAY_25, [11], None), "article_ids_clicked is missing"),
    ],
)
def test_bad_rows_are_named(row: Lists, what: str, tmp_path: Path) -> None:
    put(tmp_path, valid=[*VALID, row])  # type: ignore[list-item]
    with pytest.raises(DataError, match=f"{what} in 1 row") as caught:
        eb_nerd.read(tmp_path, "demo")
    path = tmp_path / "ebnerd_demo" / "validation" / "behaviors.parquet"
    assert caught.value.where == f"{path}, row 3"


def test_missing_columns_and_damaged_files_are_told(tmp_path: Path) -> None:
    path = put(tmp_path) / "ebnerd_demo" / "train" / "history.parquet"
    pl.DataFrame({"user_id": [1]}).write_parquet(path)
    with pytest.raises(DataError, match="there is no column article_id_fixed") as caught:
        eb_nerd.read(tmp_path, "demo")
    assert caught.value.where == str(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="cut off or damaged"):
        eb_nerd.read(tmp_path, "demo")
