from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from tastebench.board.cells import Cell, make_cell
from tastebench.board.load import Entry, Units
from tastebench.board.model import Column
from tastebench.board.ranks import RankInterval, rank_intervals
from tastebench.errors import DataError
from tastebench.runs.record import Record

Make = Callable[..., Record]
MakeCell = Callable[..., Cell]


def column(task: str = "seqrec", group: str | None = None, metric: str = "ndcg@10") -> Column:
    return Column(task, group, "shop", metric, "p")


def intervals(
    rows: Mapping[str, Sequence[Cell]], *columns: Column, resamples: int = 1000
) -> dict[str, RankInterval]:
    return rank_intervals(rows, columns, np.random.default_rng(0), resamples)


@pytest.fixture
def cell(tmp_path: Path, record: Make, write_run: Callable[..., Path]) -> MakeCell:
    """A cell of an encoder from the values of each of its seeds."""

    def make(
        encoder: str,
        *seeds: Sequence[float],
        task: str = "seqrec",
        metric: str = "ndcg@10",
        group: Sequence[str] | None = None,
        weights: Sequence[float] | None = None,
    ) -> Cell:
        entries = []
        for seed, values in enumerate(seeds):
            one = record(task, encoder=encoder, spec={"seed": seed})
            weigh = None if weights is None else {metric: weights}
            folder = write_run(tmp_path, one, {metric: values}, group, weigh)
            entries.append(Entry(Record.read(folder / "record.json"), folder))
        return make_cell(entries)

    return make


def test_what_is_hard_for_all_makes_no_rank_unsure(cell: MakeCell) -> None:
    # Means 0.50 and 0.51, standard errors 0.09: apart they say nothing, side by side all.
    hard = np.linspace(0, 0.99, 100)
    a, b = cell("a", hard.tolist()), cell("b", (hard + 0.01).tolist())
    assert a.scores[None, "ndcg@10"].overlaps(b.scores[None, "ndcg@10"])
    assert intervals({"a": [a], "b": [b]}, column()) == {"a": (2, 2, 0.0), "b": (1, 1, 1.0)}


def test_the_chance_to_be_first_by_hand(cell: MakeCell) -> None:
    # Each wins where the other does not, so a is first if 5 or more of 10 drawn are its own.
    a = np.repeat([1.0, 0.0], [6, 4])
    found = intervals({"a": [cell("a", a)], "b": [cell("b", 1 - a)]}, column(), resamples=20_000)
    assert found["a"][:2] == found["b"][:2] == (1, 2)
    assert found["a"].first == pytest.approx(binom.sf(4, 10, 0.6), abs=0.01)
    assert found["b"].first == pytest.approx(binom.cdf(5, 10, 0.6), abs=0.01)


def test_weights_decide(cell: MakeCell) -> None:
    a, weights = np.array([1.0, 0.0] * 20), [1.0, 9.0] * 20
    rows = {name: [cell(name, v, weights=weights)] for name, v in (("a", a), ("b", 1 - a))}
    found = intervals(rows, column())
    assert found == {"a": (2, 2, 0.0), "b": (1, 1, 1.0)}


def test_models_that_answer_alike_tie_in_every_resample(cell: MakeCell) -> None:
    values = np.random.default_rng(3).random(50)
    rows = {name: [cell(name, values)] for name in "abc"} | {"d": [cell("d", values / 2)]}
    found = intervals(rows, column())
    assert [found[name] for name in "abcd"] == [(1, 1, 1.0)] * 3 + [(4, 4, 0.0)]


def test_a_rank_adds_up_columns_and_a_missing_score_gets_no_points(cell: MakeCell) -> None:
    up, down = np.linspace(0.5, 0.6, 40), np.linspace(0.1, 0.2, 40)
    rows = {
        "whole": [cell("whole", down), cell("whole", up, task="cf")],
        "half": [cell("half", up)],
        "none": [cell("none", up, task="search")],
    }
    # seqrec: half 2, whole 1; cf: whole 2. So whole 3, half 2, none 0.
    found = intervals(rows, column(), column("cf"))
    assert found == {"whole": (1, 1, 1.0), "half": (2, 2, 0.0), "none": (3, 3, 0.0)}


def test_lower_is_better_where_the_metric_says_so(cell: MakeCell) -> None:
    low, high = np.linspace(0.1, 0.2, 30), np.linspace(0.5, 0.6, 30)
    rows = {name: [cell(name, v, metric="logloss")] for name, v in (("l", low), ("h", high))}
    assert intervals(rows, column(metric="logloss")) == {"l": (1, 1, 1.0), "h": (2, 2, 0.0)}


def test_groups_are_columns_of_their_own(cell: MakeCell) -> None:
    group = ["short", "complex"] * 20
    a = np.array([1.0, 0.0] * 20)
    rows = {n: [cell(n, v, task="search", group=group)] for n, v in (("a", a), ("b", 1 - a))}
    short, both = column("search", "short"), column("search", "complex")
    assert intervals(rows, short) == {"a": (1, 1, 1.0), "b": (2, 2, 0.0)}
    assert intervals(rows, short, both) == {"a": (1, 1, 1.0), "b": (1, 1, 1.0)}


def test_seeds_are_averaged_before_units_are_drawn(cell: MakeCell) -> None:
    up = np.linspace(0, 1, 60)
    rows = {"a": [cell("a", up, 1 - up)], "b": [cell("b", np.full(60, 0.49))]}
    assert intervals(rows, column()) == {"a": (1, 1, 1.0), "b": (2, 2, 0.0)}


def test_units_that_differ_are_drawn_apart(cell: MakeCell) -> None:
    # 100 users against 101: paired, a would be first always.
    hard = np.linspace(0, 0.99, 100)
    rows = {"a": [cell("a", hard + 0.01)], "b": [cell("b", np.append(hard, 0.5))]}
    found = intervals(rows, column())
    assert found["a"][:2] == found["b"][:2] == (1, 2)
    assert 0.4 < found["a"].first < 0.75
    assert found["a"].first + found["b"].first == pytest.approx(1)


def test_units_that_weigh_differently_are_other_units() -> None:
    ids, values = pl.Series(["u0", "u1"]), np.array([[0.1], [0.2]])
    one = Units(ids, None, values, np.array([[1.0], [2.0]]))
    assert one.same(one._replace(values=values[::-1]))
    assert not one.same(one._replace(weights=np.ones((2, 1))))
    assert not one.same(one._replace(ids=ids.reverse()))
    assert not one.same(one._replace(groups=pl.Series(["a", "b"])))


def test_ranks_agree_with_a_bootstrap_written_out(cell: MakeCell) -> None:
    rng = np.random.default_rng(9)
    hard = rng.random(80)
    values = {n: np.clip(hard + rng.normal(0.01 * i, 0.2, 80), 0, 1) for i, n in enumerate("abcd")}
    rows = {name: [cell(name, column)] for name, column in values.items()}
    found = intervals(rows, column(), resamples=4000)
    matrix = np.array(list(values.values()))
    means = np.array([matrix[:, rng.integers(0, 80, 80)].mean(axis=1) for _ in range(4000)])
    ranks = 1 + (means[:, None] > means[:, :, None]).sum(axis=2)
    for r, name in enumerate("abcd"):
        assert found[name].first == pytest.approx((ranks[:, r] == 1).mean(), abs=0.04)
        low, high = found[name].low, found[name].high
        assert (ranks[:, r] < low).mean() < 0.04 and (ranks[:, r] <= low).mean() > 0.01
        assert (ranks[:, r] > high).mean() < 0.04 and (ranks[:, r] >= high).mean() > 0.01


def test_nothing_is_said_where_values_are_gone(cell: MakeCell) -> None:
    a, b = cell("a", [0.1, 0.2]), cell("b", [0.3, 0.4])
    assert set(intervals({"a": [a], "b": [b]}, column())) == {"a", "b"}
    gone = make_cell([Entry(b.record)])
    assert intervals({"a": [a], "b": [gone]}, column()) == {}
    assert intervals({}, column()) == intervals({"a": [a]}) == {}


def test_a_broken_table_is_named(cell: MakeCell) -> None:
    a = cell("a", [0.1, 0.2])
    folder = a.entries[0].folder
    assert folder is not None
    (folder / "per_user.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"unreadable table[\s\S]*per_user.parquet"):
        intervals({"a": [a]}, column())
