from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import pytest
from rich.console import Console

from tastebench.board import Board, make_board
from tastebench.board.load import sort_out
from tastebench.board.render import print_board
from tastebench.runs.record import Record

Make = Callable[..., Record]


def shown(
    board: Board,
    width: int = 120,
    terminal: bool = False,
    encoding: str = "utf-8",
    color_system: Literal["standard"] | None = None,
) -> str:
    """What a console of that kind gets, without styles unless it has a colour system."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, force_terminal=terminal, color_system=color_system)
    print_board(board, console)
    file.flush()
    return raw.getvalue().decode(encoding)


def test_scores_and_points_of_a_quickstart_fit_120_columns_and_the_cost_follows(
    tree_board: Board,
) -> None:
    assert shown(tree_board, 200, terminal=True).count("minilm  ") == 1
    text = shown(tree_board, 120, terminal=True)
    assert text.count("minilm  ") == 2
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 120
    line = next(line for line in text.splitlines() if "minilm  " in line)
    assert line.split()[:2] == ["1", "minilm"]
    assert line.count("±.") == 4
    for part in (
        "search ↑",
        "oracle                ceiling",
        "cf/shop/ndcg@10: 300 users, 1-2 seeds, through alpharec, protocol cf0000000000\n",
        "shop: data dddddddddddd",
        "search:short/shop/ndcg@10: 150 queries, 1 seed, through dot",
        "columns without a score count 0 points: bm25 2, popularity 2",
        "at most 20 points (6 rows, 4 columns)",
        "tastebench 0.1.0",
        "failed: alpharec(vector, broken) on cf/shop, seed 0: the file is gone",
        "minilm is best of 2 encoders on 4 of 4 tasks",
    ):
        assert part in text, part


@pytest.mark.parametrize("width", [60, 80, 100, 120, 200])
@pytest.mark.parametrize("terminal", [True, False])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(
    tree_board: Board, width: int, terminal: bool
) -> None:
    text = shown(tree_board, width, terminal)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for row in tree_board.rows:
        for column in tree_board.columns:
            mean = row.mean(column)
            assert mean is None or f"{mean:.4f}" in text
    assert "…" not in text


def test_what_is_no_terminal_gets_plain_characters(tree_board: Board) -> None:
    for text in (
        shown(tree_board, terminal=False),
        shown(tree_board, terminal=True, encoding="ascii"),
    ):
        assert text.isascii()
        assert "*0.5489 +-.0191" in text  # best
        assert "'0.4990 +-.0174" in text  # second
        assert "* best, ' second" in text


def test_styles_say_best_and_second_on_a_terminal(tree_board: Board) -> None:
    text = shown(tree_board, terminal=True, color_system="standard")
    assert "\x1b[1m0.5489\x1b[0m" in text
    assert "\x1b[4m0.4990\x1b[0m" in text


def test_markup_in_names_is_text(entries: Callable[..., Any], record: Make) -> None:
    board = make_board(sort_out(entries(record(encoder="[red]x[/red] [bold]"))))
    assert "[red]x[/red] [bold]" in shown(board)


def test_marks_are_numbered_and_explained(entries: Callable[..., Any], record: Make) -> None:
    board = make_board(
        sort_out(
            entries(
                record(encoder="good", means={"ndcg@10": 0.3}),
                record(encoder="bad", means={"ndcg@10": 0.1}),
                record("seqrec", "popularity", means={"ndcg@10": 0.2}, kind="control"),
            )
        )
    )
    text = shown(board)
    assert "bad [1]" in text
    assert "[1] below popularity on seqrec/shop" in text


def test_an_empty_board_says_so(entries: Callable[..., Any], record: Make) -> None:
    text = shown(make_board(sort_out(entries(record(encoder="a", partial=True)))))
    assert "No finished run to compare." in text
    assert "1 run with --limit left out" in text


def test_a_mean_over_rows_counts_rows(entries: Callable[..., Any], record: Make) -> None:
    one = record(encoder="a", protocol={"task": "seqrec", "average": "row"})
    assert "seqrec/shop/ndcg@10: 100 rows, 1 seed" in shown(make_board(sort_out(entries(one))))
