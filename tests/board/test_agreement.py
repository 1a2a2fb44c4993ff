from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tastebench.board import Board, make_board
from tastebench.board.agreement import against, correlate, match, read_ranking
from tastebench.board.figures import agreement_lines
from tastebench.board.load import sort_out
from tastebench.errors import DataError, TastebenchError, UsageError
from tastebench.runs.record import Record

Make = Callable[..., Record]


@pytest.fixture
def board(entries: Callable[..., Any], record: Make) -> Board:
    """Four models, best first, on three columns, and a control."""
    means = {
        "org/A": (0.4, 0.1, 0.9),
        "b": (0.3, 0.2, 0.8),
        "c": (0.2, 0.4, 0.7),
        "d": (0.1, 0.3, 0),
    }
    places = (("seqrec", "unisrec", "x"), ("seqrec", "unisrec", "y"), ("cf", "alpharec", "x"))
    return make_board(
        sort_out(
            entries(
                *(
                    record(t, r, encoder=name, means={"ndcg@10": mean}, spec={"dataset": d})
                    for name, row in means.items()
                    for (t, r, d), mean in zip(places, row, strict=True)
                ),
                record("cf", "popularity", kind="control", spec={"dataset": "x"}),
            )
        )
    )


def file(folder: Path, text: str) -> Path:
    path = folder / "theirs.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "text", ["model,rank\na,1\nB,2\nd,3\nz,4\n", "model,score\nd,.1\nz,9\na,9.5\nB,2\n"]
)
def test_ranks_and_scores_of_the_models_in_both(board: Board, tmp_path: Path, text: str) -> None:
    # Points here: A 4+1+4, b 3+2+3, c 2+4+2, d 1+3+0, the control being fifth. There: a > B > d.
    found = against(board, file(tmp_path, text))
    assert {row.name: row.borda for row in board.rows if row.kind == "model"} == {
        "org/A": 9.0,
        "b": 8.0,
        "c": 8.0,
        "d": 4.0,
    }
    assert found.pairs == {"org/A": "a", "b": "B", "d": "d"}
    assert (found.n, found.only_here, found.only_there) == (3, ("c",), ("z",))
    assert (found.spearman.value, found.kendall.value) == (1.0, 1.0)
    assert found.spearman.p_exact == pytest.approx(1 / 3)
    line = agreement_lines(Board(**{**vars(board), "against": found}))
    assert "3 models in both: Spearman rho 1.000 (p < 0.001, exact 0.333)" in line[0]
    assert "3 models say next to nothing about a correlation" in line[0]
    assert line[1:] == ["only here: c", "only there: z"]


def test_a_control_takes_part_where_the_file_names_it(board: Board, tmp_path: Path) -> None:
    found = against(board, file(tmp_path, "model,rank\nb,1\npopularity,2\n"))
    assert found.pairs == {"b": "b", "popularity": "popularity"}
    assert set(found.only_here) == {"org/A", "c", "d"}


def test_an_opposite_order_is_negative(board: Board, tmp_path: Path) -> None:
    assert against(board, file(tmp_path, "model,rank\na,3\nb,2\nd,1\n")).spearman.value == -1.0


def test_names_match_exactly_then_by_case_then_by_last_part() -> None:
    here = ["org/model@abc", "Mini", "mini", "other"]
    there = ["MINI", "mini", "my/Model", "x"]
    assert match(here, there, "f") == {"org/model@abc": "my/Model", "Mini": "MINI", "mini": "mini"}


@pytest.mark.parametrize(
    ("here", "there", "named"),
    [
        (["model"], ["a/model", "b/model"], "row 'model' cannot be matched.*a/model and b/model"),
        (["a/model", "b/model"], ["model"], "row 'a/model' cannot be matched"),
        (["Model"], ["MODEL", "model"], "MODEL and model"),
    ],
)
def test_what_fits_several_is_refused(here: list[str], there: list[str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        match(here, there, "theirs.csv")


def test_what_no_row_asks_for_may_be_ambiguous() -> None:
    assert match(["b"], ["x/a", "y/a", "b"], "f") == {"b": "b"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,rank\na,1\n", "has a column model, and either rank or score; this has name, rank"),
        ("model,rank,score\na,1,2\n", "either rank or score"),
        ("", "this has none"),
        ("model,rank\na,1\na,2\n", "'a' stands here twice[\\s\\S]*line 3"),
        ("model,rank\na,first\n", "'first' is no rank[\\s\\S]*line 2"),
        ("model,score\na,nan\n", "'nan' is no score"),
        ("model,score\na\n", "'' is no score"),
        ("model,score\n,1\n", "a row without a model"),
    ],
)
def test_a_file_that_is_no_ranking_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_ranking(file(tmp_path, text))


def test_a_bare_name_is_explained() -> None:
    with pytest.raises(
        UsageError, match=r"'mteb' is no file; published ranks.*not shipped"
    ) as found:
        read_ranking(Path("mteb"))
    assert "model,rank" in str(found.value)


def test_a_byte_order_mark_and_further_columns_do_no_harm(tmp_path: Path) -> None:
    path = file(tmp_path, "\ufeffyear,model,rank\n2026,a,1\n")
    assert read_ranking(path).values == {"a": 1.0}


# -------------------------------------------------------------------------------- two columns


@pytest.mark.parametrize(
    ("first", "second"),
    [("y", "seqrec/x"), ("seqrec/y/ndcg@10", "seqrec/x/ndcg@10")],
)
def test_two_columns_over_the_models(board: Board, first: str, second: str) -> None:
    # x .4 .3 .2 .1 against y .1 .2 .4 .3: covariance -.02, variances .05 each (n times): -.8.
    found = correlate(board, first, second)
    assert found.pearson.value == pytest.approx(-0.8)
    assert found.pearson.n == 4
    assert found.pearson.p == pytest.approx(0.2)
    line = agreement_lines(Board(**{**vars(board), "correlated": found}))[0]
    assert line.startswith(f"{first} and {second} over 4 models: Pearson r -0.800 (p 0.200)")


def test_a_task_is_the_mean_of_its_columns(board: Board) -> None:
    # seqrec .25 .25 .3 .2 against cf .9 .8 .7 0: .035 / sqrt(.005 * .5).
    assert correlate(board, "seqrec", "cf").pearson.value == pytest.approx(0.7)


@pytest.mark.parametrize("name", ["x", "seqre"])
def test_no_such_column_or_two_of_them(board: Board, name: str) -> None:
    with pytest.raises(TastebenchError, match=f"no column is called '{name}'"):
        correlate(board, name, "cf")
