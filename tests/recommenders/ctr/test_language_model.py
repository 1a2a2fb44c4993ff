from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.lm.load import native_bf16
from tastebench.recommenders.ctr.bricks import ITEM_OPERATORS
from tastebench.recommenders.ctr.content import Content
from tastebench.recommenders.ctr.item_operators.language_model import LanguageModel
from tastebench.testing.language_models import WORDS, tiny_language_model

RNG = np.random.default_rng(3)
N, WIDTH = 40, 16
TITLES = [" ".join(RNG.choice(WORDS, size=1 + i % 6)) for i in range(N)]
ITEMS = torch.from_numpy(RNG.permutation(np.r_[np.arange(N), np.arange(10)]))
LEFT_OUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    names = ("bert", "qwen2", "opt", "gpt2")
    made = {name: tiny_language_model(root / name, name) for name in names}
    made["plain-bert"] = tiny_language_model(root / "plain-bert", "bert", **LEFT_OUT)
    return made


def operator(
    model: Path | str, titles: list[str] = TITLES, seed: int = 0, **settings: Any
) -> LanguageModel:
    """An operator over the titles, its weights drawn from a seed, in eval mode."""
    card = ITEM_OPERATORS.get("language-model")
    config = card.settings({"model": str(model), "page": 1000, **settings}, where="test")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = card.build(config, Content(len(titles), text={"title": titles}), WIDTH)
    assert isinstance(built, LanguageModel)
    assert built.training
    return built.eval()


def put_head(target: LanguageModel, source: LanguageModel) -> None:
    """What comes after the language model, copied."""
    head = {k: v for k, v in source.state_dict().items() if not k.startswith("model.")}
    assert head
    assert not target.load_state_dict(head, strict=False).unexpected_keys


def assert_frozen_below_equals_whole(model: Path | str, layers: int, **settings: Any) -> None:
    whole = operator(model, tune_from=None, **settings)
    with torch.no_grad():
        wanted = whole(ITEMS)
        for k in range(layers + 1):
            part = operator(model, tune_from=k, **settings)
            put_head(part, whole)
            torch.testing.assert_close(part(ITEMS), wanted, atol=1e-5, rtol=1e-5)


# -------------------------------------------------------------------- equality with the whole model


@pytest.mark.parametrize("architecture", ["bert", "qwen2", "opt", "gpt2"])
def test_frozen_below_any_layer_equals_the_whole_model(
    folders: dict[str, Path], architecture: str
) -> None:
    assert_frozen_below_equals_whole(folders[architecture], 4)


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_so_it_does_with_every_pooling(folders: dict[str, Path], pooling: str) -> None:
    assert_frozen_below_equals_whole(folders["qwen2"], 4, pooling=pooling)


def test_minilm_frozen_below_any_layer_equals_the_whole_model() -> None:
    try:
        assert_frozen_below_equals_whole("minilm", 6)
    except DependencyError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))


@pytest.mark.assets
def test_a_trained_decoder_frozen_below_any_layer_equals_the_whole_one(
    asset: Callable[[str], Path],
) -> None:
    assert_frozen_below_equals_whole(asset("models/stories260k"), 5)


def test_every_pooling_is_that_of_transformers_on_one_text(folders: dict[str, Path]) -> None:
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["bert"])
    model = AutoModel.from_pretrained(folders["bert"]).eval()
    for pooling in ("mean", "last", "cls", "additive-attention"):
        ours = operator(folders["bert"], pooling=pooling)
        for row in (0, 5, 11):
            ids = torch.tensor([tokenizer(TITLES[row])["input_ids"]])
            with torch.no_grad():
                states = model(input_ids=ids).last_hidden_state[0]
                projected = ours.project(states)
                if pooling == "additive-attention":
                    assert ours.attention is not None
                    a = ours.attention
                    e = torch.tanh(projected @ a.project.weight.T + a.project.bias)
                    weights = torch.exp(e @ a.query.weight[0])
                    wanted = (weights / weights.sum()) @ projected
                else:
                    which = {"mean": projected.mean(0), "last": projected[-1], "cls": projected[0]}
                    wanted = which[pooling]
                found = ours(torch.tensor([row]))[0]
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_order_and_company_do_not_matter(folders: dict[str, Path]) -> None:
    ours = operator(folders["qwen2"])
    with torch.no_grad():
        every = ours(torch.arange(N))
        torch.testing.assert_close(ours(ITEMS), every[ITEMS], atol=1e-5, rtol=1e-5)
        for row in (3, 17):
            alone = ours(torch.tensor([row]))
            torch.testing.assert_close(alone[0], every[row], atol=1e-5, rtol=1e-5)


def test_half_precision_keeps_three_digits(folders: dict[str, Path]) -> None:
    whole = operator(folders["bert"], tune_from=2)
    half = operator(folders["bert"], tune_from=2, store="float16")
    with torch.no_grad():
        gap = (half(ITEMS) - whole(ITEMS)).norm(dim=1) / whole(ITEMS).norm(dim=1)
    assert 0 < float(gap.max()) < 5e-3


@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_a_model_stored_in_bfloat16_is_trained_in_float32(
    tmp_path: Path, home: Path, precision: str
) -> None:
    folder = tiny_language_model(tmp_path / "half", "qwen2")
    weights = {k: v.bfloat16() for k, v in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    whole = operator(folder, tune_from=None, lora_rank=2)
    ours = operator(folder, tune_from=2, lora_rank=2, precision=precision)
    put_head(ours, whole)
    assert {tensor.dtype for tensor in everything(ours).values()} == {torch.float32}
    (about,) = (home / "states").glob("*/about.json")
    computed = "bfloat16" if precision == "auto" and native_bf16("cpu") else "float32"
    assert json.loads(about.read_text())["computed"] == computed
    with torch.no_grad():
        gap = (ours(ITEMS) - whole(ITEMS)).norm(dim=1) / whole(ITEMS).norm(dim=1)
    assert float(gap.max()) < (1e-5 if computed == "float32" else 3e-2)


# ------------------------------------------------------------------------------------------- pages


def gradients(module: nn.Module, weight: Tensor) -> dict[str, Tensor]:
    """Of the sum of all vectors, weighed."""
    module.zero_grad(set_to_none=True)
    (module(ITEMS) * weight).sum().backward()
    return {name: p.grad.clone() for name, p in module.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("tune_from", [None, 2, 4])
@pytest.mark.parametrize("page", [1, 7, 49])
def test_pages_change_neither_vectors_nor_gradients(
    folders: dict[str, Path], tune_from: int | None, page: int
) -> None:
    whole = operator(folders["plain-bert"], tune_from=tune_from).train()
    paged = operator(folders["plain-bert"], tune_from=tune_from, page=page).train()
    weight = torch.randn(len(ITEMS), WIDTH)
    torch.testing.assert_close(paged(ITEMS), whole(ITEMS), atol=1e-5, rtol=1e-5)
    wanted = gradients(whole, weight)
    found = gradients(paged, weight)
    assert list(found) == [name for name, _ in paged.named_parameters()] == list(wanted)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, atol=1e-4, rtol=1e-4)


def test_pages_computed_again_drop_the_same(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paged = operator(folders["bert"], tune_from=2, lora_rank=2, page=7).train()
    for name, parameter in paged.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter)

    weight = torch.randn(len(ITEMS), WIDTH)

    def run() -> dict[str, Tensor]:
        torch.manual_seed(9)
        return gradients(paged, weight)

    found = run()
    monkeypatch.setattr(
        "tastebench.recommenders.ctr.item_operators.language_model.checkpoint",
        lambda read, page, use_reentrant: read(page),
    )
    for name, gradient in run().items():
        torch.testing.assert_close(found[name], gradient, atol=1e-5, rtol=1e-5)


def test_no_more_than_a_page_of_activations_is_held(folders: dict[str, Path]) -> None:
    paged = operator(folders["bert"], tune_from=2, page=5).train()
    assert paged.model is not None
    shapes: list[int] = []
    paged.model.register_forward_hook(lambda _, args, out: shapes.append(len(out)))
    vectors = paged(ITEMS)
    assert shapes == [5] * 10
    vectors.sum().backward()
    assert shapes == [5] * 20  # every page once more


# ---------------------------------------------------------------------------------------- training


def step(ours: LanguageModel) -> None:
    ours.train()
    # Adam moves whatever has a slope by about its rate, however small the slope.
    optimizer = torch.optim.Adam(ours.parameters(), lr=0.01)
    for _ in range(2):  # LoRA's A has no slope while B is zero
        optimizer.zero_grad()
        ours(ITEMS).square().mean().backward()
        optimizer.step()
    ours.eval()


def everything(module: nn.Module) -> dict[str, Tensor]:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


@pytest.mark.parametrize("tune_from", [None, 2])
def test_lora_trains_adapters_and_head_and_nothing_else(
    folders: dict[str, Path], tune_from: int | None
) -> None:
    ours = operator(folders["bert"], tune_from=tune_from, lora_rank=2)
    before = everything(ours)
    step(ours)
    changed = {n for n, tensor in everything(ours).items() if not torch.equal(tensor, before[n])}
    assert changed == set(ours.state_dict()) == {name for name, _ in ours.named_parameters()}
    adapters = {name for name in changed if name.startswith("model.")}
    assert all("lora_" in name for name in adapters)
    assert len(adapters) == (4 - (tune_from or 0)) * 2 * 2
    assert {name.partition(".")[0] for name in changed - adapters} == {"project", "attention"}


def test_without_lora_the_upper_layers_are_trained(folders: dict[str, Path]) -> None:
    ours = operator(folders["bert"], tune_from=-1)
    before = everything(ours)
    step(ours)
    changed = {n for n, tensor in everything(ours).items() if not torch.equal(tensor, before[n])}
    layers = {name for name in changed if name.startswith("model.")}
    # A bias of keys moves all scores alike, so that the softmax does not see it.
    still = {"model.model.encoder.layer.3.attention.self.key.bias"}
    assert changed | still == set(ours.state_dict())
    assert all(".layer.3." in name for name in layers)


def test_nothing_of_the_model_is_trained_where_all_layers_are_frozen(
    folders: dict[str, Path],
) -> None:
    ours = operator(folders["bert"], tune_from=4)
    assert ours.model is None
    assert ours.slow_parameters() == []
    assert {name.partition(".")[0] for name in ours.state_dict()} == {"project", "attention"}


def test_the_slow_parameters_are_those_of_the_language_model(folders: dict[str, Path]) -> None:
    ours = operator(folders["bert"], tune_from=2, lora_rank=2)
    slow = {id(parameter) for parameter in ours.slow_parameters()}
    assert slow == {id(p) for name, p in ours.named_parameters() if "lora_" in name}
    whole = operator(folders["gpt2"], tune_from=0)
    assert len(whole.slow_parameters()) == 4 * 12 + 4  # blocks, words, positions, the last norm


@pytest.mark.parametrize("lora_rank", [None, 2])
def test_what_was_trained_is_saved_and_read_into_another(
    folders: dict[str, Path], tmp_path: Path, lora_rank: int | None
) -> None:
    ours = operator(folders["qwen2"], tune_from=2, lora_rank=lora_rank)
    fresh = operator(folders["qwen2"], seed=1, tune_from=2, lora_rank=lora_rank)
    step(ours)
    save_file(ours.state_dict(), tmp_path / "trained.safetensors")
    with torch.no_grad():
        assert not torch.allclose(fresh(ITEMS), ours(ITEMS), atol=1e-3)
        fresh.load_state_dict(load_file(tmp_path / "trained.safetensors"))
        assert torch.equal(fresh(ITEMS), ours(ITEMS))


def test_reading_is_strict(folders: dict[str, Path]) -> None:
    adapted = operator(folders["bert"], tune_from=2, lora_rank=2)
    tuned = operator(folders["bert"], tune_from=2)
    with pytest.raises(RuntimeError, match=r"Missing key\(s\)"):
        adapted.load_state_dict(tuned.state_dict())
    with pytest.raises(RuntimeError, match=r"Unexpected key\(s\)"):
        operator(folders["bert"], tune_from=3).load_state_dict(tuned.state_dict())


def test_the_same_seed_gives_the_same_vectors_whether_states_were_kept_or_not(
    folders: dict[str, Path], home: Path
) -> None:
    def trained() -> tuple[dict[str, Tensor], Tensor]:
        ours = operator(folders["bert"], tune_from=2, lora_rank=2)
        torch.manual_seed(4)
        step(ours)
        with torch.no_grad():
            return ours.state_dict(), ours(ITEMS)

    assert not (home / "states").exists()
    weights, vectors = trained()
    kept = list((home / "states").iterdir())
    again, same = trained()
    assert list((home / "states").iterdir()) == kept
    assert torch.equal(same, vectors)
    assert all(torch.equal(again[name], weights[name]) for name in weights)


def test_what_is_frozen_is_never_in_train_mode(folders: dict[str, Path]) -> None:
    ours = operator(folders["bert"], tune_from=2).train()
    assert ours.model is not None
    layers = ours.model.model.encoder.layer
    assert [layer.training for layer in layers] == [False, False, True, True]
    assert not ours.model.model.embeddings.training
    frozen = operator(folders["bert"], tune_from=4).train()
    assert torch.equal(frozen(ITEMS), frozen(ITEMS))


# ------------------------------------------------------------------------------------ what is read


def test_columns_are_joined_in_order_without_the_empty_ones(folders: dict[str, Path]) -> None:
    content = Content(
        3,
        text={"title": ["red socks", "", "oak"], "about": ["for winter", "small tent", ""]},
    )
    card = ITEM_OPERATORS.get("language-model")
    settings = {"model": str(folders["qwen2"]), "separator": " "}
    ours = card.build(card.settings(settings, where="test"), content, WIDTH).eval()
    one = operator(folders["qwen2"], titles=["red socks for winter", "small tent", "oak"])
    put_head(ours, one)  # type: ignore[arg-type]
    with torch.no_grad():
        torch.testing.assert_close(ours(torch.arange(3)), one(torch.arange(3)))


def test_texts_are_cut_at_the_longest_length(folders: dict[str, Path]) -> None:
    titles = ["red wool socks", "red wool", "red"]
    ours = operator(folders["qwen2"], titles=titles, max_length=2)
    with torch.no_grad():
        first, second, third = ours(torch.arange(3))
    torch.testing.assert_close(first, second)
    assert not torch.allclose(second, third, atol=1e-3)


def test_items_without_text_are_an_error(folders: dict[str, Path]) -> None:
    card = ITEM_OPERATORS.get("language-model")
    config = card.settings({"model": str(folders["bert"])}, where="test")
    with pytest.raises(UsageError, match="reads the text of items, and these have none"):
        card.build(config, Content(3), WIDTH)


def test_a_damaged_file_of_states_is_an_error_with_its_fix(
    folders: dict[str, Path], home: Path
) -> None:
    operator(folders["bert"], tune_from=2)
    (file,) = (home / "states").glob("*/states.npy")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match="the kept states of 'bert' are damaged") as error:
        operator(folders["bert"], tune_from=2)
    assert str(error.value.fix).startswith(f"delete {file.parent}")


def test_lora_without_a_layer_to_adapt_is_an_error(folders: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"nothing to adapt: tune_from 4 freezes all 4 layers"):
        operator(folders["bert"], tune_from=4, lora_rank=2)


def test_a_model_that_is_not_there_is_an_error() -> None:
    with pytest.raises(DataError, match=r"the model folder \./nowhere does not exist"):
        operator("./nowhere")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lora_rnak": 2}, "no setting 'lora_rnak'"),
        ({"lora_rank": 0}, "lora_rank: Input should be greater than or equal to 1"),
        ({"pooling": "max"}, "pooling: Input should be"),
        ({"device": "gpu"}, "device: String should match"),
        ({"store": "int8"}, "store: Input should be"),
    ],
)
def test_settings_that_cannot_be_meant_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ITEM_OPERATORS.get("language-model").settings(settings, where="plan")
