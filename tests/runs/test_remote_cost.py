"""What a remote encoder will be asked is said before it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tastebench as tb
from tastebench.data.dataset import Dataset
from tastebench.lm.endpoint import RemoteError
from tastebench.runs.execute import Options, encode_jobs, look
from tastebench.runs.plan import make_plan
from tastebench.runs.remote_cost import RemoteCost, remote_costs
from tastebench.testing.server import RemoteServer

PRICE = "TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS"


def plan(encoder: str, **changes: Any) -> dict[str, Any]:
    return {
        "name": "study",
        "datasets": ["tiny"],
        "tasks": ["cf"],
        "encoders": [encoder],
        "encoder_controls": ["shuffled"],
        "recommenders": [{"name": "alpharec", "params": {"epochs": 1, "dimensions": 8}}],
        "latency_seconds": 0,
        **changes,
    }


def costs(encoder: str, out: Path, **changes: Any) -> list[RemoteCost]:
    todo = look(make_plan(plan(encoder, **changes)), Options(out=out), fetch=False)
    return remote_costs(encode_jobs(todo), todo.gathered.resources.datasets, {})


def test_a_remote_encoder_says_tokens_and_money_first(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    (found,) = costs("text-embedding-3-small", tmp_path)  # its control asks for nothing more
    assert (found.texts, found.local, found.timed_seconds) == (tiny.n_items, False, 0)
    assert found.usd == found.tokens * 0.02 / 1e6
    assert "about $0.0001; nothing caps it" in str(found)
    monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_USD", "1")
    assert "caps" not in str(costs("text-embedding-3-small", tmp_path)[0])
    assert "price unknown" in str(costs("openai:x", tmp_path)[0])
    monkeypatch.setenv(PRICE, "1000")
    (found,) = costs("openai:x", tmp_path, latency_seconds=3)
    assert found.usd == found.tokens / 1e3
    assert "single requests for at most 1.5 s" in str(found)
    assert costs("random", tmp_path) == []


def test_without_a_key_what_it_would_cost_is_said_all_the_same(
    tiny: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    for encoder, said in (
        ("openai:x", "about 1,200 tokens, price unknown"),
        ("openai:text-embedding-3-small", "about $0.0001 for 1,200 tokens"),
    ):
        made = make_plan(plan(encoder, encoder_controls=["random"]))
        todo = look(made, Options(out=tmp_path), fetch=False)
        assert said in str(todo.missing[0])
    with pytest.raises(RemoteError, match="no key"):  # not that the plan names no encoder
        costs("openai:x", tmp_path)


def test_vectors_that_are_kept_cost_nothing(
    tiny: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def embed(texts: list[str]) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(texts), 16))

    with RemoteServer(embed=embed, count=lambda text: -(-len(text.encode()) // 4)) as server:
        encoder = f"openai:m@{server.url}"
        (before,) = costs(encoder, tmp_path)
        tb.run(plan(encoder), out=tmp_path, workers=1)
        assert str(before) in capsys.readouterr().err
        sent = [text for request in server.requests for text in request.body["input"]]
        assert before.tokens == sum(-(-len(text.encode()) // 4) for text in sent)
        assert costs(encoder, tmp_path / "other") == []
