"""Observed over predicted rates of clicks, from the tables beside records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import polars as pl
import pytest

from tastebench.board import make_board
from tastebench.board.load import load
from tastebench.board.reliability import draw, make_chart
from tastebench.cli import main
from tastebench.errors import DataError, UsageError
from tastebench.metrics.calibration import reliability
from tastebench.runs.record import Record

Make = Callable[..., Record]
SVG = "{http://www.w3.org/2000/svg}"
PROBABILITY = np.array([0.02, 0.03, 0.3, 0.3, 0.3, 0.8])
LABEL = np.array([0, 0, 1, 0, 0, 1])


@pytest.fixture
def folder(record: Make, write_run: Callable[..., Path], tmp_path: Path) -> Path:
    """Two seeds of `dnn`, `gdcn` on another dataset, `vector-knn` without probabilities, and a run
    of another task.
    """
    root = tmp_path / "results"

    def write(name: str, label: np.ndarray | None, **changes: Any) -> None:
        one = record("ctr", name, means={"gauc": 0.6}, row_by="run", headline="gauc", **changes)
        place = write_run(root, one, {"gauc": [0.5, 0.7], "ece": [0.1, 0.3]})
        if label is not None:
            bins = reliability(label, PROBABILITY, bins=10)
            columns = {key: value for key, value in vars(bins).items() if key != "edges"}
            pl.DataFrame({"from": bins.edges[:-1], "to": bins.edges[1:], **columns}).write_parquet(
                place / "calibration.parquet"
            )

    write("dnn", LABEL, spec={"seed": 0}, spec_hash="a" * 16)
    write("dnn", 1 - LABEL, spec={"seed": 1}, spec_hash="b" * 16)
    write("gdcn", LABEL, spec={"dataset": "other"}, spec_hash="c" * 16)
    write("vector-knn", None, spec_hash="d" * 16)
    write_run(root, record("seqrec", "ease", spec_hash="e" * 16), {"ndcg@10": [0.1, 0.2]})
    return root


def chart_of(folder: Path) -> dict[str, Any]:
    loaded = load(folder)
    spec: dict[str, Any] = make_chart(loaded, make_board(loaded, row_by="run")).to_dict()
    return spec


def test_each_row_has_a_panel_with_the_bins_of_its_first_seed(folder: Path) -> None:
    spec = chart_of(folder)
    titles = [(one["title"]["text"], one["title"]["subtitle"]) for one in spec["concat"]]
    assert titles == [("gdcn", "other, ece 0.2000"), ("dnn", "shop, ece 0.2000")]
    points = spec["datasets"][spec["concat"][1]["layer"][-1]["data"]["name"]]
    # Bins [0, .1), [.3, .4) and [.8, .9) have rows, with 0 of 2, 1 of 3 and 1 of 1 clicked.
    assert [one["rows"] for one in points] == [2, 3, 1]
    assert [one["probability"] for one in points] == pytest.approx([0.025, 0.3, 0.8])
    assert [one["rate"] for one in points] == pytest.approx([0, 1 / 3, 1])
    assert all(one["low"] <= one["rate"] <= one["high"] for one in points)
    assert "no probabilities: vector-knn" in spec["title"]["subtitle"]


def test_all_panels_have_the_same_axes(folder: Path) -> None:
    domains = {
        str(layer["encoding"][axis]["scale"]["domain"])
        for panel in chart_of(folder)["concat"]
        for layer in panel["layer"]
        for axis in ("x", "y")
    }
    assert domains == {"[0, 1.0]"}


def test_the_command_draws_it(folder: Path, tmp_path: Path) -> None:
    options = ["board", str(folder), "--row-by", "run", "--reliability"]
    assert main([*options, str(tmp_path / "r.svg")]) == 0
    texts = ElementTree.parse(tmp_path / "r.svg").iter(f"{SVG}text")
    words = {"".join(text.itertext()) for text in texts}
    assert {"dnn", "gdcn", "predicted", "observed", "shop, ece 0.2000"} <= words
    assert main([*options, str(tmp_path / "r.html")]) == 0
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'src="http' not in page


def test_what_cannot_be_drawn_is_said(
    folder: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["board", str(folder), "--row-by", "run", "--reliability", "r.png"]) == 2
    assert "a reliability picture is .svg or .html, not .png" in capsys.readouterr().err
    assert main(["board", str(tree), "--reliability", str(tmp_path / "r.svg")]) == 2
    assert "no run here has a table of predicted probabilities" in capsys.readouterr().err
    loaded = load(folder)
    board = make_board(loaded, row_by="run")
    for table in folder.rglob("calibration.parquet"):
        table.write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"unreadable table[\s\S]*calibration.parquet"):
        draw(loaded, board, tmp_path / "r.svg")
    for table in folder.rglob("calibration.parquet"):
        table.unlink()
    with pytest.raises(UsageError, match="no run here has a table"):
        draw(loaded, board, tmp_path / "r.svg")
    assert not (tmp_path / "r.svg").exists()
