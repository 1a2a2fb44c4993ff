"""Datasets by name: what is prepared when, kept where, and said how."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder, is_public, list_datasets, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError


def own(name: str) -> Dataset:
    card = DatasetCard(name=name, title=f"The {name}", tasks=("cf",))
    tables = Tables(
        pl.DataFrame({"item_id": ["a", "b"], "title": ["A", "B"]}),
        pl.DataFrame({"user_id": ["u"], "item_id": ["a"]}),
    )
    return Dataset.create(card, tables)


def test_a_dataset_of_ones_own_by_name_and_by_path(tmp_path: Path) -> None:
    data = own("my-shop")
    data.save(datasets_folder() / "my-shop")
    data.save(tmp_path / "elsewhere")
    assert load_dataset("my-shop").fingerprint == data.fingerprint
    assert load_dataset(tmp_path / "elsewhere").fingerprint == data.fingerprint
    assert load_dataset(str(tmp_path / "elsewhere")).fingerprint == data.fingerprint


def test_unknown_names_get_the_nearest() -> None:
    own("my-shop").save(datasets_folder() / "my-shop")
    with pytest.raises(UsageError, match="did you mean my-shop") as caught:
        load_dataset("my-shp")
    assert "tastebench data import" in str(caught.value)
    with pytest.raises(UsageError, match="did you mean movielens-100k"):
        load_dataset("movielens-100")
    with pytest.raises(UsageError, match="unknown dataset 'Qqqqqq'") as caught:
        load_dataset("Qqqqqq")
    assert caught.value.what == "unknown dataset 'Qqqqqq'"


def test_a_folder_of_that_name_is_hinted_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own("my-shop").save(Path("here"))
    with pytest.raises(UsageError, match=r"say \./here"):
        load_dataset("here")
    assert load_dataset("./here").n_items == 2


def test_a_folder_that_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no dataset here"):
        load_dataset(tmp_path)


def test_the_list_shows_public_ones_and_ones_own() -> None:
    own("my-shop").save(datasets_folder() / "my-shop")
    (datasets_folder() / "broken").mkdir()
    (datasets_folder() / "broken" / "dataset.json").write_text("{")
    rows = {row.name: row for row in list_datasets()}
    assert rows["my-shop"].status == "ready"
    assert (rows["my-shop"].title, rows["my-shop"].n_items) == ("The my-shop", 2)
    assert rows["my-shop"].n_interactions == 1
    assert rows["broken"].status == "damaged"
    assert rows["storefront"].status == "built in"
    assert rows["movielens-100k"].status in ("downloadable", "bring raw files")
    assert list_datasets()[0].name == "storefront"


def test_names_that_are_taken() -> None:
    assert is_public("storefront")
    assert is_public("beauty")
    assert not is_public("my-shop")


@pytest.fixture
def raw(asset: Callable[[str], Path], tmp_path: Path) -> Path:
    """A folder with MovieLens-100K that a test may change."""
    folder = tmp_path / "ml-100k"
    shutil.copytree(asset("data/ml-100k"), folder)
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def test_movielens_from_raw_files_is_prepared_once(raw: Path) -> None:
    said: list[str] = []
    data = load_dataset("movielens-100k", raw=raw, progress=said.append)
    assert (data.n_users, data.n_items, len(data.events().user)) == (943, 1682, 100_000)
    assert any("read from" in line for line in said)
    assert set(data.manifest["raw"]["files"]) >= {"u.data", "u.item"}
    assert data.manifest["differs"] == []

    stamp = (datasets_folder() / "movielens-100k" / "dataset.json").stat().st_mtime_ns
    assert load_dataset("movielens-100k").fingerprint == data.fingerprint
    assert load_dataset("movielens-100k", raw=raw).fingerprint == data.fingerprint
    assert (datasets_folder() / "movielens-100k" / "dataset.json").stat().st_mtime_ns == stamp
    load_dataset("movielens-100k", raw=raw, refresh=True)
    assert (datasets_folder() / "movielens-100k" / "dataset.json").stat().st_mtime_ns > stamp
    assert {row.name: row.status for row in list_datasets()}["movielens-100k"] == "ready"


def test_other_raw_files_make_another_dataset(raw: Path) -> None:
    first = load_dataset("movielens-100k", raw=raw)
    lines = (raw / "u.data").read_text().splitlines(keepends=True)
    (raw / "u.data").write_text("".join(lines[:-1]))
    said: list[str] = []
    other = load_dataset("movielens-100k", raw=raw, progress=said.append)
    assert len(other.events().user) == 99_999
    assert other.fingerprint != first.fingerprint
    assert other.manifest["differs"] == ["99,999 interactions, published are 100,000"]
    assert "movielens-100k: 99,999 interactions, published are 100,000" in said


def test_the_storefront_is_generated_once() -> None:
    said: list[str] = []
    first = load_dataset("storefront", progress=said.append)
    assert any("generating" in line for line in said)
    said.clear()
    again = load_dataset("storefront", progress=said.append)
    assert again.fingerprint == first.fingerprint
    assert said == []
    assert first.tables.queries is not None


def test_a_name_with_a_slash_is_a_dataset_only_if_a_benchmark_has_it(tmp_path: Path) -> None:
    own("my-shop").save(tmp_path / "blair" / "yelp")
    with pytest.raises(UsageError, match="did you mean blair/movielens-1m"):
        load_dataset("blair/movielens1m")
    assert is_public("blair/yelp")
    # A path stays one where it is written as such, and where no benchmark is meant.
    assert load_dataset(tmp_path / "blair" / "yelp").name == "my-shop"
    with pytest.raises(DataError, match="there is no dataset here"):
        load_dataset("shops/yelp")


def test_the_dataset_of_a_benchmark_lies_beside_the_others(
    asset: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    own("blair").save(datasets_folder() / "blair")
    data = load_dataset("blair/book-crossing", raw=asset("data/book-crossing"))
    own("blair").save(datasets_folder() / "blair")  # replaces that folder, with all in it
    assert load_dataset("blair/book-crossing").fingerprint == data.fingerprint
    rows = [row for row in list_datasets() if "book-crossing" in row.name]
    assert [(row.name, row.status) for row in rows] == [
        ("book-crossing", "downloadable"),
        ("blair/book-crossing", "ready"),
    ]
