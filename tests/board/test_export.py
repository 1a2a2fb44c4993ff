from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from xml.etree import ElementTree

import pytest

from tastebench.board import Board, make_board
from tastebench.board.export import CSV_HEAD, to_csv, to_json, to_markdown
from tastebench.board.load import sort_out
from tastebench.board.picture import to_svg
from tastebench.board.published import get_published
from tastebench.runs.record import Record

Make = Callable[..., Record]
HOSTILE = "a|b*<script>&\"'\x07é"
SVG = "{http://www.w3.org/2000/svg}"


def test_json_has_the_promised_shape(tree_board: Board) -> None:
    value = json.loads(to_json(tree_board))
    assert {"suite", "protocols", "row_by", "rows", "failed"} <= set(value)
    assert value["suite"] == "demo"
    assert value["row_by"] == "encoder"
    first = value["rows"][0]
    assert {
        "name",
        "recommender",
        "representation",
        "encoder",
        "rank",
        "borda",
        "scores",
        "cost",
    } <= set(first)
    assert first["recommender"]["cf"] == "alpharec"
    score = first["scores"]["cf/shop/ndcg@10"]
    assert {"mean", "low", "high", "n", "seeds"} <= set(score)
    assert score["low"] < score["mean"] < score["high"]
    assert value["rows"][-1]["rank"] is None
    assert value["failed"][0]["error"]["fix"] == "bring it back"
    assert {p["id"] for p in value["protocols"]} == {
        "search000000",
        "seqrec000000",
        "cf0000000000",
    }


def test_csv_has_a_line_for_every_score_unrounded(tree_board: Board) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(tree_board))))
    assert tuple(rows[0]) == CSV_HEAD
    assert len(rows) == 7 * 4 - 2 - 2
    one = next(r for r in rows if r["name"] == "minilm" and r["group"] == "short")
    score = tree_board.rows[0].scores["search:short/shop/ndcg@10"]
    assert float(one["mean"]) == score.mean
    assert (one["task"], one["n"], one["protocol"]) == ("search", "150", "search000000")


def test_markdown_is_a_table_with_the_best_bold(tree_board: Board) -> None:
    lines = to_markdown(tree_board).splitlines()
    assert lines[0].startswith("| # | encoder | search:complex<br>ndcg@10 ↑ |")
    assert len({line.count("|") for line in lines[:9]}) == 1
    assert "**0.5489** ± .0191" in lines[2]
    assert lines[7] == (
        "| 6 | random (recommender) (control) | 0.0521 ± .0023 | 0.0516 ± .0023 | 0.0505 ± .0016 "
        "| 0.0499 ± .0016 | 4 | 0.0510 | - | 6.0s | - |"
    )


def test_names_that_mean_something_in_a_format_are_text_in_it(
    entries: Callable[..., Any], record: Make
) -> None:
    board = make_board(sort_out(entries(record(encoder=HOSTILE), record(encoder="b"))))
    assert json.loads(to_json(board))["rows"][0]["name"] in {HOSTILE, "b"}
    assert HOSTILE in {row["name"] for row in csv.DictReader(io.StringIO(to_csv(board)))}
    line = next(one for one in to_markdown(board).splitlines() if "script" in one)
    assert "a\\|b\\*\\<script>" in line
    words = {element.text for element in ElementTree.fromstring(to_svg(board)).iter(f"{SVG}text")}
    assert HOSTILE.replace("\x07", "\ufffd") in words


def test_the_picture_has_a_dot_for_every_score_and_a_line_for_the_ceiling(
    tree_board: Board,
) -> None:
    picture = ElementTree.fromstring(to_svg(tree_board))
    tips = [
        group.find(f"{SVG}title").text  # type: ignore[union-attr]
        for group in picture.iter(f"{SVG}g")
    ]
    assert len(tips) == 7 * 4 - 4
    assert "minilm: 0.5489 (0.5298 to 0.5680)" in tips
    width = float(picture.get("width") or 0)
    for shape in picture.iter(f"{SVG}circle"):
        assert 0 <= float(shape.get("cx") or -1) <= width
    # Dots of a panel stand in the order of their means.
    dots = {
        tip.split(":")[0]: float(group.find(f"{SVG}circle").get("cx"))  # type: ignore[union-attr, arg-type]
        for tip, group in zip(tips, picture.iter(f"{SVG}g"), strict=True)
        if tip is not None and group.find(f"{SVG}circle") is not None
    }  # the last panel wins: cf
    assert dots["random (recommender)"] < dots["random"] < dots["popularity"] < dots["minilm"]


def test_a_picture_of_equal_scores_and_of_none(entries: Callable[..., Any], record: Make) -> None:
    flat = record(encoder="a", means={"ndcg@10": 0.0})
    flat = flat.model_copy(
        update={
            "metrics": {
                "ndcg@10": flat.metrics["ndcg@10"].model_copy(update={"low": None, "high": None})
            }
        }
    )
    for records in ([flat], [record(encoder="a", partial=True)]):
        root = ElementTree.fromstring(to_svg(make_board(sort_out(entries(*records)))))
        assert root.tag.endswith("svg") and "nan" not in ElementTree.tostring(root, "unicode")


def test_a_far_ceiling_is_pointed_at_and_does_not_press_the_dots_together(
    entries: Callable[..., Any], record: Make
) -> None:
    def spread(ceiling: float) -> tuple[float, list[str | None]]:
        board = make_board(
            sort_out(
                entries(
                    record(encoder="a", means={"ndcg@10": 0.10}),
                    record(encoder="b", means={"ndcg@10": 0.05}),
                    record("seqrec", "oracle", means={"ndcg@10": ceiling}, kind="ceiling"),
                )
            )
        )
        picture = ElementTree.fromstring(to_svg(board))
        groups = [g.find(f"{SVG}circle") for g in picture.iter(f"{SVG}g")]
        places = [float(dot.get("cx") or 0) for dot in groups if dot is not None]
        return max(places) - min(places), [e.text for e in picture.iter(f"{SVG}text")]

    near, words = spread(0.12)
    assert "oracle" in words
    far, words = spread(1.0)
    assert "oracle 1.0000 →" in words
    assert far > near / 2
    assert "← oracle -1.0000" in spread(-1.0)[1]


# ------------------------------------------------------------------------- what came to it later


def test_every_form_says_seeds_ranks_and_reduced_budgets(
    entries: Callable[..., Any], record: Make
) -> None:
    records = [
        record(encoder="a", means={"ndcg@10": mean}, spec={"seed": seed}, preliminary=True)
        for seed, mean in enumerate((0.1, 0.3))
    ]
    board = make_board(sort_out(entries(*records)))
    ranked = replace(board.rows[0], rank_low=1, rank_high=2, p_first=0.75)
    board = replace(board, rows=(ranked,))
    value = json.loads(to_json(board))
    assert value["preliminary"] is True
    row = value["rows"][0]
    assert (row["rank_low"], row["rank_high"], row["p_first"]) == (1, 2, 0.75)
    spread = row["scores"]["seqrec/shop/ndcg@10"]["spread"]
    assert spread == row["tasks"]["seqrec"]["spread"] == pytest.approx(0.1 * 2**0.5)
    line = next(csv.DictReader(io.StringIO(to_csv(board))))
    assert (line["rank_low"], line["rank_high"], line["preliminary"]) == ("1", "2", "True")
    assert float(line["spread"]) == spread
    markdown = to_markdown(board)
    assert "| 1 (1-2) | a | **0.2000** s .1414 |" in markdown
    assert "**Preliminary: reduced budget.**" in markdown
    assert "preliminary: reduced budget" in to_svg(board)


def test_markdown_has_the_mean_of_a_task_before_its_datasets(wide_board: Board) -> None:
    lines = to_markdown(wide_board).splitlines()
    heads = [head.strip() for head in lines[0].split("|")[1:-1]]
    assert heads[2:6] == [
        "search:complex<br>mean of 2<br>ndcg@10 ↑",
        "search:complex / amazon-c4<br>ndcg@10 ↑",
        "search:complex / reddit-movie<br>ndcg@10 ↑",
        "search:short / esci<br>ndcg@10 ↑",
    ]
    assert heads[-6:-1] == ["Borda", "Avg(Overall)", "Avg(Task)", "per 1 M items", "time"]
    assert heads[-1] == "ms p50"
    assert {line.count("|") for line in lines[: 2 + len(wide_board.rows)]} == {len(heads) + 1}


def test_printed_numbers_are_a_table_of_their_own(wide_board: Board) -> None:
    board = replace(wide_board, published=get_published("blair"))
    text = to_markdown(board)
    assert "| GritLM/GritLM-7B | 0.0434 | 0.0385 | 0.2537 | 0.1290 | 0.0685 | 0.1161 |" in text
    assert "never ranked with the rows above" in text
    printed = json.loads(to_json(board))["published"]
    assert printed["rows"][0]["model"] == "text-embedding-3-large"
    assert "GritLM" not in to_csv(board)
