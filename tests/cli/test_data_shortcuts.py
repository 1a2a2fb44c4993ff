"""`data check --shortcuts` as a person meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from tastebench.cli.data_import import register
from tastebench.errors import UsageError

WORDS = [f"word{n} word{n + 1}" for n in range(20)]


def run(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, arguments)


def imported(folder: Path, name: str, *, steps: int = 6, text: bool = True) -> None:
    """Everyone goes the same way round twenty items."""
    title = WORDS if text else ["-"] * 20
    lines = "".join(f"A{n},{title[n]}\n" for n in range(20))
    (folder / "items.csv").write_text("sku,name\n" + lines)
    rows = [(user, step) for step in range(steps) for user in range(40)]
    lines = "".join(
        f"u{user},A{(user + step) % 20},{1452647382 + 1000 * step + user}\n" for user, step in rows
    )
    (folder / "clicks.csv").write_text("uid,sku,ts\n" + lines)
    result = run(
        "import",
        *("--items", str(folder / "items.csv")),
        *("--interactions", str(folder / "clicks.csv")),
        *("--map", "user=uid,item=sku,time=ts"),
        *("--text", "name"),
        *("--name", name),
    )
    assert result.exit_code == 0, result.output


def test_the_table_and_the_sentence(tmp_path: Path, home: Path) -> None:
    imported(tmp_path, "round")
    result = run("check", "round", "--shortcuts")
    assert result.exit_code == 0, result.output
    said = " ".join(result.stdout.split())
    assert "Shortcuts of round few successors yes effective number of successors" in said
    assert "effective number of successors of a last item 1.0 of so many" in said
    assert "answers within 1 hop 100.0% candidates within 1 hop 2" in said
    assert "like content yes AUC of following pairs, by TF-IDF 0.9" in said
    assert "hit@10 of a walk from the last item 100.00%" in said
    assert "strong shortcuts, so that a model has to beat graph-walk: few successors" in said
    found = json.loads(run("check", "round", "--shortcuts", "--json").stdout)["shortcuts"]
    assert found["verdict"] == "strong"
    assert found["branching"]["successors"] == pytest.approx(1)
    assert "shortcuts" not in json.loads(run("check", "round", "--json").stdout)


def test_without_text_there_is_no_likeness(tmp_path: Path, home: Path) -> None:
    imported(tmp_path, "mute", text=False)
    result = run("check", "mute", "--shortcuts")
    assert result.exit_code == 0, result.output
    assert "like content no text" in " ".join(result.stdout.split())


def test_without_a_history_there_is_nothing_to_walk_from(tmp_path: Path, home: Path) -> None:
    imported(tmp_path, "new", steps=1)
    error = run("check", "new", "--shortcuts").exception
    assert isinstance(error, UsageError)
    assert "no test event of new has a history to walk from" in error.what
