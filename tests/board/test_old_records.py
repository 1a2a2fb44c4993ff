"""Records as earlier versions wrote them stay readable.

`old_records/` holds files, byte for byte, that the first version with records wrote for the
embedded shop (2026-11-20, schema 1): without probes, shortcuts, preliminary marks and what else
came later. A schema that can no longer read them has to migrate them.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tastebench.board import read_board
from tastebench.board.compare import read_comparison
from tastebench.board.compare_model import Options
from tastebench.board.report import write_report
from tastebench.runs.record import Record
from tastebench.runs.store import folder_of

OLD = Path(__file__).parent / "old_records"
FILES = sorted(OLD.rglob("record.json"))


def test_there_are_old_records() -> None:
    assert len(FILES) == 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parts[-3])
def test_what_was_written_is_what_is_read(path: Path) -> None:
    record, written = Record.read(path), json.loads(path.read_text(encoding="utf-8"))
    again = record.model_dump(mode="json")
    assert {key: again[key] for key in written if key not in ("cost", "spec")} == {
        key: value for key, value in written.items() if key not in ("cost", "spec")
    }
    # Fields that came later are absent from an old spec, so that its hash is what it was.
    assert again["spec"] == written["spec"]
    assert folder_of(OLD, record) == path.parent


def test_they_stand_on_a_board() -> None:
    board = read_board(OLD / "quickstart")
    scores = {row.name: row.scores["seqrec/storefront/ndcg@10"] for row in board.rows}
    minilm = scores["minilm"]
    assert (minilm.mean, minilm.low, minilm.high) == (
        0.017386154857152555,
        0.013626872830824914,
        0.021443357242267546,
    )
    assert set(scores) == {"minilm", "random", "item-knn", "popularity"}


def test_they_are_compared_and_reported(tmp_path: Path) -> None:
    found = read_comparison(OLD / "quickstart", "minilm", "item-knn", Options(resamples=99))
    (outcome,) = found.tests
    assert outcome.paired is not None
    assert outcome.paired.n == 976
    page = tmp_path / "report.html"
    write_report(OLD / "quickstart", page)
    assert "minilm" in page.read_text(encoding="utf-8")
