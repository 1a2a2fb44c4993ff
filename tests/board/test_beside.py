"""A printed table by dataset, beneath one's own columns, and in what the two differ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tastebench.board import Board, make_board
from tastebench.board.export import to_json, to_markdown
from tastebench.board.figures import published_lines
from tastebench.board.load import sort_out
from tastebench.board.published import get_published
from tastebench.board.render import as_text
from tastebench.runs.record import Record

Make = Callable[..., Record]
DNN = {"mind": "0.6692", "microlens": "0.7421", "goodreads": "0.5831", "cds": "0.5757"}


@pytest.fixture
def board_of(entries: Callable[..., Any], record: Make) -> Callable[..., Board]:
    """`dnn` over ids and over vectors on some datasets, with RecBench's table beside it."""

    def make(
        *datasets: str, metric: str = "gauc", published: str = "recbench", **params: Any
    ) -> Board:
        records = [
            record(
                "ctr",
                "dnn",
                encoder,
                {"gauc": 0.6, "logloss": 0.3},
                spec={"dataset": dataset, "params": params, "seed": seed},
                protocol={"task": "ctr", "history_length": 20, "behaviour": "fixed"},
                protocol_id=dataset,
                counts={"asked": 20_004, "users": 1_500},
                split=("given split", "As given."),
                headline="gauc",
                row_by="run",
            )
            for dataset in datasets
            for encoder in (None, "minilm")
            for seed in (0, 1)
        ]
        board = make_board(sort_out(entries(*records)), metric=metric)
        return replace(board, published=get_published(published))

    return make


def words_of(text: str, name: str) -> list[str]:
    """What stands behind a name, in one table after the other."""
    found = (re.match(rf" +{re.escape(name)} {{2,}}(.*)", line) for line in text.splitlines())
    return [word for one in found if one for word in one[1].split()]


def test_printed_rows_stand_beneath_the_columns_of_their_datasets(
    board_of: Callable[..., Board],
) -> None:
    board = board_of("recbench/mind", "recbench/cds", "shop")
    # Of three datasets two are printed too; what else is printed has columns of its own. The mean
    # of these three is not the mean of the printed five.
    assert words_of(as_text(board), "DNN") == [
        *("printed", DNN["cds"], DNN["mind"]),
        *(DNN["microlens"], DNN["goodreads"], "0.7952", "0.6731", "0.43"),
    ]
    assert [row.name for row in board.rows] == ["dnn", "dnn(vector, minilm)"]


def test_one_dataset_alone_has_the_printed_numbers_in_its_column(
    board_of: Callable[..., Board],
) -> None:
    assert words_of(as_text(board_of("recbench/microlens")), "DNN emb") == [
        *("printed", "0.8141"),
        *("0.7154", "0.5997", "0.5848", "0.8717", "0.7171", "1.32"),
    ]


@pytest.mark.parametrize(
    ("dataset", "options", "name", "numbers"),
    [
        (
            "recbench/mind",
            {"metric": "logloss"},
            "DNN",
            [*DNN.values(), "0.7952", "0.6731", "0.43"],
        ),
        ("shop", {}, "DNN", [*DNN.values(), "0.7952", "0.6731", "0.43"]),
        (
            "recbench/mind",
            {"published": "recbench-next-item"},
            "SASRec 3L",
            ["0.0090", "0.0000", "0.0165", "0.0016", "0.0209", "0.0096", "23.3"],
        ),
    ],
)
def test_what_is_no_number_of_a_column_does_not_stand_in_it(
    board_of: Callable[..., Board],
    dataset: str,
    options: dict[str, str],
    name: str,
    numbers: list[str],
) -> None:
    """Of another metric, dataset or task."""
    assert words_of(as_text(board_of(dataset, **options)), name) == numbers


def test_where_own_and_printed_differ_is_said(board_of: Callable[..., Board]) -> None:
    params = {"predictor": {"operator": "dnn", "variant": "published"}, "lr": 1e-3}
    params |= {"batch_size": 1000, "epochs": 10, "patience": 5}
    board = board_of("recbench/cds", "recbench/microlens", "shop", **params)
    lines = published_lines(board)
    for line in (
        "recbench/cds: 20,004 rows of 1,500 users in test here; printed: 20,003 of 4,930",
        "recbench/cds: tastebench data check recbench/cds compares all counts",
        "recbench/cds: RecBench reads the first ten million reviews or so, has times of a day, and "
        "keeps products without a title.",
        "recbench/microlens: 20,004 rows of 1,500 users in test here; printed: 20,000 of 5,000",
        "shop: not in the printed table",
        "history: latest 20 items here; printed: latest 20 items, 50 or 100 in parts of the code",
        "encoder: minilm here; printed: Llama-1 7B, state of the last token (rows emb)",
        "seeds: 2 here; printed: 2023 in the code; how many is not said",
        "budget: Adam at 0.001, batches of 1,000, at most 10 epochs, patience 5 here; printed: "
        "Adam at 0.001, batches of 5,000, at most 50 epochs, patience 5",
    ):
        assert line in lines, line
    starts = [line.partition(" here; printed: ")[0] for line in lines]
    assert {"behaviour: fixed", "split: given split", "predictors: variant: published"} <= {*starts}
    assert lines.count("shop: not in the printed table") == 1


def test_what_records_do_not_say_is_not_compared(board_of: Callable[..., Board]) -> None:
    """Without settings of training there is no budget, and nothing of a predictor."""
    lines = published_lines(board_of("recbench/hm"))
    assert not any(line.startswith(("budget", "predictors")) for line in lines)
    bare = board_of("recbench/hm")
    unsaid = [{**asked, "counts": {}, "protocol": {}, "split": []} for asked in bare.protocols]
    lines = published_lines(replace(bare, protocols=tuple(unsaid)))
    assert not any(line.startswith(("history", "split", "behaviour")) for line in lines)
    assert not any("in test here" in line for line in lines)


def test_boards_of_other_tasks_have_nothing_to_compare(
    entries: Callable[..., Any], record: Make
) -> None:
    board = make_board(sort_out(entries(record(encoder="a"))))
    for name in ("recbench", "blair"):
        lines = published_lines(replace(board, published=get_published(name)))
        assert all(line.startswith("printed: ") for line in lines)


def test_markdown_and_json_have_the_whole_table(board_of: Callable[..., Board]) -> None:
    board = board_of("recbench/mind", published="recbench-zero-shot")
    text = to_markdown(board)
    assert "| printed model | ctr/recbench/mind | ctr/recbench/microlens | " in text
    assert "| overall | ms |" in text
    assert "| GPT-3.5 | 0.5057 | 0.5110 | 0.5122 | 0.5046 | 0.5801 | 0.5227 | - |" in text
    assert "Avg(Task)" not in text
    rows = json.loads(to_json(board))["published"]["rows"]
    assert rows[0]["latency_ms"] == 53.26
    assert rows[0]["borda"] is None
