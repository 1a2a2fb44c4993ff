"""A model's own Python code does not run unless somebody says that it may, however it is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tastebench.contracts import Encoder
from tastebench.encoders import get_encoder
from tastebench.errors import DataError
from tastebench.lm.headed import load_headed
from tastebench.lm.load import find_model
from tastebench.testing.language_models import tiny_language_model

CODE = """
import pathlib
pathlib.Path({marker!r}).write_text("ran")
from transformers import {config}, {model}
class OwnConfig({config}):
    model_type = "own"
class OwnModel({model}):
    config_class = OwnConfig
"""


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """Made by the model's code."""
    return tmp_path / "ran"


@pytest.fixture
def bringing_code(tmp_path: Path, marker: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A language model whose settings send whoever opens it to a file of code."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    folder = tiny_language_model(tmp_path / "own", "llama")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config |= {
        "model_type": "own",
        "auto_map": {
            name: f"modeling_own.{'OwnConfig' if name == 'AutoConfig' else 'OwnModel'}"
            for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM")
        },
    }
    path.write_text(json.dumps(config))
    code = CODE.format(marker=str(marker), config="LlamaConfig", model="LlamaForCausalLM")
    (folder / "modeling_own.py").write_text(code)
    return folder


def encode(name: Any) -> None:
    encoder: Encoder = get_encoder(name)
    encoder.encode(["a text"])


@pytest.mark.parametrize("ending", ["", ":mean", ":last"])
def test_as_an_encoder(bringing_code: Path, marker: Path, ending: str) -> None:
    with pytest.raises(DataError, match="trust_remote_code"):
        encode(f"{bringing_code}{ending}")
    assert not marker.exists()


def test_as_the_control_of_an_encoder(bringing_code: Path, marker: Path) -> None:
    with pytest.raises(DataError):
        encode(f"shuffled:{bringing_code}")
    assert not marker.exists()


def test_as_a_language_model_that_recommends(bringing_code: Path, marker: Path) -> None:
    with pytest.raises(DataError, match="trust_remote_code"):
        load_headed(find_model(str(bringing_code)))
    assert not marker.exists()


def test_as_the_tokenizer_of_a_click_model(bringing_code: Path, marker: Path) -> None:
    from tastebench.items.tokens import _load_transformers

    path = bringing_code / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config |= {"auto_map": {"AutoTokenizer": ["modeling_own.OwnModel", None]}}
    config |= {"tokenizer_class": "OwnTokenizer"}
    path.write_text(json.dumps(config))
    try:
        _load_transformers(bringing_code)
    except DataError as error:
        assert error.fix
    assert not marker.exists()


def test_its_python_is_part_of_what_it_is_known_by(bringing_code: Path) -> None:
    before = find_model(str(bringing_code)).revision
    (bringing_code / "modeling_own.py").write_text("x = 1\n")
    assert find_model(str(bringing_code)).revision != before


def test_weights_in_formats_that_run_code_are_not_read(tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "pickled", "llama")
    for path in folder.glob("*.safetensors"):
        path.rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="no weights in the safetensors format") as refused:
        find_model(str(folder))
    assert refused.value.fix and "safe_serialization=True" in refused.value.fix
