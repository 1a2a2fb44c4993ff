"""The pages of a results folder, asked for as a browser asks."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from starlette.testclient import TestClient

from tastebench.board.browse.app import PAGE, make_app
from tastebench.board.browse.shelf import Shelf
from tastebench.cli.serve import bound
from tastebench.errors import UsageError
from tastebench.files import read_sealed
from tastebench.runs.record import Record

Ran = Callable[..., Path]
LAST_OUT = {"split": {"kind": "last_out"}}


@pytest.fixture
def site(ran: Ran, tmp_path: Path) -> TestClient:
    """Two models of next items, one of clicks."""
    ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    ran("seqrec", "second", "3210456", protocol=LAST_OUT)
    ran("ctr", "clicks", "0123456")
    return client(tmp_path / "results")


def client(root: Path) -> TestClient:
    return TestClient(make_app(root), base_url="http://localhost", raise_server_exceptions=False)


def key_of(root: Path, name: str) -> str:
    return next(key for key in Shelf(root).look()[0] if f"/{name}-" in key)


def test_the_index_names_every_run_and_finds_some(site: TestClient) -> None:
    page = site.get("/").text
    assert "3 runs." in page
    assert page.count('<a href="/run/') == 3
    found = site.get("/", params={"q": "seqrec SECOND"}).text
    assert "1 run with these words." in found
    assert "second" in found and 'value="seqrec SECOND"' in found
    assert "0 runs with these words." in site.get("/?q=nothing").text


def test_a_run_has_a_card_with_its_numbers_and_whom_to_look_at(
    site: TestClient, tmp_path: Path
) -> None:
    key = key_of(tmp_path / "results", "first")
    record = Record.read(tmp_path / "results" / key / "record.json")
    page = site.get(f"/run/{key}").text
    value = record.metrics[record.headline]
    assert value.mean is not None and f"{value.mean:.4f}" in page
    assert record.protocol_id in page
    assert f'<a href="/run/{key}/user?id=anna">anna</a>' in page


def test_a_user_has_history_truth_and_the_lists_of_all_models(
    site: TestClient, tmp_path: Path
) -> None:
    """anna took Red scarf, Blue scarf, Tea and then Kettle, which the second model puts first."""
    page = site.get(f"/run/{key_of(tmp_path / 'results', 'first')}/user?id=anna").text
    history = page[page.index("the newest last: 3") : page.index("What was true")]
    assert [*re.findall(r"<li dir=\"auto\">(\w+ ?\w*) <small>", history)] == [
        *("Red scarf", "Blue scarf", "Tea")
    ]
    truth = page[page.index("What was true") : page.index("<h3>Lists")]
    assert "Kettle" in truth
    assert re.findall(r"<td>(\d+|-)<", truth) == ["4", "1"]
    assert "<strong>Kettle <small>i3</small></strong>" in page


def test_titles_of_others_are_text(site: TestClient, ran: Ran, tmp_path: Path) -> None:
    """A script in a name is shown and not run; an escape sequence is gone already."""
    folder = ran("seqrec", "third", "0123456", protocol=LAST_OUT)
    text = json.dumps(read_sealed(folder / "record.json"))
    hostile = "<script>alert(1)</script>"
    (folder / "record.json").write_text(text.replace('"demo"', f'"{hostile}"'), encoding="utf-8")
    key = key_of(tmp_path / "results", "third")
    for address in ("/", f"/run/{key}"):
        page = site.get(address).text
        assert hostile not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    searched = site.get("/", params={"q": '"><script>x</script>'}).text
    assert "<script>" not in searched


def test_every_page_forbids_scripts_and_frames(site: TestClient, tmp_path: Path) -> None:
    key = key_of(tmp_path / "results", "first")
    for address in ("/", f"/run/{key}", f"/run/{key}/user?id=anna", "/nowhere"):
        policy = site.get(address).headers["content-security-policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
        assert "script" not in policy


def test_the_report_is_the_page_that_the_verb_writes(site: TestClient, ran: Ran) -> None:
    before = site.get("/report")
    assert before.status_code == 200
    assert "first" in before.text and "third" not in before.text
    ran("seqrec", "third", "5640123", protocol=LAST_OUT)
    assert "third" in site.get("/report").text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1"])
def test_requests_in_the_name_of_another_host_are_refused(site: TestClient, host: str) -> None:
    """So that a page elsewhere cannot read results by a name that leads here."""
    answer = site.get("/", headers={"host": host})
    assert answer.status_code == 400
    assert "run" not in answer.text


@pytest.mark.parametrize("host", ["localhost:8777", "127.0.0.1:8777"])
def test_this_machine_s_names_are_answered(site: TestClient, host: str) -> None:
    assert site.get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_nothing_can_be_changed(site: TestClient, method: str) -> None:
    assert site.request(method, "/").status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/run/../../../../etc/passwd",
        "/run/%2e%2e/%2e%2e/secret",
        "/run//etc/passwd",
        "/run/nothing",
    ],
)
def test_only_runs_have_pages(site: TestClient, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("secret words", encoding="utf-8")
    answer = site.get(path)
    assert answer.status_code == 404
    assert "secret words" not in answer.text and "root:" not in answer.text


def test_unknown_users_are_told_their_neighbours(site: TestClient, tmp_path: Path) -> None:
    answer = site.get(f"/run/{key_of(tmp_path / 'results', 'first')}/user?id=annna")
    assert answer.status_code == 404
    assert "did you mean anna" in answer.text
    nobody = site.get(f"/run/{key_of(tmp_path / 'results', 'first')}/user")
    assert "which user?" in nobody.text


def test_runs_appear_as_they_end_and_broken_ones_are_named(ran: Ran, tmp_path: Path) -> None:
    root = tmp_path / "results"
    root.mkdir()
    empty = client(root)
    assert "They appear here as they end" in empty.get("/").text
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    assert "1 run." in empty.get("/").text
    (folder / "record.json").write_text('{"half', encoding="utf-8")
    page = empty.get("/").text
    assert "0 runs" in page and "Left out" in page and "record.json" in page


def test_a_file_is_read_again_only_where_it_changed(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("first", "second"):
        ran("seqrec", name, "0123456", protocol=LAST_OUT)
    shelf, read = Shelf(tmp_path / "results"), []
    real = Record.read
    monkeypatch.setattr(Record, "read", lambda path: read.append(path) or real(path))
    assert len(shelf.look()[0]) == 2
    shelf.look()
    assert len(read) == 2
    os.utime(read[0], ns=(1, 1))
    shelf.look()
    assert read[2:] == read[:1]


def test_many_runs_are_shown_by_pages(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastebench.board.browse.app.PAGE", 2)
    assert PAGE == 200
    for seed in range(3):
        ran("seqrec", "first", "0123456", protocol=LAST_OUT, seed=seed)
    site = client(tmp_path / "results")
    assert site.get("/").text.count('<a href="/run/') == 2
    second = site.get("/?page=2").text
    assert second.count('<a href="/run/') == 1 and "page 2 of 2" in second
    for odd in ("-1", "x", "99", "1e9", "٣"):
        assert site.get("/", params={"page": odd}).status_code == 200


# --------------------------------------------------------------------------------- the command


def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(UsageError, match=r"cannot listen on port \d+"):
            bound(other.getsockname()[1])


def test_it_serves_until_interrupted(ran: Ran, tmp_path: Path) -> None:
    """Says where, answers there and nowhere else, and ends in order."""
    ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    command = [sys.executable, "-m", "tastebench.cli", "serve", str(tmp_path / "results")]
    with subprocess.Popen(
        [*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        address = line.split()[0]
        assert address.startswith("http://127.0.0.1:")
        page = ""
        for _ in range(100):
            try:
                with urlopen(address, timeout=5) as answer:
                    page = answer.read().decode()
                break
            except OSError:
                time.sleep(0.1)
        assert "1 run." in page
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert "Traceback" not in process.stderr.read()
