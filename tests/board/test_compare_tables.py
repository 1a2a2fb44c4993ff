"""A comparison as CSV, Markdown and LaTeX: the numbers of the comparison and nothing else."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.api import Results
from tastebench.board.compare import read_comparison
from tastebench.board.compare_model import Compared, Options
from tastebench.board.compare_tables import CSV_HEAD, to_csv, to_latex, to_markdown
from tastebench.cli import main
from tastebench.runs.record import Record

FEW = Options(resamples=300)
BETTER = [0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.7, 0.6, 0.5, 0.9]
WORSE = [0.1, 0.2, 0.3, 0.4, 0.2, 0.1, 0.3, 0.5, 0.4, 0.3]


@pytest.fixture
def results(tmp_path: Path, record: Any, write_run: Any) -> Path:
    """Two encoders, one better for each of ten users, half of them with long histories."""
    root = tmp_path / "results"
    for name, values in (("org/a_one", BETTER), ("b", WORSE)):
        folder = write_run(root, record("seqrec", "unisrec", name), {"ndcg@10": values})
        path = folder / "per_user.parquet"
        table = pl.read_parquet(path).with_columns(history=pl.Series(["1-4", "5-9"] * 5))
        table.write_parquet(path)
    return root


@pytest.fixture
def found(results: Path) -> Compared:
    return read_comparison(results, "org/a_one", "b", FEW)


def test_csv_has_all_of_it_unrounded(found: Compared) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert tuple(rows[0]) == CSV_HEAD
    assert [(row["segment"], row["label"]) for row in rows] == [
        ("", ""),
        ("history", "1-4"),
        ("history", "5-9"),
    ]
    (test,) = found.tests
    assert test.paired is not None and test.adjusted is not None
    whole = rows[0]
    assert float(whole["difference"]) == test.paired.difference == pytest.approx(0.46)
    assert float(whole["holm"]) == test.adjusted.holm and float(whole["p"]) == test.adjusted.p
    assert (whole["wins"], whole["ties"], whole["losses"], whole["n"]) == ("10", "0", "0", "10")
    assert whole["low_seeds"] == "" and whole["verdict"] == test.verdict
    # The users of even numbers: 0.9 0.7 0.9 0.7 0.5 against 0.1 0.3 0.2 0.3 0.4.
    assert float(rows[1]["difference"]) == pytest.approx(0.74 - 0.26)
    assert float(rows[1]["p"]) == 2 / 2**5


def test_markdown_has_what_is_sure_in_bold(found: Compared) -> None:
    lines = to_markdown(found).splitlines()
    assert lines[0] == "A: org/a\\_one<br>B: b"
    head, _, whole, short, _ = lines[2:7]
    assert head == "|  | A | B | A - B | p | Holm | d | A/=/B % | shows | n |"
    assert whole.startswith("| seqrec/shop ndcg@10 | 0.7400 | 0.2800 | **+0.4600** ± .")
    assert whole.endswith(" | 100/0/0 | 0.2295 | 10 |")
    # Standard deviation 0.2591 of the ten differences, over the root of 10, times 2.80: 0.2295.
    # Five users alone are not enough.
    assert short.startswith("| &emsp;history 1-4 | 0.7400 | 0.2600 | +0.4800 ± .")
    assert all(line.count(" | ") == head.count(" | ") for line in (whole, short))
    assert (
        f"- {found.tests[0].verdict}".replace("<", "\\<").replace("[", "\\[").replace("_", "\\_")
        in lines
    )


def test_latex_has_a_row_a_test(found: Compared) -> None:
    text = to_latex(found)
    (columns, body) = re.findall(
        r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL
    )[0]
    rows = [line.strip() for line in body.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 4
    assert {row.count("&") + 1 for row in rows} == {len(columns)} == {10}
    assert r"\caption{$A$: org/a\_one, $B$: b.}" in text
    assert r"$\mathbf{+0.4600}$ {\scriptsize $\pm$" in rows[1]
    assert rows[2].startswith(r"\quad history 1-4") and "$+0.4800$" in rows[2]
    assert text.count("{") == text.count("}")


def test_what_cannot_be_tested_has_dashes(found: Compared) -> None:
    (test,) = found.tests
    none = replace(test, paired=None, adjusted=None, segments=(), why="nothing")
    found = replace(found, tests=(none,))
    assert "| seqrec/shop ndcg@10 | 0.7400 | 0.2800 | - |" in to_markdown(found)
    assert "0.2800 & -- & -- & -- & -- & -- & -- & --" in to_latex(found)
    (row,) = csv.DictReader(io.StringIO(to_csv(found)))
    assert row["difference"] == row["p"] == row["n"] == ""


@pytest.mark.parametrize(
    ("form", "start"), [("--csv", "a,b,task,"), ("--markdown", "A: "), ("--latex", "% needs")]
)
def test_the_command_prints_each(
    results: Path, form: str, start: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(results), "org/a_one", "b", form]) == 0
    assert capsys.readouterr().out.startswith(start)
    assert main(["compare", str(results), "org/a_one", "b", form, "--json"]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_results_compare_as_the_command_does(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = tuple(Record.read(path) for path in sorted(results.rglob("record.json")))
    mine = Results(results / "demo", records).compare("org/a_one", "b", users=0)
    assert mine.tests[0].paired is not None and mine.tests[0].paired.wins == 10
    assert main(["compare", str(results), "org/a_one", "b", "--users", "0"]) == 0
    said = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert [line.rstrip() for line in str(mine).splitlines()] == said


def test_results_are_a_table_for_a_paper(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = tuple(Record.read(path) for path in sorted(results.rglob("record.json")))
    mine = Results(results / "demo", records)
    assert main(["board", str(results), "--latex"]) == 0
    assert mine.to_latex() == capsys.readouterr().out
    options = ["--baseline", "b", "--interval", "none", "--metric", "ndcg@10"]
    assert main(["board", str(results), "--latex", *options]) == 0
    told = mine.to_latex(baseline="b", interval="none", metric="ndcg@10")
    assert told == capsys.readouterr().out and r"$^{\uparrow}$ better" in told
    assert "sign-flip" not in mine.to_latex(baseline=None)
