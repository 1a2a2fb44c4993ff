from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tastebench.board import make_board
from tastebench.board.ablation import Ablation, make_ablation, read_ablation
from tastebench.board.ablation_forms import (
    CSV_HEAD,
    print_ablation,
    says,
    to_csv,
    to_json,
    to_markdown,
)
from tastebench.board.load import sort_out
from tastebench.errors import UsageError
from tastebench.files import hash_json
from tastebench.runs.record import Record

Make = Callable[..., Record]
N = 300


@pytest.fixture
def adapted(record: Make) -> Make:
    """A record with an adaptor; `pca` is the default that a plan need not name."""

    def make(task: str, encoder: str | None, how: str, mean: float = 0.1, **changes: Any) -> Record:
        spec = {"params": {"adaptor": how, "lr": 0.1}, **changes.pop("spec", {})}
        params = {key: value for key, value in spec["params"].items() if value != "pca"}
        given = changes.pop("given", {"params": params})
        reader = {"seqrec": "unisrec", "cf": "alpharec"}[task]
        made = record(task, reader, encoder, {"ndcg@10": mean}, spec=spec, given=given, **changes)
        return made.model_copy(update={"spec_hash": hash_json(made.spec.model_dump())})

    return make


@pytest.fixture
def ablation_of(entries: Callable[..., Any]) -> Callable[..., Ablation]:
    return lambda setting, *records, **options: make_ablation(
        sort_out(entries(*records)), setting, **options
    )


def test_the_table_of_the_paper(ablation_of: Callable[..., Ablation], adapted: Make) -> None:
    published = {
        "Qwen3-Embedding-8B": ((0.0415, 0.0362), (0.0359, 0.0392)),
        "gemini-embedding-001": ((0.0434, 0.0355), (0.0384, 0.0313)),
        "text-embedding-3-large": ((0.0440, 0.0366), (0.0383, 0.0379)),
    }
    records = [
        adapted(task, encoder, how, mean)
        for encoder, table in published.items()
        for how, means in zip(("pca", "mrl"), table, strict=True)
        for task, mean in zip(("seqrec", "cf"), means, strict=True)
    ]
    other = adapted("cf", "roberta-large", "pca")
    found = ablation_of("adaptor", *records, other)
    assert (found.values, found.parts) == (("pca", "mrl"), ("seqrec", "cf"))
    assert found.left_out == ("roberta-large",)
    for encoder, table in published.items():
        for how, means in zip(("pca", "mrl"), table, strict=True):
            own = tuple(found.rows[encoder][part].scores[how].mean for part in found.parts)
            assert own == pytest.approx(means)
    # Without values per unit there is a difference and no interval.
    one = found.rows["gemini-embedding-001"]["cf"].differences["mrl"]
    assert (one.mean, one.low, one.high) == (pytest.approx(-0.0042), None, None)
    assert says(found) == [
        "seqrec: adaptor=mrl is higher than pca for 0 of 3 (0 surely) and lower for 3 (0 surely).",
        "cf: adaptor=mrl is higher than pca for 2 of 3 (0 surely) and lower for 1 (0 surely).",
    ]


@pytest.fixture
def paired(tmp_path: Path, adapted: Make, write_run: Callable[..., Path]) -> Path:
    """Users who differ much, an adaptor that changes each of them a little, two datasets."""
    root = tmp_path / "results"
    rng = np.random.default_rng(0)
    for dataset, gain in (("x", 0.02), ("y", 0.04)):
        users = rng.random(N)
        for how in ("pca", "mrl"):
            for seed in (0, 1):
                values = users + gain * (how == "mrl") + rng.normal(0, 0.01, N)
                one = adapted(
                    "cf",
                    "a",
                    how,
                    spec={"dataset": dataset, "seed": seed, "params": {"adaptor": how}},
                )
                write_run(root, one, {"ndcg@10": values.tolist()})
    return root


def test_a_difference_is_sure_where_its_means_overlap(paired: Path) -> None:
    one = read_ablation(paired, "adaptor").rows["a"]["cf"]
    assert one.datasets == ("x", "y")
    assert one.scores["pca"].overlaps(one.scores["mrl"])
    apart = one.differences["mrl"]
    assert apart.mean == pytest.approx(0.03, abs=0.002)
    assert apart.low is not None and apart.high is not None
    # A unit's difference of two-seed means has sd .01, their mean over 600 units .01 / sqrt(600).
    assert apart.high - apart.low == pytest.approx(2 * 1.96 * 0.01 / 600**0.5, rel=0.15)
    assert apart.low < apart.mean < apart.high
    assert says(read_ablation(paired, "adaptor")) == [
        "cf: adaptor=mrl is higher than pca for 1 of 1 (1 surely) and lower for 0 (0 surely)."
    ]


def test_units_that_differ_have_no_paired_interval(
    tmp_path: Path, adapted: Make, write_run: Callable[..., Path]
) -> None:
    for how, n in (("pca", 5), ("mrl", 6)):
        write_run(tmp_path, adapted("cf", "a", how), {"ndcg@10": [0.1] * n})
    apart = read_ablation(tmp_path, "adaptor").rows["a"]["cf"].differences["mrl"]
    assert (apart.mean, apart.low) == (pytest.approx(0.0), None)


def test_only_datasets_with_every_value_are_averaged(
    ablation_of: Callable[..., Ablation], adapted: Make
) -> None:
    found = ablation_of(
        "adaptor",
        adapted("cf", "a", "pca", 0.1, spec={"dataset": "x"}),
        adapted("cf", "a", "mrl", 0.3, spec={"dataset": "x"}),
        adapted("cf", "a", "pca", 0.9, spec={"dataset": "y"}),
    )
    one = found.rows["a"]["cf"]
    assert one.datasets == ("x",)
    assert one.scores["pca"].mean == pytest.approx(0.1)
    assert one.differences["mrl"].mean == pytest.approx(0.2)


def test_text_recipes_compare_too(ablation_of: Callable[..., Ablation], record: Make) -> None:
    found = ablation_of(
        "text_recipe",
        *(
            record("search", "dot", "a", {"ndcg@10": mean}, spec={"text_recipe": recipe})
            for recipe, mean in (("title", 0.3), ("title-description", 0.2))
        ),
        record("search", "random", None),
    )
    assert found.values == ("title", "title-description")
    assert found.rows["a"]["search"].differences["title-description"].mean == pytest.approx(-0.1)


def test_what_else_tells_runs_apart_makes_rows_of_their_own(
    ablation_of: Callable[..., Ablation], adapted: Make
) -> None:
    found = ablation_of(
        "adaptor",
        *(
            adapted("cf", "a", how, spec={"params": {"adaptor": how, "width": width}})
            for how in ("pca", "mrl")
            for width in (32, 64)
        ),
    )
    assert list(found.rows) == ["a width=32", "a width=64"]


def test_two_readers_of_one_encoder_are_two_rows(
    ablation_of: Callable[..., Ablation], record: Make
) -> None:
    found = ablation_of(
        "adaptor",
        *(
            record(
                *("seqrec", reader, "a"),
                spec={"params": {"adaptor": how, reader: 1}},
                given={"params": {"adaptor": how}},
            )
            for reader in ("unisrec", "sasrec-text")
            for how in ("pca", "mrl")
        ),
    )
    assert list(found.rows) == ["unisrec(vector, a)", "sasrec-text(vector, a)"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("adapter", "no run has a setting 'adapter': did you mean adaptor?"),
        ("lr", r"all runs have lr=0.1, so there is nothing to compare"),
        ("dropout", "dropout was searched by a grid"),
    ],
)
def test_what_cannot_be_compared_is_said(
    ablation_of: Callable[..., Ablation], adapted: Make, setting: str, message: str
) -> None:
    searched = {"adaptor": "mrl", "lr": 0.1, "dropout": 0.5}
    with pytest.raises(UsageError, match=message):
        ablation_of(
            setting,
            adapted("cf", "a", "pca"),
            adapted("cf", "a", "mrl", spec={"params": searched, "grid": {"dropout": [0.1, 0.5]}}),
        )


def test_the_default_named_and_not_named_is_measured_twice(
    ablation_of: Callable[..., Ablation], adapted: Make
) -> None:
    named = adapted("cf", "a", "pca", given={"params": {"adaptor": "pca"}})
    with pytest.raises(UsageError, match="a was measured twice on cf/shop with adaptor=pca"):
        ablation_of("adaptor", named, adapted("cf", "a", "pca"), adapted("cf", "a", "mrl"))


def test_a_board_of_such_runs_says_how_to_compare_them(
    entries: Callable[..., Any], adapted: Make
) -> None:
    board = make_board(sort_out(entries(adapted("cf", "a", "pca"), adapted("cf", "a", "mrl"))))
    assert board.row_by == "run"
    assert "--compare adaptor shows what adaptor changes" in board.notes


def shown(found: Ablation, width: int = 120) -> str:
    file = io.StringIO()
    print_ablation(found, Console(file=file, width=width))
    return file.getvalue()


def test_forms(paired: Path) -> None:
    found = read_ablation(paired, "adaptor")
    text = shown(found)
    assert text.startswith("demo, what adaptor changes\n")
    apart = found.rows["a"]["cf"].differences["mrl"]
    assert f"*{apart.mean:+.4f} +-.000" in text  # sure
    assert "cf: mean of x, y" in text
    markdown = to_markdown(found).splitlines()
    assert markdown[0] == "|  | cf<br>adaptor=pca | cf<br>adaptor=mrl | cf<br>mrl - pca |"
    assert f"**{apart.mean:+.4f}**" in markdown[2]
    assert json.loads(to_json(found))["rows"]["a"]["cf"]["differences"]["mrl"]["mean"] == apart.mean
    lines = list(csv.DictReader(io.StringIO(to_csv(found))))
    assert tuple(lines[0]) == CSV_HEAD
    assert [(one["value"], one["difference"]) for one in lines] == [
        ("pca", ""),
        ("mrl", str(apart.mean)),
    ]


def test_reduced_budgets_are_said_in_every_form(
    ablation_of: Callable[..., Ablation], adapted: Make
) -> None:
    found = ablation_of(
        "adaptor", *(adapted("cf", "a", how, preliminary=True) for how in ("pca", "mrl"))
    )
    assert shown(found).startswith("demo, what adaptor changes, preliminary: reduced budget")
    assert "- preliminary: reduced budget" in to_markdown(found)
    assert json.loads(to_json(found))["preliminary"] is True
    assert to_csv(found).splitlines()[1].endswith(",True")


def test_names_do_not_break_the_table(ablation_of: Callable[..., Ablation], adapted: Make) -> None:
    found = ablation_of("adaptor", *(adapted("cf", "a|b<i>", how) for how in ("pca", "mrl")))
    row = to_markdown(found).splitlines()[2]
    assert row.startswith(r"| a\|b\<i> | ")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(paired: Path, width: int) -> None:
    text = shown(read_ablation(paired, "adaptor"), width)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
