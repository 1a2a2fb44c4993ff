"""Numbers and sentences of a page, on records small enough to work them out by hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import rankdata

from tastebench.board import Board, make_board
from tastebench.board.load import Entry, Loaded, sort_out
from tastebench.board.report.bundles import as_global
from tastebench.board.report.column import MODELS, ROWS, best_rows, cells_by_row, drawn_rows
from tastebench.board.report.conclusion import conclude
from tastebench.board.report.costs import cheaper, measures, training_seconds
from tastebench.board.report.curves import POINTS, curve
from tastebench.board.report.level import Level, levels_of
from tastebench.board.report.model import Options, make_report
from tastebench.board.report.order import mean_ranks
from tastebench.board.report.pareto import front
from tastebench.board.report.read import Found, parts_of, read_records
from tastebench.board.report.segments import segments
from tastebench.board.report.table import heads
from tastebench.board.significance import holm, paired
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.files import write_json
from tastebench.runs.record import Cost, Latency, Percentiles, Record

Make = Callable[..., Record]
Write = Callable[..., Path]


def levels_and_board(loaded: Loaded) -> tuple[list[Level], Board]:
    board = make_board(loaded)
    rows = cells_by_row(loaded, board)
    columns = {column: drawn_rows(board, rows, column) for column in board.columns}
    return levels_of(columns, dict.fromkeys(columns, len(board.ranked))), board


def cost(milliseconds: float, seconds: float) -> Cost:
    times = Percentiles(
        p50=milliseconds, p95=milliseconds, p99=milliseconds, n=9, mean=milliseconds
    )
    latency = Latency(cached=times, first_ms=1.0, k=10, budget_seconds=1.0)
    return Cost(wall_seconds=seconds, fit_seconds=seconds / 2, latency=latency)


@pytest.fixture
def three(tmp_path: Path, record: Make, write_run: Write) -> Found:
    """`good` and `close` differ by chance, `bad` is far below both."""
    rng = np.random.default_rng(0)
    base = rng.random(200)
    values = {
        "good": base + 0.001,
        "close": base + rng.normal(0, 0.2, 200),
        "bad": base * 0.2,
    }
    for i, (name, column) in enumerate(values.items()):
        one = record(encoder=name, cost=cost(9.0 / (i + 1), 10.0), spec={"seed": 0})
        write_run(tmp_path, one, {"ndcg@10": column.tolist()})
    return read_records(tmp_path)


def loaded_of(found: Found) -> Loaded:
    (part,) = parts_of(found)
    return part.loaded


# ------------------------------------------------------------------------------ reading


def test_broken_and_foreign_records_are_named_and_counted(results: Path) -> None:
    found = read_records(results)
    assert [one.path for one in found.skipped] == [
        "demo/foreign/record.json",
        "demo/half/record.json",
    ]
    assert found.skipped[0].why == "this file is no record"
    assert found.skipped[1].why.startswith("unreadable record: Unterminated string")
    report = make_report(found)
    assert "2 files skipped" in report["counts"] and "1 failed" in report["counts"]


@pytest.mark.parametrize("table", ["per_user.parquet", "curves.parquet"])
def test_a_broken_table_puts_its_record_aside(
    tmp_path: Path, record: Make, write_run: Write, table: str
) -> None:
    write_run(tmp_path, record(encoder="a"), {"ndcg@10": [0.1, 0.2]})
    folder = write_run(tmp_path, record(encoder="b"), {"ndcg@10": [0.1, 0.2]})
    (folder / table).write_bytes(b"PAR1 and no more")
    found = read_records(tmp_path)
    assert len(found.entries) == 1 and "unreadable table" in found.skipped[0].why
    assert str(tmp_path) not in found.skipped[0].why


def test_a_newer_schema_is_put_aside_and_fields_of_later_versions_may_lack(
    tmp_path: Path, record: Make
) -> None:
    old = record(encoder="old").model_dump(mode="json")
    for later in ("probes", "shortcuts", "split", "trials", "environment", "cost", "fit", "counts"):
        old.pop(later)
    new = record(encoder="new").model_dump(mode="json") | {"schema_version": 99}
    write_json(tmp_path / "old" / "record.json", old)
    write_json(tmp_path / "new" / "record.json", new)
    report = make_report(read_records(tmp_path))
    assert [row["name"] for row in report["sections"][0]["rows"]] == ["old"]
    assert "record of schema 99" in report["skipped"][0]["why"]


def test_nothing_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "record.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DataError, match="none of 1 record here can be read; the first: this file"):
        read_records(tmp_path)
    (tmp_path / "x" / "record.json").unlink()
    with pytest.raises(DataError, match="no records here"):
        read_records(tmp_path)
    with pytest.raises(UsageError, match="no folder"):
        read_records(tmp_path / "gone")


def test_each_plan_and_each_protocol_is_a_table_of_its_own(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    runs = [
        record(encoder="a"),
        record(encoder="b"),
        record(encoder="c", protocol_id="other"),
        record(encoder="d", suite="another"),
    ]
    found = Found(Path("results"), tuple(entries(*runs)))
    names = [(part.suite, part.protocol, len(part.loaded.entries)) for part in parts_of(found)]
    assert names == [
        ("another", "", 1),
        ("demo", "", 2),
        ("demo", "seqrec on shop, protocol other", 1),
    ]
    assert len(parts_of(found, mixed=True)) == 2


def test_partial_runs_are_counted_and_on_no_table(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    runs = [record(encoder="a"), record(encoder="b", partial=True)]
    report = make_report(Found(Path("results"), tuple(entries(*runs))))
    assert report["counts"] == ["1 finished run", "1 with --limit, on no table"]
    assert [row["name"] for row in report["sections"][0]["rows"]] == ["a"]


# ------------------------------------------------------------------- level, conclusion


def test_levels_are_the_tests_of_compare_adjusted_together(three: Found) -> None:
    levels, board = levels_and_board(loaded_of(three))
    (level,) = levels
    stands = {one.name: one.stand for one in level.rivals}
    assert level.best in ("good", "close") and stands["bad"] == "worse"
    assert stands[({"good", "close"} - {level.best}).pop()] == "open"
    rows = cells_by_row(loaded_of(three), board)
    drawn = {one.row.name: one.seeds for one in drawn_rows(board, rows, board.columns[0])}
    p = [paired(drawn[level.best], drawn[one.name]).p for one in level.rivals]
    assert [one.holm for one in level.rivals] == holm(p)


def test_the_conclusion_names_who_is_level_what_is_cheaper_and_what_could_be_seen(
    three: Found,
) -> None:
    levels, board = levels_and_board(loaded_of(three))
    lead, *rest = conclude(board, levels)
    best = levels[0].best
    other = ({"good", "close"} - {best}).pop()
    assert lead == f"{best} scores best, and {other} is level with it."
    told = " ".join(rest)
    assert f"They show a difference of {levels[0].detectable:.4f} (" in told
    cheap = "Of these close costs least: 4.50 ms a request instead of 9.00 (good)."
    assert (cheap in told) == (best == "good")
    assert f"{best} ranks first of 3 rows, first in" in told


def test_a_control_at_the_top_is_said(tmp_path: Path, record: Make, write_run: Write) -> None:
    values = np.linspace(0.5, 1, 40)
    write_run(tmp_path, record(encoder="m"), {"ndcg@10": (values / 2).tolist()})
    write_run(tmp_path, record(encoder="c", kind="control"), {"ndcg@10": values.tolist()})
    levels, board = levels_and_board(loaded_of(read_records(tmp_path)))
    said = conclude(board, levels)
    assert said[0] == "c is best: every other row is surely worse."
    assert said[1] == "c is a control, which a model has to beat, and no model surely does."


def test_a_rank_over_columns_that_rows_lack_is_not_called_sure(results: Path) -> None:
    section = make_report(read_records(results))["sections"][0]
    (rank,) = [one for one in section["conclusion"] if "ranks first" in one]
    assert rank.startswith("minilm ranks first of 8 rows over 4 columns; but bm25, popularity, ")
    assert rank.endswith("this rank says little of them.") and "resamples" not in rank


def test_a_printed_board_stands_with_the_tables_of_its_tasks(results: Path) -> None:
    report = make_report(read_records(results), Options(published="recbench"))
    shown = [section["published"] is not None for section in report["sections"]]
    assert shown == [True, False]  # no table is of its task, so it stands once
    report = make_report(read_records(results), Options(published="blair"))
    assert all(section["published"] for section in report["sections"])


def test_without_values_per_user_nothing_is_called_level(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    loaded = sort_out(entries(record(encoder="a"), record(encoder="b")))
    levels, board = levels_and_board(loaded)
    assert levels[0].rivals[0].stand == "untested" and not levels[0].level
    said = " ".join(conclude(board, levels))
    assert "Some rows could not be tested against the best" in said
    assert "surely worse" not in said


def test_the_best_rows_are_ten_models_and_controls_up_to_twelve(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    runs = [record(encoder=f"m{i}", means={"ndcg@10": 0.5 + i / 100}) for i in range(14)]
    runs += [
        record(encoder=f"c{i}", means={"ndcg@10": 0.1 + i / 100}, kind="control") for i in range(4)
    ]
    board = make_board(sort_out(entries(*runs)))
    best = best_rows(board, board.columns[0])
    kinds = [row.kind for row in best]
    assert kinds == ["model"] * MODELS + ["control"] * (ROWS - MODELS)
    assert best[0].name == "m13" and best[-2].name == "c3"


# ------------------------------------------------------------------------- pictures


def test_the_front_is_what_no_point_beats() -> None:
    rng = np.random.default_rng(1)
    points = [(float(x), float(y)) for x, y in rng.integers(0, 6, (30, 2))]
    expected = [all(q == p or q[0] > p[0] or q[1] < p[1] for q in points) for p in points]
    assert front(points) == expected and any(expected) and not all(expected)


def test_mean_ranks_by_hand() -> None:
    values = np.array([[0.9, 0.5, 0.5], [0.8, 0.7, 0.1]])
    found = mean_ranks(["a", "b", "c"], values, np.ones(2))
    assert found.names == ("a", "b", "c") and found.mean.tolist() == [1.0, 2.25, 2.75]
    assert found.groups == ((0, 2),)  # two users tell nothing apart
    weighted = mean_ranks(["a", "b", "c"], values, np.array([3.0, 1.0]))
    assert weighted.mean.tolist() == [1.0, 2.375, 2.625]


def test_groups_hold_no_pair_that_surely_differs() -> None:
    rng = np.random.default_rng(2)
    base = rng.random((300, 1))
    values = base + np.array([0.3, 0.29, 0.1, 0.0]) + rng.normal(0, 0.15, (300, 4))
    found = mean_ranks(list("abcd"), values, np.ones(300))
    assert np.allclose(np.sort(found.mean), np.sort(rankdata(-values, axis=1).mean(axis=0)))
    assert (found.low <= found.mean).all() and (found.mean <= found.high).all()
    together = {
        pair for a, b in found.groups for pair in itertools.combinations(range(a, b + 1), 2)
    }
    assert together == {(0, 1)}


def test_segments_are_the_text_columns(tmp_path: Path, record: Make) -> None:
    frame = {
        "user_id": ["u", "v"],
        "ndcg@10": [0.1, 0.2],
        "history": ["1-4", None],
        "one": ["x"] * 2,
    }
    pl.DataFrame(frame).write_parquet(tmp_path / "per_user.parquet")
    found = segments(Entry(record(), tmp_path), None)
    assert {name: labels.tolist() for name, labels in found.items()} == {
        "history": ["1-4", "unknown"]
    }


def test_a_long_curve_is_thinned_and_infinite_losses_are_gaps(tmp_path: Path, record: Make) -> None:
    n = 5 * POINTS
    rows = {"epoch": range(1, n + 1), "loss": [float("inf"), *[1 / 3] * (n - 1)]}
    pl.DataFrame(rows).write_parquet(tmp_path / "curves.parquet")
    found = curve(Entry(record(), tmp_path))
    assert len(found) == POINTS and found[0] == (1, None, None) and found[1] == (6, 0.33333, None)


# ------------------------------------------------------------------- costs and table


def test_costs_of_a_column(record: Make, entries: Callable[..., list[Entry]]) -> None:
    runs = [record(encoder="a", cost=cost(2.0, 8.0)), record(encoder="b", cost=cost(1.0, 4.0))]
    loaded = sort_out(entries(*runs))
    board = make_board(loaded)
    cells = {name: mine[0] for name, mine in cells_by_row(loaded, board).items()}
    found = {one.name: one.values for one in measures(board.columns[0], board.rows, cells)}
    assert found["milliseconds a request (median)"] == {"a": 2.0, "b": 1.0}
    assert found["seconds per 1,000 recommendations"] == {"a": 2.0, "b": 1.0}
    assert found["seconds of training, with encoding"] == {"a": 4.0, "b": 2.0}
    assert "US dollars per 1,000 recommendations" not in found
    assert training_seconds(None) is None
    by = {row.name: row for row in board.rows}
    assert cheaper(by["b"], by["a"]) == (
        "1.00 ms a request instead of 2.00 and 4.0s to make instead of 8.0s"
    )
    assert cheaper(by["a"], by["b"]) is None


def test_what_was_not_measured_is_no_zero(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    runs = [record(encoder="a"), record(encoder="b"), record("cf", "alpharec", "a")]
    loaded = sort_out(entries(*runs))
    board = make_board(loaded)
    columns = {head.name: head for head in heads(board, [], cells_by_row(loaded, board), {})}
    (missing,) = [c for c in columns["cf ndcg@10 ↑"].cells if c.order is None]
    assert missing.text == "" and missing.told == "not measured"


def test_metrics_that_do_not_rank_can_be_chosen(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    means = {"ndcg@10": 0.1, "recall@10": 0.2}
    loaded = sort_out(entries(record(encoder="a", means=means), record(encoder="b", means=means)))
    board = make_board(loaded)
    found = {h.name: h for h in heads(board, [], cells_by_row(loaded, board), {})}
    assert found["seqrec ndcg@10 ↑"].shown and not found["seqrec recall@10 ↑"].shown
    assert [cell.text for cell in found["seqrec recall@10 ↑"].cells] == ["0.2000", "0.2000"]


# ------------------------------------------------------------------------- cards, page


def test_cards_share_what_is_the_same(results: Path) -> None:
    data = make_report(read_records(results))["data"]
    assert len(data["cards"]) == 28 and 0 < len(data["shared"]) < 10
    one = next(card for card in data["cards"].values() if card["title"] == "dot(vector, minilm)")
    titles = [(data["shared"][s] if isinstance(s, int) else s)["title"] for s in one["sections"]]
    assert {"Test", "Repeat it", "config.yaml", "Protocol", "Hashes", "Environment"} <= set(titles)
    assert one["curve"][0] == (1, 3.0, 0.1)


def test_one_run_in_two_plans_has_two_cards(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    runs = [record(encoder="a"), record(encoder="a", suite="another")]
    data = make_report(Found(Path("results"), tuple(entries(*runs))))["data"]
    first, second = data["cards"]
    assert second == f"{first}-1"


def test_equal_records_make_equal_reports(results: Path) -> None:
    assert make_report(read_records(results)) == make_report(read_records(results))


def test_a_metric_that_only_one_plan_has_leaves_the_other_out(
    record: Make, entries: Callable[..., list[Entry]]
) -> None:
    runs = [
        record(encoder="a", means={"ndcg@10": 0.1, "mrr": 0.2}),
        record(encoder="a", suite="z", means={"ndcg@10": 0.1}),
    ]
    found = Found(Path("results"), tuple(entries(*runs)))
    report = make_report(found, Options(metric="mrr"))
    assert [one["suite"] for one in report["sections"]] == ["demo"]
    assert report["left_out"][0].startswith("z: no record has mrr")
    with pytest.raises(UsageError, match="no record has recall@7"):
        make_report(found, Options(metric="recall@7"))


def test_the_bundle_of_tables_has_to_be_as_known() -> None:
    made = as_global("var a=1,b=2;export{a as default,b as jQuery};\n/* end */")
    assert made.endswith("window.DataTable=b.fn.dataTable;\n})();") and "export" not in made
    with pytest.raises(DependencyError, match="has another form"):
        as_global("var a=1;")
