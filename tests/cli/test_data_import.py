"""`data import`, `prepare` and `check` as a person meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import typer
from typer.testing import CliRunner, Result

from tastebench.cli.data_import import register
from tastebench.data.catalog import datasets_folder, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.errors import DataError, UsageError

ITEMS = "sku,name,desc\nA1,Mug,A <b>mug</b>\nA2,Pot,\nA3,Pan,Iron\nA4,Cup,\n"
CLICKS = "uid,sku,ts\n" + "".join(
    f"u{user},A{1 + (user + step) % 4},{1452647382 + 100 * step + user}\n"
    for user in range(10)
    for step in range(4)
)


@pytest.fixture
def shop(tmp_path: Path) -> list[str]:
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "clicks.csv").write_text(CLICKS + "u1,ZZ,1452647382\n")
    return [
        "import",
        *("--items", str(tmp_path / "items.csv")),
        *("--interactions", str(tmp_path / "clicks.csv")),
        *("--map", "user=uid,item=sku,time=ts"),
        *("--text", "name,desc"),
        *("--name", "my-shop"),
    ]


def run(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, arguments)


def summary(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_an_import_says_on_stderr_what_it_understood(shop: list[str], home: Path) -> None:
    result = run(*shop)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("my-shop: 4 items, 10 users, 40 interactions; fingerprint ")
    for line in (
        "items: items.csv, 4 rows (csv); item_id = sku",
        "interactions: clicks.csv, 41 rows (csv); user_id = uid, item_id = sku, time = ts",
        "time: read as seconds since 1970",
        "text: name in 100.0% of items, median 3 characters",
        "text: desc in 50.0% of items, median 8 characters, 1 with HTML",
        "note: interactions of unknown items dropped: 1",
        "next: tastebench data show my-shop",
    ):
        assert line in result.stderr
    assert (home / "datasets" / "my-shop" / "dataset.json").is_file()


def test_json_is_one_object_on_stdout(shop: list[str]) -> None:
    found = summary(run(*shop, "--json"))
    assert (found["items"], found["users"], found["interactions"]) == (4, 10, 40)
    assert found["tasks"] == ["seqrec", "cf"]
    assert found["manifest"]["import"]["time_unit"] == "s"


def test_a_dry_run_keeps_nothing(shop: list[str], home: Path) -> None:
    assert summary(run(*shop, "--dry-run", "--json"))["folder"] is None
    assert not home.exists()


def test_options_reach_the_reader(shop: list[str], tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ITEMS.replace(",", "\t") + "A1\tAgain\t\n")
    options = ["--delimiter", "\\t", "--duplicates", "first", "--unordered", "--language", "fr"]
    (tmp_path / "clicks.csv").write_text(CLICKS.replace(",", "\t"))
    found = summary(run(*shop, *options, "--json"))
    assert found["manifest"]["import"]["files"]["items"]["delimiter"] == "\t"
    assert found["tasks"] == ["cf"]
    card = json.loads((Path(found["folder"]) / "dataset.json").read_text())["card"]
    assert card["language"] == "fr"


def test_errors_reach_the_command_line_as_they_are(shop: list[str]) -> None:
    assert isinstance(run(*shop, "--map", "usr=uid").exception, UsageError)
    assert isinstance(run(*shop, "--encoding", "utf-16").exception, DataError)
    run(*shop)
    assert isinstance(run(*shop).exception, UsageError)
    assert run(*shop, "--replace").exit_code == 0
    assert run(*shop, "--time-unit", "hours").exit_code == 2


def test_prepare_says_what_each_filter_did(shop: list[str]) -> None:
    run(*shop)
    result = run("prepare", "my-shop", "--dedup", "--k-core", "3", "--name", "core")
    assert result.exit_code == 0, result.output
    assert "dedup: 40 -> 40\n" in result.stderr
    assert "k_core: 40 -> 40 in 1 passes\n" in result.stderr
    found = summary(
        run("prepare", "my-shop", "--sample-users", "4", "--seed", "7", "--name", "few", "--json")
    )
    assert found["users"] == 4
    assert found["manifest"]["prepared_from"]["name"] == "my-shop"
    error = run("prepare", "my-shop", "--name", "beauty").exception
    assert isinstance(error, UsageError)


def test_check_reads_everything_and_says_what_leaks(shop: list[str], home: Path) -> None:
    run(*shop)
    result = run("check", "my-shop")
    assert "seqrec: By time" in result.stderr
    found = summary(run("check", "my-shop", "--json"))
    assert found["leakage"]["seqrec"]["future"] == 0
    assert found["leakage"]["seqrec"]["split"]["kind"] == "time"
    folder = home / "datasets" / "my-shop"
    items = pl.read_parquet(folder / "items.parquet")
    items.reverse().write_parquet(folder / "items.parquet")
    for name in ("my-shop", str(folder)):
        error = run("check", name).exception
        assert isinstance(error, DataError)
        assert "not the one that was saved" in error.what


def test_check_counts_a_benchmarks_dataset_beside_what_is_published(tmp_path: Path) -> None:
    bought = [
        f"2020-01-0{1 + n},c{user},{n + user % 3:010d}" for user in range(40) for n in range(5)
    ]
    (tmp_path / "transactions_train.csv").write_text(
        "t_dat,customer_id,article_id,price,sales_channel_id\n"
        + "".join(f"{row},0.1,1\n" for row in bought)
    )
    about = (
        "article_id,detail_desc,prod_name,product_code,product_type_name,product_group_name,"
        "graphical_appearance_name,colour_group_name,department_name,index_name,section_name,"
        "garment_group_name\n"
    )
    articles = "".join(f"{n:010d},Article {n},,,,,,,,,,\n" for n in range(7))
    (tmp_path / "articles.csv").write_text(about + articles)
    load_dataset("recbench/hm", raw=tmp_path)
    result = run("check", "recbench/hm")
    assert result.exit_code == 0, result.output
    # 40 people of 5 articles have 4 rows each, and a sixth of them is for test.
    for line in (
        "RecBench, table 2",
        "pair-wise test rows 20,000 28 -19,972 (-99.9%)",
        "list-wise finetune sequences 40,000 36 -39,964 (-99.9%)",
        "- What was read has 200 interactions, the release 31,788,324.",
    ):
        assert line in " ".join(result.stdout.split())
    assert "ctr: The dataset's own split" in result.stderr
    assert "100.0% of test users not in train" in result.stderr
    found = summary(run("check", "recbench/hm", "--json"))
    assert found["published"]["counts"][0]["difference"] == -19_972
    assert found["leakage"]["ctr"]["counts"]["test"] == 28
    load_dataset("hm", raw=tmp_path)
    assert "published" not in summary(run("check", "hm", "--json"))


def test_too_little_data_for_a_split_is_a_finding_of_check(shop: list[str], tmp_path: Path) -> None:
    (tmp_path / "clicks.csv").write_text("uid,sku,ts\nu1,A1,1452647382\n")
    run(*shop)
    result = run("check", "my-shop")
    assert result.exit_code == 0
    assert "seqrec: the split" in result.stderr
    assert "empty" in result.stderr


def test_the_verbs_import_nothing_heavy() -> None:
    code = "import sys, tastebench.cli.data_import; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"polars", "numpy", "pydantic", "torch", "narwhals"} & set(loaded.stdout.split())


def test_a_column_that_a_model_wrote_is_declared_with_what_it_was_made_from(
    shop: list[str], tmp_path: Path
) -> None:
    result = run(*shop, "--written-by-model", "desc", "--made-from", "2016-01-13T01:30:00Z")
    assert result.exit_code == 0, result.output
    assert "note: items.desc was written by a model: made from interactions before" in result.stderr
    [made] = Dataset.load(datasets_folder() / "my-shop").provenance
    assert (made.fields, made.cutoff) == (("items.desc",), 1_452_648_600_000)
    (tmp_path / "used.csv").write_text("uid,sku,ts\nu0,A1,1452647382\n")
    from_rows = ["--written-by-model", "desc", "--made-from", str(tmp_path / "used.csv")]
    assert run(*shop, *from_rows, "--replace").exit_code == 0
    [made] = Dataset.load(datasets_folder() / "my-shop").provenance
    assert made.rows is not None and len(made.rows) == 1
    assert run(*shop, "--written-by-model", "desc", "--replace").exit_code == 0
    assert isinstance(run(*shop, "--made-from", "2016-01-13").exception, UsageError)
    error = run(*shop, *from_rows[:3], str(tmp_path / "no.csv"), "--replace").exception
    assert isinstance(error, DataError)
