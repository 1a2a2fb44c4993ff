"""Offline: nothing touches the network, and what would have to is refused by its name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tastebench.data.catalog import load_dataset
from tastebench.data.offline import VARIABLE, OfflineError, is_offline
from tastebench.data.transfer import download
from tastebench.encoders import get_encoder
from tastebench.errors import UsageError
from tastebench.lm.endpoint import Endpoint
from tastebench.lm.load import find_model
from tastebench.lm.remote import Client
from tastebench.runs.tracking import tracked
from tastebench.runs.watch import Watcher
from tastebench.testing.server import RemoteServer

# Loaded by every interpreter that finds it on its path, also by the processes of runs.
WATCH = """
import os, socket
def watch(name):
    real = getattr(socket.socket, name)
    def connect(self, address, *more):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["TOUCHED"], "a") as file:
                file.write(repr(address) + "\\n")
            raise OSError("the network is blocked")
        return real(self, address, *more)
    setattr(socket.socket, name, connect)
watch("connect")
watch("connect_ex")
real = socket.getaddrinfo
def getaddrinfo(host, *more, **named):
    if host not in (None, "127.0.0.1", "::1", "localhost"):
        with open(os.environ["TOUCHED"], "a") as file:
            file.write(repr(host) + "\\n")
        raise socket.gaierror("the network is blocked")
    return real(host, *more, **named)
socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No network by our own switch; the hub's cache is empty."""
    monkeypatch.setenv(VARIABLE, "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.usefixtures("offline")
def test_a_model_of_the_hub_is_refused_by_its_name() -> None:
    with pytest.raises(OfflineError, match="the model org/model is not on this machine") as refused:
        find_model("org/model")
    assert refused.value.fix and "hf download org/model" in refused.value.fix
    with pytest.raises(OfflineError, match="org/model@v1"):
        find_model("org/model@v1")


@pytest.mark.usefixtures("offline")
def test_an_encoder_that_is_not_here_is_known_and_not_fetched() -> None:
    encoder = get_encoder("roberta-large")  # what is known of it needs no network
    assert encoder.card.dimensions == 1024
    with pytest.raises(OfflineError, match="FacebookAI/roberta-large"):
        encoder.encode(["a text"])


@pytest.mark.usefixtures("offline")
def test_a_public_dataset_is_refused_with_its_address_and_where_to_put_it() -> None:
    with pytest.raises(OfflineError, match="would be downloaded") as refused:
        load_dataset("movielens-100k")
    assert refused.value.where is not None and refused.value.where.startswith("http")
    assert "--raw" in str(refused.value.fix)


@pytest.mark.usefixtures("offline")
def test_a_download_opens_no_connection(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(*arguments: object, **named: object) -> None:
        raise AssertionError("a request was made")

    monkeypatch.setattr("requests.get", fail)
    with pytest.raises(OfflineError):
        download(("http://example.com/file",), tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.usefixtures("offline")
def test_a_model_behind_an_address_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-0123456789")
    with pytest.raises(OfflineError, match="openai:text-embedding-3-small is asked over the netw"):
        get_encoder("openai:text-embedding-3-small")
    with pytest.raises(OfflineError, match=r"openai:gpt@https://api\.example\.com/v1"):
        Client(Endpoint("gpt", "https://api.example.com/v1"), rng=np.random.default_rng(0))


@pytest.mark.usefixtures("offline")
def test_a_server_on_this_machine_is_no_network() -> None:
    with RemoteServer(embed=get_encoder("random")) as server:
        vectors = get_encoder(f"openai:m@{server.url}").encode(["a", "b"])
    assert vectors.shape[0] == 2


@pytest.mark.usefixtures("offline")
def test_runs_are_sent_to_no_server(tmp_path: Path) -> None:
    with pytest.raises(OfflineError, match="a server of MLflow") as refused:
        tracked(Watcher(), "https://user:word@mlflow.example.com/x", tmp_path)
    assert refused.value.where == "mlflow.example.com/x"  # and not who would log in


@pytest.mark.parametrize(
    ("said", "meant"), [("", False), ("0", False), ("no", False), ("1", True), (" True ", True)]
)
def test_how_it_is_said(monkeypatch: pytest.MonkeyPatch, said: str, meant: bool) -> None:
    monkeypatch.setenv(VARIABLE, said)
    assert is_offline() == meant


def test_what_says_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from tastebench import cli

    monkeypatch.setenv(VARIABLE, "perhaps")
    with pytest.raises(UsageError, match="neither yes nor no"):
        is_offline()
    assert cli.main(["list", "metrics"]) == UsageError.exit_code


def watched(tmp_path: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """Python in processes whose connections beyond this machine fail and are written down."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(WATCH, encoding="utf-8")
    touched = tmp_path / "touched"
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "OPENAI_"))}
    environment |= {"PYTHONPATH": str(tmp_path / "path"), "TOUCHED": str(touched)}
    environment |= {"HF_HOME": str(tmp_path / "hf"), "OPENAI_API_KEY": "sk-planted-0123456789"}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    told = touched.read_text(encoding="utf-8").splitlines() if touched.exists() else []
    return done.returncode, done.stdout + done.stderr, told


def run(tmp_path: Path, plan: str, *more: str) -> tuple[int, str, list[str]]:
    (tmp_path / "plan.yaml").write_text(plan, encoding="utf-8")
    verb = ("-m", "tastebench.cli", "run", "plan.yaml", "--workers", "1")
    return watched(tmp_path, *verb, *more)


PLAN = """
name: study
datasets: [shop]
tasks: [cf]
encoders: [tfidf-svd]
recommenders: [{name: alpharec, params: {epochs: 1}}]
latency_seconds: 0
"""


def test_the_watch_sees_whoever_connects_or_asks_for_a_name(tmp_path: Path) -> None:
    asks = "import socket\nfor host in ('192.0.2.1', 'hub.invalid'):\n  try: "
    asks += "socket.create_connection((host, 80), 1)\n  except OSError: pass"
    assert len(watched(tmp_path, "-c", asks)[2]) == 2


@pytest.mark.usefixtures("shop")
def test_a_run_with_all_that_it_needs_touches_no_network(tmp_path: Path) -> None:
    code, said, touched = run(tmp_path, PLAN, "--offline", "--lock", "plan.lock.json")
    assert code == 0, said
    assert touched == []
    assert (tmp_path / "plan.lock.json").is_file()
    assert len(list((tmp_path / "results").rglob("record.json"))) == 1


@pytest.mark.usefixtures("shop")
def test_a_run_that_lacks_a_model_is_refused_and_touches_no_network(tmp_path: Path) -> None:
    code, said, touched = run(tmp_path, PLAN.replace("tfidf-svd", "org/model"), "--offline")
    assert code == OfflineError.exit_code, said
    assert "the model org/model is not on this machine" in said
    assert "hf download org/model" in said
    assert touched == []
