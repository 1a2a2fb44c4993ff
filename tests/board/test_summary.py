from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tastebench.board import make_board
from tastebench.board.load import sort_out
from tastebench.runs.record import Record

Make = Callable[..., Record]


@pytest.fixture
def says(entries: Callable[..., Any]) -> Callable[..., str]:
    return lambda *records: make_board(sort_out(entries(*records))).summary


def at(record: Make, mean: float, **changes: Any) -> Record:
    return record(means={"ndcg@10": mean}, **changes)


def test_a_clear_lead_over_encoders_and_controls(says: Callable[..., str], record: Make) -> None:
    # Intervals of the records reach 0.01 to both sides.
    text = says(
        at(record, 0.30, encoder="minilm"),
        at(record, 0.20, encoder="tfidf-svd"),
        at(record, 0.25, recommender="popularity", kind="control"),
        at(record, 0.90, recommender="oracle", kind="ceiling"),
    )
    assert text == (
        "minilm is best of 2 encoders on 1 of 1 task, outside the interval of every other. "
        "Against the best control: +20 % on seqrec (popularity)."
    )


def test_overlap_is_said(says: Callable[..., str], record: Make) -> None:
    text = says(
        at(record, 0.300, encoder="minilm"),
        at(record, 0.290, encoder="tfidf-svd"),
        at(record, 0.305, recommender="popularity", kind="control"),
    )
    assert text == (
        "minilm is best of 2 encoders on 1 of 1 task; intervals overlap with tfidf-svd on seqrec. "
        "Against the best control: -2 % on seqrec (popularity, intervals overlap)."
    )


def test_a_leader_by_points_need_not_be_best_everywhere(
    says: Callable[..., str], record: Make
) -> None:
    strengths = {"a": (0.3, 0.2), "b": (0.1, 0.4), "c": (0.2, 0.1)}
    records = [
        at(record, mean, task=task, encoder=name)
        for name, means in strengths.items()
        for task, mean in zip(("seqrec", "cf"), means, strict=True)
    ]
    # a: 2 + 1, b: 0 + 2, c: 1 + 0
    assert says(*records) == (
        "a is best of 3 encoders on 1 of 2 tasks, outside the interval of every other."
    )


def test_equal_points_share_the_lead(says: Callable[..., str], record: Make) -> None:
    text = says(at(record, 0.3, encoder="a"), at(record, 0.3, encoder="b"))
    assert text == "a and b share the best rank of 2 encoders."


def test_one_model_alone_and_none(says: Callable[..., str], record: Make) -> None:
    control = at(record, 0.0, recommender="popularity", kind="control")
    assert says(at(record, 0.3, encoder="a"), control) == (
        "a is the only encoder to compare. "
        "Against the best control: +0.3000 on seqrec (popularity)."
    )
    assert says(control) == "There are only controls."


def test_datasets_are_named_where_there_are_several(says: Callable[..., str], record: Make) -> None:
    """In the order of their numbers: 16, 64, 256."""
    records = []
    for size, own in ((256, 0.4), (64, 0.3), (16, 0.2)):
        spec = {"dataset": f"films-{size}"}
        records += [
            at(record, own, encoder="a", spec=spec),
            at(record, 0.1, recommender="pop", kind="control", spec=spec),
        ]
    assert says(*records) == (
        "a is the only encoder to compare. Against the best control: "
        "+100 % on seqrec/films-16 (pop); +200 % on seqrec/films-64 (pop); "
        "+300 % on seqrec/films-256 (pop)."
    )


def test_many_columns_are_told_in_one_sentence(says: Callable[..., str], record: Make) -> None:
    records = []
    for i in range(8):
        spec = {"dataset": f"d{i}"}
        records += [
            at(record, 0.3, encoder="a", spec=spec),
            at(record, 0.1, encoder="b", spec=spec),
            at(record, 0.4 if i == 3 else 0.2, recommender="pop", kind="control", spec=spec),
        ]
    assert says(*records) == (
        "a is best of 2 encoders on 8 of 8 columns, outside the interval of every other. "
        "Of 8 columns with a control it is above the best one on all but seqrec/d3 (pop)."
    )


def test_among_encoders_a_recommender_without_one_is_a_baseline(
    says: Callable[..., str], record: Make
) -> None:
    text = says(
        at(record, 0.40, recommender="ease"),
        at(record, 0.30, encoder="minilm"),
        at(record, 0.29, encoder="tfidf-svd"),
        at(record, 0.60, recommender="ease", task="cf"),
        at(record, 0.50, encoder="minilm", task="cf"),
        at(record, 0.49, encoder="tfidf-svd", task="cf"),
    )
    assert text == (
        "minilm is best of 2 encoders on 2 of 2 tasks; intervals overlap with tfidf-svd on seqrec "
        "and cf. Against the best baseline: -25 % on seqrec (ease); -17 % on cf (ease)."
    )
    assert says(at(record, 0.4, recommender="ease"), at(record, 0.3, recommender="bm25")) == (
        "ease is best of 2 recommenders on 1 of 1 task, outside the interval of every other."
    )


# ------------------------------------------------------------------------------ control vectors


def test_every_encoder_not_surely_above_control_vectors_is_named(
    says: Callable[..., str], record: Make
) -> None:
    # Intervals reach .01 to both sides.
    text = says(
        at(record, 0.50, encoder="clear"),
        at(record, 0.215, encoder="near"),
        at(record, 0.15, encoder="under"),
        at(record, 0.20, encoder="random", kind="control"),
        at(record, 0.16, encoder="shuffled:clear", kind="control"),
        at(record, 0.60, recommender="popularity", kind="control"),
    )
    assert text.endswith("Not surely above control vectors on seqrec: near, under (below random).")


def test_a_task_is_judged_by_the_mean_of_its_columns(
    says: Callable[..., str], record: Make
) -> None:
    # Each column overlaps; the mean of four has half the interval, and does not.
    records = [
        at(record, mean, encoder=name, kind=kind, spec={"dataset": f"d{i}"})
        for name, kind, mean in (("a", "model", 0.215), ("random", "control", 0.2))
        for i in range(4)
    ]
    assert says(*records).endswith(
        "a is above the control vectors on every task, outside their intervals."
    )


def test_all_encoders_at_once(says: Callable[..., str], record: Make) -> None:
    records = [
        at(record, mean, encoder=name, kind=kind, task=task)
        for task in ("seqrec", "cf")
        for name, kind, mean in (
            ("a", "model", 0.9 if task == "cf" else 0.1),
            ("b", "model", 0.8 if task == "cf" else 0.205),
            ("random", "control", 0.2),
        )
    ]
    assert says(*records).endswith(
        "Not surely above control vectors on seqrec: every encoder (a below random)."
    )


def test_equal_to_a_control_is_not_above_it(says: Callable[..., str], record: Make) -> None:
    text = says(at(record, 0.2, encoder="a"), at(record, 0.2, encoder="random", kind="control"))
    assert text.endswith("Not surely above control vectors on seqrec: a (equal to random).")


def test_a_rival_on_many_columns_is_counted(says: Callable[..., str], record: Make) -> None:
    records = [
        at(record, mean, encoder=name, spec={"dataset": f"d{i}"})
        for name, mean in (("a", 0.300), ("b", 0.295))
        for i in range(5)
    ]
    assert "intervals overlap with b on 5 columns." in says(*records)
