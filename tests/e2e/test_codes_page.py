"""The page of semantic ids in a real browser: made by the command line, clicked and typed in."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.testing.command_line import call

N = 400
COLOURS, NOUNS = ["red", "blue", "green", "white"], ["shirt", "lamp", "book", "cup", "chair"]

Ask = Callable[[str], Any]


@pytest.fixture(scope="module")
def browser() -> str:
    """A Chromium of this machine."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        found = shutil.which(name)
        if found:
            return found
    pytest.skip("no Chromium is installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop, its codes and their page."""
    folder = tmp_path_factory.mktemp("codes")
    ids = [f"s/{i} &<b>" for i in range(N)]
    titles = [f"{COLOURS[i % 4]} {NOUNS[i % 5]} <{i}>" for i in range(N)]
    titles[7] = "<img src=x onerror=document.title='broken'> </script> five & 'six'"
    items = pl.DataFrame({"item_id": ids, "title": titles})
    events = pl.DataFrame({"user_id": ["u"], "item_id": ids[:1], "time": [1000]})
    card = DatasetCard(name="shop", title="Shop", text_columns=("title",))
    Dataset.create(card, Tables(items=items, interactions=events)).save(folder / "shop")
    done = call(
        folder,
        *("build", "codes", "-d", "./shop", "-e", "tfidf-svd", "--levels", "3", "--size", "8"),
        *("--page", "codes.html", "-o", "codes", "--json"),
    )
    (folder / "report.json").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def ask(browser: str, folder: Path) -> Ask:
    """Runs the body of an async function in the page, and returns what it returns."""
    page = (folder / "codes.html").read_text(encoding="utf-8")

    def run(body: str) -> Any:
        script = f"""<script>
        const errors = [], turn = () => new Promise(done => setTimeout(done, 50));
        addEventListener("error", event => errors.push(event.message));
        document.addEventListener("securitypolicyviolation", e => errors.push(e.violatedDirective));
        (async () => {{ {body} }})().then(found => {{
          const out = document.createElement("pre");
          out.id = "answer";
          out.textContent = JSON.stringify({{found, errors, title: document.title}});
          document.body.append(out);
        }});
        </script>"""
        (folder / "asked.html").write_text(page.replace("</body>", f"{script}</body>"))
        done = subprocess.run(
            [
                *(browser, "--headless", "--no-sandbox", "--disable-gpu"),
                *("--virtual-time-budget=5000", "--dump-dom", f"--user-data-dir={folder}/profile"),
                (folder / "asked.html").as_uri(),
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        answer = re.search(r'<pre id="answer">(.*?)</pre>', done.stdout, re.S)
        assert answer is not None, done.stdout[-2000:]
        told = json.loads(unescape(answer[1]))
        assert told["errors"] == []
        assert told["title"] == "Semantic ids of shop"  # nothing of a title was carried out
        return told["found"]

    return run


@pytest.fixture(scope="module")
def codes(folder: Path) -> list[list[int]]:
    """The paths, as `inspect` says them."""
    found = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    from tastebench.items.semantic_ids.artefact import load

    values = load(Path(folder / "codes")).ids.values
    assert found["dataset"]["items"] == N == len(values)
    return [[int(code) for code in row if code >= 0] for row in values]


def test_an_item_is_searched_and_shown_with_its_neighbours(
    ask: Ask, codes: list[list[int]]
) -> None:
    found = ask("""
        const search = document.getElementById("search");
        search.focus();
        search.value = "LAMP <11>";
        search.dispatchEvent(new Event("input"));
        const names = [...document.querySelectorAll("#found button")].map(b => b.textContent);
        search.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
        await turn();
        const item = document.getElementById("item");
        return {names, title: item.querySelector("h3").textContent,
          path: item.querySelector("code").textContent, focused: document.activeElement.id,
          heads: [...item.querySelectorAll("h4")].map(h => h.textContent)};
    """)
    row = 11
    assert found["names"] == [f"white lamp <{row}> s/{row} &<b>"]
    assert found["title"] == f"white lamp <{row}>"
    assert found["path"] == "-".join(map(str, codes[row]))
    assert found["focused"] == "item"
    shared = [0, 0, 0, 0]
    for other in codes[:row] + codes[row + 1 :]:
        shared[next((k for k in range(3) if other[k] != codes[row][k]), 3)] += 1
    told = [
        f"{shared[k]} other{'s' * (shared[k] != 1)}" if shared[k] else "No other" for k in range(4)
    ]
    path = ["-".join(map(str, codes[row][:k])) for k in range(4)]
    assert found["heads"] == [
        f"{told[3]} with the whole path {path[3]}",
        f"{told[2]} with the first 2 codes {path[2]}",
        f"{told[1]} with the first code {path[1]}",
    ]


def test_the_tree_opens_down_to_all_items(ask: Ask, codes: list[list[int]]) -> None:
    found = ask("""
        const tree = document.getElementById("tree");
        const first = [...tree.children].filter(e => e.tagName === "DETAILS");
        const heads = first.map(d => d.querySelector("summary").textContent);
        for (let round = 0; round < 4; round++) {
          for (const details of tree.querySelectorAll("details:not([open])")) details.open = true;
          await turn();
        }
        const items = [...tree.querySelectorAll("li button .dim")].map(e => e.textContent);
        return {heads, items};
    """)
    counts = [sum(path[0] == code for path in codes) for code in range(8)]
    assert sum(counts) == N
    by_head = {int(head.split("item")[0][0]): head for head in found["heads"]}
    for code, count in enumerate(counts):
        assert by_head[code].startswith(f"{code}{count} item")
    largest = [int(head[1:].split(" ")[0]) for head in found["heads"]]
    assert largest == sorted(counts, reverse=True)
    assert sorted(found["items"]) == sorted(f"s/{i} &<b>" for i in range(N))


def test_a_click_goes_to_a_neighbour_and_back_returns(ask: Ask) -> None:
    found = ask("""
        const title = () => document.querySelector("#item h3").textContent;
        location.hash = encodeURIComponent("s/3 &<b>");
        await turn();
        const before = title(), next = document.querySelector("#item li button");
        next.click();
        await turn();
        const after = title();
        history.back();
        await turn(); await turn();
        return [before, next.firstChild.textContent.trim(), after, title()];
    """)
    before, clicked, after, again = found
    assert before == again == "white cup <3>"
    assert clicked == after != before


def test_titles_are_words_and_nothing_else(ask: Ask) -> None:
    found = ask("""
        location.hash = encodeURIComponent("s/7 &<b>");
        await turn();
        return [document.querySelector("#item h3").textContent, document.images.length,
          document.querySelectorAll("b").length];
    """)
    assert found == ["five & 'six'", 0, 0]


def test_nothing_found_is_said_and_a_page_of_nobody_stays_as_it_is(ask: Ask) -> None:
    found = ask("""
        const search = document.getElementById("search");
        search.value = "zeppelin";
        search.dispatchEvent(new Event("input"));
        const none = document.getElementById("found").textContent;
        search.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter"}));
        search.value = "";
        search.dispatchEvent(new Event("input"));
        location.hash = "nobody";
        await turn();
        return [none, document.getElementById("found").textContent,
          document.getElementById("item").textContent];
    """)
    assert found == ["none", "", ""]


def test_everything_is_reached_by_keys_and_fits_a_narrow_screen(ask: Ask) -> None:
    found = ask("""
        const reach = document.querySelectorAll("summary, button, input");
        const tree = document.getElementById("tree");
        const other = [...tree.querySelectorAll("*:not(button)")].filter(e => e.onclick);
        document.body.style.width = "20rem";
        await turn();
        return [reach.length > 8, other.length, tree.scrollWidth <= tree.clientWidth];
    """)
    assert found == [True, 0, True]
