"""The table of questions by kind, and UQABench's tables as printed."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tastebench.board import make_board
from tastebench.board.export import to_csv, to_markdown
from tastebench.board.latex import to_latex
from tastebench.board.load import Entry, sort_out
from tastebench.board.published import get_published
from tastebench.board.render import as_text
from tastebench.metrics.answers import measure_right
from tastebench.runs.record import Record
from tastebench.tasks.userqa import METRICS

# Questions of each kind, and right answers: they follow from the printed percentages alone.
ASKED = {"df": 1506, "mf": 128, "ip": 1165, "ap": 1459, "li": 796, "si": 1372, "it": 766}
HITS = {
    "Text20": (576, 37, 522, 592, 508, 1097, 481),
    "Text50": (666, 41, 531, 555, 631, 1232, 610),
    "GRU4Rec": (507, 30, 407, 438, 374, 567, 349),
    "Mamba4Rec": (460, 24, 399, 410, 309, 476, 273),
    "HSTU": (652, 32, 551, 533, 564, 824, 503),
    "Trm++": (712, 35, 567, 545, 599, 880, 537),
}


@pytest.mark.parametrize("model", HITS)
def test_micro_averages_of_whole_hits_give_every_printed_cell(model: str) -> None:
    kind = np.repeat(list(ASKED), list(ASKED.values()))
    share = np.concatenate(
        [np.arange(asked) < hits for asked, hits in zip(ASKED.values(), HITS[model], strict=True)]
    ).astype(float)
    means = {k: np.nanmean(v) for k, v in measure_right(METRICS, share, kind).items()}
    (row,) = [row for row in get_published("uqabench").rows if row.model == model]
    for place, printed in row.scores.items():
        _, _, of = place.partition(":")
        own = means[f"accuracy_{of}" if of else "accuracy"]
        assert own == pytest.approx(printed, abs=5.1e-5), place


@pytest.mark.parametrize("name", ["uqabench-ablation", "uqabench-scaling"])
def test_printed_dimensions_weigh_to_the_printed_average(name: str) -> None:
    weights = {
        "userqa:sequence": ASKED["df"] + ASKED["mf"],
        "userqa:action": ASKED["ip"] + ASKED["ap"],
        "userqa:interest": ASKED["li"] + ASKED["si"] + ASKED["it"],
    }
    for row in get_published(name).rows:
        mean = sum(weights[k] * row.scores[k] for k in weights) / sum(weights.values())
        assert mean == pytest.approx(row.scores["userqa"], abs=1.1e-4), row.model


def test_the_note_says_where_a_printed_column_falls() -> None:
    rows, falls = get_published("uqabench-scaling").rows, {}
    for name, own in {"size": rows[:8], "length": rows[8:]}.items():
        for place in ("userqa", "userqa:sequence", "userqa:action", "userqa:interest"):
            steps = np.diff([row.scores[place] for row in own])
            falls[name, place.partition(":")[2] or "all"] = int((steps < 0).sum())
            assert steps.min() > -0.01
    assert {place: n for place, n in falls.items() if n} == {
        ("size", "sequence"): 2,
        ("size", "action"): 1,
        ("length", "interest"): 1,
    }
    said = "sequence falls twice and action once with size, interest once with length"
    assert said in get_published("uqabench-scaling").note


def test_the_table_by_kind_stands_under_the_board(record: Callable[..., Record]) -> None:
    means = {"accuracy": 0.5, "accuracy_interest": 0.75, "accuracy_df": 0.25}
    counts = {"asked": 10, "soft_tokens": 10, "text_tokens": 905}
    asked = {"task": "userqa", "questions": {"options": 2}, "history_length": 512}
    one = record(
        "userqa",
        "user-embedding",
        means=means,
        headline="accuracy",
        counts=counts,
        protocol=asked,
        probes={"gflops_per_question": 0.125},
    )
    told = record(
        "userqa", "majority", means={**means, "accuracy": 0.4}, headline="accuracy", protocol=asked
    )
    board = make_board(sort_out([Entry(one), Entry(told)]))
    text = as_text(replace(board, published=get_published("uqabench")))
    assert "shop: right answers in percent, of 2 options (chance 50.0)" in text
    table = text[text.index("right answers in percent") :].splitlines()
    (head,) = [line for line in table if " df " in line]
    assert head.split() == [
        "encoder", "df", "mf", "sequence", "ip", "ap", "action", "li", "si", "it", "interest",
        "all", "tokens", "GFLOP",
    ]  # fmt: skip
    row = next(line for line in table if line.strip().startswith("user-embedding"))
    assert row.split() == [
        "user-embedding", "25.0", "75.0", "50.0", "91.5", "0.125",
    ]  # fmt: skip
    row = next(line for line in table if line.strip().startswith("majority"))
    assert row.split() == ["majority", "25.0", "75.0", "40.0"]
    assert any(line.split()[:3] == ["Trm++", "47.3", "27.3"] for line in table)
    assert "userqa:df" not in text


def test_tokens_are_those_of_the_datasets_own_questions(record: Callable[..., Record]) -> None:
    asked = {"task": "userqa", "questions": {"options": 4}, "history_length": 512}
    counts = {
        "shop": {"asked": 10, "soft_tokens": 10, "text_tokens": 905},
        "yelp": {"asked": 40, "soft_tokens": 40, "text_tokens": 11_960},
    }
    entries = [
        Entry(
            record(
                "userqa",
                "user-embedding",
                means={"accuracy": 0.5},
                headline="accuracy",
                counts=own,
                protocol=asked,
                spec={"dataset": dataset},
                protocol_id=f"{dataset:0<12}",
            )
        )
        for dataset, own in counts.items()
    ]
    board = make_board(sort_out(entries))
    assert board.rows[0].cost["tokens"] == {
        "userqa/shop": {"soft": 1.0, "text": 90.5},
        "userqa/yelp": {"soft": 1.0, "text": 299.0},
    }
    text = as_text(board)
    shop, yelp = text[text.index("shop: right") :], text[text.index("yelp: right") :]
    assert "91.5" in shop and "300.0" in yelp and "91.5" not in yelp


def test_other_boards_have_no_such_table(record: Callable[..., Record]) -> None:
    assert "right answers" not in as_text(make_board(sort_out([Entry(record())])))


def test_the_table_by_kind_in_every_form(record: Callable[..., Record]) -> None:
    """As in the terminal: Markdown, LaTeX, and a line a kind in CSV."""
    scores = {"accuracy": 0.5, "accuracy_df": 0.25, "accuracy_sequence": 0.3, "accuracy_li": 0.75}
    protocol = {"task": "userqa", "questions": {"options": 4}}
    records = [
        record("userqa", name, None, scores, headline="accuracy", protocol=protocol)
        for name in ("first", "[second]")
    ]
    board = make_board(sort_out([Entry(one) for one in records]), row_by="recommender")
    title = "shop: right answers in percent, of 4 options (chance 25.0)"
    lines = to_markdown(board).splitlines()
    at = lines.index(title)
    assert lines[at + 2 : at + 6] == [
        "| recommender | df | sequence | li | all |",
        "| :-- | --: | --: | --: | --: |",
        "| \\[second] | 25.0±1.0 | 30.0±1.0 | 75.0±1.0 | 50.0±1.0 |",
        "| first | 25.0±1.0 | 30.0±1.0 | 75.0±1.0 | 50.0±1.0 |",
    ]
    latex = to_latex(board)
    assert f"\\caption{{{title}.}}" in latex
    row = r"& 25.0$\pm$1.0 & 30.0$\pm$1.0 & 75.0$\pm$1.0 & 50.0$\pm$1.0 \\"
    assert rf"first {row}" in latex
    assert rf"{{}}[second] {row}" in latex
    rows = list(csv.DictReader(io.StringIO(to_csv(board))))
    assert [(row["metric"], float(row["mean"])) for row in rows if row["name"] == "first"] == [
        ("accuracy", 0.5),
        ("accuracy_df", 0.25),
        ("accuracy_sequence", 0.3),
        ("accuracy_li", 0.75),
    ]
