"""Beauty, Toys and Sports in both layouts."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.sources import amazon_sequences
from tastebench.errors import DataError


def put(folder: Path, **files: object) -> Path:
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


TITLES = {"id2title": {"0": "Lip balm", "1": "Soap &amp; dish", "10": "Comb"}}
SHELVES = {"id2category": {"0": [["Beauty", "Lips"], ["Gifts"]], "1": [], "10": [["Beauty"]]}}


def test_titles_layout_without_an_id_map(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        sequential_data__txt="1 10 0\n2 0 1 10 \n",
        title_maps__json=TITLES,
        category_map__json=SHELVES,
    )
    tables = amazon_sequences.read(raw, "Beauty")
    assert tables.items.rows() == [
        ("0", "Lip balm", ["Beauty", "Lips"]),
        ("1", "Soap &amp; dish", None),
        ("10", "Comb", ["Beauty"]),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "1", "10"),
        (1, "1", "0"),
        (2, "2", "0"),
        (3, "2", "1"),
        (4, "2", "10"),
    ]


def test_an_id_map_gives_amazon_s_ids(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        sequential_data__txt="1 10 0\n",
        title_maps__json=TITLES,
        derived_id_maps__json={"id2asin": {"0": "B0", "10": "B1"}, "id2reviewerID": {"1": "A1"}},
    )
    tables = amazon_sequences.read(raw, "Beauty")
    assert tables.items.select("item_id", "title").rows() == [("B0", "Lip balm"), ("B1", "Comb")]
    assert tables.interactions is not None
    assert tables.interactions.select("user_id", "item_id").rows() == [("A1", "B1"), ("A1", "B0")]


def test_ids_layout_takes_titles_from_the_metadata(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        sequential__txt="1 1 2\n",
        datamaps__json={"id2user": {"1": "A1"}, "id2item": {"1": "B1", "2": "B2"}},
        meta_Beauty__json="{'asin': 'B2', 'title': 'Comb', 'categories': [['Beauty']]}\n",
        idgenrec_item_generative_indexing_phase_0__txt="B2 wide comb\nB1 lip care balm\n",
    )
    tables = amazon_sequences.read(raw, "Beauty")
    assert tables.items.select("item_id", "title", "categories", "phrase").rows() == [
        ("B1", None, None, "lip care balm"),
        ("B2", "Comb", ["Beauty"], "wide comb"),
    ]


@pytest.mark.parametrize(
    ("line", "row"), [("2\n", 2), ("2 x 3\n", 2), ("\n2 -3\n", 3)], ids=["short", "text", "sign"]
)
def test_bad_lines_are_named(line: str, row: int, tmp_path: Path) -> None:
    raw = put(tmp_path, sequential__txt="1 2 3\n" + line)
    with pytest.raises(DataError, match="not the number of a user and those of items") as caught:
        amazon_sequences.read(raw, "Beauty")
    assert caught.value.where == f"{tmp_path / 'sequential.txt'}, row {row}"


def test_a_number_without_an_id_is_refused(tmp_path: Path) -> None:
    raw = put(
        tmp_path,
        sequential__txt="1 1 7\n",
        datamaps__json={"id2user": {"1": "A"}, "id2item": {"1": "B"}},
    )
    with pytest.raises(DataError, match=r"1 numbers have no id, e\.g\. 7"):
        amazon_sequences.read(raw, "Beauty")


def test_a_map_of_another_kind_is_refused(tmp_path: Path) -> None:
    raw = put(tmp_path, sequential__txt="1 1\n", datamaps__json={"id2thing": {}})
    with pytest.raises(DataError, match="there is no map id2user or id2reviewerID"):
        amazon_sequences.read(raw, "Beauty")


def test_real_layouts_have_the_same_sequences(asset: Callable[[str], Path]) -> None:
    titled = amazon_sequences.BEAUTY.read(asset("data/amazon-2014-beauty-toys-titles/beauty"))
    mapped = amazon_sequences.BEAUTY.read(asset("data/amazon-2014-p5-5core/beauty"))

    def sequences(tables: object) -> set[tuple[str, tuple[str, ...]]]:
        frame = tables.interactions.group_by("user_id", maintain_order=True).agg("item_id")  # type: ignore[attr-defined]
        return {(user, tuple(items)) for user, items in frame.iter_rows()}

    assert sequences(titled) == sequences(mapped)
    assert set(titled.items["item_id"]) == set(mapped.items["item_id"])


@pytest.mark.parametrize("name", ["beauty", "toys"])
def test_real_items_all_have_titles_and_shelves(name: str, asset: Callable[[str], Path]) -> None:
    folder = asset(f"data/amazon-2014-beauty-toys-titles/{name}")
    source = {"beauty": amazon_sequences.BEAUTY, "toys": amazon_sequences.TOYS}[name]
    tables = source.read(folder)
    assert tables.items["title"].null_count() == 0
    assert (tables.items["categories"].list.len() >= 1).all()
