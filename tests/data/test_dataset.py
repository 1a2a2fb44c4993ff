"""Dataset: events, fingerprint, saving and what damage does."""

from __future__ import annotations

import errno
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data import dataset as module
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset, positions
from tastebench.data.fingerprint import fingerprint
from tastebench.data.schema import Tables
from tastebench.errors import DataError

CARD = DatasetCard(name="shop", title="Shop")
ITEMS = pl.DataFrame(
    {
        "item_id": ["a", "b", "c"],
        "title": ["Mug", None, "Té"],
        "tags": [["x", "y"], [], None],
        "price": [1.5, None, 3.0],
        "stock": [1, 2, None],
        "new": [True, None, False],
    }
)
CLICKS = pl.DataFrame(
    {
        "user_id": ["v", "u", "v", "u", "v"],
        "item_id": ["c", "a", "a", "b", "b"],
        "time": [30, 10, -20, 10, 100_000_000_000],
        "row": [4, 3, 2, 1, 0],
    }
)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def older(folder: Path) -> Path:
    """As datasets were saved before there were checksums of their files."""
    path = folder / "dataset.json"
    about = json.loads(path.read_text())
    del about["files"], about["sha256"]
    path.write_text(json.dumps(about))
    return folder


def card(folder: Path) -> None:
    path = older(folder) / "dataset.json"
    about = json.loads(path.read_text())
    about["card"]["naem"] = "x"
    path.write_text(json.dumps(about))


@pytest.fixture
def shop() -> Dataset:
    tables = Tables(ITEMS, CLICKS, arrays={"truth": np.arange(6.0).reshape(2, 3)})
    return Dataset.create(CARD, tables, {"from": "hand"})


def test_events_are_sorted_by_user_time_and_raw_row(shop: Dataset) -> None:
    events = shop.events()
    assert shop.user_ids.to_list() == ["v", "u"]
    assert events.user.tolist() == [0, 0, 0, 1, 1]
    # v: -20 a, 30 c, then the 12-digit time; u: two at 10, where raw row 1 precedes raw row 3.
    assert events.item.tolist() == [0, 2, 1, 1, 0]
    assert events.time is not None
    assert events.time.tolist() == [-20, 30, 100_000_000_000, 10, 10]
    assert events.row.tolist() == [2, 0, 4, 3, 1]
    assert (events.user.dtype, events.item.dtype, events.row.dtype) == (
        np.int64,
        np.int32,
        np.int64,
    )


def test_events_without_times_keep_the_raw_order() -> None:
    shop = Dataset.create(CARD, Tables(ITEMS, CLICKS.drop("time")))
    events = shop.events()
    assert events.time is None
    assert events.item.tolist() == [1, 0, 2, 1, 0]


@pytest.mark.parametrize("missing", [None, 1])
def test_what_was_shown_and_not_taken_is_no_event(missing: int | None) -> None:
    label = pl.Series("label", [1, 0, missing, 0, 1])
    shop = Dataset.create(CARD, Tables(ITEMS, CLICKS.with_columns(label)))
    events = shop.events()
    # The same order as without labels (rows 2, 0, 4, 3, 1), less rows 1 and 3.
    assert events.row.tolist() == [2, 0, 4]
    assert events.item.tolist() == [0, 2, 1]
    assert events.time is not None and events.time.tolist() == [-20, 30, 100_000_000_000]
    assert shop.n_users == 2


def test_events_are_computed_once_and_cannot_be_written_to(shop: Dataset) -> None:
    assert shop.events() is shop.events()
    with pytest.raises(ValueError, match="read-only"):
        shop.events().item[0] = 1


def test_a_dataset_of_items_and_queries_has_no_events() -> None:
    shop = Dataset.create(CARD, Tables(ITEMS))
    assert (shop.n_items, shop.n_users, len(shop.events().user)) == (3, 0, 0)


def test_saved_and_loaded_it_is_the_same(shop: Dataset, tmp_path: Path) -> None:
    shop.save(tmp_path / "shop")
    again = Dataset.load(tmp_path / "shop", verify=True)
    assert again.fingerprint == shop.fingerprint
    assert again.card == shop.card
    assert again.manifest == {"from": "hand"}
    for (name, saved), (_, loaded) in zip(shop.tables.frames(), again.tables.frames(), strict=True):
        assert saved.equals(loaded), name
    assert np.array_equal(again.tables.arrays["truth"], shop.tables.arrays["truth"])
    assert isinstance(again.tables.arrays["truth"], np.memmap)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["shop"]


def test_saving_replaces_the_old_content(shop: Dataset, tmp_path: Path) -> None:
    shop.save(tmp_path / "shop")
    Dataset.create(CARD, Tables(ITEMS)).save(tmp_path / "shop")
    assert {p.name for p in (tmp_path / "shop").iterdir()} == {"items.parquet", "dataset.json"}


def test_a_full_disk_leaves_the_old_dataset(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.save(tmp_path / "shop")

    def full(path: Path, value: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_sealed", full)
    with pytest.raises(DataError, match="No space left on device"):
        Dataset.create(CARD, Tables(ITEMS)).save(tmp_path / "shop")
    assert [p.name for p in tmp_path.iterdir()] == ["shop"]
    assert Dataset.load(tmp_path / "shop", verify=True).fingerprint == shop.fingerprint


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: (f / "items.parquet").unlink(), "missing or damaged"),
        (lambda f: cut(f / "items.parquet"), "missing or damaged"),
        (lambda f: cut(f / "truth.npy"), "missing or damaged"),
        (lambda f: cut(f / "dataset.json"), "missing or damaged"),
        (lambda f: (f / "dataset.json").write_text("{}"), "another format"),
        (lambda f: (f / "dataset.json").write_text('{"format": 1}'), "lacks"),
        (lambda f: (f / "dataset.json").unlink(), "there is no dataset here"),
        (lambda f: ITEMS[:2].write_parquet(older(f) / "items.parquet"), "2 rows, 3 were saved"),
        (lambda f: ITEMS.reverse().write_parquet(f / "items.parquet"), "its checksum is not"),
        (
            lambda f: ITEMS.reverse().write_parquet(older(f) / "items.parquet"),
            "not those that were saved",
        ),
        (card, "its card is wrong at naem"),
    ],
)
def test_damage_is_said(shop: Dataset, tmp_path: Path, damage: object, says: str) -> None:
    shop.save(tmp_path / "shop")
    damage(tmp_path / "shop")  # type: ignore[operator]
    with pytest.raises(DataError, match=says) as caught:
        Dataset.load(tmp_path / "shop", verify=True)
    assert caught.value.fix
    assert str(tmp_path) in str(caught.value)


# ------------------------------------------------------------------------------------ fingerprint


def test_the_fingerprint_is_what_it_always_was(shop: Dataset) -> None:
    """A change here makes every dataset that anyone has prepared another one."""
    known = "4a9139019d3283e3da9877445ca75932e0d98233d6876a19addf71b6d56da3df"
    assert shop.fingerprint == known


def test_order_of_columns_chunks_and_parquet_do_not_count(shop: Dataset, tmp_path: Path) -> None:
    items = shop.tables.items
    turned = items.select(list(reversed(items.columns)))
    assert fingerprint(replace(shop.tables, items=turned)) == shop.fingerprint
    chunked = pl.concat([items[:1], items[1:]], rechunk=False)
    assert fingerprint(replace(shop.tables, items=chunked)) == shop.fingerprint
    items.write_parquet(tmp_path / "i.parquet", compression="snappy", row_group_size=1)
    read = pl.read_parquet(tmp_path / "i.parquet")
    assert fingerprint(replace(shop.tables, items=read)) == shop.fingerprint


@pytest.mark.parametrize(
    "change",
    [
        pl.col("title").fill_null(""),
        pl.col("title").str.replace("é", "e"),
        pl.col("tags").fill_null(pl.lit([], dtype=pl.List(pl.String))),
        pl.col("tags").list.reverse(),
        pl.col("tags").list.eval(pl.element() + ""),
        pl.col("price").fill_null(0.0),
        pl.col("price") * 2,
        pl.col("stock").fill_null(0),
        pl.col("new").fill_null(False),
        pl.col("title").alias("name"),
        pl.col("title").reverse(),
    ],
)
def test_every_value_counts(shop: Dataset, change: pl.Expr) -> None:
    items = shop.tables.items.with_columns(change)
    same = items.equals(shop.tables.items)
    assert (fingerprint(replace(shop.tables, items=items)) == shop.fingerprint) is same


def test_arrays_and_tables_count(shop: Dataset) -> None:
    assert fingerprint(replace(shop.tables, arrays={})) != shop.fingerprint
    float32 = {"truth": shop.tables.arrays["truth"].astype(np.float32)}
    assert fingerprint(replace(shop.tables, arrays=float32)) != shop.fingerprint
    assert fingerprint(replace(shop.tables, interactions=None)) != shop.fingerprint


def test_zero_and_nan_have_one_form() -> None:
    def of(values: list[float]) -> str:
        return fingerprint(Tables(pl.DataFrame({"item_id": ["a"], "x": values})))

    assert of([0.0]) == of([-0.0])
    odd = np.frombuffer(np.uint64(0x7FF8000000000001).tobytes(), dtype=np.float64)
    assert of([float("nan")]) == of(odd.tolist())
    assert of([0.0]) != of([float("nan")])


TEXTS = st.lists(st.none() | st.text(max_size=4), min_size=2, max_size=6)


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS)
def test_texts_differ_exactly_if_fingerprints_do(
    one: list[str | None], other: list[str | None]
) -> None:
    def of(values: list[str | None]) -> str:
        ids = [str(i) for i in range(len(values))]
        return fingerprint(
            Tables(pl.DataFrame({"item_id": ids, "t": pl.Series(values, dtype=pl.String)}))
        )

    assert (of(one) == of(other)) == (one == other)


LISTS = st.lists(
    st.none() | st.lists(st.none() | st.text("ab", max_size=2), max_size=3), min_size=1, max_size=4
)


@settings(max_examples=150, deadline=None)
@given(LISTS, LISTS)
def test_lists_differ_exactly_if_fingerprints_do(
    one: list[list[str | None] | None], other: list[list[str | None] | None]
) -> None:
    def of(values: list[list[str | None] | None]) -> str:
        ids = [str(i) for i in range(len(values))]
        column = pl.Series(values, dtype=pl.List(pl.String))
        return fingerprint(Tables(pl.DataFrame({"item_id": ids, "t": column})))

    assert (of(one) == of(other)) == (one == other)


def test_long_text_is_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch, shop: Dataset) -> None:
    monkeypatch.setattr("tastebench.data.fingerprint._SLICE", 2)
    assert fingerprint(shop.tables) == shop.fingerprint


def test_positions() -> None:
    index = pl.Series(["a", "b", "c"])
    assert positions(pl.Series(["c", "x", "a", "c"]), index).tolist() == [2, -1, 0, 2]
    assert positions(pl.Series([], dtype=pl.String), index).tolist() == []


def test_user_index_is_the_order_of_first_appearance_in_many() -> None:
    rng = random.Random(3)
    users = [f"u{rng.randrange(500)}" for _ in range(3000)]
    clicks = pl.DataFrame({"user_id": users, "item_id": ["a"] * 3000})
    shop = Dataset.create(CARD, Tables(ITEMS, clicks))
    assert shop.user_ids.to_list() == list(dict.fromkeys(users))
