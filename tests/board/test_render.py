from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
from rich.console import Console

from tastebench.board import Board, make_board
from tastebench.board.load import sort_out
from tastebench.board.published import get_published
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
    assert "seqrec/shop/ndcg@10: 100 users by their rows, 1 seed" in shown(
        make_board(sort_out(entries(one)))
    )


# ------------------------------------------------------------------------------- many columns


def test_eleven_rows_of_fourteen_columns_stay_readable_at_120(wide_board: Board) -> None:
    text = shown(wide_board, 120, terminal=True)
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 120
    first = lines[: next(i for i, line in enumerate(lines) if "random" in line)]
    # Tasks first, with the mean of their datasets; a task of one dataset is that dataset.
    heads = " ".join(first)
    for part in ("mean of 2", "mean of 5", "mean of 6", "esci", "Borda"):
        assert part in heads, part
    # Rows stand once in each of at most five tables: tasks, cost, and a task's datasets.
    assert text.count("an-encoder-of-size-3B  ") <= 5
    # Each task's datasets stand side by side, under short names that are explained.
    assert any(
        all(name in line for name in ("all-beauty", "baby-products", "video-games", "yelp"))
        for line in lines
    )
    assert "video-games = amazon-2023-video-games" in " ".join(lines)
    assert "an-encoder-of-size-0B = organisation-0/an-encoder-of-size-0B" in " ".join(lines)
    assert "shuffled:an-encoder-of-size-0B" not in lines[5]


def test_every_number_of_a_wide_board_is_there_at_every_width(wide_board: Board) -> None:
    for width in (80, 120, 240):
        text = shown(wide_board, width, terminal=True)
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
        for row in wide_board.rows:
            for score in row.tasks.values():
                assert f"{score.mean:.4f}" in text
            for column in wide_board.columns:
                assert f"{row.mean(column):.4f}" in text


def test_a_spread_over_seeds_stands_beside_the_mean_and_is_explained(wide_board: Board) -> None:
    # Means of the seeds .9, .901, .902: sd .001; the mean of five datasets: .001 / sqrt(5).
    text = shown(wide_board, 120, terminal=True)
    assert "0.9010 s.0010" in text
    assert "0.9010 s.0004" in text
    assert "s standard deviation over the seeds" in text
    assert "3 seeds" in text


def test_a_spread_of_nothing_is_not_shown(entries: Callable[..., Any], record: Make) -> None:
    seeds = [record(encoder="a", spec={"seed": seed}) for seed in (0, 1)]
    text = shown(make_board(sort_out(entries(*seeds))))
    assert "0.1000" in text
    assert "s.0000" not in text
    assert "standard deviation" not in text


def test_a_rank_has_its_interval_where_that_says_more(tree_board: Board) -> None:
    rows = [
        replace(tree_board.rows[0], rank_low=1, rank_high=2),
        replace(tree_board.rows[1], rank_low=2, rank_high=2),
        replace(tree_board.rows[2], rank_low=None, rank_high=None),
    ]
    text = shown(replace(tree_board, rows=tuple(rows)))
    starts = [line.strip().split("  ")[0] for line in text.splitlines()]
    assert [one for one in starts if one[:1].isdigit()] == ["1 (1-2)", "2", "3"]


def test_printed_numbers_stand_beneath_and_are_not_ranked(wide_board: Board) -> None:
    text = shown(replace(wide_board, published=get_published("blair")), terminal=True)
    line = next(line for line in text.splitlines() if "GritLM-7B" in line)
    assert line.split() == ["GritLM-7B", "printed", "0.1290", "0.2537", "0.0434", "0.0385"]
    assert text.index("random") < text.index("GritLM-7B")
    assert "numbers of others, from BLaIR-Bench" in text
    assert "never ranked with the rows above" in " ".join(text.split())


def test_a_reduced_budget_is_in_the_title(entries: Callable[..., Any], record: Make) -> None:
    board = make_board(sort_out(entries(record(encoder="a", preliminary=True))))
    assert shown(board).startswith("demo, by encoder, preliminary: reduced budget\n")
