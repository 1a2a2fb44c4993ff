from __future__ import annotations

import os

import pytest
import torch

from tastebench.errors import DataError, UsageError
from tastebench.lm.load import choose_device, find_model, folder_revision, native_bf16

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    (path / "1_Pooling").mkdir(parents=True)
    (path / "model.safetensors").write_bytes(b"weights")
    (path / "config.json").write_text("{}")
    (path / "1_Pooling" / "config.json").write_text("{}")
    return path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub cache of our own, and no network."""
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


def test_a_folder_is_called_by_its_own_name(folder, monkeypatch):
    model = find_model(str(folder))
    assert (model.name, model.path, model.source) == ("model", folder, None)
    monkeypatch.chdir(folder)
    assert find_model(".") == model


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda path: (path / "README.md").write_text("words"), True),
        (lambda path: (path / "pytorch_model.bin").write_bytes(b"pickle"), True),
        (lambda path: os.utime(path / "config.json", (1, 1)), True),
        (lambda path: (path / "model.safetensors").write_bytes(b"weighty"), False),
        (lambda path: (path / "1_Pooling" / "config.json").write_text("{ }"), False),
        (lambda path: (path / "tokenizer.json").write_text("{}"), False),
        (lambda path: (path / "modeling.py").write_text("x = 1"), False),
        (lambda path: (path / "config.json").rename(path / "other.json"), False),
    ],
)
def test_a_revision_is_what_the_vectors_depend_on(folder, change, same):
    before = folder_revision(folder)
    change(folder)
    assert (folder_revision(folder) == before) == same


def test_weights_that_could_run_code_are_not_read(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="no weights in the safetensors format") as caught:
        find_model(str(folder))
    assert "safe_serialization" in caught.value.fix


@pytest.mark.parametrize("name", ["./gone", "~/gone-nowhere", "/gone/nowhere"])
def test_a_missing_folder_is_data_not_usage(name):
    with pytest.raises(DataError, match="does not exist") as caught:
        find_model(name)
    assert caught.value.exit_code == 4


def test_a_file_is_no_folder(folder):
    with pytest.raises(DataError, match="is a file, not a folder"):
        find_model(str(folder / "config.json"))


def test_a_folder_without_a_model_is_not_searched(tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(DataError, match=r"neither config\.json nor modules\.json"):
        find_model(str(tmp_path))


@pytest.mark.parametrize("name", ["plain", "a/b/c", "org/mo del"])
def test_what_is_neither_is_refused(name):
    with pytest.raises(UsageError, match="neither a folder nor a hub name"):
        find_model(name)


@pytest.mark.parametrize("name", ["org/model", f"org/model@{COMMIT}", "org/model@v1.0"])
def test_without_network_the_message_names_the_way_out(hub, name):
    with pytest.raises(DataError, match="no such model from the hub") as caught:
        find_model(name)
    assert caught.value.exit_code == 4
    assert "give the path of its folder" in caught.value.fix


@pytest.mark.parametrize("name", ["org/model", f"org/model@{COMMIT}"])
def test_a_hub_model_already_here_is_found_with_its_commit(hub, name):
    repository = hub / "models--org--model"
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    model = find_model(name)
    assert (model.name, model.revision, model.source) == ("org/model", COMMIT, "org/model")
    assert model.path == snapshot


def test_auto_is_a_device_of_this_machine():
    device = choose_device("auto")
    assert torch.zeros(1, device=device).device.type == device
    assert choose_device("cpu") == "cpu"


def test_an_absent_device_is_refused(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="no device 'cuda:1' here") as caught:
        choose_device("cuda:1")
    assert "cpu" in caught.value.fix
    with pytest.raises(UsageError, match="no device 'toaster'"):
        choose_device("toaster")


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"avx2": True}, False),
        ({}, False),
    ],
)
def test_bf16_is_native_only_where_the_cpu_says_so(monkeypatch, able, expected):
    monkeypatch.setattr("torch.cpu.get_capabilities", lambda: able)
    assert native_bf16("cpu") is expected


def test_bf16_is_not_assumed_elsewhere(monkeypatch):
    assert native_bf16("mps") is False
    monkeypatch.delattr("torch.cpu.get_capabilities")
    assert native_bf16("cpu") is False
