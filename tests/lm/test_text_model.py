from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tastebench.errors import DataError
from tastebench.lm.load import find_model
from tastebench.lm.padded import Padded
from tastebench.lm.text_model import TextModel, load_text_model
from tastebench.ragged import Ragged
from tastebench.testing.language_models import tiny_language_model


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("models") / "llama", "llama")


def load(folder: Path) -> TextModel:
    return load_text_model(find_model(str(folder)))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "bert"])
def test_texts_become_the_tokens_of_their_tokenizer(tmp_path: Path, architecture: str) -> None:
    model = load(tiny_language_model(tmp_path / "model", architecture))
    texts = ["red wool socks", "grey spaceship"]
    tokens = model.tokens(texts, limit=None)
    assert tokens.values.dtype == np.int32
    assert [model.tokenizer.decode(row) for row in tokens] == texts
    assert len(tokens[0]) == 3


def test_a_text_is_cut_at_the_limit(llama: Path) -> None:
    model = load(llama)
    whole = model.tokens(["red wool socks for winter"], limit=None).to_lists()[0]
    assert model.tokens(["red wool socks for winter"], limit=2).to_lists() == [whole[:2]]


def test_a_text_without_tokens_is_the_first_special_token(llama: Path) -> None:
    assert load(llama).tokens(["", "red"], limit=5).to_lists()[0] == [1]


def test_a_tokenizer_that_makes_nothing_of_texts_is_an_error(tmp_path: Path) -> None:
    """transformers reads every tokenizer beside a Qwen2 as byte pairs, whatever its file says."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel

    folder = tiny_language_model(tmp_path / "model", "qwen2")
    words = {"<unk>": 0, "wollsocken": 1, "topf": 2}
    Tokenizer(WordLevel(words, unk_token="<unk>")).save(str(folder / "tokenizer.json"))
    with pytest.raises(DataError, match=r"'model' makes no token of 2 of 3 texts") as error:
        load(folder).tokens(["wollsocken", "topf", ""], limit=5)
    assert "Qwen2Tokenizer" in str(error.value.where)


def test_the_side_on_which_a_tokenizer_pads_does_not_matter(tmp_path: Path) -> None:
    folder = tiny_language_model(tmp_path / "model", "llama")
    texts = ["red wool socks", "a", "grey kettle for two"]
    right = load(folder).tokens(texts, limit=10)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings["padding_side"] = "left"
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    left = load(folder)
    assert left.tokenizer.padding_side == "left"
    assert left.tokens(texts, limit=10).to_lists() == right.to_lists()


def test_a_model_that_lacks_weights_is_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tiny_language_model(tmp_path / "model", "bert")
    weights = load_file(folder / "model.safetensors")
    gone = next(name for name in weights if "layer.2" in name)
    del weights[gone]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"'model' lacks 1 of its weights.*layer\.2"):
        load(folder)


def test_a_pooler_is_left_out_whether_it_has_weights_or_not(tmp_path: Path) -> None:
    model = load(tiny_language_model(tmp_path / "model", "bert")).model
    assert not any("pooler" in name for name, _ in model.named_parameters())


def test_of_an_encoder_decoder_the_encoder_is_read(tmp_path: Path) -> None:
    model = load(tiny_language_model(tmp_path / "model", "t5")).model
    output = model(input_ids=torch.tensor([[5, 6]]), attention_mask=torch.ones(1, 2))
    assert output.last_hidden_state.shape == (1, 2, 32)


@given(
    lists=st.lists(st.lists(st.integers(1, 9), min_size=1, max_size=5), min_size=1, max_size=6),
    data=st.data(),
)
def test_rows_are_padded_like_a_ragged(lists: list[list[int]], data: st.DataObject) -> None:
    ragged = Ragged.from_lists(lists)
    n = len(lists)
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=8)))
    padded, mask = Padded(ragged.values, ragged.offsets).take(rows, torch.device("cpu"))
    taken = ragged[rows]
    longest = int(taken.lengths.max())
    assert padded.tolist() == taken.padded(longest, fill=0).tolist()
    assert mask.tolist() == (taken.padded(longest, fill=0) > 0).tolist()


def test_states_are_padded_with_zeros_in_float32() -> None:
    values = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float16)
    states, mask = Padded(values, np.array([0, 1, 3])).take(np.array([1, 0]), torch.device("cpu"))
    assert states.tolist() == [[[3, 4], [5, 6]], [[1, 2], [0, 0]]]
    assert states.dtype == torch.float32
    assert mask.tolist() == [[True, True], [True, False]]
