from __future__ import annotations

import json

import pytest

from tastebench import cli
from tastebench.encoders import ENCODERS


@pytest.fixture(autouse=True)
def _bare(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


def test_encoders_are_listed_by_what_they_need(capsys):
    assert cli.main(["list", "encoders"]) == 0
    lines = capsys.readouterr().out.splitlines()
    groups = [line for line in lines if line.endswith(":")]
    assert groups[0] == "here:"
    assert groups[-3:] == ["needs download:", "needs key:", "by name:"]
    (small,) = [line for line in lines if line.startswith("bge-small-en-v1.5 ")]
    assert small.endswith("[0.13 GB]")
    (large,) = [line for line in lines if line.startswith("text-embedding-3-large ")]
    assert large.endswith("[$0.13 a million tokens]")
    download = lines[lines.index("needs download:") + 1 : lines.index("needs key:")]
    sizes = [float(line.rpartition("[")[2].split()[0]) for line in download]
    assert sizes == sorted(sizes)


def test_a_key_moves_an_encoder_to_those_that_are_here(capsys, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    assert cli.main(["list", "encoders", "--json"]) == 0
    out = capsys.readouterr().out
    rows = {row["name"]: row for row in json.loads(out)}
    assert rows["text-embedding-3-large"]["group"] == "here"
    assert rows["gemini-embedding-001"]["group"] == "needs key"  # another provider's key
    assert rows["e5-mistral-7b"]["bytes"] == 2 * 7_110_660_096
    assert set(ENCODERS.names()) <= set(rows)
    assert "secret" not in out


def test_a_card_is_shown_by_either_name(capsys):
    assert cli.main(["show", "e5-mistral-7b"]) == 0
    shown = capsys.readouterr().out
    assert "  pooling: last\n" in shown
    assert '\\nQuery: "\n' in shown  # one line a field
    assert "  here: False\n" in shown
    assert cli.main(["show", "intfloat/e5-mistral-7b-instruct", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["encoder"]["name"] == "e5-mistral-7b"


def test_bricks_are_listed_by_what_they_do_and_shown_with_their_settings(capsys):
    assert cli.main(["list", "bricks"]) == 0
    lines = capsys.readouterr().out.splitlines()
    groups = [line for line in lines if line.endswith("s:")]
    assert groups == ["item operators:", "user operators:", "predictors:"]
    assert any(line.startswith("poly-attention ") for line in lines)
    assert cli.main(["show", "attention", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert set(shown) == {"item operator", "user operator"}  # one name, two bricks
    heads = shown["user operator"]["hyper-parameters"]["heads"]
    assert heads["default"] == 16 and "Attention heads" in heads["meaning"]
