from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import UsageError
from tastebench.lm.layers import LayerStack, TunedModel, cut
from tastebench.lm.load import find_model, ready
from tastebench.lm.lora import add_lora, keep_trained_only
from tastebench.lm.padded import Padded
from tastebench.lm.text_model import load_text_model
from tastebench.testing.language_models import tiny_language_model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    names = ("bert", "llama", "gpt2", "opt")
    return {name: tiny_language_model(root / name, name) for name in names}


def tuned_from(folder: Path, k: int) -> tuple[TunedModel, Tensor, Tensor]:
    """What is trained of a model, the states that go into it and their mask."""
    source = load_text_model(find_model(str(folder)))
    ready(source.model, "cpu", stored=False)
    tokens = source.tokens(["red wool socks", "a", "black kettle for the kitchen"], limit=20)
    ids, mask = Padded(tokens.values, tokens.offsets).take(np.arange(3), torch.device("cpu"))
    stack = LayerStack(source)
    with torch.no_grad():
        states = stack.states(ids.long(), mask, at=(k,))[k]
    return cut(stack, k, ids.long(), mask), states, mask


def adapt(tuned: TunedModel, **changes: object) -> list[str]:
    settings = {"alpha": 8, "dropout": 0.0, "targets": None, "name": "it", **changes}
    return add_lora(tuned, 2, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("architecture", ["bert", "llama", "gpt2", "opt"])
def test_a_new_adapter_changes_nothing(folders: dict[str, Path], architecture: str) -> None:
    tuned, states, mask = tuned_from(folders[architecture], 2)
    before = tuned(states, mask)[mask]
    adapt(tuned)
    torch.testing.assert_close(tuned(states, mask)[mask], before, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("architecture", "targets"),
    [
        ("bert", ["query", "value"]),
        ("llama", ["q_proj", "v_proj"]),
        ("opt", ["q_proj", "v_proj"]),
        ("gpt2", ["c_attn"]),
    ],
)
def test_queries_and_values_of_the_trained_layers_are_adapted(
    folders: dict[str, Path], architecture: str, targets: list[str]
) -> None:
    tuned, _, _ = tuned_from(folders[architecture], 3)
    assert adapt(tuned) == targets
    trained = [name for name, p in tuned.named_parameters() if p.requires_grad]
    assert len(trained) == 2 * len(targets)
    assert all(".3." in name and "lora_" in name for name in trained)
    assert {name.split(".lora_")[0].rpartition(".")[2] for name in trained} == set(targets)


def test_an_adapter_adds_alpha_over_rank_times_its_product(folders: dict[str, Path]) -> None:
    tuned, _, _ = tuned_from(folders["llama"], 3)
    layer = tuned.trained_layers()[0].self_attn.q_proj
    weight = layer.weight.detach().clone()
    adapt(tuned, alpha=8)
    adapted = tuned.trained_layers()[0].self_attn.q_proj
    A, B = adapted.lora_A["default"].weight, adapted.lora_B["default"].weight
    assert (A.shape, B.shape) == ((2, 32), (32, 2))
    nn.init.normal_(B)
    x = torch.randn(5, 32)
    wanted = x @ weight.T + (8 / 2) * x @ A.T @ B.T
    torch.testing.assert_close(adapted(x), wanted, atol=1e-5, rtol=1e-5)


def test_adapters_follow_the_mode_of_the_model(folders: dict[str, Path]) -> None:
    tuned, states, mask = tuned_from(folders["llama"], 2)
    adapt(tuned, dropout=0.5)
    assert not any(module.training for module in tuned.modules())
    for name, parameter in tuned.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)
    assert torch.equal(tuned(states, mask), tuned(states, mask))
    tuned.train()
    assert not torch.equal(tuned(states, mask), tuned(states, mask))


def test_embeddings_below_adapters_are_not_in_train_mode(folders: dict[str, Path]) -> None:
    tuned, _, _ = tuned_from(folders["bert"], 0)
    adapt(tuned)
    tuned.train()
    assert not tuned.model.embeddings.dropout.training
    assert all(
        module.training
        for module in tuned.model.encoder.layer.modules()
        if module is not (tuned.model.encoder.layer)
    )


def test_targets_can_be_named(folders: dict[str, Path]) -> None:
    tuned, _, _ = tuned_from(folders["llama"], 3)
    assert adapt(tuned, targets=("up_proj",)) == ["up_proj"]
    assert [n for n, p in tuned.named_parameters() if p.requires_grad] == [
        "model.layers.3.mlp.up_proj.lora_A.default.weight",
        "model.layers.3.mlp.up_proj.lora_B.default.weight",
    ]


def test_a_target_that_is_not_there_names_the_nearest(folders: dict[str, Path]) -> None:
    tuned, _, _ = tuned_from(folders["llama"], 3)
    with pytest.raises(UsageError, match=r"'it' has no linear layer 'q_porj'.*q_proj"):
        adapt(tuned, targets=("q_porj",))


def test_a_model_with_other_names_lists_them(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastebench.lm.lora.QUERIES_AND_VALUES", (("Wq", "Wv"),))
    tuned, _, _ = tuned_from(folders["llama"], 3)
    with pytest.raises(UsageError, match="no layers known as those of queries") as error:
        adapt(tuned)
    assert "q_proj" in str(error.value.fix)


def test_what_is_not_trained_is_neither_saved_nor_a_parameter() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    module[0].requires_grad_(False)
    x = torch.randn(4, 2)
    before = module(x)
    keep_trained_only(module)
    assert torch.equal(module(x), before)
    assert list(module.state_dict()) == ["1.weight", "1.bias"]
    assert [name for name, _ in module.named_parameters()] == ["1.weight", "1.bias"]
    assert module.double()[0].weight.dtype == torch.float64


def test_loading_is_strict_about_what_is_trained() -> None:
    module = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    module[0].requires_grad_(False)
    whole = module.state_dict()
    keep_trained_only(module)
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\).*"0.weight"'):
        module.load_state_dict(whole)
    with pytest.raises(RuntimeError, match=r'Missing key\(s\).*"1.bias"'):
        module.load_state_dict({"1.weight": whole["1.weight"]})
