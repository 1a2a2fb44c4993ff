"""Impressions, labels and ratings through `data import`, `data show` and `data check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tastebench.cli import data, data_import
from tastebench.errors import DataError

ITEMS = "item,title\n" + "".join(f"i{n},Thing {n}\n" for n in range(6))
# Ten users with a list of three each hour: the first of them clicked, but nothing by user 0.
SHOWN = "impression_id,user,item,time,clicked\n" + "".join(
    f"{user}-{hour},u{user},i{(user + hour + place) % 6},{1_600_000_000 + 3600 * hour + user},"
    f"{int(place == 0 and user > 0)}\n"
    for hour in range(5)
    for user in range(10)
    for place in range(3)
)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    data.register(app)
    data_import.register(app)
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def news(tmp_path: Path) -> list[str]:
    (tmp_path / "items.csv").write_text(ITEMS)
    (tmp_path / "shown.csv").write_text(SHOWN)
    return [
        *("import", "--name", "my-news", "--items", str(tmp_path / "items.csv")),
        *("--impressions", str(tmp_path / "shown.csv"), "--map", "impressions.label=clicked"),
    ]


def told(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_an_import_says_where_clicks_come_from(news: list[str], tmp_path: Path) -> None:
    said = told(run(*news))
    for line in (
        "my-news: 6 items, 9 users, 45 interactions, 150 impressions; fingerprint",
        "impressions: shown.csv, 150 rows (csv); user_id = user, item_id = item, label = clicked, "
        "impression_id, time",
        "time: read as seconds since 1970",
        "note: interactions are the 45 clicks of the impressions, as no --interactions were given",
        "note: ctr: 150 impressions in 50 lists, 30.0% clicked",
        "tasks: seqrec, cf, ctr",
    ):
        assert line in said
    (tmp_path / "past.csv").write_text("user,history\nu1,i1 i2\n")
    past = ["--histories", str(tmp_path / "past.csv"), "--replace", "--json"]
    found = json.loads(run(*news, *past).stdout)
    assert (found["impressions"], found["tasks"]) == (150, ["seqrec", "cf", "ctr"])
    assert found["manifest"]["import"]["files"]["histories"]["columns"] == {
        "user_id": "user",
        "item_ids": "history",
    }
    (tmp_path / "shown.csv").write_text(SHOWN.replace(",1\n", ",2\n"))
    assert isinstance(run(*news).exception, DataError)


def test_show_counts_lists_and_who_has_one_class(news: list[str]) -> None:
    told(run(*news))
    said = told(run("show", "my-news"))
    assert "150 impressions, 50 impression lists" in said
    assert (
        "30.00% of what was shown; 50 lists of median 3 rows, 5 of one class; 10 users, 1 with one "
        "class"
    ) in said
    assert "ctr time: tastebench data check makes the rows and says what parts they are in" in said
    shown = json.loads(run("show", "my-news", "--json").stdout)["shown"]
    assert (shown["lists"], shown["one_class_users"]) == (50, 1)


def test_check_says_what_the_parts_of_clicks_hold(news: list[str]) -> None:
    told(run(*news))
    result = run("check", "my-news")
    # A tenth of the rows, five lists, is test; the user of no click is in valid.
    for line in (
        "ctr: By time: no training event is later than a test event",
        "ctr: train has 120 rows, 30.0% clicked, of 10 users, 1 of them with one class alone; "
        "40 lists of median 3 rows, 4 of one class; 32.5% of rows have an empty history",
        "ctr: test has 15 rows, 33.3% clicked, of 5 users, 0 of them with one class alone; "
        "5 lists of median 3 rows, 0 of one class; 0.0% of rows have an empty history",
    ):
        assert line in result.stderr
    found: dict[str, Any] = json.loads(run("check", "my-news", "--json").stdout)["leakage"]["ctr"]
    assert found["rows"]["source"] == "impressions"
    assert found["split"]["kind"] == "time"
    assert found["counts"] == {"train": 120, "valid": 15, "test": 15, "dropped": 0}
    assert found["parts"]["valid"]["one_class_users"] == 1
    assert found["parts"]["valid"]["empty_history"] == pytest.approx(0.2)


def test_too_little_for_click_prediction_is_a_finding(tmp_path: Path, news: list[str]) -> None:
    (tmp_path / "shown.csv").write_text("user,item,clicked\nu1,i1,1\nu1,i2,0\n")
    told(run(*news))
    result = run("check", "my-news")
    assert result.exit_code == 0
    assert "ctr: the split user leaves test without labelled rows" in result.stderr
    found = json.loads(run("check", "my-news", "--json").stdout)["leakage"]["ctr"]
    assert found["error"] == "the split user leaves test without labelled rows"
    assert "parts" not in found


def test_ratings_on_both_sides_of_three_are_clicks_and_none(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text(ITEMS)
    rows = [
        f"u{user},i{n % 6},{1_600_000_000 + 60 * n},{1 + n % 5}\n"
        for n in range(20)
        for user in range(5)
    ]
    (tmp_path / "rated.csv").write_text("user,item,time,rating\n" + "".join(rows))
    said = told(
        run(
            *("import", "--name", "rated", "--items", str(tmp_path / "items.csv")),
            *("--interactions", str(tmp_path / "rated.csv")),
        )
    )
    assert (
        "note: ctr: a rating above 3 is a click, below 3 none, any other is left out: 40, 40 and "
        "20 interactions; a plan may set another threshold: "
        "protocol: {ctr: {rows: {source: labels, threshold: ...}}}"
    ) in said
    assert "tasks: seqrec, cf, ctr" in said
    result = run("check", "rated")
    assert "ctr: train has" in result.stderr
    assert "lists" not in result.stderr  # ratings know of none
