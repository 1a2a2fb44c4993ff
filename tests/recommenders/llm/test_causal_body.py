"""Models as causal readers of embeddings: decoders as they are, encoders with a mask."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tastebench.encoders.catalog import minilm_folder
from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.lm.load import find_model
from tastebench.lm.text_model import load_text_model
from tastebench.recommenders.llm.causal_body import CausalBody, Tuning, load_causal_body
from tastebench.testing.language_models import tiny_language_model

FROZEN = Tuning("none", 2, 4, 0.0, None)
CASES: dict[str, dict[str, Any]] = {
    "llama": {},
    "qwen2": {"use_sliding_window": False},
    "gemma2": {"sliding_window": 64},
    "gpt2": {},
    "opt": {},
    "opt-narrow": {},
    "bert": {},
    "roberta": {},
}
ENCODERS = ("bert", "roberta")


def body(folder: Path, tuning: Tuning = FROZEN, **keywords: Any) -> CausalBody:
    return load_causal_body(find_model(str(folder)), tuning, **keywords)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("models")
    found: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in found:
            found[name] = tiny_language_model(folder / name, name, **CASES[name])
        return found[name]

    return make


@pytest.mark.parametrize("name", CASES)
def test_no_state_sees_what_follows(made: Callable[[str], Path], name: str) -> None:
    """L3: also where the model by itself would look both ways."""
    reader = body(made(name)).eval()
    x = reader.words(torch.arange(18).view(2, 9))
    y = x.clone()
    y[:, 6:] = torch.randn(2, 3, reader.width)
    with torch.no_grad():
        torch.testing.assert_close(reader(x)[:, :6], reader(y)[:, :6], rtol=0, atol=0)
        assert not torch.allclose(reader(x)[:, 6:], reader(y)[:, 6:])
        bare = [reader.model(inputs_embeds=z).last_hidden_state[:, :6] for z in (x, y)]
    assert torch.equal(*bare) == (name not in ENCODERS) == reader.causal


@pytest.mark.parametrize("name", CASES)
def test_going_on_is_reading_it_whole(made: Callable[[str], Path], name: str) -> None:
    """Rows of different lengths, and two continuations of each that do not see each other."""
    reader = body(made(name)).eval()
    assert reader.offset == (1 if name == "roberta" else 0)
    x = torch.randn(2, 7, reader.width)
    length, ends = torch.tensor([7, 4]), torch.randn(2, 2, 3, reader.width)
    with torch.no_grad():
        _, cache = reader.begin(x)
        prompt = (torch.arange(7) < length[:, None])[:, None].expand(2, 2, 7)
        eye = torch.eye(2, dtype=torch.bool).expand(2, 2, 2)
        seen = prompt
        for step in range(3):
            seen = torch.cat([seen, eye], dim=2)
            places = (length + step)[:, None].expand(2, 2)
            got = reader.go_on(ends[:, :, step], seen, places, cache)
            for row in range(2):
                for beam in range(2):
                    path = torch.cat([x[row, : length[row]], ends[row, beam, : step + 1]])
                    want = reader(path[None])[0, -1]
                    torch.testing.assert_close(got[row, beam], want, rtol=1e-4, atol=1e-4)


def test_words_are_read_as_by_the_model_itself(made: Callable[[str], Path]) -> None:
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    source = load_text_model(find_model(str(made("llama"))))
    reader = body(made("llama")).eval()
    with torch.no_grad():
        want = source.model.eval()(input_ids=ids).last_hidden_state
        torch.testing.assert_close(reader(reader.words(ids)), want)


def test_a_model_that_reads_embeddings_otherwise_is_refused(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = CausalBody.words
    monkeypatch.setattr(CausalBody, "words", lambda self, ids: 3 * honest(self, ids))
    with pytest.raises(UsageError, match="reads words and their embeddings in two ways"):
        body(made("gpt2"))


def test_of_lora_only_the_adapters_are_kept(made: Callable[[str], Path]) -> None:
    tuned = body(made("llama"), Tuning("lora", 2, 4, 0.5, None))
    state = tuned.state_dict()
    assert state and all("lora_" in name for name in state)
    assert {name for name, _ in tuned.named_parameters()} == set(state)
    x = torch.randn(1, 5, tuned.width)
    with torch.no_grad():  # before a step adapters add nothing: the model is the base model
        torch.testing.assert_close(tuned.eval()(x), body(made("llama")).eval()(x), rtol=0, atol=0)


@pytest.mark.parametrize(("tune", "kept"), [("none", 0), ("full", 38)])
def test_what_is_trained_is_what_is_kept(made: Callable[[str], Path], tune: str, kept: int) -> None:
    reader = body(made("llama"), Tuning(tune, 2, 4, 0.0, None))
    assert len(reader.state_dict()) == kept  # words, 4 layers of 9, last norm
    assert {name for name, _ in reader.named_parameters()} == set(reader.state_dict())


def test_what_is_not_trained_has_no_dropout(made: Callable[[str], Path]) -> None:
    frozen = body(made("bert")).train()
    assert not any(m.training for m in frozen.model.modules())
    x = torch.randn(1, 5, 32)
    torch.testing.assert_close(frozen(x), frozen(x), rtol=0, atol=0)
    full = body(made("bert"), Tuning("full", 2, 4, 0.0, None)).train()
    assert not torch.allclose(full(x), full(x))


def test_checkpointing_changes_no_gradient(made: Callable[[str], Path]) -> None:
    x = torch.randn(2, 6, 32)
    slopes = []
    for again in (False, True):
        reader = body(made("llama"), Tuning("full", 2, 4, 0.0, None, again)).train()
        reader(x).square().sum().backward()
        slopes.append({k: p.grad for k, p in reader.named_parameters() if p.grad is not None})
    assert slopes[0].keys() == slopes[1].keys()
    for name, slope in slopes[0].items():
        torch.testing.assert_close(slopes[1][name], slope, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "changes", "wanted", "limit"),
    [
        ("llama", {}, None, 64),
        ("llama", {}, 40, 40),
        ("gpt2", {}, None, 64),
        ("roberta", {}, None, 63),  # positions begin behind that of the padding
        ("qwen2", {}, None, 5),  # what its upper layers see
        ("t5", {}, None, None),  # its encoder has relative positions
    ],
)
def test_what_can_be_read_at_once(
    tmp_path: Path, name: str, changes: dict[str, Any], wanted: int | None, limit: int | None
) -> None:
    folder = find_model(str(tiny_language_model(tmp_path / name, name, **changes)))
    assert load_causal_body(folder, FROZEN).limit(folder, wanted) == limit


def test_the_encoder_of_t5_keeps_nothing(tmp_path: Path) -> None:
    assert body(tiny_language_model(tmp_path / "t5", "t5")).offset is None


def test_a_model_that_keeps_nothing_is_found_out(
    made: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def keeps_nothing(self: CausalBody, embeddings: torch.Tensor) -> Any:
        raise AttributeError("past_key_values")

    monkeypatch.setattr(CausalBody, "begin", keeps_nothing)
    assert body(made("llama")).offset is None


def test_a_model_that_looks_ahead_whatever_it_is_told_is_refused(
    made: Callable[[str], Path],
) -> None:
    source = load_text_model(find_model(str(made("bert"))))

    class Deaf(nn.Module):
        def __init__(self, inner: Any) -> None:
            super().__init__()
            self.inner, self.config = inner, inner.config
            self.get_input_embeddings = inner.get_input_embeddings
            self.get_submodule = inner.get_submodule

        def forward(self, attention_mask: Any = None, **keywords: Any) -> Any:
            return self.inner(**keywords)

        def named_modules(self, *arguments: Any, **keywords: Any) -> Any:
            return self.inner.named_modules(*arguments, **keywords)

    deaf = type(source)(source.folder, Deaf(source.model), source.tokenizer)
    with pytest.raises(UsageError, match="the model 'bert' cannot be made to look back only"):
        CausalBody(deaf, FROZEN)


def test_a_model_without_a_head_says_no_words(made: Callable[[str], Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no head that says words"):
        body(made("llama"), speaks=True)
    tied = tiny_language_model(tmp_path / "tied", "llama", tie_word_embeddings=True)
    assert body(tied, speaks=True).head is not None
    with pytest.raises(DataError, match="cannot load the model"):
        (tied / "config.json").write_text("{}", encoding="utf-8")
        body(tied)


def test_minilm_is_read_causally() -> None:
    """A pretrained encoder: the leak test on the real thing."""
    try:
        folder = minilm_folder()
    except DependencyError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    reader = body(folder).eval()
    assert not reader.causal and reader.offset == 0
    x = reader.words(torch.arange(1000, 1012)[None])
    y = x.clone()
    y[:, 8:] = x[:, :4]
    with torch.no_grad():
        torch.testing.assert_close(reader(x)[:, :8], reader(y)[:, :8], rtol=0, atol=0)
