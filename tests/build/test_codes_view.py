"""What codes put together: worked out by hand on seven items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tastebench.build.codes import make_codes
from tastebench.build.codes_facts import facts, level_cells, sentence
from tastebench.build.codes_view import CodesView, Group, parse_prefix, view_of
from tastebench.build.printable import item_titles, printed
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError
from tastebench.items.semantic_ids.artefact import Artefact, copy
from tastebench.items.semantic_ids.ids import SemanticIds
from tastebench.items.semantic_ids.recipe import CodeRecipe

VALUES = np.array(
    [
        [2, 1, -1],  # a
        [0, 3, 0],  # b
        [0, 3, 1],  # c
        [0, 1, -1],  # d
        [2, 0, 0],  # e
        [2, 0, 1],  # f
        [2, 0, 2],  # g
    ]
)
IDS = list("abcdefg")
TITLES = ["Red lamp", "Blue lamp", "Blue kettle", "Cup", "Desk &amp; chair", "Desk", ""]


def dataset(titles: list[str] = TITLES, name: str = "shop") -> Dataset:
    items = pl.DataFrame({"item_id": IDS[: len(titles)], "title": titles})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "time": [1000]})
    card = DatasetCard(name=name, title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=events))


@pytest.fixture
def view() -> CodesView:
    ids = SemanticIds(VALUES, (4, 4, 3), 2, None)
    return CodesView.of(Artefact(Path("codes"), ids, pl.Series(IDS), {}), dataset())


def told(groups: list[Group]) -> list[tuple[tuple[int, ...], int, str]]:
    return [(g.prefix, g.n, "".join(IDS[row] for row in g.rows)) for g in groups]


def test_items_under_a_prefix(view: CodesView) -> None:
    assert told([view.group((2,), 2)]) == [((2,), 4, "ae")]
    assert told([view.group((2, 0, 1), 9)]) == [((2, 0, 1), 1, "f")]
    assert told([view.group((1,), 9)]) == [((1,), 0, "")]
    assert view.under(()).tolist() == list(range(7))


def test_what_follows_a_prefix_largest_first(view: CodesView) -> None:
    assert told(view.children((), 9, 9)) == [((2,), 4, "aefg"), ((0,), 3, "bcd")]
    assert told(view.children((), 1, 1)) == [((2,), 4, "a")]
    # Of equal size, the smaller code first.
    assert told(view.children((2, 0), 9, 9)) == [
        ((2, 0, 0), 1, "e"),
        ((2, 0, 1), 1, "f"),
        ((2, 0, 2), 1, "g"),
    ]
    assert told(view.children((2, 1), 9, 9)) == []  # a path that has ended
    assert told(view.children((2, 0, 1), 9, 9)) == []


def test_items_with_one_path(view: CodesView) -> None:
    assert told(view.collisions(2, 9)) == [((2, 0), 3, "ef"), ((0, 3), 2, "bc")]
    assert told(view.collisions(9, 1)) == [((2, 0), 3, "efg")]


def test_neighbours_share_so_much_and_no_more(view: CodesView) -> None:
    assert told(view.neighbours(4, 9)) == [((2, 0), 2, "fg"), ((2,), 1, "a")]
    assert told(view.neighbours(3, 9)) == [((0, 1), 0, ""), ((0,), 2, "bc")]
    assert told(view.neighbours(1, 1)) == [((0, 3), 1, "c"), ((0,), 1, "d")]


def test_examples_go_down_the_largest_children(view: CodesView) -> None:
    assert told(view.examples(most=2, shown=1)) == [
        ((2,), 4, "a"),
        ((2, 0), 3, "e"),
        ((0,), 3, "b"),
        ((0, 3), 2, "b"),
    ]


def test_nothing_is_shown_of_codes_that_nobody_shares() -> None:
    ids = SemanticIds(np.array([[0, 1]]), (2, 2), 2, None)
    alone = CodesView.of(Artefact(Path("codes"), ids, pl.Series(["a"]), {}), None)
    assert alone.examples() == []
    assert alone.collisions(1, 1) == []
    assert [group.n for group in alone.neighbours(0, 3)] == [0, 0]
    assert alone.item(0) == {"item_id": "a", "path": [0, 1]}


def test_an_item_in_words(view: CodesView) -> None:
    assert view.item(0) == {"item_id": "a", "path": [2, 1], "title": "Red lamp"}
    assert view.title(4) == "Desk & chair"


@pytest.mark.parametrize(
    ("name", "row"),
    [
        ("e", 4),
        ("Red lamp", 0),
        ("red LAMP", 0),
        ("kettle", 2),
        ("desk", 5),  # a whole title before a part of another
        ("Desk &amp; chair", 4),
    ],
)
def test_an_item_is_found_by_id_title_or_part(name: str, row: int, view: CodesView) -> None:
    assert view.find(name) == row


@pytest.mark.parametrize(
    ("name", "message", "fix"),
    [
        (
            "lamp",
            "the titles of 2 items hold 'lamp': a Red lamp; b Blue lamp",
            "name one by its id: --item a",
        ),
        ("kettel", "no item 'kettel': items are called a, b, c, ...", None),
        ("Blue kettel", "no item 'Blue kettel': did you mean Blue kettle or Blue lamp?", None),
        ("", "no item '': items are called a, b, c, ...", None),
    ],
)
def test_an_item_that_is_not_there(
    name: str, message: str, fix: str | None, view: CodesView
) -> None:
    with pytest.raises(UsageError) as error:
        view.find(name)
    assert (error.value.what, error.value.fix) == (message, fix)
    assert error.value.where == "codes"


def test_a_hint_among_many_is_quick() -> None:
    n = 200_000
    ids = SemanticIds(np.zeros((n, 1), dtype=np.int64), (1,), 1, None)
    names = pl.Series([f"B{i:06d}" for i in range(n)])
    many = CodesView(Artefact(Path("codes"), ids, names, {}), None)
    with pytest.raises(UsageError, match="no item 'B00000': did you mean B000"):
        many.find("B00000")


@pytest.mark.parametrize(
    ("text", "prefix"), [("2", (2,)), ("0,3", (0, 3)), ("0-3", (0, 3)), (" 2 , 0, 1", (2, 0, 1))]
)
def test_prefixes_are_read(text: str, prefix: tuple[int, ...]) -> None:
    assert parse_prefix(text, (4, 4, 3)) == prefix


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no prefix of a path"),
        ("a", "'a' is no prefix of a path"),
        ("1,", "'1,' is no prefix of a path"),
        ("-1", "'-1' is no prefix of a path"),
        ("٣", "'٣' is no prefix of a path"),
        ("4", "level 1 has no code 4"),
        ("0,3,3", "level 3 has no code 3"),
        ("0,0,0,0", "a prefix of 4 codes is longer than a path: 3"),
    ],
)
def test_prefixes_that_cannot_be_meant(text: str, message: str) -> None:
    with pytest.raises(UsageError) as error:
        parse_prefix(text, (4, 4, 3))
    assert error.value.what == message


# ----------------------------------------------------------------------------------------- words


def test_titles_are_one_line_that_moves_no_cursor() -> None:
    nasty = ["\x1b[2J\x1b]0;gone\x07red", "two\r\nlines\u2028more", "\u202eabc", " <b>bold</b> "]
    found = item_titles(dataset(nasty)).to_list()
    assert found == ["[2J ]0;gone red", "two lines more", "abc", "bold"]
    assert printed("ab\x9bc\tno") == "ab c no"
    # What joins letters and emoji stays.
    assert printed("\u0646\u200c\u0645 👩\u200d🔬") == "\u0646\u200c\u0645 👩\u200d🔬"


def test_titles_where_there_are_none() -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "brand": ["x", None]})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "time": [1000]})
    bare = Dataset.create(
        DatasetCard(name="s", title="S"), Tables(items=items, interactions=events)
    )
    assert item_titles(bare).to_list() == ["", ""]
    card = DatasetCard(name="s", title="S", text_columns=("brand",))
    named = Dataset.create(card, Tables(items=items, interactions=events))
    assert item_titles(named).to_list() == ["x", ""]


# ---------------------------------------------------------------------------------- from a folder


@pytest.fixture
def kept(home: Path, tmp_path: Path) -> Path:
    """Drawn codes of the shop, in a folder of their own."""
    recipe = CodeRecipe(method="random", levels=2, size=4)
    made = make_codes(recipe, dataset(), None, encoder=None, revision=None, key=None)
    return copy(made, tmp_path / "codes").folder


def test_titles_come_from_the_dataset_if_it_is_here(kept: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert view_of(kept, None, said.append).titles is None
    assert said == ["no titles: the dataset shop is not here (--dataset NAME)"]
    dataset().save(tmp_path / "elsewhere")
    named = view_of(kept, str(tmp_path / "elsewhere"), said.append)
    assert named.title(0) == "Red lamp"
    dataset().save(dataset_folder("shop"))
    assert view_of(kept, None, said.append).title(0) == "Red lamp"
    assert len(said) == 1


def test_another_dataset_of_that_name_lends_no_titles(kept: Path, tmp_path: Path) -> None:
    dataset(TITLES[:3]).save(dataset_folder("shop"))
    said: list[str] = []
    assert view_of(kept, None, said.append).titles is None
    assert said == ["no titles: the dataset shop here has other items (--dataset FOLDER)"]
    with pytest.raises(DataError, match="these codes are not of the items of shop"):
        view_of(kept, "shop", said.append)


# ----------------------------------------------------------------------------------------- facts


def test_facts_in_words() -> None:
    quality = {
        "items": 7,
        "paths": 4200,
        "collision_rate": 0.25,
        "colliding_items": 0.5,
        "largest_group": 3,
        "nearest_collision_rate": None,
        "error": 0.12345,
        "random_cosine": 0.1,
    }
    assert facts(quality) == [
        ("distinct paths", "4,200"),
        ("collision rate", "25.00%"),
        ("items that share a path", "50.00%"),
        ("largest group with one path", "3"),
        ("variance lost", "12.35%"),
        ("cosine of any two items", "0.100"),
    ]
    assert facts({}) == []
    level = {"level": 1, "size": 256, "usage": 0.5, "perplexity": 99.94, "prefixes": 128}
    assert level_cells(level) == ["128 of 256", "99.9", "128", "", ""]
    assert level_cells({}) == [""] * 5


def test_a_sentence_says_what_they_are() -> None:
    about = {
        "recipe": {"method": "rk-means", "levels": 2, "size": 4},
        "vectors": {"encoder": "min\x1b[1milm"},
        "sizes": [4, 4, 3],
        "levels": 2,
        "dataset": {"items": 7},
        "learned_from": None,
        "seconds": 1.25,
    }
    assert sentence(about) == (
        "7 items; rk-means, 2 levels of 4 codes, and up to 3 to tell equal paths apart; of vectors "
        "by min [1milm; made in 1.2 s"
    )
    some = sentence({**about, "learned_from": {"items": 5}})
    assert some.endswith(", learned from 5 items of the training part; made in 1.2 s")
    drawn = {**about, "vectors": None, "sizes": [4, 4]}
    assert (
        sentence(drawn) == "7 items; rk-means, 2 levels of 4 codes; drawn at random; made in 1.2 s"
    )
