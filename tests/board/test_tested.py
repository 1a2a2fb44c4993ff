"""Marks of significance, worked out by hand where signs can be counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.board import make_board
from tastebench.board.load import load
from tastebench.board.significance import holm, paired
from tastebench.board.tested import Tested, differences
from tastebench.errors import UsageError
from tastebench.runs.record import Record

Make = Callable[..., Record]
Write = Callable[..., Path]
KEY = "seqrec/shop/ndcg@10"
BEST = [0.9, 0.8, 0.7, 0.6, 0.9, 0.8, 0.7, 0.6]
WORSE = [0.1, 0.2, 0.3, 0.4, 0.2, 0.1, 0.3, 0.5]
# Two differences of 0.1 each way and one of 0.2 against it: the mean is lower, and not surely.
ALIKE = [0.8, 0.7, 0.8, 0.7, 0.9, 0.6, 0.7, 0.6]


@pytest.fixture
def put(tmp_path: Path, record: Make, write_run: Write) -> Callable[..., None]:
    def write(encoder: str, values: list[float], **given: Any) -> None:
        metric = given.get("headline", "ndcg@10")
        write_run(tmp_path, record("seqrec", "unisrec", encoder, **given), {metric: values})

    return write


def found_in(root: Path, against: str | None = None, **options: Any) -> Tested:
    loaded = load(root)
    return differences(make_board(loaded, **options), loaded, against)


def test_against_the_best_of_the_column(tmp_path: Path, put: Callable[..., None]) -> None:
    put("best", BEST)
    put("alike", ALIKE)
    put("worse", WORSE)
    put("perfect", [1.0] * 8, kind="ceiling")
    found = found_in(tmp_path)
    # All eight signs are alike: 2 of 2^8 choices are as far from 0, the smaller p of two.
    assert found.n == 2 and found.against is None
    assert found.found["worse", KEY].p == pytest.approx(2 * 2 / 256)
    assert not found.found["worse", KEY].better and found.found["worse", KEY].sure
    assert not found.found["alike", KEY].sure
    assert ("best", KEY) not in found.found and ("perfect", KEY) not in found.found


def test_against_a_named_row(tmp_path: Path, put: Callable[..., None]) -> None:
    put("org/best", BEST)
    put("org/alike", ALIKE)
    put("org/worse", WORSE)
    found = found_in(tmp_path, "alike")  # by its last part, as a narrow board has it
    assert found.against == "org/alike"
    assert found.found["org/worse", KEY].sure and not found.found["org/worse", KEY].better
    assert found.found["org/best", KEY].better and not found.found["org/best", KEY].sure
    assert "↑ better, ↓ worse than org/alike" in found.line(("↑", "↓"))
    with pytest.raises(UsageError, match="no row is called 'alik': did you mean org/alike"):
        found_in(tmp_path, "alik")


def test_lower_is_better_of_losses(tmp_path: Path, put: Callable[..., None]) -> None:
    put("low", WORSE, headline="logloss")
    put("high", BEST, headline="logloss")
    found = found_in(tmp_path)
    assert found.found["high", "seqrec/shop/logloss"].sure
    assert not found.found["high", "seqrec/shop/logloss"].better


def test_the_numbers_are_those_of_compare(tree: Path) -> None:
    """The same p as the paired test has, seeds averaged, all of the table adjusted together."""
    loaded = load(tree)
    board = make_board(loaded)
    found = differences(board, loaded, "tfidf-svd")
    cells = {
        (e.record.spec.encoder or e.record.spec.recommender, e.record.spec.task): []
        for e in loaded.entries
    }
    for e in loaded.entries:
        key = e.record.spec.encoder or e.record.spec.recommender, e.record.spec.task
        cells[key].append(e.units(["ndcg@10"]))  # type: ignore[arg-type]
    p = {}
    for row, key in found.found:
        part = key.split("/")[0]
        task, _, group = part.partition(":")
        name = row.removesuffix(" (recommender)")
        mine = cells["random" if name == "random" else name, task]
        if name == "random":
            encoded = row == "random"
            mine = [
                e.units(["ndcg@10"])
                for e in loaded.entries
                if e.record.spec.task == task
                and (e.record.spec.encoder if encoded else e.record.spec.recommender) == "random"
            ]
        both = [
            np.stack([u.of(group or None).values[:, 0] for u in units], axis=1)  # type: ignore
            for units in (mine, cells["tfidf-svd", task])
        ]
        p[row, key] = paired(both[0], both[1]).p
    assert len(p) == found.n == 16
    for key, value in zip(p, holm(list(p.values())), strict=True):
        assert found.found[key].p == pytest.approx(value)


def test_what_cannot_be_paired_is_named(tmp_path: Path, put: Callable[..., None]) -> None:
    put("best", BEST)
    put("gone", WORSE)
    put("others", WORSE[:5])
    for path in tmp_path.rglob("per_user.parquet"):
        if "gone" in str(path):
            path.unlink()
    found = found_in(tmp_path)
    assert found.n == 0
    assert set(found.untested) == {f"gone on {KEY}", f"others on {KEY}"}
    assert f"gone on {KEY}" in found.line(("", "†"))
