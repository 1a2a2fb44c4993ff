from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from rich.console import Console
from scipy import stats

from tastebench.board import read_board
from tastebench.board.compare import read_comparison
from tastebench.board.compare_forms import print_comparison, to_json
from tastebench.board.compare_model import Adjusted, Compared, Options, Outcome, correction_of
from tastebench.board.compare_verdict import difference_that_matters, verdict
from tastebench.board.model import Column
from tastebench.board.significance import benjamini_hochberg, holm, paired
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, ProtocolError, UsageError
from tastebench.runs.record import Record

Make = Callable[..., Record]
Write = Callable[..., Path]
FEW = Options(resamples=300)
METRIC = "ndcg@10"


def as_text(found: Compared, width: int = 132) -> str:
    file = StringIO()
    print_comparison(found, Console(file=file, width=width))
    return file.getvalue()


@pytest.fixture
def put(tmp_path: Path, record: Make, write_run: Write) -> Callable[..., Path]:
    """Writes a run of one encoder below `tmp_path`, with segments and predictions if given."""

    def write(
        encoder: str,
        values: Sequence[float] | dict[str, Sequence[float]],
        segments: dict[str, Sequence[str]] | None = None,
        predictions: pl.DataFrame | None = None,
        **given: Any,
    ) -> Path:
        table = {k: given.pop(k) for k in ("group", "weights") if k in given}
        task = given.pop("task", "seqrec")
        columns = values if isinstance(values, dict) else {METRIC: values}
        one = record(task, "unisrec", encoder, **{"headline": next(iter(columns)), **given})
        folder = write_run(tmp_path, one, columns, **table)
        path = folder / "per_user.parquet"
        frame = pl.read_parquet(path)
        frame.with_columns(
            pl.Series(name, list(labels)) for name, labels in (segments or {}).items()
        ).write_parquet(path)
        if predictions is not None:
            predictions.write_parquet(folder / "predictions.parquet")
        return folder

    return write


def one_test(root: Path, a: str = "a", b: str = "b", options: Options = FEW) -> Outcome:
    (test,) = read_comparison(root, a, b, options).tests
    return test


# ---------------------------------------------------------------------------------- numbers


def test_four_users_by_hand(tmp_path: Path, put: Callable[..., Path]) -> None:
    segments = {"history": ["1-4", "1-4", "50+", "5-9"]}
    put("a", [0.8, 0.5, 0.6, 0.2], segments)
    put("b", [0.4, 0.3, 0.6, 0.3], segments)
    found = read_comparison(tmp_path, "a", "b", FEW)
    (test,) = found.tests
    both = test.paired
    assert both is not None and test.adjusted is not None
    assert (test.mean_a, test.mean_b) == (pytest.approx(0.525), pytest.approx(0.4))
    assert both.difference == pytest.approx(0.125)
    assert both.p == 0.5  # of 8 ways to sign .4 .2 .1 the four +.7 +.5 -.5 -.7
    assert (both.wins, both.ties, both.losses) == (2, 1, 1)
    by_label = {s.label: s.paired for s in test.segments}
    assert list(by_label) == ["1-4", "5-9", "50+"]
    assert [s.difference for s in by_label.values()] == pytest.approx([0.3, -0.1, 0.0])
    assert [s.p for s in by_label.values()] == [0.5, 1.0, 1.0]
    # Four p-values: .5 (all), .5, 1, 1; Holm makes 4 x .5 of each, at most 1.
    assert found.n_tests == 4
    assert test.adjusted == Adjusted(0.5, 1.0, 1.0)


def test_all_p_values_of_a_call_are_adjusted_together(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(0)
    for dataset, gain in (("x", 0.05), ("y", 0.01)):
        base = rng.random(200)
        labels = {"popularity": ["tail" if i % 3 else "head" for i in range(200)]}
        for encoder, more in (("a", gain), ("b", 0.0)):
            values = base + more + rng.normal(0, 0.05, 200)
            put(encoder, values.tolist(), labels, spec={"dataset": dataset}, protocol_id=dataset)
    found = read_comparison(tmp_path, "a", "b", FEW)
    every = [
        one for t in found.tests for one in (t.adjusted, *(s.adjusted for s in t.segments)) if one
    ]
    assert found.n_tests == len(every) == 6
    p = [one.p for one in every]
    assert [one.holm for one in every] == pytest.approx(holm(p))
    assert [one.bh for one in every] == pytest.approx(benjamini_hochberg(p))
    assert found.tests[0].adjusted == every[0]
    assert [s.label for s in found.tests[0].segments] == ["tail", "head"]


def test_weights_count_as_on_the_board(tmp_path: Path, put: Callable[..., Path]) -> None:
    weights = {METRIC: [1.0, 3.0, 2.0]}
    put("a", [0.5, 0.1, 0.4], weights=weights)
    put("b", [0.1, 0.2, 0.2], weights=weights)
    test = one_test(tmp_path)
    board = read_board(tmp_path)
    means = {row.name: row.mean(board.columns[0]) for row in board.rows}
    assert test.paired is not None
    assert (test.paired.mean_a, test.paired.mean_b) == (
        pytest.approx(means["a"]),
        pytest.approx(means["b"]),
    )
    assert test.paired.difference == pytest.approx((0.4 - 0.3 + 0.4) / 6)


def test_seeds_are_a_second_level(tmp_path: Path, put: Callable[..., Path]) -> None:
    rng = np.random.default_rng(1)
    users = rng.random(300)
    for seed, shift in enumerate((-0.05, 0.0, 0.05)):
        put("a", (users + 0.01 + shift).tolist(), spec={"seed": seed})
    put("b", users.tolist())
    found = read_comparison(tmp_path, "a", "b", FEW)
    (test,) = found.tests
    both = test.paired
    assert (test.seeds_a, test.seeds_b) == (3, 1)
    assert both is not None and both.low_seeds is not None and both.low is not None
    assert both.low_seeds < 0 < both.low
    assert "training again may change that" in test.verdict
    assert "over units and seeds" in test.verdict
    assert "over seeds" in as_text(found)


def test_units_without_a_value_from_both_are_left_out(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    nan = float("nan")
    put("a", [0.5, nan, 0.3, 0.1])
    put("b", [0.1, 0.2, nan, 0.2])
    found = read_comparison(tmp_path, "a", "b", FEW)
    (test,) = found.tests
    assert test.left_out == 2
    assert test.paired is not None
    assert test.paired.difference == pytest.approx((0.4 - 0.1) / 2)
    assert "seqrec/shop: 2 units without a value from both left out" in as_text(found)


def test_groups_are_columns_of_their_own(tmp_path: Path, put: Callable[..., Path]) -> None:
    group = ["short", "complex", "short", "complex"]
    labels = {"category": ["x", "x", "y", "y"]}
    put("a", [0.5, 0.1, 0.7, 0.3], labels, task="search", group=group)
    put("b", [0.1, 0.2, 0.3, 0.4], labels, task="search", group=group)
    found = read_comparison(tmp_path, "a", "b", FEW)
    by_place = {t.place: t for t in found.tests}
    differences = {place: t.paired.difference for place, t in by_place.items() if t.paired}
    assert differences == {
        "search:short/shop": pytest.approx(0.4),
        "search:complex/shop": pytest.approx(-0.1),
    }
    segments = [(s.by, s.label, s.paired.n) for s in by_place["search:short/shop"].segments]
    assert segments == [("category", "x", 1), ("category", "y", 1)]
    only = read_comparison(tmp_path, "a", "b", replace(FEW, task="search:short"))
    assert [t.place for t in only.tests] == ["search:short/shop"]


def test_exchanged_rows_are_the_negative(tree: Path) -> None:
    there = read_comparison(tree, "minilm", "tfidf-svd", FEW)
    back = read_comparison(tree, "tfidf-svd", "minilm", FEW)
    assert len(there.tests) == 4
    for one, other in zip(there.tests, back.tests, strict=True):
        assert one.paired is not None and other.paired is not None
        assert one.paired.difference == pytest.approx(-other.paired.difference)
        assert one.paired.low == pytest.approx(-(other.paired.high or 0.0))
        assert one.adjusted == other.adjusted
        assert (one.paired.wins, one.paired.losses) == (other.paired.losses, other.paired.wins)
        assert [p.id for p in one.ahead] == [p.id for p in other.behind]
        assert "minilm is better than tfidf-svd" in one.verdict
        assert "minilm is better than tfidf-svd" in other.verdict


def test_means_are_those_of_the_board(tree: Path) -> None:
    board = read_board(tree)
    rows = {row.name: row for row in board.rows}
    for test in read_comparison(tree, "minilm", "popularity", FEW).tests:
        assert test.mean_a == rows["minilm"].mean(test.column)
        assert test.mean_b == rows["popularity"].mean(test.column)
        assert test.paired is not None
        assert test.paired.mean_a == pytest.approx(test.mean_a)


def test_a_metric_where_lower_is_better(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", {"logloss": [0.2] * 20}, task="ctr")
    put("b", {"logloss": [0.3] * 19 + [0.31]}, task="ctr")
    test = one_test(tmp_path)
    assert test.paired is not None and test.paired.wins == 20
    assert test.verdict.startswith("ctr on shop: a is better than b: logloss 0.2000 against 0.3005")
    assert test.ahead[0].id == "u19"


def test_a_number_of_all_rows_has_no_users(tmp_path: Path, put: Callable[..., Path]) -> None:
    labels = {"history": ["0", "0", "1-4", "1-4"]}
    put("a", {"auc": [0.5, 0.9, 0.8, 0.7]}, labels, task="ctr")
    put("b", {"auc": [0.5, 0.7, 0.6, 0.7]}, labels, task="ctr")
    found = read_comparison(tmp_path, "a", "b", FEW)
    (test,) = found.tests
    assert test.paired is not None
    assert test.paired.difference == pytest.approx(0.1)
    assert (test.paired.wins, test.paired.p_wilcoxon) == (None, None)
    assert test.segments == test.ahead == test.behind == ()
    assert "auc is of all rows together" in as_text(found)


# ------------------------------------------------------------------------- what cannot pair


def test_tables_that_are_gone_leave_the_means(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5, 0.1])
    (put("b", [0.1, 0.2]) / "per_user.parquet").unlink()
    found = read_comparison(tmp_path, "a", "b", FEW)
    (test,) = found.tests
    assert (test.paired, test.mean_a) == (None, pytest.approx(0.3))
    assert test.verdict.endswith("nothing can be tested: a table of values per unit is gone.")
    assert "0.3000" in as_text(found)


def test_other_units_are_not_paired(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5, 0.1])
    put("b", [0.1, 0.2, 0.3])
    test = one_test(tmp_path)
    assert test.verdict.endswith("nothing can be tested: the two were not asked the same units.")


def test_no_unit_with_values_from_both(tmp_path: Path, put: Callable[..., Path]) -> None:
    nan = float("nan")
    put("a", [0.5, nan])
    put("b", [nan, 0.5])
    assert one_test(tmp_path).verdict.endswith("no unit has a value from both.")


def test_a_single_unit_tells_nothing(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5])
    put("b", [0.1])
    assert one_test(tmp_path).verdict.endswith("a single unit has values from both.")


def test_columns_of_one_are_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5, 0.2])
    put("b", [0.1, 0.2])
    put("a", [0.1, 0.2], spec={"dataset": "other"}, protocol_id="o")
    found = read_comparison(tmp_path, "a", "b", FEW)
    assert [t.place for t in found.tests] == ["seqrec/shop"]
    assert "of one of the two only: seqrec/other" in found.notes


def test_different_protocols_are_refused(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5, 0.2])
    put("b", [0.1, 0.2], protocol_id="other", protocol={"task": "seqrec", "history_length": 20})
    with pytest.raises(ProtocolError, match=r"2 protocols.*history_length \(50 / 20\)") as caught:
        read_comparison(tmp_path, "a", "b", FEW)
    assert caught.value.fix == "run both again under one protocol"


def test_a_third_row_of_another_protocol_is_no_matter(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    put("a", [0.5, 0.2])
    put("b", [0.1, 0.2])
    put("c", [0.1, 0.2], protocol_id="other")
    assert one_test(tmp_path).paired is not None


@pytest.mark.parametrize(
    ("a", "b", "options", "message"),
    [
        ("minilmm", "random", FEW, "no row is called 'minilmm': did you mean minilm?"),
        ("minilm", "minilm", FEW, "minilm would be compared with itself"),
        ("minilm", "bm25", replace(FEW, task="cf"), "no row is called 'bm25'"),
        ("popularity", "bm25", FEW, "popularity and bm25 were measured on nothing in common"),
        ("minilm", "random", replace(FEW, metric="mrr"), "no record has mrr"),
        ("minilm", "random", replace(FEW, task="ctr"), "no record is of a task 'ctr'"),
        ("minilm", "random", replace(FEW, task="search:long"), "no column is of 'search:long'"),
    ],
)
def test_what_cannot_be_meant(tree: Path, a: str, b: str, options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        read_comparison(tree, a, b, options)


def test_numbers_that_cannot_be_meant() -> None:
    with pytest.raises(UsageError, match="between 0 and 1, not 5"):
        Options(matters=5.0)
    with pytest.raises(UsageError, match="a seed is not negative, as -1 is"):
        Options(seed=-1)
    with pytest.raises(UsageError, match="no correction is called 'bonferroni': known: bh, holm"):
        correction_of("bonferroni")


def test_partial_runs_are_not_compared(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5, 0.2], partial=True)
    with pytest.raises(UsageError, match="finished and complete; 1 run with --limit left out"):
        read_comparison(tmp_path, "a", "b", FEW)


def test_a_row_may_be_called_by_its_last_part(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("organisation/a", [0.5, 0.2])
    put("b", [0.1, 0.2])
    assert read_comparison(tmp_path, "a", "b", FEW).a == "organisation/a"


def test_a_broken_table_is_named(tmp_path: Path, put: Callable[..., Path]) -> None:
    folder = put("a", [0.5, 0.2])
    put("b", [0.1, 0.2])
    (folder / "predictions.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match="unreadable table") as caught:
        read_comparison(tmp_path, "a", "b", FEW)
    assert str(caught.value.where).endswith("predictions.parquet")


# ------------------------------------------------------------------------------------ users


def lists(*rows: tuple[str, int, int, str]) -> pl.DataFrame:
    """Recommended items: user, question, rank, item."""
    table = pl.DataFrame(rows, schema=["user_id", "question", "rank", "item_id"], orient="row")
    return table.with_columns(score=-pl.col("rank").cast(pl.Float64))


@pytest.fixture
def catalogue() -> Dataset:
    items = pl.DataFrame({"item_id": ["i1", "i2", "i3"], "title": ["One\x1b[31m", "Two", None]})
    taken = pl.DataFrame({"user_id": ["u0"], "item_id": ["i1"], "time": [1]})
    dataset = Dataset.create(DatasetCard(name="shop", title="S"), Tables(items, taken))
    dataset.save(dataset_folder("shop"))
    return dataset


def test_whom_it_is_largest_for_with_titles(
    tmp_path: Path, put: Callable[..., Path], catalogue: Dataset
) -> None:
    here = {"fingerprints": {"dataset": catalogue.fingerprint}}
    mine = lists(
        ("u1", 1, 2, "i2"), ("u1", 1, 1, "i1"), ("u1", 1, 3, "i3"), ("u1", 1, 4, "i2"),
        ("u1", 2, 1, "i3"), ("u3", 3, 1, "i2"),
    )  # fmt: skip
    put("a", [0.5, 0.9, 0.3, 0.1], predictions=mine, **here)
    put("b", [0.5, 0.1, 0.2, 0.8], predictions=lists(("u1", 1, 1, "i2")), **here)
    test = one_test(tmp_path, options=replace(FEW, users=1))
    (ahead,), (behind,) = test.ahead, test.behind
    assert (ahead.id, ahead.a, ahead.b) == ("u1", 0.9, 0.1)
    # The first three of the first question, in order of rank; what has no title by its id.
    assert ahead.shown_a == ("One [31m", "Two", "i3")
    assert ahead.shown_b == ("Two",)
    assert (behind.id, behind.shown_a, behind.shown_b) == ("u3", ("Two",), ())
    assert "    A: One [31m | Two | i3" in as_text(read_comparison(tmp_path, "a", "b", FEW))


def test_equal_users_are_in_neither_list(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a", [0.5, 0.5, 0.9])
    put("b", [0.5, 0.5, 0.5])
    test = one_test(tmp_path)
    assert ([p.id for p in test.ahead], test.behind) == (["u2"], ())
    assert one_test(tmp_path, options=replace(FEW, users=0)).ahead == ()


def test_titles_of_other_values_are_not_shown(
    tmp_path: Path, put: Callable[..., Path], catalogue: Dataset
) -> None:
    for encoder, value in (("a", 0.9), ("b", 0.1)):
        put(encoder, [0.5, value], predictions=lists(("u1", 1, 1, "i1")))
    found = read_comparison(tmp_path, "a", "b", FEW)
    assert found.tests[0].ahead[0].shown_a == ("i1",)
    assert "no titles: the dataset shop here has other values" in found.notes


def test_without_the_dataset_ids_are_shown(tmp_path: Path, put: Callable[..., Path]) -> None:
    for encoder, value in (("a", 0.9), ("b", 0.1)):
        put(encoder, [0.5, value], predictions=lists(("u1", 1, 1, "i1")))
    found = read_comparison(tmp_path, "a", "b", FEW)
    assert found.tests[0].ahead[0].shown_b == ("i1",)
    assert "no titles: the dataset shop is not here" in found.notes


def test_a_damaged_dataset_costs_the_titles_only(
    tmp_path: Path, put: Callable[..., Path], catalogue: Dataset
) -> None:
    (dataset_folder("shop") / "items.parquet").unlink()
    for encoder, value in (("a", 0.9), ("b", 0.1)):
        put(encoder, [0.5, value], predictions=lists(("u1", 1, 1, "i1")))
    found = read_comparison(tmp_path, "a", "b", FEW)
    assert found.tests[0].ahead[0].shown_a == ("i1",)
    assert any(note.startswith("no titles: ") for note in found.notes)


def test_candidates_of_clicks_are_shown_by_score(tmp_path: Path, put: Callable[..., Path]) -> None:
    def scored(*scores: float) -> pl.DataFrame:
        rows = [("u1", 7, item, int(item == "y"), s) for item, s in zip("xyz", scores, strict=True)]
        names = ["user_id", "group", "item_id", "label", "score"]
        return pl.DataFrame(rows, schema=names, orient="row")

    put("a", {"gauc": [0.5, 1.0]}, task="ctr", predictions=scored(0.1, 0.9, 0.5))
    put("b", {"gauc": [0.5, 0.0]}, task="ctr", predictions=scored(0.9, 0.1, 0.5))
    (person,) = one_test(tmp_path).ahead
    assert (person.shown_a, person.shown_b) == (("+y", "z", "x"), ("x", "z", "+y"))


# -------------------------------------------------------------------------------- questions


def answered(
    scores: Sequence[Sequence[float]], status: Sequence[str] | None = None
) -> pl.DataFrame:
    n = len(scores)
    return pl.DataFrame(
        {
            "user_id": [f"u{i // 2}" for i in range(n)],
            "kind": ["df" if i % 2 else "ip" for i in range(n)],
            "question": [f"q{i}" for i in range(n)],
            "options": [["x", "y"]] * n,
            "gold": ["x"] * n,
            "status": list(status or ["answered"] * n),
            "scores": np.array(scores, dtype=float),
        }
    )


RIGHT, WRONG, TIED = (1.0, 0.0), (0.0, 1.0), (0.5, 0.5)


def test_questions_that_one_alone_got_right(tmp_path: Path, put: Callable[..., Path]) -> None:
    a = answered([RIGHT, RIGHT, RIGHT, WRONG, TIED, RIGHT], ["answered"] * 5 + ["unparsed"])
    b = answered([RIGHT, WRONG, WRONG, WRONG, RIGHT, RIGHT])
    put("a", {"accuracy": [1.0, 0.5, 0.25]}, task="userqa", predictions=a)
    put("b", {"accuracy": [0.5, 0.0, 1.0]}, task="userqa", predictions=b)
    found = read_comparison(tmp_path, "a", "b", FEW)
    q = found.tests[0].questions
    assert q is not None
    assert (q.both, q.only_a, q.only_b, q.neither, q.tied) == (1, 2, 1, 1, 1)
    assert q.p == pytest.approx(stats.binomtest(1, 3, 0.5).pvalue)
    assert "A alone 2, B alone 1, neither 1, 1 tied left out; McNemar's exact p 1.0000" in (
        " ".join(as_text(found).split())
    )


def test_questions_of_the_metrics_kind_alone(tmp_path: Path, put: Callable[..., Path]) -> None:
    for encoder, scores in (("a", [RIGHT, RIGHT, WRONG, RIGHT]), ("b", [WRONG] * 4)):
        values = {"accuracy_df": [1.0, 0.5 * (encoder == "a")]}
        put(encoder, values, task="userqa", predictions=answered(scores))
    q = one_test(tmp_path).questions
    assert q is not None
    assert (q.only_a, q.only_b, q.both, q.neither) == (2, 0, 0, 0)


def test_other_questions_are_not_compared(tmp_path: Path, put: Callable[..., Path]) -> None:
    asked = answered([RIGHT, WRONG])
    put("a", {"accuracy": [0.5, 0.4]}, task="userqa", predictions=asked)
    other = asked.with_columns(question=pl.lit("another"))
    put("b", {"accuracy": [0.5, 0.1]}, task="userqa", predictions=other)
    assert one_test(tmp_path).questions is None


# --------------------------------------------------------------------------------- verdicts

COLUMN = Column("seqrec", None, "shop", METRIC, "p")


def said(a: np.ndarray, b: np.ndarray, adjusted: float | None = None, metric: str = METRIC) -> str:
    both = paired(a, b, resamples=2000)
    p = both.p if adjusted is None else adjusted
    column = replace(COLUMN, metric=metric)
    means = both.mean_a, both.mean_b
    test = Outcome(
        column,
        *means,
        seeds_a=a.shape[1],
        seeds_b=b.shape[1],
        paired=both,
        adjusted=Adjusted(both.p, p, p),
        matters=difference_that_matters(column, *means, 0.05),
    )
    found = Compared("demo", "left", "right", (test,), "holm", 9, 0.05, 0, 2000, (), False)
    return verdict(found, test).removeprefix("seqrec on shop: ")


def users(n: int, gain: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.7, (n, 1))
    moved = rng.normal(0, noise, (n, 1))
    return base + gain + moved - moved.mean(), base


def test_what_is_sure_is_said_with_its_numbers() -> None:
    a, b = users(400, 0.1, 0.1)
    mean = b.mean()
    scores = f"ndcg@10 {mean + 0.1:.4f} against {mean:.4f}"
    assert said(a, b).startswith(f"left is better than right: {scores}, A - B +0.1000 [+0.09")
    assert said(b, a).startswith(f"right is better than left: {scores}, A - B -0.1000 [-0.1")
    assert said(a, b).endswith("], p 0.0005 (Holm, 9 comparisons).")  # none of 2,000 draws


def test_what_only_a_single_test_would_call_sure() -> None:
    a, b = users(400, 0.012, 0.1)
    assert said(a, b, adjusted=0.2).startswith("not sure: p 0.0")
    assert "but 0.2000 as one of 9 comparisons (Holm)." in said(a, b, adjusted=0.2)


def test_no_difference_is_told_from_too_little_data() -> None:
    none = said(*users(4000, 0.0, 0.1))
    assert none.startswith("no difference that matters, which is 0.02")
    assert "(5% of the score): it lies within [-0.00" in none
    a, b = users(20, 0.0, 0.1)
    few = said(a, b)
    shown = 2.80159 * (a - b).std(ddof=1) / 20**0.5
    matters = 0.05 * b.mean()
    assert few.startswith(f"too little data to tell. 20 units show a difference of {shown:.4f}, ")
    needed = round(20 * (shown / matters) ** 2)
    assert 20 < needed < 100
    assert few.endswith(f"To show {matters:.4f}, about {needed} units are needed.")


def test_equal_rows_are_equal() -> None:
    a, _ = users(10, 0.0, 0.1)
    assert said(a, a.copy()) == "left and right got the same from 10 units."


def test_differences_that_cancel_are_not_called_equal() -> None:
    a = np.array([[0.2], [0.4]])
    assert said(a, a[::-1].copy()).startswith("too little data to tell.")


@pytest.mark.parametrize(("metric", "expected"), [("auc", 0.005), ("ndcg@10", 0.03)])
def test_what_matters_of_an_auc_is_above_a_coin(metric: str, expected: float) -> None:
    column = replace(COLUMN, metric=metric)
    assert difference_that_matters(column, 0.6, 0.55, 0.05) == pytest.approx(expected)


def test_segments_where_it_is_the_other_way_round(tmp_path: Path, put: Callable[..., Path]) -> None:
    labels = {"history": ["1-4"] * 90 + ["50+"] * 30}
    put("a", [0.5] * 120, labels)
    put("b", [0.3] * 90 + [0.7] * 30, labels)
    test = one_test(tmp_path)
    assert "a is better than b" in test.verdict
    assert test.verdict.endswith("Surely the other way round in history 50+.")


def test_segments_that_are_sure_where_the_whole_is_not(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    labels = {"history": ["1-4"] * 30 + ["50+"] * 30}
    put("a", [0.5] * 60, labels)
    put("b", [0.4] * 30 + [0.6] * 30, labels)
    test = one_test(tmp_path)
    assert test.verdict.startswith("seqrec on shop: too little data to tell.")
    assert test.verdict.endswith(
        "a is surely better in history 1-4. b is surely better in history 50+."
    )


# ------------------------------------------------------------------------------------ forms


def test_json_is_whole_and_strict(tree: Path) -> None:
    found = json.loads(to_json(read_comparison(tree, "minilm", "random", FEW)))
    assert (found["a"], found["b"], found["correction"]) == ("minilm", "random", "holm")
    test = found["tests"][0]
    assert {"p", "p_wilcoxon", "low", "effect", "detectable"} <= test["paired"].keys()
    assert test["adjusted"].keys() == {"p", "holm", "bh"}
    assert test["verdict"]


def test_the_text_is_plain_in_a_file(tree: Path) -> None:
    text = as_text(read_comparison(tree, "minilm", "oracle", FEW))
    assert text.isascii()
    assert "A = minilm\nB = oracle\n" in text
    assert "p after Holm over" in text
    assert all(len(line) <= 132 for line in text.splitlines())
    by_bh = read_comparison(tree, "minilm", "oracle", replace(FEW, correction="bh"))
    assert "p after Benjamini-Hochberg over" in as_text(by_bh)


def test_a_narrow_terminal_gets_several_tables(tree: Path) -> None:
    text = as_text(read_comparison(tree, "minilm", "oracle", FEW), width=70)
    assert all(len(line) <= 70 for line in text.splitlines())
    assert "Wilcoxon" in text
