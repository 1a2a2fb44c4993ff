from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tastebench.errors import DataError
from tastebench.lm.headed import load_headed
from tastebench.lm.load import find_model
from tastebench.testing.language_models import add_head, tiny_language_model

KINDS = {
    "llama": "decoder",
    "gemma2": "decoder",  # bends its logits behind the head
    "opt-narrow": "decoder",
    "gpt2": "decoder",
    "bert": "encoder",  # its head begins with a layer of its own
    "t5": "encoder-decoder",
}


@pytest.mark.parametrize("architecture", KINDS)
def test_logits_at_chosen_places_are_those_of_all_places(tmp_path: Path, architecture: str) -> None:
    folder = add_head(tiny_language_model(tmp_path / "m", architecture))
    headed = load_headed(find_model(str(folder)))
    assert headed.kind == KINDS[architecture]
    assert headed.untrained == ()
    headed.model.eval()
    inputs = {"input_ids": torch.randint(4, 300, (3, 9))}
    if headed.kind == "encoder-decoder":
        inputs["decoder_input_ids"] = torch.randint(4, 300, (3, 6))
    row, place = torch.tensor([0, 2, 2]), torch.tensor([5, 1, 4])
    with torch.no_grad():
        wanted = headed.model(**inputs).logits[row, place]
        found = headed.logits_at(row, place, **inputs)
        torch.testing.assert_close(found, wanted)
        assert headed.model(**inputs).logits.shape[:2] == (3, 6 if architecture == "t5" else 9)


def test_a_head_that_is_not_in_the_folder_is_told(tmp_path: Path) -> None:
    bare = load_headed(find_model(str(tiny_language_model(tmp_path / "bert", "bert"))))
    assert "cls.predictions.bias" in bare.untrained
    decoder = tiny_language_model(tmp_path / "llama", "llama", tie_word_embeddings=False)
    assert load_headed(find_model(str(decoder))).untrained == ("lm_head.weight",)
    tied = tiny_language_model(tmp_path / "tied", "llama", tie_word_embeddings=True)
    assert load_headed(find_model(str(tied))).untrained == ()


def test_a_model_with_a_hole_below_its_head_is_refused(tmp_path: Path) -> None:
    folder = add_head(tiny_language_model(tmp_path / "m", "llama"))
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks 1 of its weights, e\.g\. model\.layers\.1\.mlp"):
        load_headed(find_model(str(folder)))


CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class MineConfig(LlamaConfig):
    model_type = "mine-of-a-test"

class Mine(LlamaForCausalLM):
    config_class = MineConfig
"""


def test_code_that_a_model_brings_is_not_run_unless_it_is_trusted(tmp_path: Path) -> None:
    folder = add_head(tiny_language_model(tmp_path / "m", "llama"))
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "code_of_it.MineConfig", "AutoModelForCausalLM": "code_of_it.Mine"}
    config |= {"model_type": "mine-of-a-test", "architectures": ["Mine"], "auto_map": classes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code_of_it.py").write_text(CODE)
    found = find_model(str(folder))
    with pytest.raises(DataError, match="brings code of its own") as error:
        load_headed(found)
    assert error.value.fix is not None and "trust_remote_code: true" in error.value.fix
    headed = load_headed(replace(found, trusted=True))
    assert type(headed.model).__name__ == "Mine"
    assert headed.kind == "decoder"
