from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tastebench.cli import main
from tastebench.runs.record import Cost, Parameters, Record


def test_the_table_goes_to_stdout(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", str(tree)]) == 0
    out, err = capsys.readouterr()
    assert " 1  minilm " in out
    assert out.isascii()
    assert err == ""


@pytest.mark.parametrize(
    ("option", "start"), [("--json", "{"), ("--csv", "rank,name,"), ("--markdown", "| # |")]
)
def test_other_forms(
    tree: Path, capsys: pytest.CaptureFixture[str], option: str, start: str
) -> None:
    assert main(["board", str(tree), option]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_options_reach_the_board(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    svg = tmp_path / "board.svg"
    options = ["--json", "--metric", "recall@10", "--row-by", "run", "--mixed", "--svg", str(svg)]
    assert main(["board", str(tree), *options]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["row_by"] == "run"
    assert value["columns"][0]["metric"] == "recall@10"
    assert svg.read_text(encoding="utf-8").startswith("<svg ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--json", "--csv"], "exclude each other"),
        (["--row-by", "encodr"], "did you mean encoder?"),
        (["--metric", "ndgc@10"], "did you mean ndcg?"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    message: str,
) -> None:
    assert main(["board", str(tree), *options]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""


def test_a_folder_without_records_is_missing_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["board", str(tmp_path)]) == 4
    assert "tastebench run PLAN --out DIR" in capsys.readouterr().err


def test_a_picture_that_cannot_be_written_is_said(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = tmp_path / "taken"
    taken.mkdir()
    assert main(["board", str(tree), "--svg", str(taken)]) == 2
    out, err = capsys.readouterr()
    assert "cannot write the picture" in err
    assert f"where: {taken}" in err
    assert out == ""
    assert not list(tmp_path.glob(".tmp-*"))


def test_another_order_two_columns_and_printed_numbers(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs.csv"
    theirs.write_text("model,rank\nMiniLM,1\ntfidf-svd,2\n", encoding="utf-8")
    options = ["--against", str(theirs), "--correlate", "seqrec", "cf", "--published", "blair"]
    assert main(["board", str(tree), *options]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert (
        f"against the ranks of {theirs}, 2 models in both: Spearman rho 1.000 (exact p 1.0" in out
    )
    assert "seqrec and cf over 2 models: Pearson r 1.000" in out
    assert "GritLM-7B printed" in out
    assert main(["board", str(tree), "--json", *options]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["against"]["spearman"]["n"] == 2
    assert value["correlated"]["columns"] == ["seqrec", "cf"]
    assert value["published"]["name"] == "blair"
    assert main(["board", str(tree), "--markdown", *options]) == 0
    assert "- against the ranks of" in capsys.readouterr().out


def test_a_name_that_is_no_file_is_explained(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["board", str(tree), "--against", "mteb"]) == 2
    err = capsys.readouterr().err
    assert "published ranks of others are not shipped" in err
    assert "model,rank" in err


def test_one_task(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", str(tree), "--task", "cf", "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert [column["task"] for column in value["columns"]] == ["cf"]


def test_comparing_and_drawing_sizes(
    entries: Callable[..., Any],
    record: Callable[..., Record],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "results"
    cost = Cost(wall_seconds=1.0, parameters=Parameters(encoder=1000))
    for how in ("pca", "mrl"):
        params = {"params": {"adaptor": how}}
        one = record(encoder="a", spec=params, given=params, cost=cost, spec_hash=how * 4)
        one.write(root / "demo" / how)
    assert main(["board", str(root), "--compare", "adaptor"]) == 0
    assert "what adaptor changes" in capsys.readouterr().out
    for form, start in (("--json", "{"), ("--csv", "name,task,"), ("--markdown", "|  | seqrec")):
        assert main(["board", str(root), "--compare", "adaptor", form]) == 0
        assert capsys.readouterr().out.startswith(start)
    assert main(["board", str(root), "--compare", "adaptor", "--published", "blair"]) == 2
    assert "--compare shows a table of its own" in capsys.readouterr().err
    picture = tmp_path / "sizes.svg"
    assert main(["board", str(root), "--row-by", "run", "--scaling", str(picture)]) == 0
    assert picture.read_text(encoding="utf-8").startswith("<svg ")
