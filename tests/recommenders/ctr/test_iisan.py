from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.errors import DataError, UsageError
from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators.iisan import Iisan, SideNetwork, every
from tastebench.testing.language_models import WORDS, tiny_language_model

RNG = np.random.default_rng(8)
N, WIDTH = 30, 12
TITLES = [" ".join(RNG.choice(WORDS, size=1 + i % 5)) for i in range(N)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("models") / "llama", "llama")


def operator(model: Path | str, **settings: Any) -> Iisan:
    card = ITEM_OPERATORS.get("iisan")
    config = card.settings({"model": str(model), **settings}, where="test")
    built = card.build(config, Content(N, text={"title": TITLES}), WIDTH)
    assert isinstance(built, Iisan)
    return built


def means(model: Path) -> np.ndarray:
    """The mean over tokens of every state of transformers, text by text, `[n, 1 + layers, d]`."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    language_model = AutoModel.from_pretrained(model).eval()
    rows = []
    for title in TITLES:
        ids = torch.tensor([tokenizer(title)["input_ids"]])
        with torch.no_grad():
            states = language_model(input_ids=ids, output_hidden_states=True).hidden_states
        rows.append([state[0].mean(dim=0).numpy() for state in states])
    return np.array(rows)


def plain(states: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """The side network in NumPy, from its definition; `states [n, layers, d]`, projected."""
    s = states[:, 0]
    for i in range(1, states.shape[1]):
        block = f"side.blocks.{i - 1}."
        gate = 1 / (1 + np.exp(-weights["side.gates"][i - 1]))
        z = gate * s + (1 - gate) * states[:, i]
        inner = z @ weights[f"{block}up.weight"].T + weights[f"{block}up.bias"]
        outer = np.maximum(inner, 0) @ weights[f"{block}down.weight"].T
        y = z + outer + weights[f"{block}down.bias"]
        centred = y - y.mean(axis=1, keepdims=True)
        normed = centred / np.sqrt(y.var(axis=1, keepdims=True) + 1e-5)
        s = normed * weights[f"{block}norm.weight"] + weights[f"{block}norm.bias"]
    return s @ weights["out.weight"].T + weights["out.bias"]


def numbers(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def scramble(module: nn.Module) -> None:
    """Other weights than the first ones, so that zeros and ones hide nothing."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.3)


@pytest.mark.parametrize(
    ("step", "layers"), [(1, (1, 2, 3, 4)), (2, (2, 4)), (3, (1, 4)), (4, (4,)), (9, (4,))]
)
def test_every_kth_layer_is_merged_from_below(
    model: Path, step: int, layers: tuple[int, ...]
) -> None:
    ours = operator(model, layer_step=step)
    scramble(ours)
    wanted = plain(means(model)[:, layers], numbers(ours))
    with torch.no_grad():
        found = ours(torch.arange(N)).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("projection", ["shared", "per-layer"])
def test_states_may_be_projected_first(model: Path, projection: str) -> None:
    ours = operator(model, projection=projection, projection_size=6)
    scramble(ours)
    weights = numbers(ours)
    states = means(model)[:, 1:]
    which = [0] * 4 if projection == "shared" else range(4)
    projected = np.stack(
        [states[:, i] @ weights[f"side.projections.{k}.weight"].T for i, k in enumerate(which)],
        axis=1,
    )
    assert len(ours.side.projections) == len(set(which))
    with torch.no_grad():
        found = ours(torch.arange(N)).numpy()
    np.testing.assert_allclose(found, plain(projected, weights), atol=2e-4, rtol=2e-4)


def test_gates_begin_at_sigmoid_of_a_half() -> None:
    side = SideNetwork(3, 4, "none", 64)
    assert side.gates.tolist() == [0.5, 0.5]
    with torch.no_grad():
        for block in side.blocks:
            block.down.weight.zero_()
            block.down.bias.zero_()
            block.norm = nn.Identity()
        g = 1 / (1 + np.exp(-0.5))
        h = torch.tensor([[[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]])
        wanted = [g * g, g * (1 - g), 1 - g, 0]
        np.testing.assert_allclose(side(h)[0].numpy(), wanted, rtol=1e-6)


def test_the_top_layer_is_always_read() -> None:
    assert [every(step, 6) for step in (1, 2, 4, 5)] == [
        (1, 2, 3, 4, 5, 6),
        (2, 4, 6),
        (2, 6),
        (1, 6),
    ]


def test_the_language_model_is_no_part_of_what_is_trained_or_saved(model: Path) -> None:
    ours = operator(model)
    assert {name.partition(".")[0] for name in ours.state_dict()} == {"side", "out"}
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
    ours(torch.arange(N)).square().mean().backward()
    optimizer.step()
    changed = {name for name, t in ours.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == set(before)


def test_states_are_kept_and_damage_is_an_error(model: Path, home: Path) -> None:
    def vectors() -> Tensor:
        torch.manual_seed(0)
        with torch.no_grad():
            return operator(model)(torch.arange(N))

    first = vectors()
    (file,) = (home / "states").glob("*/states.npy")
    assert np.load(file).shape == (N, 4, 32)
    assert torch.equal(vectors(), first)
    np.save(file, np.load(file)[:, ::-1])
    with pytest.raises(DataError, match="the kept states of 'llama' are damaged") as error:
        vectors()
    assert str(error.value.fix).startswith(f"delete {file.parent}")


def test_items_without_text_are_an_error(model: Path) -> None:
    card = ITEM_OPERATORS.get("iisan")
    config = card.settings({"model": str(model)}, where="test")
    with pytest.raises(UsageError, match="reads the text of items, and these have none"):
        card.build(config, Content(N), WIDTH)


def test_a_misspelt_setting_names_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no setting 'layer_steps'.*layer_step"):
        ITEM_OPERATORS.get("iisan").settings({"layer_steps": 2}, where="plan")
