"""`tastebench build queries` as a person meets it, against a real server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tastebench.cli.build import register
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder, load_dataset
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError
from tastebench.lm.endpoint import RemoteError
from tastebench.testing.server import Fault, RemoteServer

N = 24
BEGIN = 1_600_000_000


def place(i: int) -> str:
    return f"{'abcdefgh'[i % 8]}{'xyz'[i // 8]}"


def answer(body: dict[str, Any]) -> str:
    """A request; at first some name the brand, and some always do."""
    messages = body["messages"]
    here = messages[1]["content"].split("cabin ")[1][:2]
    if here[0] == "a" or (here[0] in "bc" and len(messages) == 2):
        return "I want a Zorbex."
    return f"I need something warm to read by, for {here}."


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with RemoteServer(chat=answer) as running:
        yield running


@pytest.fixture
def shop(home: Path, tmp_path: Path, server: RemoteServer) -> list[str]:
    """A saved shop and a file of reviews; returns the arguments that take them."""
    import polars as pl

    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(N)],
            "title": [f"Zorbex lamp number {i}" for i in range(N)],
            "brand": ["Zorbex"] * N,
        }
    )
    card = DatasetCard(name="my-shop", title="My shop", text_columns=("title",))
    events = pl.DataFrame(
        {
            "user_id": [f"u{i}" for i in range(N)],
            "item_id": [f"i{i}" for i in range(N)],
            "time": [(BEGIN + i) * 1000 for i in range(N)],
        }
    )
    Dataset.create(card, Tables(items=items, interactions=events)).save(
        datasets_folder() / "my-shop"
    )
    text = "Works well in cabin {} of ours, my daughter reads by it for hours, and it is warm too. "
    lines = [
        {"sku": f"i{i}", "uid": f"u{i}", "body": text.format(place(i)) + "So " + "good " * 5}
        for i in range(N)
    ]
    lines += [{"sku": "i0", "uid": "u0", "body": "Fine"}]
    file = tmp_path / "reviews.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return [
        "queries",
        *("--dataset", "my-shop"),
        *("--reviews", str(file)),
        *("--map", "user=uid,item=sku,text=body"),
        *("--model", f"openai:wise@{server.url}"),
    ]


def run(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, ["build", *arguments])


def test_reviews_become_a_dataset_that_can_be_searched(shop: list[str], home: Path) -> None:
    result = run(*shop, "--price-in", "1", "--price-out", "2", "--max-usd", "1")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"my-shop-queries: 21 queries, {N} items ")
    for line in (
        "reviews: 25 read",
        "  1 shorter than 100 characters",
        "  note: the reviews have no times: all are taken",
        "  24 can become queries, 24 are drawn",
        "to ask: 24 requests to wise at 127.0.0.1:",
        "queries: 21 of 24 reviews (15 at the first answer)",
        "  3 dropped for: brand",
        "used: 33 answers, ",
    ):
        assert line in result.stderr
    # What it takes is said before anything is asked.
    assert result.stderr.index("to ask:") < result.stderr.index("answered")
    made = load_dataset("my-shop-queries")
    assert made.tables.queries is not None and len(made.tables.queries) == 21
    assert not made.tables.queries["text"].str.to_lowercase().str.contains("zorbex").any()
    assert made.provenance[0].made_by.startswith("wise at 127.0.0.1")


def test_a_dry_run_says_what_it_takes_and_asks_nothing(
    shop: list[str], server: RemoteServer, home: Path
) -> None:
    before = sorted(home.rglob("*"))
    result = run(*shop, "--dry-run", "--json", "--price-in", "1", "--price-out", "2")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["requests"], found["drawn"], found["kept_answers"]) == (24, 24, 0)
    assert 0 < found["usd"] < found["most_usd"]
    assert found["tokens"] < found["most_tokens"]
    assert not server.requests
    assert sorted(home.rglob("*")) == before
    assert "price unknown" in run(*shop, "--dry-run").stderr


def test_the_same_command_again_asks_nothing_and_makes_the_same(
    shop: list[str], server: RemoteServer
) -> None:
    first = json.loads(run(*shop, "--json").stdout)
    asked = len(server.requests)
    again = json.loads(run(*shop, "--json").stdout)
    assert len(server.requests) == asked == 33
    assert again["fingerprint"] == first["fingerprint"]
    assert isinstance(run(*shop, "--seed", "1").exception, UsageError)  # other queries, same name
    assert len(server.requests) == asked
    assert run(*shop, "--seed", "1", "--name", "others").exit_code == 0


def test_a_review_that_the_server_refuses_is_dropped_and_counted(
    shop: list[str], server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_CONCURRENCY", "1")
    server.faults += [Fault("status", status=400, message="content filter")]
    found = json.loads(run(*shop, "--json").stdout)
    assert (found["counts"]["dropped"], found["counts"]["dropped_for"]["refused"]) == (4, 1)
    asked = len(server.requests)
    assert json.loads(run(*shop, "--json").stdout)["fingerprint"] == found["fingerprint"]
    assert len(server.requests) == asked


def test_a_server_that_refuses_every_request_stops_the_build(
    shop: list[str], server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_CONCURRENCY", "1")
    server.faults += [Fault("status", status=400, message="no such parameter")] * 9
    result = run(*shop)
    assert isinstance(result.exception, RemoteError) and "no such param" in str(result.exception)
    assert len(server.requests) <= 9  # eight, and perhaps one that was under way
    server.faults.clear()
    assert run(*shop).stdout.startswith("my-shop-queries: 21 queries")  # nothing was held against
    server.faults += [Fault("status", status=400, message="no such parameter")] * 3
    few = run(*shop, "--name", "few", "--n", "3", "--seed", "1")
    assert isinstance(few.exception, RemoteError)


def test_two_servers_of_one_machine_are_two_models(shop: list[str], server: RemoteServer) -> None:
    """They may call different models by one name: no answer of one is taken for the other's."""
    first = json.loads(run(*shop, "--json").stdout)
    with RemoteServer(chat=answer) as other:
        there = [one.replace(server.url, other.url) for one in shop]
        second = json.loads(run(*there, "--json", "--name", "others").stdout)
        assert len(other.requests) == 33
    assert first["artefact"] != second["artefact"]


def test_a_kill_loses_nothing_that_was_kept(
    shop: list[str], server: RemoteServer, home: Path
) -> None:
    whole = json.loads(run(*shop, "--json").stdout)
    [calls] = home.glob("artefacts/queries/*/calls.jsonl")
    expected = sorted(json.loads(line)["key"] for line in calls.read_text().splitlines())
    calls.unlink()
    server.requests.clear()
    server.faults = [None] * 8 + [Fault("hang", seconds=60)] * 4  # so that it hangs in the middle
    command = [sys.executable, "-m", "tastebench.cli", "build", *shop]
    process = subprocess.Popen(command, env=os.environ, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (calls.exists() and calls.read_bytes().count(b"\n") >= 8):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.faults = []
    kept = calls.read_bytes()
    calls.write_bytes(kept + b'{"key": "cut o')
    asked = len(server.requests)
    again = json.loads(run(*shop, "--json").stdout)
    assert again["fingerprint"] == whole["fingerprint"]
    assert calls.read_bytes().startswith(kept)
    assert sorted(json.loads(line)["key"] for line in calls.read_text().splitlines()) == expected
    # What the killed one had sent may only now be heard, and is asked again: nobody kept it.
    prompts = {json.dumps(request.body, sort_keys=True) for request in server.requests[asked:]}
    assert len(prompts) == 33 - kept.count(b"\n")


def test_a_cap_keeps_what_is_paid_for(shop: list[str], server: RemoteServer) -> None:
    result = run(*shop, "--max-tokens", "4000")
    assert isinstance(result.exception, RemoteError)
    assert "the cap of 4,000 tokens would be passed" in result.exception.what
    asked = len(server.requests)
    assert 0 < asked < 33
    assert run(*shop, "--max-tokens", "400000").exit_code == 0
    assert len(server.requests) == 33


def test_nonsense_is_rejected_and_counted(shop: list[str], tmp_path: Path) -> None:
    story = "Once upon a time there was a cat. " * 9
    choice = {"message": {"role": "assistant", "content": story}, "finish_reason": "length"}
    with RemoteServer(chat=lambda body: choice) as server:
        result = run(*shop[:-1], f"openai:babble@{server.url}")
    assert isinstance(result.exception, DataError)
    assert "24 cut off" in result.exception.what and "24 sentences" in result.exception.what


@pytest.mark.parametrize(
    ("more", "kind", "what"),
    [
        (["--min-characters", "9999"], DataError, "25 shorter than 9999 characters"),
        (["--map", "rating=nope"], DataError, "no such column"),
        (["--max-usd", "5"], UsageError, "needs the price"),
        (["--max-tokens", "9"], UsageError, "no room for one request"),
        (["--since", "soon"], UsageError, "no time"),
        (["--category", "kind"], UsageError, "no such column"),
        (["--name", "movielens-100k"], UsageError, "public dataset"),
        (["--model", "gpt"], UsageError, "names no remote model"),
        (["--model", "openai:m@http://shop.example/v1"], UsageError, "nothing caps it"),
        (["--price-in", "1"], UsageError, "two parts"),
    ],
)
def test_mistakes_are_said_before_anything_is_asked(
    shop: list[str], server: RemoteServer, more: list[str], kind: type[Exception], what: str
) -> None:
    error = run(*shop, *more).exception
    assert isinstance(error, kind), error
    assert what in str(error)
    assert not server.requests


def test_a_model_that_the_server_lacks_and_a_missing_key_are_named(
    shop: list[str], server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = Fault("status", status=404, message="The model `wise` does not exist")
    server.faults = [lacking] * 9
    error = run(*shop).exception
    assert isinstance(error, RemoteError) and "does not exist" in error.what
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    error = run(*shop[:-1], "openai:gpt-4o-mini", "--max-tokens", "100000").exception
    assert isinstance(error, RemoteError) and "OPENAI_API_KEY is not set" in error.what


def test_the_verb_imports_nothing_heavy() -> None:
    code = "import sys, tastebench.cli.build; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not {"polars", "numpy", "pydantic", "torch", "openai"} & set(loaded.stdout.split())
