"""The page by its source: everything escaped, nothing fetched, limits said."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.build.codes import make_codes
from tastebench.build.codes_page import _steps, to_html
from tastebench.build.codes_view import CodesView
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.items.semantic_ids.recipe import CodeRecipe

NASTY = "</script><script>alert(1)</script> & 'q' \"d\" <img src=x onerror=alert(2)> {{ 7*7 }}"
N = 30


class Page(HTMLParser):
    """Tags with attributes, and the text of scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    ids = [f"<i>{i}" for i in range(N)]
    titles = [NASTY if i % 2 else f"thing {i}" for i in range(N)]
    items = pl.DataFrame({"item_id": ids, "title": titles})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ids[:1], "time": [1000]})
    card = DatasetCard(name="shop", title="Shop", text_columns=("title",))
    return Dataset.create(card, Tables(items=items, interactions=events))


@pytest.fixture
def view(dataset: Dataset) -> CodesView:
    recipe = CodeRecipe(method="rk-means", levels=2, size=4)
    vectors = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    made = make_codes(
        recipe, dataset, vectors, encoder="<b>enc</b>", revision="r", key="k", text_recipe="title"
    )
    return CodesView.of(made, dataset)


def data(page: Page) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(page.scripts[0])
    return found


def test_nothing_of_a_catalogue_becomes_markup(view: CodesView) -> None:
    html = to_html(view)
    page = Page(html)
    assert page.open == []
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 2
    assert {"img", "b", "i", "object", "iframe", "link"} & set(tags) == {"i"}  # ours, of a bar
    assert not [name for _, attributes in page.tags for name in attributes if name[:2] == "on"]
    assert "<b>enc" not in html and "&lt;b&gt;enc" in html
    found = data(page)
    assert found["ids"][1] == "<i>1"
    # Tags are taken out of titles; what is left is as it was.
    assert found["titles"][1] == "alert(1) & 'q' \"d\" {{ 7*7 }}"
    assert "<" not in page.scripts[0]


def test_nothing_is_fetched(view: CodesView) -> None:
    html = to_html(view)
    assert "http:" not in html and "https:" not in html and "@import" not in html
    page = Page(html)
    assert not [a for _, attributes in page.tags for a in attributes if a in ("src", "href")]
    [policy] = [a["content"] for tag, a in page.tags if a.get("http-equiv")]
    assert policy is not None and policy.startswith("default-src 'none'")
    assert "innerHTML" not in html


def test_all_items_are_on_it_with_their_codes(view: CodesView) -> None:
    html = to_html(view)
    found = data(Page(html))
    np.testing.assert_array_equal(np.array(found["codes"]).reshape(-1, found["width"]), view.values)
    assert (found["levels"], len(found["titles"])) == (2, N)
    assert "All items, by their codes" in html


def test_of_too_many_items_some_are_on_it_and_that_is_said(view: CodesView) -> None:
    html = to_html(view, most=4)
    found = data(Page(html))
    assert found["ids"] == ["<i>0", "<i>9", "<i>19", "<i>29"]
    np.testing.assert_array_equal(
        np.array(found["codes"]).reshape(4, -1), view.values[[0, 9, 19, 29]]
    )
    assert "4 of the 30 items, spread over the catalogue" in html


def test_numbers_are_those_of_the_artefact(view: CodesView) -> None:
    html = to_html(view)
    quality = view.artefact.about["quality"]
    assert f"<dd>{quality['collision_rate']:.2%}</dd>" in html
    for level in quality["levels"]:
        assert f"<td>{level['perplexity']:,.1f}</td>" in html
    assert html.count("<svg") == 2
    assert "tastebench build codes --dataset shop" in html


def test_without_its_dataset_items_have_ids(view: CodesView) -> None:
    assert data(Page(to_html(CodesView.of(view.artefact, None))))["titles"] is None


def test_the_script_stays_small() -> None:
    from importlib import resources

    text = (resources.files("tastebench.build") / "pages" / "codes.html").read_text("utf-8")
    [script] = re.findall(r"^<script>\n(.*?)^</script>", text, re.M | re.S)
    assert len(script.splitlines()) <= 60


def test_bars_go_from_the_most_used_code_to_the_least() -> None:
    assert _steps(np.array([4, 2, 1, 0])) == (
        "M0 24V0.0H32.00V12.0H64.00V18.0H96.00V24.0H128.00V24Z"
    )
    assert _steps(np.array([0, 0])) == "M0 24V24.0H64.00V24.0H128.00V24Z"
    assert _steps(np.arange(1000)[::-1]).count("H") == 128


def test_a_page_of_one_item(home: Path) -> None:
    items = pl.DataFrame({"item_id": ["a"], "title": ["One"]})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ["a"], "time": [1000]})
    card = DatasetCard(name="one", title="One", text_columns=("title",))
    dataset = Dataset.create(card, Tables(items=items, interactions=events))
    recipe = CodeRecipe(method="random", levels=2, size=4)
    made = make_codes(recipe, dataset, None, encoder=None, revision=None, key=None)
    found = data(Page(to_html(CodesView.of(made, dataset))))
    assert found["titles"] == ["One"]
