"""The data verbs on real files, through the command line's own objects."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tastebench.cli import data
from tastebench.errors import DataError

SHOWN = (
    "Sizes",
    "Interactions per user and per item",
    "Item text",
    "Default splits",
    "Source",
    "Leave-last-out",
    "943 users, 1,682 items, 100,000 interactions",
    "93.6953% of all user-item pairs are empty",
)


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    data.register(app)
    return app


def call(app: typer.Typer, *args: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, list(args), catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def test_show_reads_a_given_folder(app: typer.Typer, asset: Callable[[str], Path]) -> None:
    out, err = call(app, "show", "movielens-100k", "--raw", str(asset("data/ml-100k")))
    assert all(text in out for text in SHOWN)
    assert max(len(line) for line in out.splitlines()) <= data.WIDTH
    assert "movielens-100k: read from" in err


def test_show_as_json_is_one_object(app: typer.Typer, asset: Callable[[str], Path]) -> None:
    folder = str(asset("data/esci-150q"))
    out, _ = call(app, "show", "esci", "--raw", folder, "--json")
    shown = json.loads(out)
    assert shown["counts"] == {"items": 6_764, "queries": 150, "relevance": 6_678}
    assert shown["queries"][0]["group"] == "short"
    assert shown["made"] == f"read from {folder}"


def test_show_says_what_else_can_be_run(app: typer.Typer) -> None:
    out, _ = call(app, "show", "storefront")
    assert re.search(r"usual +seqrec, cf, search *\n +on request +ctr, userqa \(", out)
    shown = json.loads(call(app, "show", "storefront", "--json")[0])
    assert shown["able"] == ["ctr", "userqa"]


def test_get_says_how_and_what_differs(app: typer.Typer, asset: Callable[[str], Path]) -> None:
    folder = asset("data/book-crossing")
    out, err = call(app, "get", "book-crossing", "--raw", str(folder))
    assert out.startswith("book-crossing: 2,946 users, 17,384 items, 272,678 interactions; read ")
    assert "1,149,780" in err
    again, _ = call(app, "get", "book-crossing", "--json")
    assert json.loads(again)["how"] == f"read from {folder}"


def test_get_lists_what_is_missing(app: typer.Typer, asset: Callable[[str], Path]) -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["get", "movielens-1m", "--raw", str(asset("data/ml-1m"))])
    assert isinstance(result.exception, DataError)
    assert "ratings.dat" in str(result.exception)


def test_list_folds_what_is_not_here(app: typer.Typer) -> None:
    out, err = call(app, "list")
    assert "amazon-2018-CATEGORY" in out
    assert "amazon-2018-gift-cards" not in out
    assert "movielens-100k" in out
    assert "--all" in err
    assert max(len(line) for line in out.splitlines()) <= data.WIDTH


def test_list_all_and_json(app: typer.Typer) -> None:
    out, _ = call(app, "list", "--all")
    assert "amazon-2018-gift-cards" in out
    rows = json.loads(call(app, "list", "--json")[0])
    assert {row["name"] for row in rows} >= {"storefront", "beauty", "mind-small"}
    assert {row["status"] for row in rows} <= {"built in", "downloadable", "bring raw files"}
