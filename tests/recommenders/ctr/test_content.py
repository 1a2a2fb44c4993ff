"""Items as click models read them."""

from __future__ import annotations

import numpy as np
import pytest

from tastebench.contracts import Items
from tastebench.errors import UsageError
from tastebench.recommenders.ctr.content import TextSettings, make_content

COLUMNS = {"title": ["red scarf", "red belt", "silk"], "genre": ["wear", "belts", "silks"]}
ITEMS = Items(
    n=3,
    text=["red scarf wear", "red belt belts", "silk silks"],
    columns=COLUMNS,
    vector=np.eye(3, 4, dtype=np.float32),
)
TAUGHT = np.array([True, True, False])


def test_words_are_learnt_from_taught_items_of_all_columns_together():
    # red 2, then belt, belts, scarf, wear of the two taught items: 2 to 6.
    content = make_content(ITEMS, TextSettings(), TAUGHT)
    assert (content.n, content.vocabulary) == (3, 7)
    assert content.columns["title"].tolist() == [[2, 5], [2, 3], [0, 0]]
    assert content.columns["genre"].tolist() == [[6], [4], [0]]
    assert content.text == COLUMNS
    assert content.vector is ITEMS.vector


def test_categories_teach_no_words():
    content = make_content(ITEMS, TextSettings(categories=("genre",), unknown="keep"), TAUGHT)
    # red, belt, scarf: 2 to 4; belts, wear: 5 and 6.
    assert content.columns["title"].tolist() == [[2, 4], [2, 3], [1, 0]]
    assert content.columns["genre"].tolist() == [[6], [5], [0]]
    assert content.vocabulary == 7


def test_lengths_column_by_column():
    settings = TextSettings(max_length=2, lengths={"title": 1})
    content = make_content(ITEMS, settings, TAUGHT)
    assert content.columns["title"].tolist() == [[2], [2], [0]]


def test_items_with_one_text_have_one_column():
    content = make_content(Items(n=2, text=["red scarf", "belt"]), TextSettings(), np.ones(2, bool))
    assert content.columns["text"].tolist() == [[3, 4], [2, 0]]
    assert content.text == {"text": ["red scarf", "belt"]}


def test_items_without_text_have_no_columns():
    content = make_content(Items(n=2), TextSettings(), np.ones(2, bool))
    assert (content.columns, content.vocabulary, content.text) == ({}, 0, {})


def test_the_tokenizer_of_a_model(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"silk": 0, "red": 1, "?": 2}, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    content = make_content(ITEMS, TextSettings(tokenizer=str(tmp_path)), TAUGHT)
    assert content.columns["title"].tolist() == [[2], [2], [1]]
    assert content.vocabulary == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"categories": ("gener",)}, "no text column 'gener' to be read as a category.*genre?"),
        (
            {"lengths": {"titel": 4}},
            "lengths names a text column 'titel' that there is not.*title?",
        ),
        ({"lengths": {"title": 0}}, "lengths: title has to be 1 or more, got 0"),
    ],
)
def test_settings_name_columns_that_there_are(settings, message):
    with pytest.raises(UsageError, match=message):
        make_content(ITEMS, TextSettings(**settings), TAUGHT)
