"""Boards of click prediction: what is counted, which direction is better, what is compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tastebench.board import Board, make_board, read_board
from tastebench.board.ablation import make_ablation, read_ablation
from tastebench.board.export import to_csv, to_json, to_markdown
from tastebench.board.load import sort_out
from tastebench.board.render import as_text
from tastebench.board.short import shorten
from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.runs.record import Cost, Latency, Percentiles, Record

Make = Callable[..., Record]

GAUC = {"dnn": 0.60, "dnn(text)": 0.65, "dnn(vector, minilm)": 0.70, "popularity": 0.55}
COUNTS = {"asked": 2000, "users": 400, "groups": 400, "excluded_one_class": 30, "clicked": 900}


@pytest.fixture
def click(record: Make) -> Make:
    """A record of click prediction; the group of its protocol is a user's rows."""

    def make(
        recommender: str = "dnn",
        encoder: str | None = None,
        means: dict[str, float] | None = None,
        representation: str = "id",
        group: str = "user",
        **changes: Any,
    ) -> Record:
        spec = {
            "representation": "vector" if encoder else representation,
            **changes.pop("spec", {}),
        }
        protocol = {"task": "ctr", "group": group, "average": "row", "history_length": 20}
        fields: dict[str, Any] = {"protocol": protocol, "counts": COUNTS, "row_by": "run"}
        fields |= {"headline": next(iter(means or {"gauc": 0})), **changes}
        one = record("ctr", recommender, encoder, means or {"gauc": 0.6}, spec=spec, **fields)
        return one.model_copy(update={"spec_hash": hash_json(one.spec.model_dump())})

    return make


@pytest.fixture
def board_of(entries: Callable[..., Any]) -> Callable[..., Board]:
    return lambda *records, **options: make_board(sort_out(entries(*records)), **options)


def four(click: Make, **metrics: tuple[float, ...]) -> list[Record]:
    """Groups A, B and C of one predictor, and a control, by metric."""
    runs = [
        ("dnn", None, "id"),
        ("dnn", None, "text"),
        ("dnn", "minilm", ""),
        ("popularity", None, "id"),
    ]
    return [
        click(
            name,
            encoder,
            {metric: values[i] for metric, values in metrics.items()},
            representation,
            kind="control" if name == "popularity" else "model",
        )
        for i, (name, encoder, representation) in enumerate(runs)
    ]


def test_a_predictor_over_ids_words_and_vectors_is_three_rows(
    click: Make, board_of: Callable[..., Board]
) -> None:
    board = board_of(*four(click, gauc=tuple(GAUC.values())))
    assert {row.name: row.rank for row in board.rows} == {
        "dnn(vector, minilm)": 1,
        "dnn(text)": 2,
        "dnn": 3,
        "popularity": 4,
    }
    assert board.notes == ("no control vectors here: add `random` to the plan's encoders",)


@pytest.mark.parametrize("metric", ["logloss", "ece"])
def test_lower_is_better_in_points_marks_and_words(
    click: Make, board_of: Callable[..., Board], metric: str
) -> None:
    board = board_of(*four(click, **{metric: (0.5, 0.2, 0.3, 0.4)}), metric=metric)
    assert [row.name for row in board.rows] == [
        "dnn(text)",
        "dnn(vector, minilm)",
        "popularity",
        "dnn",
    ]
    assert [row.borda for row in board.rows] == [3, 2, 1, 0]
    assert "**0.2000** ± .0100" in to_markdown(board)
    text = as_text(board)
    assert "ctr (down)" in text
    assert "*0.2000" in text and "'0.3000" in text
    # dnn alone is below the control, by a value that is higher.
    assert [row.name for row in board.rows if any(m.code == "control" for m in row.marks)] == [
        "dnn"
    ]
    assert "-50 % on ctr, lower is better (popularity)" in " ".join(board.summary.split())
    assert json.loads(to_json(board))["columns"][0]["higher_is_better"] is False


def test_without_probabilities_there_is_no_logloss_and_no_point(
    click: Make, board_of: Callable[..., Board]
) -> None:
    records = four(click, gauc=(0.6, 0.65, 0.7, 0.55), logloss=(0.5, 0.2, 0.3, 0.4))
    none = (
        records[3]
        .metrics["logloss"]
        .model_copy(update={"mean": None, "low": None, "high": None, "n": 0, "undefined": 400})
    )
    records[3] = records[3].model_copy(
        update={"metrics": {"gauc": records[3].metrics["gauc"], "logloss": none}}
    )
    board = board_of(*records, metric="logloss")
    assert (board.rows[-1].name, board.rows[-1].borda) == ("popularity", 0)
    text = as_text(board)
    assert "ctr/shop/logloss: 2,000 rows of 100 users, 1 seed" in text
    assert "columns without a score count 0 points: popularity 1" in text


@pytest.mark.parametrize(
    ("metric", "group", "said"),
    [
        ("gauc", "user", "ctr/shop/gauc: 100 users, 30 more with one label alone left out, 1 seed"),
        ("ndcg@5", "user", "ctr/shop/ndcg@5: 100 users, 30 more with one label alone left out, "),
        (
            "gauc",
            "impression",
            "ctr/shop/gauc: 100 users by their impressions, 30 impressions with one label alone "
            "left out, 1 seed",
        ),
        ("auc", "user", "ctr/shop/auc: 2,000 rows of 100 users, 1 seed"),
        ("logloss", "impression", "ctr/shop/logloss: 2,000 rows of 100 users, 1 seed"),
    ],
)
def test_what_a_number_is_a_mean_of_is_said(
    click: Make, board_of: Callable[..., Board], metric: str, group: str, said: str
) -> None:
    board = board_of(click(means={metric: 0.6}, group=group))
    assert said in " ".join(as_text(board).split())
    assert said in to_markdown(board)


def test_counts_of_a_question_are_those_that_all_its_runs_have_alike(
    click: Make, board_of: Callable[..., Board]
) -> None:
    records = [
        click("dnn", counts={**COUNTS, "tied": 3}),
        click("gdcn", counts={**COUNTS, "tied": 0}),
    ]
    (asked,) = board_of(*records).protocols
    assert asked["counts"] == COUNTS


def test_latency_is_told_to_the_hundredth_with_what_users_kept_save(
    click: Make, board_of: Callable[..., Board]
) -> None:
    def times(p50: float) -> Percentiles:
        return Percentiles(p50=p50, p95=2 * p50, p99=3 * p50, n=9)

    took = Latency(
        cached=times(0.4349),
        cold=times(7),
        users_cached=times(0.2),
        first_ms=9,
        k=1,
        budget_seconds=1,
    )
    board = board_of(click(cost=Cost(wall_seconds=1, latency=took)))
    assert board.rows[0].cost["latency_ms"]["ctr/shop"] == {
        "p50": 0.4349,
        "p95": pytest.approx(0.8698),
        "p99": pytest.approx(1.3047),
        "cold_p50": 7,
        "users_cached_p50": 0.2,
    }
    assert " 0.43 " in as_text(board)
    heads, _, row = to_markdown(board).splitlines()[:3]
    assert heads.endswith("| ms p50 |") and row.endswith("| 0.43 |")


def test_every_form_has_the_rows(click: Make, board_of: Callable[..., Board]) -> None:
    board = board_of(*four(click, gauc=tuple(GAUC.values())))
    lines = to_csv(board).splitlines()
    assert lines[1].startswith(
        '1,"dnn(vector, minilm)",model,dnn,vector,minilm,ctr,,shop,gauc,0.7,'
    )
    assert [row["name"] for row in json.loads(to_json(board))["rows"]][-1] == "popularity"
    for name in GAUC:
        assert name in as_text(board)


def test_control_vectors_of_another_recommender_are_no_control(
    click: Make, board_of: Callable[..., Board]
) -> None:
    """`gdcn` over random vectors is above `dnn` over text vectors, and says nothing about them."""
    records = [
        click("dnn", "minilm", {"gauc": 0.60}),
        click("dnn", "random", {"gauc": 0.50}, kind="control"),
        click("gdcn", "random", {"gauc": 0.65}, kind="control"),
    ]
    assert board_of(*records).summary.endswith(
        "dnn(vector, minilm) is above the control vectors on every task, outside their intervals."
    )
    records.append(click("gdcn", "minilm", {"gauc": 0.64}))
    assert board_of(*records).summary.endswith(
        "Not surely above control vectors on ctr: gdcn(vector, minilm) "
        "(below gdcn(vector, random))."
    )
    alone = board_of(records[0], records[2])
    assert "control vectors" not in alone.summary


# -------------------------------------------------------------------------------- representations


def test_what_a_representation_changes(click: Make, entries: Callable[..., Any]) -> None:
    records = four(click, gauc=tuple(GAUC.values()))
    records += [
        click("dnn", "random", {"gauc": 0.5}, kind="control"),
        click("gdcn", None, {"gauc": 0.62}),
        click("gdcn", "minilm", {"gauc": 0.72}),
    ]
    found = make_ablation(sort_out(entries(*records)), "representation")
    assert found.values == ("id", "vector, minilm", "text", "vector, random")
    assert list(found.rows) == ["dnn", "gdcn"]
    apart = {value: one.mean for value, one in found.rows["dnn"]["ctr"].differences.items()}
    assert apart == pytest.approx({"vector, minilm": 0.1, "text": 0.05, "vector, random": -0.1})
    assert found.left_out == ("popularity",)


def test_representations_are_compared_over_the_same_users(
    click: Make, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    """Users differ by more than the representations do, and both are asked the same users."""
    easy = [0.1, 0.9] * 100
    write_run(tmp_path, click(), {"gauc": easy})
    write_run(tmp_path, click(representation="text"), {"gauc": [one + 0.01 for one in easy]})
    one = read_ablation(tmp_path, "representation").rows["dnn"]["ctr"].differences["text"]
    assert (one.low, one.mean, one.high) == pytest.approx((0.01, 0.01, 0.01))


def test_one_representation_is_nothing_to_compare(click: Make, entries: Callable[..., Any]) -> None:
    with pytest.raises(
        UsageError, match=r"all runs have representation=id[\s\S]*representations: \["
    ):
        make_ablation(sort_out(entries(click())), "representation")


def test_a_benchmarks_name_is_dropped_from_long_names_of_its_datasets() -> None:
    assert shorten(["recbench/microlens", "recbench/hm"], 13) == {
        "recbench/microlens": "microlens",
        "recbench/hm": "recbench/hm",
    }


def test_one_task_on_several_datasets_has_one_average(
    click: Make, board_of: Callable[..., Board]
) -> None:
    records = [
        click(spec={"dataset": name}, means={"gauc": mean})
        for name, mean in (("a", 0.6), ("b", 0.8))
    ]
    board = board_of(*records)
    assert replace(board).rows[0].average_overall == pytest.approx(0.7)
    heads = to_markdown(board).splitlines()[0]
    assert "| Avg |" in heads and "Avg(Task)" not in heads


def test_a_board_is_read_from_disk(
    click: Make, write_run: Callable[..., Path], tmp_path: Path
) -> None:
    write_run(tmp_path, click(), {"gauc": [0.2, 0.4, float("nan")], "auc": [0.5, 0.6, 0.7]})
    score = read_board(tmp_path).rows[0].scores["ctr/shop/gauc"]
    assert (score.mean, score.n, score.undefined) == (pytest.approx(0.3), 2, 1)
