"""ONCE's Goodreads histories: small files of their format, and the real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources.goodreads_once import GOODREADS_ONCE
from tastebench.data.text import RECIPES, columns_read
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

HISTORIES = "uid\thistory_bids\nu1\t9 7 9\nu2\t\nu3\t5\n"
BOOKS = 'bid\ttitle\n7\tHeaven\n9\t"Emma: a ""novel"""\n8\tNever read\n'
DESCRIPTIONS = 'bid,desc\n9,"The book ""Emma"", a novel."\n7,Heaven is a book.\n8,-\n'


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "user_history.tsv").write_text(HISTORIES)
    (tmp_path / "book.csv").write_text(BOOKS)
    return tmp_path


def test_histories_are_interactions_in_order(raw: Path) -> None:
    tables = GOODREADS_ONCE.read(raw)
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "u1", "9"),
        (1, "u1", "7"),
        (2, "u1", "9"),
        (3, "u3", "5"),
    ]
    assert tables.items.rows() == [("7", "Heaven"), ("9", 'Emma: a "novel"'), ("5", None)]


def test_what_a_model_wrote_is_read_by_nothing_unasked(raw: Path) -> None:
    (raw / "book-desc.csv").write_text(DESCRIPTIONS)
    items = GOODREADS_ONCE.read(raw).items
    assert items["llm_description"].to_list() == [
        "Heaven is a book.",
        'The book "Emma", a novel.',
        None,
    ]
    for recipe in RECIPES:
        columns = columns_read(items, recipe, GOODREADS_ONCE.card.text_columns)
        assert "llm_description" not in columns


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("u4\t9, 7\n", "history_bids are not the ids of books"),
        ("u4\t9 x\n", "history_bids are not the ids of books"),
        ("\t9\n", "uid is missing"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, raw: Path) -> None:
    path = raw / "user_history.tsv"
    path.write_text(HISTORIES + line)
    with pytest.raises(DataError, match=what) as caught:
        GOODREADS_ONCE.read(raw)
    assert caught.value.where == f"{path}, row 5"


def test_another_header_shows_the_columns_there(raw: Path) -> None:
    (raw / "user_history.tsv").write_text("user\thistory\nu1\t9\n")
    with pytest.raises(DataError, match=r"no column uid, history_bids \(found: user, history\)"):
        GOODREADS_ONCE.read(raw)


def test_real_histories(asset: Callable[[str], Path]) -> None:
    tables, repairs = tidy(GOODREADS_ONCE.read(asset("data/goodreads-once")), "goodreads-once")
    assert repairs == {}
    dataset = Dataset.create(GOODREADS_ONCE.card, tables)
    assert (dataset.n_users, dataset.n_items, len(dataset.events().user)) == (
        23_089,
        15_441,
        180_240,
    )
    items = dataset.tables.items
    assert items.null_count().row(0) == (0, 0, 0)
    assert items["title"].n_unique() == 15_185
    assert items["title"].str.contains('""', literal=True).sum() == 0
    lengths = tables.interactions.group_by("user_id").len()["len"]  # type: ignore[union-attr]
    assert (lengths.max(), (lengths == 9).sum(), (lengths == 1).sum()) == (9, 13_891, 457)
