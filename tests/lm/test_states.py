from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tastebench.errors import DataError
from tastebench.lm.layers import LayerStack, distance
from tastebench.lm.load import find_model, ready
from tastebench.lm.states import StateCache, sample_of
from tastebench.lm.text_model import load_text_model
from tastebench.ragged import Ragged
from tastebench.testing.language_models import WORDS, tiny_language_model

RNG = np.random.default_rng(5)
TEXTS = [" ".join(RNG.choice(WORDS, size=1 + i % 7)) for i in range(60)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_language_model(tmp_path_factory.mktemp("models") / "qwen", "qwen2")


def cache_of(model: Path, texts: list[str] = TEXTS, at: tuple[int, ...] = (2,)) -> StateCache:
    """States `at` of the texts, token by token."""
    folder = find_model(str(model))
    source = load_text_model(folder)
    ready(source.model, "cpu", stored=False)
    return StateCache(
        stack=LayerStack(source),
        revision=folder.revision,
        tokens=source.tokens(texts, limit=50),
        at=at,
        pooled=False,
        stored="float32",
        name_of=lambda row: f"item {row}",
    )


def counted(cache: StateCache) -> list[int]:
    """A list that grows by the number of texts with every batch the cache's model reads."""
    read: list[int] = []
    cache.stack.model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return read


def alone(cache: StateCache, row: int, k: int) -> torch.Tensor:
    """State k of one text that nothing stands beside, from transformers itself."""
    ids = torch.from_numpy(cache.tokens[row])[None].long()
    with torch.no_grad():
        output = cache.stack.model(
            input_ids=ids, attention_mask=torch.ones_like(ids), output_hidden_states=True
        )
    state: torch.Tensor = output.hidden_states[k][0]
    return state


def test_states_lie_token_by_token_in_the_order_of_texts(model: Path) -> None:
    cache = cache_of(model)
    values = cache.get()
    assert values.shape == (len(cache.tokens.values), 32)
    assert values.dtype == np.float32
    for row in range(len(TEXTS)):
        start, stop = cache.tokens.offsets[row : row + 2]
        own = torch.from_numpy(values[start:stop].copy())
        torch.testing.assert_close(own, alone(cache, row, 2), atol=1e-5, rtol=1e-5)


def test_pooled_states_are_means_over_the_tokens_of_a_text(model: Path) -> None:
    cache = replace(cache_of(model, at=(1, 4)), pooled=True)
    values = cache.get()
    assert values.shape == (len(TEXTS), 2, 32)
    for row in range(len(TEXTS)):
        wanted = torch.stack([alone(cache, row, k).mean(dim=0) for k in (1, 4)])
        torch.testing.assert_close(
            torch.from_numpy(values[row].copy()), wanted, atol=1e-5, rtol=1e-5
        )


def test_a_second_start_reads_a_sample_only_and_finds_the_same(model: Path) -> None:
    first = cache_of(model)
    read = counted(first)
    values = np.array(first.get())
    assert sum(read) >= len(TEXTS)
    second = cache_of(model)
    again = counted(second)
    assert np.array_equal(second.get(), values)
    assert sum(again) == 16 + 1  # the sample, and one text for the width
    assert isinstance(second.get(), np.memmap)


@pytest.mark.parametrize("what", ["text", "order", "layer", "stored", "pooled", "model"])
def test_whatever_changes_the_numbers_changes_the_place(
    model: Path, tmp_path: Path, what: str
) -> None:
    cache = cache_of(model)
    other = {
        "text": lambda: cache_of(model, [*TEXTS[:-1], "a red tent"]),
        "order": lambda: cache_of(model, TEXTS[::-1]),
        "layer": lambda: replace(cache, at=(3,)),
        "stored": lambda: replace(cache, stored="float16"),
        "pooled": lambda: replace(cache, pooled=True),
        "model": lambda: cache_of(tiny_language_model(tmp_path / "qwen", "qwen2", seed=1)),
    }[what]()
    assert other.folder != cache.folder
    assert other.folder.name.startswith("qwen-")


def test_what_was_made_from_is_written_beside_the_states(model: Path, home: Path) -> None:
    cache = cache_of(model)
    cache.get()
    assert cache.folder.parent == home / "states"
    about = json.loads((cache.folder / "about.json").read_text())
    assert about["model"] == find_model(str(model)).revision
    assert (about["states"], about["stored"], about["computed"]) == ([2], "float32", "float32")
    assert about["seconds"] > 0
    assert str(model) not in json.dumps(about)


def damage(folder: Path, how: str) -> None:
    file = folder / "states.npy"
    if how == "gone":
        file.unlink()
        return
    if how == "cut":
        file.write_bytes(file.read_bytes()[:-40])
        return
    values = np.load(file)
    changed = {
        "other values": lambda: values + 0.01,
        "zeros": lambda: np.zeros_like(values),
        "NaN": lambda: np.full_like(values, np.nan),
        "fewer": lambda: values[:-1],
        "other type": lambda: values.astype(np.float64),
    }[how]()
    np.save(file, changed)


@pytest.mark.parametrize(
    "how", ["gone", "cut", "other values", "zeros", "NaN", "fewer", "other type"]
)
def test_damaged_states_are_an_error_that_says_what_to_delete(model: Path, how: str) -> None:
    cache = cache_of(model)
    cache.get()
    damage(cache.folder, how)
    again = cache_of(model)
    with pytest.raises(DataError, match=r"the kept states of 'qwen' are damaged") as error:
        again.get()
    assert error.value.fix is not None
    assert re.match(r"delete .*; they are made again", error.value.fix)
    shutil.rmtree(error.value.where or "")
    assert np.isfinite(again.get()).all()


def test_a_state_that_is_no_number_names_the_item_and_nothing_is_kept(
    model: Path, home: Path
) -> None:
    texts = [*TEXTS[:30], "red spaceship", *TEXTS[30:]]
    cache = cache_of(model, texts)
    others = {token for row, ids in enumerate(cache.tokens) if row != 30 for token in ids}
    only = next(token for token in cache.tokens[30] if token not in others)
    with torch.no_grad():
        cache.stack.model.get_input_embeddings().weight[only] = torch.nan
    with pytest.raises(DataError, match=r"a state of item 30 is not a finite number") as error:
        cache.get()
    assert error.value.where == "model 'qwen', state 2"
    assert list((home / "states").iterdir()) == []


def test_half_precision_keeps_three_digits_in_half_the_room(model: Path) -> None:
    whole = cache_of(model).get()
    half = replace(cache_of(model), stored="float16").get()
    assert half.nbytes * 2 == whole.nbytes
    apart = distance(torch.from_numpy(half.astype(np.float32)), torch.from_numpy(whole.copy()))
    assert 0 < apart < 2**-11


def test_a_state_too_large_for_half_precision_is_an_error(model: Path) -> None:
    cache = replace(cache_of(model), stored="float16")
    with torch.no_grad():
        cache.stack.model.get_input_embeddings().weight.mul_(1e8)
    with pytest.raises(DataError, match=r"a state of item \d+ is too large for float16") as error:
        cache.get()
    assert error.value.fix == "store: float32"


def test_want_of_room_is_said_before_anything_is_written(
    model: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"states take 0\.00 GB and 0\.00 GB are free") as error:
        cache_of(model).get()
    assert "TASTEBENCH_HOME" in str(error.value.fix)
    assert list((home / "states").iterdir()) == []


def test_a_sample_has_the_shortest_and_the_longest() -> None:
    tokens = Ragged.from_lists([[1] * length for length in (5, 2, 9, 7, 3)])
    assert sample_of(tokens, size=3).tolist() == [1, 0, 2]
    assert sorted(sample_of(tokens, size=99).tolist()) == [0, 1, 2, 3, 4]
    assert sample_of(Ragged.from_lists([[4]])).tolist() == [0]
