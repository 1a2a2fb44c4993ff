"""A key in the environment is in nothing that is written or said, also where others repeat it."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench import cli
from tastebench.data.dataset import Dataset
from tastebench.lm.answers import Answer, Token, hidden
from tastebench.lm.endpoint import Endpoint, RemoteError
from tastebench.lm.remote import Client
from tastebench.lm.spending import Limits, Usage
from tastebench.lm.transcript import _zstd
from tastebench.testing.server import RemoteServer

KEY = "sk-planted-7d1f0c2b9a6e4835"
OTHERS = {"HF_TOKEN": "hf_planted5c0d9e8f7a6b", "AWS_SECRET_ACCESS_KEY": "planted/aws/4b3a2f1e0d"}


@pytest.fixture(autouse=True)
def planted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for name, value in OTHERS.items():
        monkeypatch.setenv(name, value)


def unpacked(path: Path) -> Iterator[bytes]:
    """A file's bytes, and what they hold packed or encoded."""
    content = path.read_bytes()
    yield content
    if path.suffix == ".zst":
        yield _zstd().decompress(content)
    elif path.suffix == ".gz":
        yield gzip.decompress(content)
    elif path.suffix == ".parquet":
        yield json.dumps(pl.read_parquet(path).to_dicts(), default=str).encode()


def holding(folder: Path) -> list[str]:
    """Files under a folder that hold a planted secret."""
    secrets = [value.encode() for value in (KEY, *OTHERS.values())]
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and any(s in content for content in unpacked(path) for s in secrets)
    ]


PLAN = """
name: study
datasets: [shop]
tasks: [ctr]
encoders: ["openai:vectors@{closed}"]
recommenders:
  - popularity
  - vector-knn
  - {{name: llm, params: {{model: "openai:chat@{open}", asked: {{probabilities: never}}}}}}
latency_seconds: 0
"""


@pytest.mark.usefixtures("shop")
def test_runs_that_fail_and_runs_that_are_told_the_key_write_it_nowhere(
    tmp_path: Path, home: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def chat(body: dict[str, Any]) -> str:
        return f"Yes. You came with Authorization: Bearer {KEY}"

    said = ""
    # The one server wants another key, and its error repeats the one it was sent.
    with RemoteServer(embed=lambda texts: np.ones((len(texts), 3)), key="another") as closed:
        with RemoteServer(chat=chat) as open_:
            plan = PLAN.format(closed=closed.url, open=open_.url)
            Path("plan.yaml").write_text(plan, encoding="utf-8")
            run = ["run", "plan.yaml", "--workers", "1", "--out", "results", "--limit", "5"]
            assert cli.main([*run, "--lock", "lock.json", "-v"]) == 1
            assert any(KEY in request.headers["authorization"] for request in closed.requests)
            assert any(KEY in request.headers["authorization"] for request in open_.requests)
    captured = capsys.readouterr()
    said += captured.out + captured.err
    assert "Incorrect API key provided: ***" in said
    records = [json.loads(path.read_text()) for path in Path("results").rglob("record.json")]
    assert sorted(record["status"] for record in records) == ["failed", "ok", "ok"]
    assert list(home.rglob("*.jsonl"))  # answers are kept, and they repeat the key to begin with
    one = next(path for path in Path("results").rglob("record.json"))
    for verb in (
        ["board", "results/study", "--json"],
        ["report", "results/study", "-o", "page.html"],
        ["inspect", str(one.parent)],
        ["doctor", "--json"],
        ["doctor", "--clean", "--json", "--results", "results"],
    ):
        cli.main(verb)
        captured = capsys.readouterr()
        said += captured.out + captured.err
    for secret in (KEY, *OTHERS.values()):
        assert secret not in said
    assert holding(tmp_path) == []  # results, home, logs, page, lock


def test_the_search_would_find_it(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text(f"key={KEY}")
    (tmp_path / "a.gz").write_bytes(gzip.compress(OTHERS["HF_TOKEN"].encode()))
    pl.DataFrame({"a": [KEY]}).write_parquet(tmp_path / "a.parquet")
    (tmp_path / "clean").write_bytes(zlib.compress(b"nothing"))
    assert len(holding(tmp_path)) == 3


def test_an_answer_that_repeats_the_key_has_it_hidden_everywhere() -> None:
    token = Token(f"x{KEY}", -0.1, ((KEY, -0.1), ("no", -2.0)))
    answer = Answer(f"{KEY}{KEY}!", f"stop {KEY}", Usage(), refusal=f"no {KEY}", tokens=(token,))
    plain = hidden(answer, KEY)
    assert KEY not in repr(plain)
    assert plain.text == "******!" and plain.refusal == "no ***"
    assert plain.tokens == (Token("x***", -0.1, (("***", -0.1), ("no", -2.0))),)
    assert hidden(answer, "short") is answer  # e.g. the word of a server that asks for none


def test_a_reply_that_is_no_answer_does_not_show_the_key() -> None:
    def chat(body: dict[str, Any]) -> dict[str, Any]:
        return {"message": KEY, "index": 0}

    with RemoteServer(chat=chat) as server:
        client = Client(
            Endpoint("m", server.url), rng=np.random.default_rng(0), limits=Limits(attempts=1)
        )
        with pytest.raises(RemoteError) as refused:
            client.chat([[{"role": "user", "content": "?"}]], max_tokens=3)
    assert KEY not in str(refused.value) + repr(refused.value.__cause__)
    assert KEY not in repr(refused.value.__context__)


def test_a_plan_that_carries_a_key_in_an_address_is_refused_unrepeated(
    shop: Dataset, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = PLAN.format(closed=f"https://me:{KEY}@example.com/v1", open="http://localhost:9/v1")
    Path("plan.yaml").write_text(plan, encoding="utf-8")
    assert cli.main(["run", "plan.yaml"]) == 2
    captured = capsys.readouterr()
    assert "holds credentials" in captured.err
    assert KEY not in captured.err + captured.out
