"""What a model wrote from test rows is refused; what is known of it survives saving and filters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.card import DatasetCard, SplitSpec
from tastebench.data.dataset import Dataset
from tastebench.data.declare import declare_written, interactions_of
from tastebench.data.prepare import Filters, prepare
from tastebench.data.provenance import (
    Provenance,
    check_query_artefacts,
    check_text_artefacts,
    rows_used,
)
from tastebench.data.schema import Tables
from tastebench.data.split import TEST, split
from tastebench.data.text import RECIPES, columns_read, item_texts
from tastebench.errors import DataError, ProtocolError, UsageError

SECOND = 1_000
BEGIN = 1_600_000_000


def make_shop(times: bool = True) -> Dataset:
    """Ten interactions of two users, one a second: u0 takes i0 .. i4, then u1 does."""
    n = 10
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{row // 5}" for row in range(n)],
            "item_id": [f"i{row % 5}" for row in range(n)],
            **({"time": [(BEGIN + row) * SECOND for row in range(n)]} if times else {}),
            "row": np.arange(n),
        }
    )
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(5)],
            "title": [f"Title {i}" for i in range(5)],
            "description": [f"Written {i}" for i in range(5)],
        }
    )
    card = DatasetCard(name="shop", title="Shop", text_columns=("title", "description"))
    return Dataset.create(card, Tables(items=items, interactions=interactions))


def written(shop: Dataset, **known: object) -> Dataset:
    made = Provenance(
        kind="item text",
        fields=("items.description",),
        made_by="a-model",
        source=shop.fingerprint,
        **known,  # type: ignore[arg-type]
    )
    return replace(shop, provenance=(made,))


TEXT = {"items.title", "items.description"}


def test_text_made_from_test_rows_is_refused_with_their_number() -> None:
    shop = written(make_shop(), rows=np.array([0, 1, 7, 8]))
    with pytest.raises(ProtocolError) as error:
        check_text_artefacts(shop, TEXT, np.array([7, 8, 9]))
    assert "items.description was written by a-model" in error.value.what
    assert "2 of the 3 test rows" in error.value.what
    assert error.value.fix
    check_text_artefacts(shop, TEXT, np.array([5, 6, 9]))
    check_text_artefacts(shop, {"items.title"}, np.array([7, 8, 9]))


def test_a_cutoff_stands_for_all_rows_before_it() -> None:
    shop = written(make_shop(), cutoff=(BEGIN + 8) * SECOND)
    with pytest.raises(ProtocolError, match="1 of the 3 test rows"):
        check_text_artefacts(shop, TEXT, np.array([7, 8, 9]))
    check_text_artefacts(shop, TEXT, np.array([8, 9]))  # at the cut-off is not before it


@pytest.mark.parametrize(
    "known",
    [{}, {"rows": np.array([0]), "source": "another"}],
    ids=["nothing", "rows of other data"],
)
def test_what_nobody_knows_is_refused(known: dict[str, object]) -> None:
    shop = make_shop()
    made = Provenance("item text", ("items.description",), "a-model", **({"source": "x"} | known))  # type: ignore[arg-type]
    with pytest.raises(ProtocolError, match="not known from which"):
        check_text_artefacts(replace(shop, provenance=(made,)), TEXT, np.array([9]))


def test_a_cutoff_says_nothing_where_there_are_no_times() -> None:
    shop = written(make_shop(times=False), cutoff=(BEGIN + 8) * SECOND)
    assert rows_used(shop.provenance[0], shop) is None
    with pytest.raises(ProtocolError, match="not known"):
        check_text_artefacts(shop, TEXT, np.array([9]))


def test_rows_that_are_known_count_before_the_cutoff() -> None:
    shop = written(make_shop(), cutoff=(BEGIN + 10) * SECOND, rows=np.array([0]))
    check_text_artefacts(shop, TEXT, np.array([8, 9]))


def test_item_text_from_the_queries_own_rows_is_refused() -> None:
    shop = written(make_shop(), rows=np.array([0, 1, 7]))
    queries = Provenance("queries", ("queries",), "m", shop.fingerprint, rows=np.array([7, 8]))
    both = replace(shop, provenance=(*shop.provenance, queries))
    with pytest.raises(ProtocolError, match="1 of the 2 interactions that the queries"):
        check_query_artefacts(both, TEXT)
    check_query_artefacts(both, {"items.title"})
    apart = replace(both, provenance=(both.provenance[0], replace(queries, rows=np.array([8]))))
    check_query_artefacts(apart, TEXT)
    unknown = replace(both, provenance=(both.provenance[0], replace(queries, rows=None)))
    with pytest.raises(ProtocolError, match="not known whether"):
        check_query_artefacts(unknown, TEXT)
    check_query_artefacts(shop, TEXT)  # queries that people wrote


def test_it_is_saved_and_read_and_in_no_fingerprint(tmp_path: Path) -> None:
    bare = make_shop()
    shop = written(bare, rows=np.array([1, 4]), cutoff=5, prompt="abc", created="2024-01-01")
    shop = replace(shop, provenance=(*shop.provenance, replace(shop.provenance[0], rows=None)))
    shop.save(tmp_path / "shop")
    again = Dataset.load(tmp_path / "shop", verify=True)
    first, second = again.provenance
    assert again.fingerprint == bare.fingerprint
    assert first.describe() == shop.provenance[0].describe()
    assert first.rows is not None and first.rows.tolist() == [1, 4]
    assert second.rows is None
    (tmp_path / "shop" / "provenance-0.npy").unlink()
    with pytest.raises(DataError, match="provenance"):
        Dataset.load(tmp_path / "shop")


@settings(max_examples=15, deadline=None)
@given(st.sets(st.integers(0, 9)), st.integers(2, 5))
def test_filters_carry_the_rows_along(used: set[int], k: int) -> None:
    shop = written(make_shop(), rows=np.array(sorted(used), dtype=np.int64))
    assert shop.tables.interactions is not None
    less = prepare(shop, Filters(sample_users=1, seed=k), "less")
    made, frame = less.provenance[0], less.tables.interactions
    assert frame is not None and made.rows is not None
    assert made.source == less.fingerprint
    assert "_kept" not in frame.columns
    # `row` says which interaction it was: the test's own way to know.
    assert set(frame["row"].gather(made.rows).to_list()) == used & set(frame["row"].to_list())


def test_what_a_used_repeat_tells_of_is_used_when_the_repeat_is_gone() -> None:
    """A text was made from somebody's second review of an item, and only the first is kept."""
    shop = make_shop()
    frame = shop.tables.interactions
    assert frame is not None
    again = frame[:1].with_columns(
        time=pl.lit((BEGIN + 99) * SECOND, dtype=pl.Int64), row=pl.lit(99, dtype=pl.Int64)
    )
    tables = replace(shop.tables, interactions=pl.concat([frame, again]))
    shop = written(Dataset.create(shop.card, tables), rows=np.array([len(frame)]))
    less = prepare(shop, Filters(dedup=True), "less")
    assert less.tables.interactions is not None and len(less.tables.interactions) == len(frame)
    assert less.provenance[0].rows is not None and less.provenance[0].rows.tolist() == [0]
    with pytest.raises(ProtocolError, match="1 of the 1 test row"):
        check_text_artefacts(less, TEXT, np.array([0]))


def test_filters_leave_what_is_known_by_a_cutoff_as_it_is() -> None:
    shop = written(make_shop(), cutoff=(BEGIN + 8) * SECOND)
    less = prepare(shop, Filters(sample_users=1, seed=0), "less")
    assert less.provenance == shop.provenance


# ---------------------------------------------------------------------------------- declarations


def test_a_declared_cutoff_is_a_time() -> None:
    shop = declare_written(make_shop(), ["description"], "2020-09-13T12:26:45Z")
    assert shop.provenance[0].cutoff == (BEGIN + 5) * SECOND
    parts = split(shop, SplitSpec(kind="time", ratios=(0.5, 0.1, 0.4)))
    check_text_artefacts(shop, TEXT, shop.events().row[parts == TEST])
    assert "2020-09-13T12:26:45" in shop.manifest["import"]["notes"][-1]


def test_declared_rows_are_found_by_pair_and_time(tmp_path: Path) -> None:
    file = tmp_path / "used.csv"
    file.write_text(f"user_id,item_id,time\nu0,i1,{BEGIN + 1}\nu1,i4,{BEGIN + 9}\nu1,i4,{BEGIN}\n")
    made = declare_written(make_shop(), ["description"], str(file)).provenance[0]
    assert made.rows is not None and made.rows.tolist() == [1, 9]
    file.write_text("uid,item_id\nu0,i1\nu9,i1\n")
    shop = declare_written(make_shop(), ["description"], str(file), {"user": "uid"})
    assert shop.provenance[0].rows is not None and shop.provenance[0].rows.tolist() == [1]
    assert "1 row of used.csv not among them" in shop.manifest["import"]["notes"][-1]


def test_a_row_of_another_time_counts_by_its_pair(tmp_path: Path) -> None:
    """Rounded times, or a repeat that the import dropped, must not hide what was read."""
    file = tmp_path / "used.csv"
    file.write_text(f"user_id,item_id,time\nu0,i1,{BEGIN + 1}\nu1,i3,{BEGIN + 900}\n")
    shop = declare_written(make_shop(), ["description"], str(file))
    assert shop.provenance[0].rows is not None and shop.provenance[0].rows.tolist() == [1, 8]
    assert "not among them" not in shop.manifest["import"]["notes"][-1]


def test_wrong_declarations_say_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "used.csv"
    file.write_text("user_id,item_id\nu9,i9\n")
    with pytest.raises(DataError, match="none of its 1 row"):
        declare_written(make_shop(), ["description"], str(file))
    with pytest.raises(UsageError, match="no such column"):
        declare_written(make_shop(), ["descripton"], None)
    with pytest.raises(DataError, match="no such file"):
        declare_written(make_shop(), ["description"], str(tmp_path / "usde.csv"))


def test_every_interaction_of_a_pair_counts_where_no_time_is_given() -> None:
    shop = make_shop()
    assert shop.tables.interactions is not None
    frame = shop.tables.interactions.with_columns(item_id=pl.lit("i0"))
    shop = Dataset.create(shop.card, replace(shop.tables, interactions=frame))
    rows, found = interactions_of(
        shop, pl.DataFrame({"user_id": ["u1", "u7"], "item_id": ["i0", "i0"]})
    )
    assert rows.tolist() == [5, 6, 7, 8, 9]
    assert found.tolist() == [True, False]


# --------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("title", ["title", "name"])
def test_a_recipe_reads_the_columns_that_it_says_it_reads(recipe: str, title: str) -> None:
    items = pl.DataFrame(
        {
            "item_id": ["a"],
            title: ["Tea"],
            "features": [["hot"]],
            "categories": [["drink"]],
            "description": ["From Assam"],
            "brand": ["Plain"],
            "other": ["Else"],
        }
    )
    columns = (title, "description", "brand")
    read = columns_read(items, recipe, columns)
    before = item_texts(items, recipe, columns)
    for column in items.columns[1:]:
        is_list = isinstance(items[column].dtype, pl.List)
        changed = items.with_columns(pl.Series(column, [["New"]] if is_list else ["New"]))
        assert (item_texts(changed, recipe, columns) != before) == (column in read), column
