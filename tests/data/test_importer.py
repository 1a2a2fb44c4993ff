"""A user's own files: what is understood, dropped, refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data.catalog import load_dataset
from tastebench.data.cells import ImportOptions
from tastebench.data.dataset import Dataset
from tastebench.data.importer import import_dataset, save_imported
from tastebench.data.text import item_texts
from tastebench.errors import DataError, TastebenchError, UsageError

ITEMS = """sku,name,desc,brand,price,code
A1,"Mug, blue",A <b>mug</b> &amp; more,Ada,3.5,01
A2,Pot,,Bo,10,02
007,Spoon,Silver,,1,03
"""
CLICKS = """uid,sku,ts,stars,page
u1,A1,1452647382,5,1
u1,A2,1452647384,,1
u2,007,1452647383,NA,2
"""
MAP = {"user": "uid", "item": "sku", "time": "ts", "rating": "stars"}


class Shop:
    """Files of a shop, and their import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, name: str, content: str) -> Path:
        path = self.folder / name
        path.write_text(content, encoding="utf-8")
        return path

    def read(
        self,
        items: str = ITEMS,
        clicks: str = CLICKS,
        mapping: dict[str, str] | None = None,
        text: tuple[str, ...] = ("name", "desc"),
        **options: Any,
    ) -> Dataset:
        return import_dataset(
            "my-shop",
            self.file("items.csv", items),
            self.file("clicks.csv", clicks),
            MAP if mapping is None else mapping,
            text,
            options=ImportOptions(**options),
        )


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_a_shop_by_hand(shop: Shop) -> None:
    data = shop.read()
    assert data.item_ids.to_list() == ["A1", "A2", "007"]
    assert data.tables.items.columns == ["item_id", "name", "desc", "brand", "price", "code"]
    assert data.tables.items["price"].to_list() == [3.5, 10.0, 1.0]
    assert data.tables.items["code"].to_list() == ["01", "02", "03"]  # a code is no number
    clicks = data.tables.interactions
    assert clicks is not None
    assert clicks["time"].to_list() == [1452647382000, 1452647384000, 1452647383000]
    assert clicks["rating"].to_list() == [5.0, None, None]
    assert clicks["row"].to_list() == [2, 3, 4]
    assert data.card.text_columns == ("name", "desc")
    assert data.card.tasks == ("seqrec", "cf")
    assert item_texts(data.tables.items, data.card.text_recipe, data.card.text_columns) == [
        "Mug, blue. A mug & more",
        "Pot",
        "Spoon. Silver",
    ]


def test_the_manifest_says_what_was_understood(shop: Shop) -> None:
    found = shop.read().manifest["import"]
    assert found["time_unit"] == "s"
    assert found["files"]["interactions"]["columns"] == {
        "user_id": "uid",
        "item_id": "sku",
        "time": "ts",
        "rating": "stars",
    }
    assert found["files"]["interactions"]["unused"] == ["page"]
    assert len(found["files"]["items"]["sha256"]) == 64
    assert found["text"]["desc"] == {
        "share": pytest.approx(2 / 3),
        "median_characters": 14,
        "with_html": 1,
    }
    assert found["dropped"] == {}
    json.dumps(found)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_every_format_gives_the_same_dataset(shop: Shop, kind: str) -> None:
    expected = shop.read().fingerprint
    paths = {}
    for name in ("items", "clicks"):
        frame = pl.read_csv(shop.folder / f"{name}.csv", infer_schema=False)
        paths[name] = shop.folder / f"{name}.{kind}"
        match kind:
            case "parquet":
                frame.write_parquet(paths[name])
            case "jsonl":
                frame.write_ndjson(paths[name])
            case _:
                frame.write_csv(paths[name], separator="\t" if kind == "tsv" else ",")
    data = import_dataset("my-shop", paths["items"], paths["clicks"], MAP, ["name", "desc"])
    # Rows count from 1 where there is no header: that alone differs.
    assert (data.fingerprint == expected) is (kind in ("csv", "tsv"))
    assert data.events().time.tolist() == [1452647382000, 1452647384000, 1452647383000]  # type: ignore[union-attr]


def test_typed_parquet_ids_join_with_text_ids(shop: Shop) -> None:
    items = shop.folder / "items.parquet"
    pl.DataFrame({"item_id": [1.0, 2.0], "title": ["a", "b"]}).write_parquet(items)
    clicks = shop.file("clicks.csv", "user,item,label\nu, 1,true\nu,2 ,0\n")
    data = import_dataset("my-shop", items, clicks)
    assert data.tables.interactions is not None
    assert data.tables.interactions["item_id"].to_list() == ["1", "2"]
    assert data.tables.interactions["label"].to_list() == [1, 0]
    assert data.events().row.tolist() == [0]
    assert any("1 of the interactions have label 0" in n for n in data.manifest["import"]["notes"])


def test_known_names_need_no_map_and_texts_are_found(shop: Shop) -> None:
    data = shop.read(
        "item_id,title,description\na,Mug,Blue\n", "user_id,item_id,timestamp\nu,a,5e9\n", {}, ()
    )
    assert data.card.text_columns == ("title", "description")


def test_a_map_can_speak_of_one_file(shop: Shop) -> None:
    clicks = CLICKS.replace("sku", "product")
    mapping = {**MAP, "item": "sku", "interactions.item": "product"}
    assert shop.read(clicks=clicks, mapping=mapping).n_items == 3


def test_a_mapped_title_takes_its_name(shop: Shop) -> None:
    data = shop.read(mapping={**MAP, "title": "name"}, text=("name",))
    assert data.card.text_columns == ("title",)
    assert "name" not in data.tables.items.columns


# --------------------------------------------------------------------------------------- the times


def test_without_times_the_order_of_the_file_counts_and_that_is_said(shop: Shop) -> None:
    data = shop.read(mapping={"user": "uid", "item": "sku"})
    assert data.events().time is None
    assert "the order of the file is taken" in data.manifest["import"]["notes"][0]
    unordered = shop.read(mapping={"user": "uid", "item": "sku"}, unordered=True)
    assert unordered.card.tasks == ("cf",)
    assert unordered.tables.interactions is not None
    assert unordered.tables.interactions["row"].unique().to_list() == [0]


def test_a_counter_gives_the_order_and_no_times(shop: Shop) -> None:
    clicks = "uid,sku,ts\nu1,A1,3\nu1,A2,1\nu1,007,2\n"
    data = shop.read(clicks=clicks, mapping={"user": "uid", "item": "sku", "time": "ts"})
    assert data.events().time is None
    assert data.item_ids.gather(data.events().item).to_list() == ["A2", "007", "A1"]
    assert "ts is a counter" in data.manifest["import"]["notes"][0]


def test_dates_and_times_before_1970(shop: Shop) -> None:
    clicks = "uid,sku,ts\nu1,A1,2024-01-31\nu1,A2,1969-12-31T23:59:59Z\n"
    data = shop.read(clicks=clicks, mapping={"user": "uid", "item": "sku", "time": "ts"})
    assert data.events().time.tolist() == [-1000, 1706659200000]  # type: ignore[union-attr]
    assert data.manifest["repairs"] == {"interactions before 1970 kept": 1}


def test_times_in_two_units_are_refused_unless_meant(shop: Shop) -> None:
    clicks = CLICKS.replace("1452647383,", "1452647383000,")
    with pytest.raises(DataError, match="seem to be in another unit") as caught:
        shop.read(clicks=clicks)
    assert "clicks.csv, column ts, rows 4" in str(caught.value)
    assert "--time-unit s" in str(caught.value)
    assert shop.read(clicks=clicks, time_unit="s").n_users == 2


# -------------------------------------------------------------------------------- what is dropped


def test_rows_that_cannot_be_used_are_dropped_counted_and_located(shop: Shop) -> None:
    clicks = CLICKS + "u3,A1,,1,1\n,A2,1452647385,1,1\nu3,,1452647385,1,1\nu3,ZZ,1452647386,1,1\n"
    data = shop.read(clicks=clicks + "u3,A1,1452647387,2,1\n" * 3)
    made = data.manifest
    assert made["import"]["dropped"] == {
        "interactions without uid or sku": {"rows": 2, "first": [6, 7]},
        "interactions without a readable time": {"rows": 1, "first": [5]},
    }
    assert made["repairs"] == {"interactions of unknown items dropped": 1}
    assert len(data.events().user) == 6


def test_repeated_items_are_refused_unless_the_first_is_asked_for(shop: Shop) -> None:
    items = ITEMS + "A1,Other mug,,,4,05\n"
    with pytest.raises(
        DataError, match=r"1 row of items with an id seen before: row 5 \('A1'\)"
    ) as caught:
        shop.read(items)
    assert "--duplicates first" in str(caught.value)
    data = shop.read(items, duplicates="first")
    assert data.tables.items["name"].to_list() == ["Mug, blue", "Pot", "Spoon"]
    assert data.manifest["import"]["dropped"] == {
        "items with an id seen before": {"rows": 1, "first": [5]}
    }


def test_unreadable_rows_are_refused_or_dropped(shop: Shop) -> None:
    clicks = CLICKS + "u1,A1,1452647388,1,1,too,many\n"
    with pytest.raises(DataError, match="1 row cannot be read"):
        shop.read(clicks=clicks)
    data = shop.read(clicks=clicks, bad_rows="drop")
    assert data.manifest["import"]["dropped"] == {
        "unreadable rows of interactions": {"rows": 1, "first": [5]}
    }


# -------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"mapping": {"item": "sku"}}, r"which column of interactions is the user\? \(found: uid"),
        ({"mapping": {**MAP, "user": "udi"}}, r"no such column(.|\n)*did you mean uid"),
        ({"mapping": {**MAP, "usr": "uid"}}, r"unknown meaning 'usr'(.|\n)*did you mean user"),
        ({"mapping": {**MAP, "clicks.user": "uid"}}, "there is no file 'clicks'"),
        ({"mapping": {**MAP, "queries.text": "name"}}, "no such column"),
        ({"text": ("nam",)}, r"no text column 'nam'(.|\n)*did you mean name"),
        ({"text": ("sku",)}, "no text column 'sku'"),
        ({"text": ()}, r"which columns of the items hold text\?(.|\n)*--text"),
        ({"items": "sku,name,desc\nA1,,\nA2, ,\n007,,\n"}, "no item has any text in name, desc"),
        ({"items": ITEMS.replace("A", "B").replace("007", "b")}, "most rows of interactions name"),
        ({"clicks": CLICKS.replace("1452647", "soon")}, r"clicks.csv, column ts"),
        (
            {"clicks": "uid,sku,ts,stars\n,A1,1452647382,1\n,A2,1452647382,1\n"},
            "have no value in uid or sku",
        ),
        (
            {"clicks": CLICKS.replace("NA", "good")},
            r"stars is not a number in 1 row, e.g. 'good'(.|\n)*row 4",
        ),
        ({"clicks": "uid,sku,ts,stars\n"}, "the file has no rows"),
    ],
)
def test_what_cannot_be_meant_is_said(shop: Shop, changed: dict[str, Any], says: str) -> None:
    with pytest.raises(TastebenchError, match=says) as caught:
        shop.read(**changed)
    assert caught.value.fix


def test_a_time_that_cannot_be_read_is_refused_unless_it_may_be_dropped(shop: Shop) -> None:
    clicks = CLICKS + "u3,A1,soon,1,1\nu3,A2,,1,1\nu3,A2, NA ,1,1\n"
    with pytest.raises(DataError, match=r"ts is no time in 1 row, e.g. 'soon'") as caught:
        shop.read(clicks=clicks)
    assert caught.value.where is not None
    assert caught.value.where.endswith("clicks.csv, row 5")
    assert "--bad-rows drop" in str(caught.value)
    data = shop.read(clicks=clicks, bad_rows="drop")
    assert data.manifest["import"]["dropped"] == {
        "interactions without a readable time": {"rows": 3, "first": [5, 6, 7]}
    }


def test_most_times_must_be_readable(shop: Shop) -> None:
    clicks = CLICKS + "u3,A1,soon,1,1\n" * 4
    with pytest.raises(DataError, match="4 of 7 rows have no readable time"):
        shop.read(clicks=clicks)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My Shop", r"cannot name a dataset(.|\n)*--name my-shop"),
        ("../x", "cannot name a dataset"),
        ("", "cannot name a dataset"),
        ("beauty", r"name of a public dataset(.|\n)*--name my-beauty"),
        ("storefront", "name of a public dataset"),
    ],
)
def test_names_that_cannot_be_are_refused(shop: Shop, name: str, says: str) -> None:
    items = shop.file("items.csv", ITEMS)
    with pytest.raises(UsageError, match=says):
        import_dataset(name, items, items)


# ------------------------------------------------------------------------------------------ search


def test_queries_and_relevance(shop: Shop) -> None:
    items = shop.file("items.csv", ITEMS)
    queries = shop.file("q.jsonl", '{"qid": 1, "q": "cup"}\n{"qid": 2, "q": "pan"}\n')
    judged = shop.file("r.tsv", "qid\tsku\tgrade\n1\tA1\t2\n2\tA2\t1\n2\tZZ\t1\n")
    data = import_dataset(
        "my-shop",
        items,
        mapping={"item": "sku", "query": "qid", "text": "q"},
        text=["name"],
        queries=queries,
        relevance=judged,
    )
    assert data.card.tasks == ("search",)
    assert data.tables.queries is not None
    assert data.tables.queries.rows() == [("1", "cup", "all"), ("2", "pan", "all")]
    assert data.tables.relevance is not None
    assert data.tables.relevance.rows() == [("1", "A1", 2.0), ("2", "A2", 1.0)]
    assert data.manifest["repairs"] == {"relevance of unknown items dropped": 1}


def test_files_that_go_together(shop: Shop) -> None:
    items = shop.file("items.csv", ITEMS)
    with pytest.raises(UsageError, match="queries and relevance go together"):
        import_dataset("my-shop", items, items, MAP, ["name"], queries=items)
    with pytest.raises(UsageError, match="nothing to recommend from"):
        import_dataset("my-shop", items, text=["name"])


# ----------------------------------------------------------------------------------------- keeping


def test_a_saved_import_is_a_dataset_by_name(shop: Shop) -> None:
    data = shop.read()
    folder = save_imported(data)
    again = load_dataset("my-shop")
    assert again.fingerprint == data.fingerprint
    assert again.manifest == json.loads(json.dumps(data.manifest))
    with pytest.raises(UsageError, match=r"already a dataset my-shop(.|\n)*--replace"):
        save_imported(data)
    assert save_imported(data, replace=True) == folder


def test_a_failed_import_leaves_nothing(shop: Shop, home: Path) -> None:
    with pytest.raises(DataError):
        shop.read(clicks="uid,sku,ts,stars\n")
    assert not home.exists()
