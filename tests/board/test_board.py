from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.board import Board, figures, make_board, read_board
from tastebench.board.load import load, sort_out
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.runs.record import (
    Budget,
    Cost,
    EncodeStep,
    Fit,
    Latency,
    Parameters,
    Percentiles,
    Record,
)

Make = Callable[..., Record]


@pytest.fixture
def board_of(entries: Callable[..., list[Any]]) -> Callable[..., Board]:
    return lambda *records, **options: make_board(sort_out(entries(*records)), **options)


def names(board: Board) -> list[str]:
    return [row.name for row in board.rows]


# ---------------------------------------------------------------------------------- rows and ranks


def test_a_whole_tree(tree_board: Board) -> None:
    assert [column.key for column in tree_board.columns] == [
        "search:complex/shop/ndcg@10",
        "search:short/shop/ndcg@10",
        "seqrec/shop/ndcg@10",
        "cf/shop/ndcg@10",
    ]
    # Points by hand: 6 rows, so 5 for the best of a column; bm25 and popularity miss two columns.
    assert [(r.rank, r.name, r.kind, r.borda, r.missing) for r in tree_board.rows] == [
        (1, "minilm", "model", 20.0, 0),
        (2, "tfidf-svd", "model", 16.0, 0),
        (3, "random", "control", 8.0, 0),
        (4, "bm25", "control", 6.0, 2),
        (4, "popularity", "control", 6.0, 2),
        (6, "random (recommender)", "control", 4.0, 0),
        (None, "oracle", "ceiling", None, 0),
    ]
    assert tree_board.rows[0].recommender == {
        "search": "dot",
        "seqrec": "unisrec",
        "cf": "alpharec",
    }
    assert tree_board.row_by == "encoder"
    assert [failure["encoder"] for failure in tree_board.failed] == ["broken"]
    assert tree_board.versions == ("0.1.0",)


def test_scores_hold_every_metric_and_the_whole_beside_its_groups(
    tree_board: Board,
) -> None:
    row = tree_board.rows[0]
    assert set(row.scores) == {
        f"{part}/shop/{metric}"
        for part in ("search", "search:short", "search:complex", "seqrec", "cf")
        for metric in ("ndcg@10", "recall@10")
    }
    assert row.scores["search/shop/ndcg@10"].n == 300
    assert row.scores["search:short/shop/ndcg@10"].n == 150


def test_averages_count_a_group_as_a_task(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(
        record("seqrec", encoder="a", means={"ndcg@10": 0.2}),
        record("seqrec", encoder="a", means={"ndcg@10": 0.4}, spec={"dataset": "books"}),
        record("cf", "alpharec", encoder="a", means={"ndcg@10": 0.6}),
        record("cf", "ease", means={"ndcg@10": 0.6}),
    )
    a, ease = board.rows
    assert a.average_overall == pytest.approx(0.4)
    assert a.average_task == pytest.approx((0.3 + 0.6) / 2)
    assert (ease.average_overall, ease.average_task) == (None, None)


def test_lower_is_better_where_the_metric_says_so(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record(encoder="a", means={"logloss": 0.7}, headline="logloss"),
        record(encoder="b", means={"logloss": 0.3}, headline="logloss"),
    )
    assert names(board) == ["b", "a"]
    assert board.rows[0].average_overall is None


def test_an_undefined_mean_is_a_missing_score(board_of: Callable[..., Board], record: Make) -> None:
    nothing = record(encoder="b")
    nothing = nothing.model_copy(
        update={
            "metrics": {
                "ndcg@10": nothing.metrics["ndcg@10"].model_copy(
                    update={"mean": None, "low": None, "high": None, "n": 0, "undefined": 9}
                )
            }
        }
    )
    board = board_of(record(encoder="a"), nothing)
    assert [(r.name, r.borda, r.missing) for r in board.rows] == [("a", 1.0, 0), ("b", 0.0, 1)]
    assert board.rows[1].scores["seqrec/shop/ndcg@10"].undefined == 9


def test_rank_by_another_metric(tree: Path) -> None:
    board = read_board(tree, metric="recall@10")
    assert {column.metric for column in board.columns} == {"recall@10"}
    with pytest.raises(UsageError, match=r"no record has recall@20: did you mean recall@10"):
        read_board(tree, metric="recall@20")
    with pytest.raises(UsageError, match="unknown metric 'recal@20'"):
        read_board(tree, metric="recal@20")


def test_a_task_without_the_metric_leaves_the_board_and_is_named(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record("seqrec", encoder="a", means={"ndcg@10": 0.1, "mrr": 0.2}),
        record("cf", "alpharec", encoder="a", means={"ndcg@10": 0.1}),
        metric="mrr",
    )
    assert [column.key for column in board.columns] == ["seqrec/shop/mrr"]
    assert board.notes[0] == "without mrr, so not on this board: cf on shop"


# ---------------------------------------------------------------------------------------- seeds


def test_seeds_are_averaged_per_unit_before_the_interval(
    tmp_path: Path, record: Make, write_run: Callable[..., Path]
) -> None:
    # Each seed alone varies; their mean is 0.5 for every unit, so the interval has no width.
    up = np.linspace(0, 1, 50)
    for seed, values in enumerate([up, 1 - up]):
        write_run(tmp_path, record(encoder="a", spec={"seed": seed}), {"ndcg@10": values.tolist()})
    score = read_board(tmp_path).rows[0].scores["seqrec/shop/ndcg@10"]
    assert (score.mean, score.low, score.high) == pytest.approx((0.5, 0.5, 0.5))
    assert (score.n, score.seeds) == (50, 2)
    assert score.spread == pytest.approx(0, abs=1e-12)


def test_seeds_of_weighted_units(
    tmp_path: Path, record: Make, write_run: Callable[..., Path]
) -> None:
    # Four users with 1, 1, 2 and 4 rows, in two groups; the means of the seeds are 1/2 and 5/8.
    group, weights = ["a", "a", "b", "b"], {"ndcg@10": [1, 1, 2, 4]}
    for seed, values in enumerate([[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]):
        one = record("search", "dot", encoder="e", spec={"seed": seed})
        write_run(tmp_path, one, {"ndcg@10": values}, group, weights)
    scores = read_board(tmp_path).rows[0].scores
    a, b = (scores[f"search:{g}/shop/ndcg@10"] for g in "ab")
    whole = scores["search/shop/ndcg@10"]
    assert whole.mean == pytest.approx((4 / 8 + 5 / 8) / 2)
    assert whole.spread == pytest.approx((1 / 8) / 2**0.5)
    assert a.mean == pytest.approx(3 / 4)
    assert b.mean == pytest.approx((2 / 6 + 4 / 6) / 2)
    assert (b.n, b.seeds) == (2, 2)
    assert whole.low is not None and whole.mean is not None and whole.high is not None
    assert whole.low < whole.mean < whole.high


def test_seeds_within_groups_and_with_undefined_units(
    tmp_path: Path, record: Make, write_run: Callable[..., Path]
) -> None:
    group = ["short", "short", "long", "long"]
    for seed, values in enumerate([[0.0, 1.0, 0.2, np.nan], [1.0, 1.0, 0.4, np.nan]]):
        one = record("search", "dot", encoder="a", spec={"seed": seed})
        write_run(tmp_path, one, {"ndcg@10": values}, group)
    scores = read_board(tmp_path).rows[0].scores
    short, long = (scores[f"search:{g}/shop/ndcg@10"] for g in ("short", "long"))
    assert (short.mean, short.n, short.undefined) == (0.75, 2, 0)
    assert (long.mean, long.n, long.undefined) == (pytest.approx(0.3), 1, 1)
    assert (long.low, long.high) == (None, None)


def test_seeds_whose_tables_are_gone_have_a_mean_and_no_interval(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record(encoder="a", means={"ndcg@10": 0.1}, spec={"seed": 0}),
        record(encoder="a", means={"ndcg@10": 0.3}, spec={"seed": 1}),
    )
    score = board.rows[0].scores["seqrec/shop/ndcg@10"]
    assert (score.mean, score.low, score.high, score.seeds) == (pytest.approx(0.2), None, None, 2)
    assert score.spread == pytest.approx(0.1 * 2**0.5)
    assert "tables of values per unit are gone" in board.notes[0]


def test_a_broken_table_is_named(
    tmp_path: Path, record: Make, write_run: Callable[..., Path]
) -> None:
    for seed in (0, 1):
        folder = write_run(
            tmp_path, record(encoder="a", spec={"seed": seed}), {"ndcg@10": [0.1, 0.2]}
        )
    (folder / "per_user.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"unreadable table[\s\S]*per_user.parquet"):
        read_board(tmp_path)


# --------------------------------------------------------------------------------- what is a row


def test_rows_by_recommender(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(
        record("seqrec", "unisrec", encoder="minilm", row_by="recommender"),
        record("seqrec", "popularity", means={"ndcg@10": 0.05}, row_by="recommender"),
    )
    assert names(board) == ["unisrec", "popularity"]
    assert board.rows[0].encoder == "minilm"


def test_an_encoder_measured_twice_in_one_place_makes_rows_of_runs(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record("seqrec", "unisrec", encoder="a", means={"ndcg@10": 0.3}),
        record("seqrec", "sasrec", encoder="a", means={"ndcg@10": 0.2}),
        record("seqrec", "popularity"),
    )
    assert board.row_by == "run"
    assert names(board) == ["unisrec(vector, a)", "sasrec(vector, a)", "popularity"]
    assert board.notes[0] == (
        "rows are runs: a was measured 2 times for seqrec on shop, which has no single number for "
        "a row by encoder"
    )


def test_settings_that_tell_runs_apart_are_in_their_names(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record(encoder="a", means={"ndcg@10": 0.3}, given={"params": {"lr": 0.1, "width": 8}}),
        record(encoder="a", means={"ndcg@10": 0.2}, given={"params": {"lr": 0.2, "width": 8}}),
        row_by="run",
    )
    assert names(board) == ["unisrec(vector, a) lr=0.1", "unisrec(vector, a) lr=0.2"]


def test_a_run_keeps_its_name_over_datasets(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(
        record(encoder="a", spec={"dataset": "books"}), record(encoder="a"), row_by="run"
    )
    assert names(board) == ["unisrec(vector, a)"]
    assert len(board.rows[0].scores) == 2


def test_the_newest_of_equal_runs_counts(board_of: Callable[..., Board], record: Make) -> None:
    old = record(encoder="a", means={"ndcg@10": 0.1}, created="2026-01-01T00:00:00+00:00")
    new = record(encoder="a", means={"ndcg@10": 0.2}, created="2026-02-01T00:00:00+00:00")
    for order in ((old, new), (new, old)):
        board = board_of(*order)
        assert board.rows[0].scores["seqrec/shop/ndcg@10"].mean == 0.2
        assert board.notes[0] == "1 run left out for a newer one of the same kind"


def test_seeds_of_older_weights_are_no_seeds_of_the_new_ones(
    board_of: Callable[..., Board], record: Make
) -> None:
    """A model that was changed under its name, and run again with fewer seeds."""

    def one(seed: int, mean: float, weights: str, day: int) -> Record:
        return record(
            encoder="a",
            means={"ndcg@10": mean},
            spec={"seed": seed},
            fingerprints={"dataset": "d" * 64, "encoder": weights},
            created=f"2026-01-{day:02}T00:00:00+00:00",
        )

    board = board_of(one(0, 0.1, "old", 1), one(1, 0.1, "old", 2), one(0, 0.3, "new", 3))
    score = board.rows[0].scores["seqrec/shop/ndcg@10"]
    assert (score.mean, score.seeds) == (0.3, 1)
    assert board.notes[0] == "2 runs left out for a newer one of the same kind"
    both = board_of(one(0, 0.1, "old", 1), one(1, 0.3, "old", 2))
    assert both.rows[0].scores["seqrec/shop/ndcg@10"].mean == pytest.approx(0.2)


# ------------------------------------------------------------------- what may not stand together


def two_protocols(record: Make) -> list[Record]:
    changed = {"task": "seqrec", "split": {"kind": "last_out"}, "history_length": 20}
    return [
        record(encoder="a", means={"ndcg@10": 0.3}),
        record(encoder="b", means={"ndcg@10": 0.2}),
        record(
            encoder="c",
            means={"ndcg@10": 0.9},
            protocol=changed,
            protocol_id="ffffffffffff",
            fingerprints={"dataset": "e" * 64},
        ),
    ]


def test_two_protocols_in_one_column_are_refused(
    board_of: Callable[..., Board], record: Make
) -> None:
    with pytest.raises(ProtocolError) as caught:
        board_of(*two_protocols(record))
    message = str(caught.value)
    for part in (
        "seqrec on shop was measured under 2 protocols",
        "ffffffffffff (unisrec(vector, c) seed 0)",
        "seqrec000000 (unisrec(vector, a) seed 0, unisrec(vector, b) seed 0)",
        "history_length (50 / 20)",
        "split.kind (time / last_out)",
        "mask_seen (False / None)",
        "dataset values (dddddddddddd / eeeeeeeeeeee)",
        "column seqrec/shop",
        "--mixed",
    ):
        assert part in message, part


def test_a_mixed_board_marks_the_minority(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(*two_protocols(record), mixed=True)
    marks = {row.name: [mark.text for mark in row.marks] for row in board.rows}
    assert marks == {"c": ["other protocol on seqrec/shop (ffffffffffff)"], "a": [], "b": []}
    assert len(board.protocols) == 2


def test_one_encoder_under_two_protocols_makes_two_rows(
    board_of: Callable[..., Board], record: Make
) -> None:
    one, _, other = two_protocols(record)
    other = other.model_copy(update={"spec": one.spec, "given": one.given})
    board = board_of(one, other, mixed=True)
    assert names(board) == [
        "unisrec(vector, a) protocol=ffffffffffff",
        "unisrec(vector, a) protocol=seqrec000000",
    ]


def test_different_tasks_and_datasets_have_protocols_of_their_own(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record("seqrec", encoder="a"),
        record("cf", "alpharec", encoder="a"),
        record("seqrec", encoder="a", spec={"dataset": "books"}, protocol_id="abcabcabcabc"),
    )
    assert len(board.protocols) == 3


def test_other_budgets_are_marked_and_the_untunable_have_none(
    board_of: Callable[..., Board], record: Make
) -> None:
    usual = Budget(trials=3, epochs=300, patience=10, seeds=(0,))
    short = Budget(trials=1, epochs=50, patience=10)
    board = board_of(
        record(encoder="a", budget=usual, budget_id="usual"),
        record(encoder="b", budget=usual, budget_id="usual"),
        record(encoder="c", budget=short, budget_id="less"),
        # As many trials, over a grid of its own and without epochs: the same budget.
        record("seqrec", "ease", budget=Budget(trials=3, grid={"l2": [1, 2, 3]}), budget_id="l2"),
        record("seqrec", "item-knn", budget=Budget(trials=2), budget_id="two"),
        record("seqrec", "popularity", budget_id="nothing"),
    )
    marks = {row.name: [mark.text for mark in row.marks] for row in board.rows}
    assert marks.pop("c") == [
        "other tuning budget on seqrec/shop (1 trial, 1 seed, 50 epochs, patience 10)"
    ]
    assert marks.pop("item-knn") == ["other tuning budget on seqrec/shop (2 trials, 1 seed)"]
    assert not any(marks.values())


def test_a_model_below_a_control_is_marked(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(
        record(encoder="good", means={"ndcg@10": 0.3}),
        record(encoder="bad", means={"ndcg@10": 0.1}),
        record("seqrec", "popularity", means={"ndcg@10": 0.2}, kind="control"),
        record("seqrec", "random", means={"ndcg@10": 0.1}, kind="control"),
        record("seqrec", "oracle", means={"ndcg@10": 0.9}, kind="ceiling"),
    )
    marks = {row.name: [mark.text for mark in row.marks] for row in board.rows}
    assert marks.pop("bad") == ["below popularity on seqrec/shop"]
    assert not any(marks.values())


def test_training_that_ran_out_of_epochs_is_marked(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(record(encoder="a", fit=Fit(epochs=5, converged=False)))
    assert [mark.code for mark in board.rows[0].marks] == ["unconverged"]
    assert "seqrec/shop" in board.rows[0].marks[0].text


def test_a_ceiling_takes_no_part(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(
        record(encoder="a", means={"ndcg@10": 0.3}),
        record("seqrec", "oracle", means={"ndcg@10": 0.9}, kind="ceiling"),
    )
    assert [(row.name, row.rank, row.borda) for row in board.rows] == [
        ("a", 1, 0.0),
        ("oracle", None, None),
    ]


# ----------------------------------------------------------------------------- what is left out


def test_partial_runs_are_on_no_board(board_of: Callable[..., Board], record: Make) -> None:
    board = board_of(record(encoder="a"), record(encoder="b", partial=True))
    assert names(board) == ["a"]
    assert board.notes[0] == "1 run with --limit left out"
    empty = board_of(record(encoder="b", partial=True))
    assert (empty.rows, empty.columns) == ((), ())
    assert empty.summary == "No finished run to compare."


def test_failed_runs_are_listed_with_their_reason(
    board_of: Callable[..., Board], record: Make, failed: Make
) -> None:
    board = board_of(record(encoder="a"), failed(encoder="b"))
    assert names(board) == ["a"]
    (failure,) = board.failed
    assert failure["encoder"] == "b"
    assert failure["error"]["what"] == "the file is gone"
    assert board_of(failed(encoder="b")).rows == ()


def test_records_of_several_plans_are_not_thrown_together(
    tmp_path: Path, record: Make, write_run: Callable[..., Path]
) -> None:
    for suite in ("mine", "yours"):
        write_run(tmp_path, record(encoder="a", suite=suite), {"ndcg@10": [0.1, 0.2]})
    with pytest.raises(UsageError, match=r"records of 2 plans lie here: mine, yours") as caught:
        read_board(tmp_path)
    assert caught.value.fix == f"tastebench board {tmp_path}/mine"
    assert names(read_board(tmp_path / "yours")) == ["a"]


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records here"):
        read_board(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        read_board(tmp_path / "nowhere")


def test_work_in_progress_is_not_read(
    tmp_path: Path, record: Make, write_run: Callable[..., Path]
) -> None:
    write_run(tmp_path, record(encoder="a"), {"ndcg@10": [0.1, 0.2]})
    write_run(tmp_path / ".work", record(encoder="b"), {"ndcg@10": [0.1, 0.2]})
    assert len(load(tmp_path).entries) == 1


# ----------------------------------------------------------------------------------------- cost


def test_cost_adds_tasks_averages_seeds_and_counts_encoding_once(
    board_of: Callable[..., Board], record: Make
) -> None:
    step = EncodeStep(seconds=7.0, texts=10, texts_encoded=10, texts_per_second=5.0)

    def cost(wall: float, p50: float) -> Cost:
        times = Percentiles(p50=p50, p95=2 * p50, p99=3 * p50, n=9)
        return Cost(
            wall_seconds=wall,
            fit_seconds=wall / 2,
            encode=step,
            parameters=Parameters(encoder=100, recommender=int(wall)),
            peak_memory_bytes=int(wall) * 10,
            latency=Latency(cached=times, first_ms=1.0, k=10, budget_seconds=1.0),
        )

    board = board_of(
        record("seqrec", encoder="a", cost=cost(10, 1.0), spec={"seed": 0}),
        record("seqrec", encoder="a", cost=cost(20, 9.0), spec={"seed": 1}),
        record("cf", "alpharec", encoder="a", cost=cost(4, 2.0)),
    )
    uncached = {"cold_p50": None, "users_cached_p50": None}
    assert board.rows[0].cost == {
        "wall_seconds": 19.0,
        "fit_seconds": 9.5,
        "encode_seconds": 7.0,
        "texts_per_second": 5.0,
        "parameters": {"encoder": 100, "recommender": 20},
        "peak_memory_bytes": 200,
        "per_million": {"hours": pytest.approx(1e6 / 5 / 3600), "usd": None},
        "per_thousand": {},
        "energy": None,
        "tokens": {},
        "gflops": {},
        "latency_ms": {
            "seqrec/shop": {"p50": 1.0, "p95": 2.0, "p99": 3.0, **uncached},
            "cf/shop": {"p50": 2.0, "p95": 4.0, "p99": 6.0, **uncached},
        },
    }


def test_a_million_items_cost_what_the_longest_step_says(
    board_of: Callable[..., Board], record: Make
) -> None:
    def one(task: str, seconds: float, speed: float, usd: float | None) -> Record:
        step = EncodeStep(
            seconds=seconds, texts=50, texts_encoded=50, texts_per_second=speed, usd=usd
        )
        return record(task, encoder="a", cost=Cost(wall_seconds=1.0, encode=step))

    row = board_of(one("seqrec", 9.0, 100.0, 0.01), one("cf", 1.0, 999.0, None)).rows[0]
    # 1,000,000 / 100 a second = 10,000 seconds; .01 dollars for 50 texts.
    assert row.cost["per_million"] == {
        "hours": pytest.approx(10_000 / 3600),
        "usd": pytest.approx(200.0),
    }
    assert figures.row_per_million(row) == "2h46m $200.00"
    bare = board_of(record(encoder="a")).rows[0]
    assert bare.cost["per_million"] == {"hours": None, "usd": None}
    assert figures.row_per_million(bare) == "-"


# ------------------------------------------------------------------------------- tasks and ranks


def test_a_task_is_the_mean_of_its_columns_with_an_interval(
    board_of: Callable[..., Board], record: Make
) -> None:
    board = board_of(
        record("seqrec", encoder="a", means={"ndcg@10": 0.2}, spec={"dataset": "x"}),
        record("seqrec", encoder="a", means={"ndcg@10": 0.4}, spec={"dataset": "y"}),
        record("seqrec", encoder="b", means={"ndcg@10": 0.3}, spec={"dataset": "x"}),
        record("cf", encoder="b", means={"ndcg@10": 0.7}, spec={"dataset": "x"}),
    )
    rows = {row.name: row for row in board.rows}
    found = rows["a"].tasks["seqrec"]
    assert found.mean == pytest.approx(0.3)
    # Each interval reaches .01 to both sides: sqrt(2) * .01 / 2.
    assert (found.low, found.high) == pytest.approx((0.3 - 0.0070711, 0.3 + 0.0070711), abs=1e-6)
    assert "cf" not in rows["a"].tasks
    assert set(rows["b"].tasks) == {"cf"}  # a dataset of the other task is missing


def test_a_board_of_one_task_ranks_its_columns_only(tree: Path) -> None:
    board = read_board(tree, task="seqrec")
    assert [column.key for column in board.columns] == ["seqrec/shop/ndcg@10"]
    assert {row.name for row in board.rows} == {
        *("minilm", "tfidf-svd", "random", "popularity", "random (recommender)", "oracle")
    }
    assert board.rows[0].borda == 4.0
    assert board.failed == ()
    group = read_board(tree, task="search:short")
    assert [column.part for column in group.columns] == ["search:short"]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("seqrek", "no record is of a task 'seqrek': did you mean seqrec?"),
        ("search:shrt", "no column is of 'search:shrt': did you mean search:short"),
    ],
)
def test_no_such_task(tree: Path, task: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_board(tree, task=task)


def test_rows_have_rank_intervals_where_values_per_unit_are_there(
    tree_board: Board, board_of: Callable[..., Board], record: Make
) -> None:
    first = tree_board.rows[0]
    assert (first.rank, first.rank_low, first.rank_high, first.p_first) == (1, 1, 1, 1.0)
    assert all(
        row.rank_low <= row.rank <= row.rank_high  # type: ignore[operator]
        for row in tree_board.ranked
    )
    oracle = tree_board.ceilings[0]
    assert (oracle.rank_low, oracle.p_first) == (None, None)
    bare = board_of(record(encoder="a"), record(encoder="b")).rows[0]
    assert (bare.rank_low, bare.rank_high, bare.p_first) == (None, None, None)


def test_one_preliminary_record_makes_a_preliminary_board(
    board_of: Callable[..., Board], record: Make
) -> None:
    assert not board_of(record(encoder="a")).preliminary
    assert board_of(record(encoder="a"), record(encoder="b", preliminary=True)).preliminary


def test_encoders_without_control_vectors_beside_them_are_said(
    board_of: Callable[..., Board], record: Make
) -> None:
    note = "no control vectors here: add `random` to the plan's encoders"
    assert note in board_of(record(encoder="a")).notes
    assert note not in board_of(record(encoder="a"), record(encoder="r", kind="control")).notes
    assert note not in board_of(record("seqrec", "popularity")).notes
