"""A remote encoder through the real command line, asked over real HTTP."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tastebench.encoders import get_encoder
from tastebench.encoders.remote import PROBE
from tastebench.testing.server import Fault, RemoteServer

CANARY = "sk-canary-1234567890"

PLAN = """
name: study
datasets: [storefront]
tasks: [search]
recommenders: [dot]
latency_seconds: 0.1
"""

Command = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    """Serves the vectors of the encoder `random`, which are the same everywhere."""
    with RemoteServer(embed=get_encoder("random")) as running:
        yield running


@pytest.fixture
def command(tmp_path: Path, home: Path) -> Command:
    (tmp_path / "study.yaml").write_text(PLAN, encoding="utf-8")
    environment = {
        **os.environ,
        "OPENAI_API_KEY": CANARY,
        "TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS": "0.5",
        "TASTEBENCH_REMOTE_TIMEOUT_SECONDS": "30",
    }

    def start(encoder: str, *more: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "tastebench.cli", "run", "study.yaml", "-e", encoder, *more],
            cwd=tmp_path,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    return start


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    return out + err


def the_record(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("results/study/**/record.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def sent(server: RemoteServer) -> Counter[str]:
    """How often each text was sent, without the probe and the single requests that are timed."""
    batches = [request.body["input"] for request in server.requests]
    return Counter(t for batch in batches if len(batch) > 1 and batch != list(PROBE) for t in batch)


def _kept(path: Path) -> bool:
    """Whether it is a shard of vectors, and written to its end."""
    return "probes" not in path.parts and not path.name.startswith(".tmp-")


def test_ctrl_c_keeps_what_was_paid_and_the_record_says_what_it_cost(
    server: RemoteServer, command: Command, tmp_path: Path, home: Path
) -> None:
    name = f"openai:org/all-minilm:latest@{server.url}"
    # The probe and the first shard (up to 1,024 texts, 256 a request) pass, then silence.
    server.faults = [None] * 6 + [Fault("hang", seconds=60)] * 20
    process = command(name)
    deadline = time.monotonic() + 120
    while not any(_kept(path) for path in home.rglob("*.safetensors")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    server.faults.clear()
    paid = {t for p in server.requests[:5] for t in p.body["input"]} - set(PROBE)
    assert 500 < len(paid) <= 1024
    server.requests.clear()

    text = finish(command(name))
    assert paid.isdisjoint(sent(server))  # not paid twice
    assert set(sent(server).values()) == {1}
    record = the_record(tmp_path)
    step = record["cost"]["encode"]
    assert record["spec"]["encoder"] == name
    assert step["device"] == "remote"
    words = sum(len(t.split()) for t in (*paid, *sent(server)))
    assert step["tokens"] == words
    assert step["usd"] == pytest.approx(words * 0.5 / 1e6)
    assert record["cost"]["latency"]["cold"]["n"] >= 1

    files = [p for p in (*tmp_path.rglob("*"), *home.rglob("*")) if p.is_file()]
    assert CANARY not in text
    assert not [p for p in files if CANARY.encode() in p.read_bytes()]


def test_a_cap_fails_the_run_with_the_reason_and_keeps_what_was_paid(
    server: RemoteServer, command: Command, home: Path
) -> None:
    # 77,000 words in two shards, estimated at 54,000 tokens each.
    capped = command(f"openai:m@{server.url}", TASTEBENCH_REMOTE_MAX_TOKENS="60000")
    _, err = capped.communicate(timeout=200)
    assert capped.returncode == 1, err
    assert "the cap of 60,000 tokens would be passed" in err
    assert 0 < sum(len(text.split()) for text in sent(server).elements()) <= 60_000
    assert [path for path in home.rglob("*.safetensors") if "probes" not in path.parts]


def test_without_a_key_nothing_begins(command: Command, tmp_path: Path) -> None:
    process = command("openai:text-embedding-3-small", OPENAI_API_KEY="", OPENAI_BASE_URL="")
    _, err = process.communicate(timeout=100)
    assert process.returncode == 4
    assert "the environment variable OPENAI_API_KEY is not set" in err
    assert not (tmp_path / "results").exists()
