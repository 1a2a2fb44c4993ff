from __future__ import annotations

import json
from pathlib import Path

import pytest

from tastebench.cli import main


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
