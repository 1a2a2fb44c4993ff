from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench import files
from tastebench.contracts import Encoder, EncoderCard, Role
from tastebench.encoders import encode_items, encode_queries, get_encoder
from tastebench.encoders.controls import RandomEncoder, Shuffled
from tastebench.encoders.half import Half, make_half
from tastebench.encoders.vectors import encode_share, not_kept
from tastebench.errors import DataError, UsageError
from tastebench.tasks.nearest import nearest
from tastebench.testing import EncoderTests

TEXTS = [f"text {n}" for n in range(3000)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(files.HOME, str(tmp_path))
    return tmp_path


class TestHalf(EncoderTests):
    @pytest.fixture
    def encoder(self) -> Encoder:
        return make_half(RandomEncoder())


class Counted:
    """`random`, which counts the texts it encodes; values beyond half precision on request."""

    def __init__(self, times: float = 1.0, revision: str | None = "1") -> None:
        self.base, self.times, self.texts = RandomEncoder(width=8), times, 0
        self.card = EncoderCard("counted", revision=revision)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        self.texts += len(texts)
        return self.base.encode(texts, role) * self.times


def test_vectors_are_rounded_and_take_half_the_room(home: Path) -> None:
    whole = encode_items(RandomEncoder(), TEXTS, recipe="title")
    size = sum(path.stat().st_size for path in home.rglob("*.*") if path.is_file())
    half = encode_items(get_encoder("fp16:random"), TEXTS, recipe="title")
    both = sum(path.stat().st_size for path in home.rglob("*.*") if path.is_file())
    assert half.vectors.dtype == np.float16
    np.testing.assert_array_equal(half.vectors, whole.vectors.astype(np.float16))
    np.testing.assert_array_equal(half.float32, half.vectors.astype(np.float32))
    assert both - size == pytest.approx(size / 2, rel=0.01)
    assert half.card.name == "fp16:random" and half.key != whole.key
    again = encode_items(get_encoder("fp16:random"), TEXTS, recipe="title")
    assert again.cost.cached and isinstance(again.vectors, np.memmap)


@pytest.mark.parametrize("first", ["whole", "half"])
def test_no_text_is_encoded_again_because_it_is_rounded(first: str) -> None:
    encoder = Counted()
    if first == "whole":
        encode_items(encoder, TEXTS, recipe="title")
        assert not_kept(Half(encoder), TEXTS, "item", "title") == []
    half = encode_items(Half(encoder), TEXTS, recipe="title")
    assert encoder.texts == len(TEXTS)
    assert half.cost.cached == (first == "whole")


def test_shares_and_shuffled_rows_are_rounded_too() -> None:
    encoder = Half(Counted())
    for part in range(2):
        encode_share(encoder, TEXTS, "item", recipe="title", share=slice(part, None, 2))
    assert encoder.base.texts == len(TEXTS)  # type: ignore[attr-defined]
    half = encode_items(encoder, TEXTS, recipe="title")
    moved = encode_items(Shuffled(encoder, seed=3), TEXTS, recipe="title")
    assert moved.vectors.dtype == np.float16 and moved.card.name == "shuffled:fp16:counted"
    order = Shuffled(encoder, seed=3).permutation(len(TEXTS))
    np.testing.assert_array_equal(moved.vectors, half.vectors[order])
    assert encoder.base.texts == len(TEXTS)  # type: ignore[attr-defined]


def test_what_learns_from_the_catalogue_and_what_has_no_revision() -> None:
    texts = [f"{n} red shoe {n % 7} of {n % 11}" for n in range(300)]
    whole = encode_items(get_encoder("tfidf-svd"), texts, recipe="title")
    half = encode_items(get_encoder("fp16:tfidf-svd"), texts, recipe="title")
    np.testing.assert_array_equal(half.vectors, whole.vectors.astype(np.float16))
    asked = encode_queries(get_encoder("fp16:tfidf-svd"), ["red shoe"], texts, recipe="title")
    assert asked.vectors.dtype == np.float16
    loose = encode_items(Half(Counted(revision=None)), TEXTS[:9], recipe="title")
    assert loose.vectors.dtype == np.float16


def test_numbers_beyond_half_precision_are_refused() -> None:
    with pytest.raises(DataError, match="half precision ends at"):
        encode_items(Half(Counted(times=1e6)), TEXTS[:5], recipe="title")


@pytest.mark.parametrize(
    ("name", "fix"),
    [("fp16:fp16:minilm", "fp16:minilm"), ("fp16:shuffled:tfidf-svd", "shuffled:fp16:tfidf-svd")],
)
def test_prefixes_have_one_order(name: str, fix: str) -> None:
    with pytest.raises(UsageError) as error:
        get_encoder(name)
    assert error.value.fix == fix


@pytest.mark.parametrize("engine", ["faiss", "torch"])
@pytest.mark.parametrize("k", [1, 10, 150_000])
def test_an_exact_search_over_rounded_vectors(engine: Any, k: int) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((140_000, 4)).astype(np.float16)
    queries = rng.standard_normal((3, 4)).astype(np.float32)
    found = nearest(queries, vectors, k, engine=engine)
    wanted = queries @ vectors.astype(np.float32).T
    np.testing.assert_allclose(found.scores, -np.sort(-wanted)[:, :k], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(wanted, found.items, 1), found.scores, atol=1e-5)
    assert all(len(set(row)) == len(row) for row in found.items.tolist())
