"""`tastebench report`: the file, what is printed, and what goes wrong."""

from __future__ import annotations

import importlib.util
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tastebench.board.report import bundles
from tastebench.board.report.page import as_data
from tastebench.cli import main
from tastebench.files import read_sealed


def elements(page: str) -> list[tuple[str, list[tuple[str, str | None]]]]:
    """Every element of a page, with its attributes."""
    found: list[tuple[str, list[tuple[str, str | None]]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, attributes))  # type: ignore[method-assign]
    parser.feed(page)
    return found


@pytest.fixture(scope="module")
def page(results: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("made") / "deep" / "report.html"
    assert main(["report", str(results), "-o", str(path)]) == 0
    return path.read_text(encoding="utf-8")


def test_the_page_fetches_nothing_and_names_its_scripts(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy[1] and "http" not in policy[1]
    for tag, attributes in elements(page):
        links = {name: value for name, value in attributes if name in ("src", "href", "srcset")}
        assert not links or (tag == "a" and re.match("#|data:", links["href"] or ""))
    assert page.count("window.DataTable=") == 1 and page.count("window.vegaEmbed=") == 1


def test_what_records_say_is_escaped(page: str, hostile: str) -> None:
    assert hostile not in page
    tags = [tag for tag, _ in elements(page)]
    assert tags.count("script") == 4 and "img" not in tags  # data, two libraries, what joins them


def test_what_joins_the_libraries_is_short() -> None:
    glue = Path(bundles.__file__).parent / "templates" / "glue.js"
    assert len(glue.read_text("utf-8").splitlines()) <= 100


def test_data_never_ends_its_element() -> None:
    text = as_data({"a": "</SCRIPT><!--\u2028"})
    assert "<" not in text and json.loads(text) == {"a": "</SCRIPT><!--\u2028"}


def test_json_tells_what_was_skipped(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    assert main(["report", str(results), "-o", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["bytes"] == path.stat().st_size and told["runs"] == 28
    assert [one["path"] for one in told["skipped"]] == [
        "demo/foreign/record.json",
        "demo/half/record.json",
    ]
    assert "skipped: demo/half/record.json: unreadable record" in err


def test_a_file_that_is_there_is_replaced_and_a_folder_is_not(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old", encoding="utf-8")
    assert main(["report", str(results / "second-plan"), "-o", str(path)]) == 0
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert main(["report", str(results / "second-plan"), "-o", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "cannot write the page" in err and "-o FILE.html" in err
    assert [one.name for one in tmp_path.iterdir()] == ["report.html"]


def test_a_missing_library_is_named_with_what_installs_it(
    results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lacking(name: str) -> object:
        return None if name == "itables" else importlib.util.find_spec(name)

    monkeypatch.setattr(bundles, "find_spec", lacking)
    path = tmp_path / "report.html"
    assert main(["report", str(results / "second-plan"), "-o", str(path)]) == 4
    err = capsys.readouterr().err
    assert "a report needs itables" in err and "pip install 'tastebench[report]'" in err
    assert not path.exists()


def test_half_a_character_does_not_stop_a_page(results: Path, tmp_path: Path) -> None:
    source = next((results / "second-plan").rglob("record.json"))
    text = json.dumps(read_sealed(source))
    (tmp_path / "r").mkdir()
    changed = text.replace('"encoder": "minilm"', '"encoder": "min\\ud83dilm"', 1)
    assert changed != text
    (tmp_path / "r" / "record.json").write_text(changed, encoding="utf-8")
    path = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "r"), "-o", str(path)]) == 0
    assert "min?ilm" in path.read_text("utf-8")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--metric", "recall@11"], "no record has recall@11"),
        (["--row-by", "encodr"], "rows cannot be by 'encodr'"),
        (["--published", "blare"], "no published board is called 'blare'"),
    ],
)
def test_options_that_cannot_be_meant(
    results: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    assert main(["report", str(results / "second-plan"), "-o", str(path), *more]) == 2
    assert said in capsys.readouterr().err and not path.exists()
