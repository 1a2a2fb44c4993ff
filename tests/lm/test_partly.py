from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
import torch
from torch import Tensor

from tastebench.errors import UsageError
from tastebench.lm.headed import Headed, load_headed
from tastebench.lm.load import find_model
from tastebench.lm.partly import PartlyTrained, adapters
from tastebench.testing.language_models import add_head, tiny_language_model


class Settings(NamedTuple):
    tune: Literal["none", "lora", "full"] = "lora"
    lora_rank: int = 2
    lora_alpha: int = 4
    lora_dropout: float = 0.0
    targets: tuple[str, ...] | None = None


LORA, FULL = Settings(), Settings(tune="full")
IDS = torch.tensor([[5, 9, 30, 7], [8, 40, 0, 0]])
MASK = torch.tensor([[True] * 4, [True, True, False, False]])


def load(tmp_path: Path, architecture: str, **changes: Any) -> Headed:
    folder = tiny_language_model(tmp_path / architecture, architecture, **changes)
    return load_headed(find_model(str(add_head(folder))))


def partly(headed: Headed, tune_from: int | None, *, lora: bool = True) -> PartlyTrained:
    made = PartlyTrained(headed.model, headed.folder, tune_from).eval()
    put = adapters(LORA if lora else FULL)

    def output(given: dict[str, Tensor]) -> Tensor:
        return headed.model(**given).logits[MASK]

    made.choose(output, IDS, MASK, put)
    return made


def logits(headed: Headed) -> Tensor:
    with torch.no_grad():
        found: Tensor = headed.model(input_ids=IDS, attention_mask=MASK.long()).logits
    return found[MASK]


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "opt", "gpt2", "bert"])
def test_a_new_adapter_changes_no_logit_by_a_bit(tmp_path: Path, architecture: str) -> None:
    headed = load(tmp_path, architecture)
    headed.model.eval()
    before = logits(headed)
    partly(headed, None)
    assert torch.equal(logits(headed), before)


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma2", "opt", "gpt2", "bert"])
def test_layers_that_are_passed_by_change_no_logit_and_come_back(
    tmp_path: Path, architecture: str, k: int
) -> None:
    headed = load(tmp_path, architecture)
    made = partly(headed, k)
    wanted = logits(headed)
    states = made.states(IDS, MASK)
    with made.entering(states) as given, torch.no_grad():
        found = headed.model(**given, attention_mask=MASK.long()).logits[MASK]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert torch.equal(logits(headed), wanted)  # the lower layers are there again


def test_adapters_are_on_the_layers_that_are_trained_and_nowhere_else(tmp_path: Path) -> None:
    made = partly(load(tmp_path, "llama"), -1)
    names = set(made.state_dict())
    assert names == {name for name, p in made.named_parameters() if p.requires_grad}
    assert names == {
        f"model.model.layers.3.self_attn.{target}.lora_{side}.default.weight"
        for target in ("q_proj", "v_proj")
        for side in "AB"
    }


def test_of_an_encoder_decoder_all_attention_is_adapted(tmp_path: Path) -> None:
    headed = load(tmp_path, "t5")
    made = PartlyTrained(headed.model, headed.folder, None).eval()

    def output(given: dict[str, Tensor]) -> Tensor:
        said = torch.zeros(2, 1, dtype=torch.int64)
        return headed.model(**given, decoder_input_ids=said).logits.flatten(0, 1)

    made.choose(output, IDS, MASK, adapters(LORA))
    # 4 layers of the encoder, and twice as many attentions in the decoder's 4; q and v; A and B
    assert len(made.state_dict()) == (4 + 8) * 2 * 2


def test_without_adapters_what_lies_above_is_trained(tmp_path: Path) -> None:
    made = partly(load(tmp_path, "llama", tie_word_embeddings=False), 2, lora=False)
    names = set(made.state_dict())
    assert {"model.lm_head.weight", "model.model.norm.weight"} <= names
    layers = {name.split(".")[3] for name in names if ".layers." in name}
    assert layers == {"2", "3"}
    assert not any("embed_tokens" in name for name in names)


def test_words_that_make_logits_too_stay_with_the_frozen_layers(tmp_path: Path) -> None:
    made = partly(load(tmp_path, "llama", tie_word_embeddings=True), 2, lora=False)
    assert not any("embed_tokens" in name or "lm_head" in name for name in made.state_dict())
    whole = partly(load(tmp_path / "b", "llama", tie_word_embeddings=True), None, lora=False)
    assert "model.model.embed_tokens.weight" in set(whole.state_dict())


def test_frozen_layers_are_not_in_train_mode(tmp_path: Path) -> None:
    made = partly(load(tmp_path, "bert"), 2)
    made.train()
    layers = made.model.bert.encoder.layer
    assert [layer.attention.self.training for layer in layers] == [False, False, True, True]
    assert not made.model.bert.embeddings.dropout.training


def test_freezing_all_layers_is_refused(tmp_path: Path) -> None:
    headed = load(tmp_path, "llama")
    with pytest.raises(UsageError, match="tune_from 4 freezes all 4 layers of 'llama'"):
        PartlyTrained(headed.model, headed.folder, 4)


def test_a_model_whose_layers_do_not_run_apart_is_refused(tmp_path: Path) -> None:
    headed = load(tmp_path, "llama")
    made = PartlyTrained(headed.model, headed.folder, 2).eval()
    layer = made.stack.layers[2]  # type: ignore[union-attr]
    forward = layer.forward

    def needs_tokens(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
        seen.append(hidden_states)
        return forward(hidden_states + (len(seen) - 1), *args, **kwargs)

    seen: list[Tensor] = []
    layer.forward = needs_tokens
    with pytest.raises(UsageError, match="cannot be run apart at layer 2"):
        made.choose(lambda given: headed.model(**given).logits[MASK], IDS, MASK, None)
