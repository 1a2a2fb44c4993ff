from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.encoders.catalog import minilm_folder
from tastebench.errors import DependencyError, UsageError
from tastebench.lm.layers import LayerStack, TunedModel, cut, distance
from tastebench.lm.load import find_model, ready
from tastebench.lm.padded import Padded
from tastebench.lm.text_model import load_text_model
from tastebench.testing.language_models import ARCHITECTURES, tiny_language_model

TEXTS = [
    "red wool socks for winter",
    "a",
    "large set of black steel lamp and kettle with free cover for small oak chair and tent",
    "grey travel pan",
]
APART = [name for name in ARCHITECTURES if name not in ("t5", "albert")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {name: tiny_language_model(root / name, name) for name in ARCHITECTURES}


def stack_of(folder: Path) -> tuple[LayerStack, Tensor, Tensor]:
    """A fresh model and the texts, padded, in its tokens."""
    source = load_text_model(find_model(str(folder)))
    ready(source.model, "cpu", stored=False)
    tokens = source.tokens(TEXTS, limit=50)
    ids, mask = Padded(tokens.values, tokens.offsets).take(np.arange(4), torch.device("cpu"))
    return LayerStack(source), ids.long(), mask


def published(folder: Path) -> list[list[Tensor]]:
    """By text, the states of all layers as transformers gives them, without any padding."""
    stack, ids, mask = stack_of(folder)
    with torch.no_grad():
        return [
            [
                state[0]
                for state in stack.model(
                    input_ids=ids[row : row + 1, : mask[row].sum()],
                    attention_mask=torch.ones(1, int(mask[row].sum()), dtype=torch.long),
                    output_hidden_states=True,
                ).hidden_states
            ]
            for row in range(len(ids))
        ]


def assert_cuts_exactly(folder: Path) -> None:
    """For every k: state k is transformers' own, and the layers above make the output of it."""
    wanted = published(folder)
    n = stack_of(folder)[0].n
    for k in range(n + 1):
        stack, ids, mask = stack_of(folder)
        with torch.no_grad():
            state = stack.states(ids, mask, at=(k,))[k]
            if k == n:
                output = state
            else:
                tuned = cut(stack, k, ids, mask)
                output = tuned(ids if k == 0 else state, mask)
        for row, own in enumerate(mask):
            torch.testing.assert_close(state[row][own], wanted[row][k], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(output[row][own], wanted[row][n], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", APART)
def test_a_tiny_model_is_cut_exactly_at_every_layer(
    folders: dict[str, Path], architecture: str
) -> None:
    assert_cuts_exactly(folders[architecture])


def test_minilm_is_cut_exactly_at_every_layer() -> None:
    try:
        folder = minilm_folder()
    except DependencyError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    assert_cuts_exactly(folder)


@pytest.mark.assets
def test_a_trained_decoder_is_cut_exactly_at_every_layer(asset: Callable[[str], Path]) -> None:
    assert_cuts_exactly(asset("models/stories260k"))


def test_a_model_whose_layers_hand_on_more_than_states_is_refused(
    folders: dict[str, Path],
) -> None:
    stack, ids, mask = stack_of(folders["t5"])
    with pytest.raises(UsageError, match=r"the layers of the model 't5' cannot be run apart at"):
        cut(stack, 2, ids, mask)


def test_the_same_model_can_be_trained_as_a_whole(folders: dict[str, Path]) -> None:
    stack, ids, mask = stack_of(folders["t5"])
    assert cut(stack, 0, ids, mask).k == 0


def test_a_model_whose_layers_are_one_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"'albert' has no list of its 4 layers"):
        stack_of(folders["albert"])


def test_a_layer_left_out_is_noticed(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a published implementation: given state k it goes on with layer k + 1."""

    class OneTooHigh(TunedModel):
        def __init__(self, stack: LayerStack, k: int) -> None:
            super().__init__(stack, k)
            stack.layers[k] = Through()

    class Through(nn.Module):
        def forward(self, hidden_states: Tensor, *args: object, **kwargs: object) -> Tensor:
            return hidden_states

    monkeypatch.setattr("tastebench.lm.layers.TunedModel", OneTooHigh)
    stack, ids, mask = stack_of(folders["bert"])
    with pytest.raises(UsageError, match="cannot be run apart at layer 2"):
        cut(stack, 2, ids, mask)


def test_layers_above_the_last_state_asked_for_do_not_run(folders: dict[str, Path]) -> None:
    stack, ids, mask = stack_of(folders["bert"])
    ran = []
    for number, layer in enumerate(stack.layers):
        layer.register_forward_hook(lambda *_, number=number: ran.append(number))
    found = stack.states(ids, mask, at=(1, 2))
    assert ran == [0, 1]
    assert list(found) == [1, 2]
    assert not any(layer._forward_pre_hooks for layer in stack.layers)


@pytest.mark.parametrize(("given", "layer"), [(0, 0), (4, 4), (-2, 2), (-4, 0), (3, 3)])
def test_layers_count_from_below_or_from_the_top(
    folders: dict[str, Path], given: int, layer: int
) -> None:
    assert stack_of(folders["bert"])[0].layer(given) == layer


@pytest.mark.parametrize("given", [5, -5])
def test_a_layer_that_is_not_there_is_an_error(folders: dict[str, Path], given: int) -> None:
    with pytest.raises(UsageError, match=rf"'bert' has no layer {given}: it has 4"):
        stack_of(folders["bert"])[0].layer(given)


def test_what_the_output_depends_on_is_trained_and_nothing_else(
    folders: dict[str, Path],
) -> None:
    stack, ids, mask = stack_of(folders["gpt2"])
    tuned = cut(stack, 3, ids, mask)
    trained = {name for name, p in tuned.named_parameters() if p.requires_grad}
    assert {name.removeprefix("model.").partition(".")[0] for name in trained} == {"h", "ln_f"}
    assert all(".3." in name or "ln_f" in name for name in trained)
    assert len(trained) == 12 + 2  # of a block, and weight and bias of the last norm


def test_the_words_are_gone_with_the_layers_below(folders: dict[str, Path]) -> None:
    stack, ids, mask = stack_of(folders["llama"])
    before = sum(p.numel() for p in stack.model.parameters())
    layer = sum(p.numel() for p in stack.layers[0].parameters())
    words = stack.model.get_input_embeddings().weight.numel()
    after = sum(p.numel() for p in cut(stack, 3, ids, mask).parameters())
    assert after == before - 3 * layer - words + 32  # one row of 32 stands for the words


def test_what_is_below_is_never_in_train_mode(folders: dict[str, Path]) -> None:
    stack, ids, mask = stack_of(folders["bert"])
    tuned = cut(stack, 2, ids, mask).train()
    assert not tuned.model.embeddings.dropout.training
    assert [layer.training for layer in tuned.model.encoder.layer] == [False, False, True, True]
    assert all(module.training for module in tuned.model.encoder.layer[2].modules())
    tuned.eval()
    assert not any(module.training for module in tuned.modules())


def test_a_model_trained_as_a_whole_is_in_train_mode_as_a_whole(folders: dict[str, Path]) -> None:
    stack, ids, mask = stack_of(folders["bert"])
    assert all(module.training for module in cut(stack, 0, ids, mask).train().modules())


def test_padding_is_not_seen(folders: dict[str, Path]) -> None:
    for architecture in APART:
        stack, ids, mask = stack_of(folders[architecture])
        with torch.no_grad():
            state = stack.states(ids, mask, at=(2,))[2]
            tuned = cut(stack, 2, ids, mask)
            output = tuned(state, mask)
            other = tuned(torch.where(mask[..., None], state, 7.0), mask)
        torch.testing.assert_close(other[mask], output[mask], atol=1e-6, rtol=0)


def test_distance_is_a_part_of_the_wanted_length() -> None:
    wanted = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert distance(torch.tensor([[3.0, 4.5], [0.0, 0.0]]), wanted) == pytest.approx(0.1)
    assert distance(torch.tensor([[3.0, 4.0], [0.0, 1e-9]]), wanted) == np.inf
    assert distance(torch.tensor([[3.0, np.nan], [0.0, 0.0]]), wanted) == np.inf
