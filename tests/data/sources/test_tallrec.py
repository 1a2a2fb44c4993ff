"""TALLRec's questions: what was liked before, what is asked, and which few are learned from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.labelled import default_rows, default_split, label_rows
from tastebench.data.sources import SOURCES, tallrec
from tastebench.data.tidy import tidy
from tastebench.errors import DataError


def question(liked: str, disliked: str, target: str, answer: str, what: str = "movie") -> Any:
    text = (
        f"User Preference: {liked}\nUser Unpreference: {disliked}\n"
        f'Whether the user will like the target {what} "{target}"?'
    )
    return {"instruction": "Yes. or No.", "input": text, "output": answer}


MOVIES = [
    question('"Alien (1979)", "Big, The (1988)"', '"Jaws (1975)"', "Heat (1995)", "Yes."),
    question("", '"Heat (1995)"', "Alien (1979)", "No."),
]


def put(folder: Path, domain: str, valid: Any, test: Any) -> Path:
    (folder / domain).mkdir(parents=True)
    for name, value in (("valid", valid), ("test", test)):
        (folder / domain / f"{name}.json").write_text(json.dumps(value), encoding="utf-8")
    return folder


def test_a_question_is_a_person_with_what_they_liked_and_a_row(tmp_path: Path) -> None:
    tables = tallrec.read(put(tmp_path, "movie", MOVIES, MOVIES[:1]), "movie", 1)
    title = dict(tables.items.select("item_id", "title").iter_rows())
    assert tables.impressions is not None and tables.histories is not None
    shown = {
        row["user_id"]: (title[row["item_id"]], row["label"], row["part"])
        for row in tables.impressions.iter_rows(named=True)
    }
    parts = {shown["valid-1"][2], shown["valid-2"][2]}
    assert parts == {"train", "valid"}
    assert shown["valid-1"][:2] == ("Heat (1995)", 1)
    assert shown["valid-2"][:2] == ("Alien (1979)", 0)
    assert shown["test-1"] == ("Heat (1995)", 1, "test")
    liked = {user: [title[i] for i in items] for user, items in tables.histories.iter_rows()}
    assert liked["valid-1"] == ["Alien (1979)", "Big, The (1988)"]
    assert liked["valid-2"] == []
    assert "Jaws (1975)" not in title.values()  # nobody is asked about it, and nobody liked it


def test_books_have_who_wrote_them(tmp_path: Path) -> None:
    liked = '"Sula" written by Toni Morrison, "\\"O\\" Is, for "" written by Sue Grafton'
    one = question(liked, "", '"Sula" written by Toni Morrison', "No.", "book")
    tables = tallrec.read(put(tmp_path, "book", [one] * 2, [one]), "book", 1)
    assert tables.items.select("title", "author").rows() == [
        ("Sula", "Toni Morrison"),
        ('\\"O\\" Is, for "', "Sue Grafton"),
    ]


def test_the_few_are_among_the_more(asset: Callable[[str], Path]) -> None:
    folder = asset("data/tallrec-prompts")
    drawn = []
    for n in (16, 64, 256):
        impressions = SOURCES.get(f"tallrec/movie-{n}").read(folder).impressions
        assert impressions is not None
        drawn.append(set(impressions.filter(part="train")["user_id"]))
    assert [len(some) for some in drawn] == [16, 64, 256]
    assert drawn[0] < drawn[1] < drawn[2]


def test_film_questions_slide_along_few_people(asset: Callable[[str], Path]) -> None:
    """What the card says: the next question's history is this one's with its target behind."""
    folder, found = asset("data/tallrec-prompts"), []
    for part in ("valid", "test"):
        told = [one["input"] for one in json.loads((folder / "movie" / f"{part}.json").read_text())]
        before = [set(re.findall(r'"(.*?)"', text.rpartition("\n")[0])) for text in told]
        target = [text.rpartition(' movie "')[2].removesuffix('"?') for text in told]
        found.append(
            sum(
                name in later and len(earlier & later) >= len(earlier) - 1
                for name, earlier, later in zip(target, before, before[1:], strict=False)
            )
        )
    assert found == [986, 984]


@pytest.mark.parametrize(
    "bad",
    [
        question("", "", "Heat (1995)", "Maybe."),
        {"input": "something else", "output": "Yes."},
        {"output": "Yes."},
        "text",
    ],
)
def test_what_is_no_question_is_named(tmp_path: Path, bad: Any) -> None:
    folder = put(tmp_path, "movie", [MOVIES[0], bad], MOVIES)
    what = r"no question with Yes\. or No\. for an answer in 1 row"
    with pytest.raises(DataError, match=what) as caught:
        tallrec.read(folder, "movie", 1)
    assert caught.value.where == f"{folder / 'movie' / 'valid.json'}, row 2"


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no movie/valid\.json"):
        tallrec.read(tmp_path, "movie", 1)


@pytest.mark.parametrize(
    ("name", "parts", "clicked"),
    [("movie-16", (16, 984, 1000), 1186), ("book-64", (64, 2363, 2427), 2065)],
)
def test_real_questions(
    asset: Callable[[str], Path], name: str, parts: tuple[int, ...], clicked: int
) -> None:
    folder = asset("data/tallrec-prompts")
    source = SOURCES.get(f"tallrec/{name}")
    tables, repairs = tidy(source.read(folder), name)
    assert repairs == {}
    dataset = Dataset.create(source.card, tables)
    rows = default_rows(dataset)
    labelled, history = label_rows(dataset, rows, default_split(dataset, rows), 10)
    assert np.bincount(labelled.part).tolist() == list(parts)
    assert dataset.tables.interactions is not None
    assert labelled.label.sum() == clicked == len(dataset.tables.interactions)
    # Every history is what its question says, in its order.
    domain = name.partition("-")[0]
    questions = {
        f"{part}-{n}": one
        for part in ("valid", "test")
        for n, one in enumerate(json.loads((folder / domain / f"{part}.json").read_text()), start=1)
    }
    title = dataset.tables.items["title"].to_list()
    names = dataset.everyone.to_list()
    for row in range(0, len(labelled.user), 37):
        told = questions[names[labelled.user[row]]]
        liked = told["input"].split("\nUser Unpreference: ")[0]
        places = [liked.index(f'"{title[i]}"') for i in history[int(labelled.context[row])]]
        assert places == sorted(places)
        assert liked.count('", "' if domain == "movie" else '" written by ') + (
            domain == "movie" and bool(places)
        ) == len(places)
        assert f'"{title[labelled.item[row]]}"' in told["input"].rpartition("target")[2]
        assert (told["output"] == "Yes.") == labelled.label[row]
