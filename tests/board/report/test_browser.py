"""The page in a real browser: opened from disk, read, sorted, filtered, clicked, printed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tastebench.board.report import model, write_report
from tastebench.cli import main

Open = Callable[..., Any]


def absent(what: str) -> None:
    """A skip on a machine of one's own, a failure where everything is to be tested."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    if path is None:
        absent("Chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        absent("playwright")
    with sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    assert main(["report", str(results), "-o", str(path), "--published", "blair"]) == 0
    return path


@pytest.fixture
def open_page(browser: Any, file: Path) -> Iterator[Open]:
    """Opens the page; when the test ends, nothing may have been fetched, and nothing gone wrong."""
    contexts, wrong = [], []

    def opened(
        fragment: str = "",
        scheme: str = "light",
        width: int = 1280,
        quiet: bool = True,
        at: Path | None = None,
        **more: Any,
    ) -> Any:
        size = {"width": width, "height": 900}
        context = browser.new_context(color_scheme=scheme, viewport=size, **more)
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        if quiet:
            page.on("console", lambda said: wrong.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on(
            "request",
            lambda asked: (
                asked.url.startswith(("file:", "data:", "blob:"))
                or wrong.append(f"request: {asked.url}")
            ),
        )
        page.goto((at or file).as_uri() + fragment)
        if more.get("java_script_enabled", True):
            page.wait_for_selector("html[data-drawn]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not wrong


def rows(page: Any) -> list[str]:
    names: list[str] = page.locator("#t0-table tbody th bdi").all_inner_texts()
    return names


def rows_sorted(page: Any, head: Any, way: str) -> list[str]:
    """The rows after a click on a head. DataTables sorts in a later turn of the event loop."""
    head.click()
    page.wait_for_selector(f"#t0-table thead th[aria-sort={way}]")
    return rows(page)


def cells(page: Any, name: str) -> Any:
    """The scores of a row."""
    row = page.locator("#t0-table tbody tr", has=page.get_by_role("link", name=name, exact=True))
    return row.locator("td.num:has(a)")


def test_it_opens_with_its_conclusion_and_draws_its_charts(open_page: Open) -> None:
    page = open_page()
    lead = page.locator("#t0-answer .lead").inner_text()
    assert lead.startswith("minilm is best in every column")
    assert page.locator("#t0 figure svg.marks").count() == 4
    told = page.locator("#t0 figure figcaption").all_inner_texts()
    charts = page.locator("#t0 figure [role=graphics-document]")
    labels = charts.evaluate_all("all => all.map(one => one.getAttribute('aria-label'))")
    assert labels == told and all(told)


def test_nothing_that_records_say_becomes_markup(open_page: Open, hostile: str) -> None:
    page = open_page()
    assert page.title() == "demo, second-plan - results"
    assert page.locator("img").count() == 0
    assert hostile in rows(page)
    page.locator("#t0-failed ~ .wide a").first.click()
    page.wait_for_selector("dialog[open]")
    assert hostile in page.locator("#card-body").inner_text()
    assert page.locator("dialog img").count() == 0
    page.locator("#t0 figure svg .mark-symbol path").first.hover(force=True)
    assert page.title() == "demo, second-plan - results"


def test_a_script_that_got_in_all_the_same_would_not_run(open_page: Open) -> None:
    page = open_page(quiet=False)
    blocked = page.evaluate(
        """() => new Promise(done => {
          document.addEventListener("securitypolicyviolation", e => done(e.violatedDirective));
          const script = document.createElement("script");
          script.textContent = "document.title = 'broken'";
          document.body.append(script);
        })"""
    )
    assert blocked.startswith("script-src") and page.title() != "broken"


def test_sorting_leaves_what_was_not_measured_at_the_end(open_page: Open) -> None:
    page = open_page()
    head = page.locator("#t0-table thead th", has_text="cf")
    best = rows_sorted(page, head, "descending")
    worst = rows_sorted(page, head, "ascending")
    assert best[:3] == ["oracle", "minilm", "tfidf-svd"] and worst[0] == "random (recommender)"
    assert best[:6] == worst[:6][::-1] and set(best[6:]) == set(worst[6:]) > {"bm25"}


def test_a_filter_never_hides_controls(open_page: Open) -> None:
    page = open_page()
    page.get_by_label("Filter rows").first.fill("TFIDF vector")
    left = rows(page)
    assert "tfidf-svd" in left and "minilm" not in left
    assert {"random", "random (recommender)", "popularity", "bm25", "oracle"} <= set(left)
    shown = page.locator("#t0-table-shown").inner_text()
    assert re.fullmatch(rf"{len(left)} of \d+ rows", shown)


def test_columns_are_chosen(open_page: Open) -> None:
    page = open_page()
    heads = page.locator("#t0-table thead th")
    before = heads.all_inner_texts()
    page.locator("#t0 details.columns summary").click()
    page.get_by_label("Borda", exact=True).first.check()
    page.get_by_label("time to make").first.uncheck()
    after = heads.all_inner_texts()
    assert "Borda" in after and "Borda" not in before
    assert not any("to make" in head for head in after)


def test_a_cell_leads_to_its_run_and_back(open_page: Open) -> None:
    page = open_page()
    cells(page, "minilm").first.click(position={"x": 3, "y": 3})  # beside the link
    page.wait_for_selector("dialog[open]")
    assert page.locator("#card-title").inner_text() == "dot(vector, minilm)"
    body = page.locator("#card-body").inner_text()
    assert "tastebench run results/demo/shop/search/dot-vector-minilm/" in body
    assert "Other runs of this row" in body
    page.keyboard.press("Escape")
    page.wait_for_function("!location.hash")
    assert page.locator("dialog[open]").count() == 0


def test_a_run_has_an_address(open_page: Open) -> None:
    page = open_page("#fa11ed")
    assert "Failure" in page.locator("dialog[open] #card-body").inner_text()
    page.evaluate("location.hash = '#run-nobody'")
    page.wait_for_selector("dialog:not([open])", state="attached")


def test_a_card_shows_its_curve(open_page: Open) -> None:
    page = open_page()
    cells(page, "minilm").nth(2).click()
    page.wait_for_selector("dialog[open] svg.marks")


def test_the_keyboard_reaches_a_card(open_page: Open) -> None:
    page = open_page()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("#t0-table tbody td a").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    assert page.evaluate("document.activeElement.id") == "close"


def test_another_chart_can_be_chosen(open_page: Open) -> None:
    page = open_page()
    figure = page.locator("#t0 figure").nth(1)
    before = figure.locator("figcaption").inner_text()
    figure.locator("select").select_option(index=1)
    after = figure.locator("figcaption").inner_text()
    assert before != after and after.startswith("Critical-difference diagram of ")


def test_a_critical_difference_diagram_has_rows_in_their_order_and_bars(open_page: Open) -> None:
    page = open_page()
    figure = page.locator("#t0 figure").nth(1)
    figure.locator("select").select_option(label="seqrec: ndcg@10")
    page.wait_for_selector("figure[data-drawn=t0-order-3]")
    assert figure.locator("svg [stroke-width='5']").count()  # rows that are level
    told = page.evaluate(
        """() => JSON.parse(document.getElementById("data").textContent)
          .charts["t0-order-3"].layer[1].encoding.y.scale.domain"""
    )
    axis = figure.locator("svg .role-axis .role-axis-label text").all_text_contents()
    assert [one for one in axis if one in told] == [one for one in told if one in axis]
    assert told.index("minilm") < told.index("tfidf-svd") < told.index("random (recommender)")


def test_every_chart_draws_without_a_warning(open_page: Open) -> None:
    page = open_page()  # what is said on the console fails the test
    for figure in page.locator("#t0 figure").all():
        for choice in figure.locator("option").all():
            value = choice.get_attribute("value")
            figure.locator("select").select_option(value)
            page.wait_for_selector(f"figure[data-drawn='{value}']")
            assert figure.locator("svg.marks").is_visible()


def test_light_and_dark(open_page: Open) -> None:
    page = open_page(scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(20, 24, 29)"
    page.locator("#theme").click()
    page.wait_for_selector("html[data-drawn=light]")
    assert page.evaluate(ground) == "rgb(255, 255, 255)"


def test_it_prints(open_page: Open) -> None:
    page = open_page(scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator("#theme").is_visible()
    printed = page.pdf()
    assert printed.startswith(b"%PDF") and len(printed) > 20_000


def test_names_in_other_directions_keep_theirs(open_page: Open, right_to_left: str) -> None:
    page = open_page()
    assert right_to_left in rows(page)
    name = page.locator("#t0-table tbody th bdi", has_text=right_to_left)
    assert name.evaluate("element => getComputedStyle(element).direction") == "rtl"


def test_a_narrow_page_scrolls_only_its_tables(open_page: Open) -> None:
    page = open_page(width=400)
    assert page.evaluate("document.documentElement.scrollWidth") == 400


def test_the_board_can_be_read_without_scripts(open_page: Open) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator("#t0-table tbody tr").count() == 9


def test_thousands_of_rows_come_by_pages(
    open_page: Open, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MANY", 8)
    monkeypatch.setattr(model, "PAGE", 4)
    write_report(results, tmp_path / "paged.html")
    page = open_page(at=tmp_path / "paged.html", bypass_csp=True)
    first = rows(page)
    page.locator("#t0 .dt-paging button", has_text="2").click()
    page.wait_for_selector("#t0 .dt-paging button.current:text('2')")
    second = rows(page)
    assert len(first) == len(second) == 4 and not set(first) & set(second)
    page.get_by_label("Filter rows").first.fill("no such row")
    everywhere = page.locator("#t0-table-shown").inner_text()
    assert re.fullmatch(r"[5-8] of \d+ rows", everywhere), "controls of all pages stay"
    assert violations(page) == []


def violations(page: Any) -> list[tuple[str, str]]:
    """What axe finds wrong with the page as it stands."""
    try:
        import axe_playwright_python
    except ModuleNotFoundError:
        absent("axe-playwright-python")
    page.evaluate((Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run()")["violations"]
    return [(one["id"], one["nodes"][0]["html"]) for one in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(open_page: Open, scheme: str) -> None:
    page = open_page(scheme=scheme, bypass_csp=True)
    found = violations(page)
    page.locator("#t0-table tbody td a").first.click()
    page.wait_for_selector("dialog[open]")
    assert found + violations(page) == []
