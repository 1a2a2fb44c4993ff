from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tastebench.lm import prefix
from tastebench.lm.headed import Headed, load_headed
from tastebench.lm.load import find_model
from tastebench.lm.prefix import Asked, Prompts, Reader
from tastebench.ragged import Ragged
from tastebench.testing.language_models import add_head, tiny_language_model

SHARING = ("llama", "qwen2", "gemma2", "opt", "opt-narrow", "gpt2")
CANDIDATES = (1, 3, 40, 2, 5, 1)
LAST = Asked()


@pytest.fixture(scope="module")
def headed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Headed]:
    root, made = tmp_path_factory.mktemp("models"), {}

    def get(architecture: str) -> Headed:
        if architecture not in made:
            folder = root / architecture
            changes = {"decoder_start_token_id": 0} if architecture == "t5" else {}
            add_head(tiny_language_model(folder, architecture, **changes))
            made[architecture] = load_headed(find_model(str(folder)))
            made[architecture].model.eval()
        return made[architecture]

    return get


def prompts(candidates: tuple[int, ...] = CANDIDATES, head: int = 7, seed: int = 0) -> Prompts:
    """Askers with prefixes of different lengths and so many candidates each."""
    rng = np.random.default_rng(seed)
    shared = rng.integers(5, 300, head)
    prefixes = [np.r_[shared, rng.integers(5, 300, 1 + 3 * q)] for q in range(len(candidates))]
    suffixes = [rng.integers(5, 300, rng.integers(2, 9)) for _ in range(sum(candidates))]
    asker = np.repeat(np.arange(len(candidates)), candidates)
    return Prompts(head, Ragged.from_lists(prefixes), asker, Ragged.from_lists(suffixes))


def one_by_one(headed: Headed, asked: Prompts, places: int = 1) -> Tensor:
    """Each prompt by itself through transformers alone, the logits of its last places."""
    found = []
    for i, q in enumerate(asked.asker):
        ids = np.r_[asked.prefixes[int(q)], asked.suffixes[i]].astype(np.int64)
        with torch.no_grad():
            found.append(headed.model(input_ids=torch.from_numpy(ids)[None]).logits[0, -places:])
    return torch.stack(found)


def as_they_are(logits: Tensor) -> Tensor:
    return logits


@pytest.mark.parametrize("row", [8, 256])
@pytest.mark.parametrize("places", [1, 2])
@pytest.mark.parametrize("architecture", SHARING)
def test_shared_beginnings_change_no_logit(
    headed: Callable[[str], Headed],
    monkeypatch: pytest.MonkeyPatch,
    architecture: str,
    places: int,
    row: int,
) -> None:
    monkeypatch.setattr(prefix, "ROW", row)
    model = headed(architecture)
    reader, asked = Reader(model), prompts()
    found = reader.read(asked, Asked(places), as_they_are)
    assert reader.shares
    torch.testing.assert_close(found, one_by_one(model, asked, places), atol=1e-4, rtol=0)
    whole = Reader(model, share=False).read(asked, Asked(places), as_they_are)
    torch.testing.assert_close(found, whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shares", [True, False])
@pytest.mark.parametrize("architecture", SHARING)
def test_what_is_said_is_as_likely_as_token_by_token(
    headed: Callable[[str], Headed], architecture: str, shares: bool
) -> None:
    """Ends of different length, through transformers alone."""
    model = headed(architecture)
    reader, asked = Reader(model, share=shares), prompts()
    rng = np.random.default_rng(1)
    said = rng.integers(1, asked.suffixes.lengths)
    found = reader.log_probabilities(asked, said)
    wanted = []
    for i, q in enumerate(asked.asker):
        ids = torch.from_numpy(np.r_[asked.prefixes[int(q)], asked.suffixes[i]].astype(np.int64))
        with torch.no_grad():
            likely = model.model(input_ids=ids[None]).logits[0].log_softmax(dim=-1)
        places = range(len(ids) - int(said[i]), len(ids))
        wanted.append(sum(float(likely[place - 1, ids[place]]) for place in places))
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-5, atol=1e-4)
    assert reader.shares is (True if shares else None)


@pytest.mark.parametrize("head", [0, 1, 7])
def test_whatever_all_share_is_read_once(headed: Callable[[str], Headed], head: int) -> None:
    model = headed("llama")
    reader, asked = Reader(model), prompts(head=head)
    found = reader.read(asked, LAST, as_they_are)
    torch.testing.assert_close(found, one_by_one(model, asked), atol=1e-4, rtol=0)
    alone = prompts((1, 1, 1), head=head)
    found = reader.read(alone, LAST, as_they_are)
    torch.testing.assert_close(found, one_by_one(model, alone), atol=1e-4, rtol=0)


def test_prefixes_that_are_nothing_but_what_all_share(headed: Callable[[str], Headed]) -> None:
    model, asked = headed("llama"), prompts((3, 2), head=5)
    same = Prompts(5, Ragged.from_lists([[9, 8, 7, 6, 5]] * 2), asked.asker, asked.suffixes)
    found = Reader(model).read(same, LAST, as_they_are)
    torch.testing.assert_close(found, one_by_one(model, same), atol=1e-4, rtol=0)
    empty = Prompts(0, Ragged.from_lists([[], []]), asked.asker, asked.suffixes)
    found = Reader(model).read(empty, LAST, as_they_are)
    torch.testing.assert_close(found, one_by_one(model, empty), atol=1e-4, rtol=0)


def counting(model: nn.Module, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each call of the model from now on, padded."""
    read: list[int] = []
    monkeypatch.setattr(prefix, "token_budget", lambda device: 10**9)
    forward = model.forward

    def told(**inputs: Any) -> Any:
        read.append(inputs["input_ids"].numel())
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", told)
    return read


def test_a_prefix_is_read_once_for_all_its_candidates(
    headed: Callable[[str], Headed], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, asked = headed("llama"), prompts((4, 4))
    reader = Reader(model)
    reader.read(asked, LAST, as_they_are)  # checks, which reads some of them whole
    reader.forget()
    read = counting(model.model, monkeypatch)
    reader.read(asked, LAST, as_they_are)
    middle = 2 * int((asked.prefixes.lengths - asked.head).max())
    suffixes = 2 * int(max(asked.suffixes.lengths[:4].sum(), asked.suffixes.lengths[4:].sum()))
    assert read == [asked.head, middle, suffixes]
    reader.read(asked, LAST, as_they_are)  # what all share is still known
    assert read[3:] == [middle, suffixes]


def test_no_candidate_is_seen_by_another(headed: Callable[[str], Headed]) -> None:
    reader, asked = Reader(headed("llama")), prompts((5,))
    before = reader.read(asked, LAST, as_they_are)
    lists = asked.suffixes.to_lists()
    lists[1] = [11] * 30
    other = Prompts(asked.head, asked.prefixes, asked.asker, Ragged.from_lists(lists))
    after = reader.read(other, LAST, as_they_are)
    torch.testing.assert_close(after[[0, 2, 3, 4]], before[[0, 2, 3, 4]], atol=1e-5, rtol=0)
    assert not torch.allclose(after[1], before[1], atol=1e-2)


def test_what_is_kept_of_a_model_that_learns_is_forgotten(tmp_path: Path) -> None:
    model = load_headed(find_model(str(add_head(tiny_language_model(tmp_path / "m", "llama")))))
    model.model.eval()
    reader, asked = Reader(model), prompts((3, 2))
    before = reader.read(asked, LAST, as_they_are)
    with torch.no_grad():
        for parameter in model.model.parameters():
            parameter.mul_(1.5)
    reader.forget()
    after = reader.read(asked, LAST, as_they_are)
    torch.testing.assert_close(after, one_by_one(model, asked), atol=1e-4, rtol=0)
    assert not torch.allclose(after, before, atol=1e-2)


def made_of(kind: str, **values: Any) -> Headed:
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(kind, vocab_size=400, **values)
    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_config(config).eval()
    nothing: Any = None
    return Headed(nothing, model, nothing, "decoder")


def test_a_model_that_takes_no_such_mask_reads_whole_prompts() -> None:
    model = made_of("bloom", hidden_size=32, n_layer=2, n_head=4)
    reader, asked = Reader(model), prompts()
    found = reader.read(asked, LAST, as_they_are)
    assert reader.shares is False
    torch.testing.assert_close(found, one_by_one(model, asked), atol=1e-4, rtol=0)


def test_a_window_that_a_model_does_not_use_is_not_put_on_it() -> None:
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    model = made_of("gpt_neox", num_attention_heads=4, **shape)
    model.model.config.sliding_window = 3
    reader, asked = Reader(model), prompts()
    found = reader.read(asked, LAST, as_they_are)
    assert reader.shares
    torch.testing.assert_close(found, one_by_one(model, asked), atol=1e-4, rtol=0)


def test_a_model_that_reads_packed_rows_otherwise_is_found_out(
    headed: Callable[[str], Headed], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = headed("llama").model
    forward = model.forward

    def without_positions(**inputs: Any) -> Any:
        return forward(**{k: v for k, v in inputs.items() if k != "position_ids"})

    monkeypatch.setattr(model, "forward", without_positions)
    reader, asked = Reader(headed("llama")), prompts()
    found = reader.read(asked, LAST, as_they_are)
    assert reader.shares is False
    torch.testing.assert_close(found, one_by_one(headed("llama"), asked), atol=1e-4, rtol=0)


def test_an_encoder_reads_whole_prompts_at_the_place_it_is_asked_about(
    headed: Callable[[str], Headed],
) -> None:
    model, asked = headed("bert"), prompts()
    reader = Reader(model)
    found = reader.read(asked, Asked(2, behind=1), as_they_are)
    assert reader.shares is None
    wanted = one_by_one(model, asked, places=3)[:, :2]
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


def test_an_encoder_decoder_answers_from_its_beginning(headed: Callable[[str], Headed]) -> None:
    model, asked = headed("t5"), prompts((2, 1))
    found = Reader(model).read(asked, Asked(2, said=(9,)), as_they_are)
    for i, q in enumerate(asked.asker):
        ids = torch.from_numpy(np.r_[asked.prefixes[int(q)], asked.suffixes[i]].astype(np.int64))
        with torch.no_grad():
            wanted = model.model(
                input_ids=ids[None], decoder_input_ids=torch.tensor([[0, 9]])
            ).logits[0]
        torch.testing.assert_close(found[i], wanted, atol=1e-4, rtol=0)
