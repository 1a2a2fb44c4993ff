"""Text recipes against hand-written texts and a plain Python re-statement."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data.text import RECIPES, columns_read, get_recipe, item_texts, left_open
from tastebench.errors import UsageError

FIELDS = {
    "title": ["Tea &amp; <b>cups</b>\n 5", None, "  Café  au\tlait ", ""],
    "features": [["Two\tcups", " a  b ", "é"], [], None, [""]],
    "categories": [["Home", "Tea"], None, [], ["x"]],
    "description": [["Nice.", "Very&nbsp;nice"], ["<br />only"], [], ["d"]],
}
ITEMS = pl.DataFrame({"item_id": ["a", "b", "c", "d"], **FIELDS})


@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("title", ["Tea & cups 5 ", " ", "Caf  au lait ", " "]),
        ("title-raw", ["Tea &amp; <b>cups</b>\n 5", ".", "Café  au\tlait", "."]),
        (
            "v1-seqrec",
            [
                "Tea & cups 5 Two cups, a b,  . Home, Tea. Nice., Very nice. ",
                "   only. ",
                "Caf  au lait    ",
                " . x. d. ",
            ],
        ),
        (
            "v1-pretrain",
            [
                "Tea &amp; <b>cups</b>  5 Two cups  a  b  é Nice. Very&nbsp;nice",
                "<br />only",
                "Café  au lait",
                "d",
            ],
        ),
        (
            "title+description",
            ["Tea & cups 5. Nice. Very nice", "only", "Café au lait", "d"],
        ),
    ],
)
def test_recipe_by_hand(recipe: str, expected: list[str]) -> None:
    assert item_texts(ITEMS, recipe) == expected


def test_all_text_takes_the_columns_in_order_and_closes_sentences() -> None:
    items = pl.DataFrame(
        {"name": ["Mug!", "Pot", None], "maker": ["Ada", None, "Bo"], "size": [3, None, 5]}
    )
    texts = item_texts(items, "all-text", ["name", "maker", "size"])
    assert texts == ["Mug! Ada. 3", "Pot", "Bo. 5"]


def test_all_text_keeps_unicode_and_less_than() -> None:
    items = pl.DataFrame(
        {"t": ["日本語 <i>タイトル</i>", "size < 5 &gt; 3, I <3 tea", "a<!-- x -->b"]}
    )
    assert item_texts(items, "all-text", ["t"]) == [
        "日本語 タイトル",
        "size < 5 > 3, I <3 tea",
        "a b",
    ]


def test_all_text_lists_what_is_in_a_list() -> None:
    items = pl.DataFrame({"t": [["Red", "", "<br>", "big"], [], ["It is hot.", "Buy!", "now"]]})
    assert item_texts(items, "all-text", ["t"]) == ["Red, big", "", "It is hot. Buy! now"]


def test_the_first_text_column_stands_for_a_missing_title() -> None:
    items = pl.DataFrame({"name": ["Pot"], "description": ["Hot"]})
    assert item_texts(items, "title", ["name"]) == ["Pot "]
    assert item_texts(items, "title+description", ["name"]) == ["Pot. Hot"]


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1.5, None, 10.0], pl.Float64, ["1.5. ", " ", "10.0. "]),
        ([7, None, 0], pl.Int64, ["7 ", " ", "0 "]),
    ],
)
def test_numbers_as_titles_do_not_fail(
    values: list[object], dtype: type[pl.DataType], expected: list[str]
) -> None:
    items = pl.DataFrame({"title": pl.Series(values, dtype=dtype)})
    assert item_texts(items, "title") == expected


BUSINESSES = pl.DataFrame(
    {
        "item_id": ["a", "b"],
        "title": ["Café  &amp; Co", "Dos"],
        "categories": [["Bars", "Breakfast & Brunch"], []],
        "stars": [4.5, None],
        "review_count": [12, None],
        "city": ["Montréal", None],
        "state": ["QC", None],
        "attributes": [["Has BikeParking.", "WiFi is u'free'."], None],
        "hours": [["Monday: 8:00am-5:00pm", "Friday: 9:00am-1:30am"], []],
    },
    schema_overrides={"attributes": pl.List(pl.String), "hours": pl.List(pl.String)},
)


def test_businesses_in_sentences_with_and_without_their_popularity() -> None:
    full, plain = (item_texts(BUSINESSES, name) for name in ("yelp-sentence", "yelp-plain"))
    popular = "Rating: 4.5 stars. Number of reviews: 12. "
    assert full == [
        "Name: Caf  & Co. Categories: Bars, Breakfast & Brunch. "
        + popular
        + "Located in Montr al. State: QC. Has BikeParking. WiFi is u'free'. "
        "Hours: Monday: 8:00am-5:00pm, Friday: 9:00am-1:30am.",
        "Name: Dos.",
    ]
    assert plain == [full[0].replace(popular, ""), "Name: Dos."]
    named = BUSINESSES.select(pl.col("title").alias("name"), "city")
    assert item_texts(named, "yelp-plain", ["name"])[1] == "Name: Dos."
    with pytest.raises(UsageError, match="no column title"):
        item_texts(named, "yelp-sentence", [])


def test_shuffled_texts_are_all_there_on_other_items_and_always_the_same_ones() -> None:
    items = pl.DataFrame(
        {"title": [f"t{i}" for i in range(50)], "brand": list(map(str, range(50)))}
    )
    plain = item_texts(items, "all-text", ["title", "brand"])
    mixed = item_texts(items, "shuffled:all-text", ["title", "brand"])
    assert sorted(mixed) == sorted(plain)
    assert sum(a == b for a, b in zip(plain, mixed, strict=True)) < 5
    assert mixed == item_texts(items, "shuffled:all-text", ["title", "brand"])
    # A column by itself moves with the others.
    titles = item_texts(items.select("title"), "shuffled:all-text", ["title"])
    assert [text.split(". ")[0] for text in mixed] == titles
    assert columns_read(items, "shuffled:title", ["title"]) == ("title",)
    assert left_open(items, "shuffled:all-text", ["title"]) == "shuffled:all-text/1:title"
    with pytest.raises(UsageError, match="did you mean title"):
        get_recipe("shuffled:titel")


def test_no_items_give_no_texts() -> None:
    empty = ITEMS.clear()
    assert {name: item_texts(empty, name) for name in RECIPES} == {name: [] for name in RECIPES}


def test_unknown_recipe_and_missing_column_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean title"):
        get_recipe("titel")
    with pytest.raises(UsageError, match="no column description"):
        item_texts(pl.DataFrame({"title": ["x"]}), "title+description")
    with pytest.raises(UsageError, match="names none"):
        item_texts(ITEMS, "all-text", [])


@pytest.mark.parametrize(
    ("recipe", "named", "columns", "left"),
    [
        ("title", "title", ["title", "brand"], None),
        ("title+description", "title", ["brand"], None),
        ("title", "name", ["name", "brand"], "title/1:name"),
        ("all-text", "title", ["title", "brand"], "all-text/1:title,brand"),
        ("all-text", "title", ["brand", "title"], "all-text/1:brand,title"),
    ],
)
def test_what_a_recipe_leaves_to_the_dataset(
    recipe: str, named: str, columns: list[str], left: str | None
) -> None:
    items = pl.DataFrame({named: ["x"], "brand": ["y"], "description": ["z"]})
    assert left_open(items, recipe, columns) == left


def test_another_version_of_a_recipe_is_another_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "title", replace(RECIPES["title"], version=2))
    assert left_open(ITEMS, "title", ["title"]) == "title/2:"


def published_clean(text: str) -> str:
    text = html.unescape(text).strip()
    text = re.sub(r"<[^>]+>", "", text)
    text = re.sub(r"[\n\t]", " ", text)
    text = re.sub(r" +", " ", text)
    return re.sub(r"[^\x00-\x7F]", " ", text)


def published_field(value: list[str] | str | None) -> str:
    if isinstance(value, list) and value:
        return ", ".join(published_clean(v) for v in value) + ". "
    return published_clean(value if isinstance(value, str) else "") + " "


def pretraining(title: str | None, features: list[str] | None, words: list[str] | None) -> str:
    pieces = [] if title is None else [title]
    pieces += [" ".join(part) for part in (features, words) if part]
    joined = " ".join(pieces).replace("\t", " ").replace("\n", " ").replace("\r", "")
    return joined.strip()


DIRTY = st.text(
    st.one_of(
        st.sampled_from("ab <>&;\t\n\r\x1c\x85\xa0é#"),
        st.characters(exclude_categories=["Cs"]),
    ),
    max_size=12,
)
LISTS = st.none() | st.lists(DIRTY | st.just("&lt;p&gt;"), max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.none() | DIRTY, LISTS, LISTS, LISTS), min_size=1, max_size=5))
def test_published_recipes_equal_their_restatement(
    rows: list[tuple[str | None, list[str] | None, list[str] | None, list[str] | None]],
) -> None:
    texts = pl.List(pl.String)
    items = pl.DataFrame(
        rows,
        schema={"title": pl.String, "features": texts, "categories": texts, "description": texts},
        orient="row",
    )
    assert item_texts(items, "v1-seqrec") == ["".join(map(published_field, row)) for row in rows]
    assert item_texts(items, "title") == [published_field(row[0]) for row in rows]
    assert item_texts(items, "v1-pretrain") == [pretraining(r[0], r[1], r[3]) for r in rows]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.none() | DIRTY, LISTS), min_size=1, max_size=4))
def test_our_recipes_leave_no_runs_of_white_space(
    rows: list[tuple[str | None, list[str] | None]],
) -> None:
    items = pl.DataFrame(
        rows, schema={"title": pl.String, "description": pl.List(pl.String)}, orient="row"
    )
    for text in item_texts(items, "title+description"):
        assert text == text.strip()
        assert "  " not in text
        assert not re.search(r"[\n\t]", text)
