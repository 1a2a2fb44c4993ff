from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tastebench.board import Board, make_board
from tastebench.board.load import sort_out
from tastebench.board.scaling import draw, make_chart
from tastebench.errors import UsageError
from tastebench.runs.record import Cost, Parameters, Record

Make = Callable[..., Record]
SIZES = {
    "org/small": 33_000_000,
    "org/base": 110_000_000,
    "org/base-too": 110_000_000,
    "remote": None,
}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def board(entries: Callable[..., Any], record: Make) -> Board:
    """Four encoders, one of unknown size, a control encoder and a recommender without encoder."""

    def one(task: str, encoder: str | None, size: int | None, mean: float, **more: Any) -> Record:
        cost = Cost(wall_seconds=1.0, parameters=Parameters(encoder=size))
        reader = "unisrec" if encoder else "ease"
        return record(task, reader, encoder, {"ndcg@10": mean}, cost=cost, **more)

    records = [
        one(task, name, size, 0.2 + 0.001 * i)
        for task in ("seqrec", "cf")
        for i, (name, size) in enumerate(SIZES.items())
    ]
    records += [
        one("seqrec", "random", 1, 0.05, kind="control"),
        one("seqrec", None, None, 0.15),
    ]
    return make_board(sort_out(entries(*records)))


def rows(spec: dict[str, Any], title: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Lines and points of a panel."""
    panel = next(one for one in spec["concat"] if one["title"]["text"] == title)
    flat, drawn = (panel["layer"][i]["data"]["name"] for i in (0, -1))
    return spec["datasets"][flat], spec["datasets"][drawn]


def test_what_is_drawn(board: Board) -> None:
    spec = make_chart(board).to_dict()
    lines, points = rows(spec, "seqrec")
    assert {(p["name"], p["parameters"]) for p in points} == {
        ("org/small", 33_000_000),
        ("org/base", 110_000_000),
        ("org/base-too", 110_000_000),
    }
    first = next(p for p in points if p["name"] == "org/small")
    assert (first["mean"], first["low"], first["high"]) == pytest.approx((0.2, 0.19, 0.21))
    assert {line["name"] for line in lines} == {"random", "ease"}
    assert rows(spec, "cf")[0] == []
    assert "not drawn, size unknown: remote" in spec["title"]["subtitle"]


def test_labels_that_would_cover_each_other_are_moved_apart(board: Board) -> None:
    _, points = rows(make_chart(board).to_dict(), "seqrec")
    label = {p["name"]: p["label"] for p in points}
    mean = {p["name"]: p["mean"] for p in points}
    assert mean["org/base-too"] - mean["org/base"] == pytest.approx(0.001)
    assert label["org/base-too"] - label["org/base"] > 0.004
    assert label["org/small"] == mean["org/small"]


def test_an_svg_names_every_encoder(board: Board, tmp_path: Path) -> None:
    draw(board, tmp_path / "sizes.svg")
    texts = ElementTree.parse(tmp_path / "sizes.svg").iter(f"{SVG}text")
    words = {"".join(text.itertext()) for text in texts}
    assert {"org/small", "org/base", "random", "ease", "seqrec", "cf", "100M"} <= words
    assert any("unknown: remote" in word for word in words)


def test_a_page_needs_no_network(board: Board, tmp_path: Path) -> None:
    draw(board, tmp_path / "sizes.HTML")
    page = (tmp_path / "sizes.HTML").read_text(encoding="utf-8")
    assert "org/base-too" in page
    assert 'src="http' not in page


def test_other_endings_and_boards_without_sizes_are_refused(
    board: Board, entries: Callable[..., Any], record: Make, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=r"is .svg or .html, not .png[\s\S]*--scaling .*sizes.svg"):
        draw(board, tmp_path / "sizes.png")
    unsized = make_board(sort_out(entries(record(encoder="a"))))
    with pytest.raises(UsageError, match="no encoder of known size has a score"):
        draw(unsized, tmp_path / "sizes.svg")
    assert not list(tmp_path.iterdir())


def test_names_in_a_page_are_text(
    entries: Callable[..., Any], record: Make, tmp_path: Path
) -> None:
    """A results folder may come from anyone: what it names must not run."""
    name, suite = "openai:</script><script>alert(1)</script>", "</script><img src=x onerror=f()>"
    cost = Cost(wall_seconds=1.0, parameters=Parameters(encoder=33_000_000))
    one = record("seqrec", "unisrec", name, {"ndcg@10": 0.2}, cost=cost, suite=suite)
    draw(make_board(sort_out(entries(one))), tmp_path / "sizes.html")
    page = (tmp_path / "sizes.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "openai:\\u003c/script>\\u003cscript>alert(1)" in page
