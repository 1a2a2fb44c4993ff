from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from tastebench.encoders import as_encoder, encode_items, encode_queries, get_encoder
from tastebench.encoders.controls import RandomEncoder, Shuffled, make_shuffled
from tastebench.errors import UsageError
from tastebench.testing.encoders import TEXTS, EncoderTests


class TestRandom(EncoderTests):
    tolerance = 1 - 1e-6

    @pytest.fixture
    def encoder(self):
        return get_encoder("random")


class TestShuffled(EncoderTests):
    # As items its rows change places, which is what it is for; queries are the base's.
    role = "query"

    @pytest.fixture
    def encoder(self, minilm):
        return make_shuffled(minilm, 0)


class Ordinal:
    def encode(self, texts):
        return np.array([[int(text), 1.0] for text in texts])


def test_random_vectors_depend_on_text_and_seed_alone():
    texts = [str(i) for i in range(50)]
    first = RandomEncoder(0).encode(texts)
    np.testing.assert_array_equal(RandomEncoder(0).encode(texts[::-1])[::-1], first)
    assert not np.allclose(RandomEncoder(1).encode(texts), first)
    assert RandomEncoder(0).card.revision != RandomEncoder(1).card.revision


def splitmix(state, step):
    mask = 2**64 - 1
    x = (state + step * 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def test_random_vectors_are_normal_draws_from_the_texts_hash():
    # The recipe once more, in Python's own integers.
    width, key = 4, (7).to_bytes(16, "big")
    state = int.from_bytes(hashlib.blake2b(b"socks", digest_size=8, key=key).digest(), "big")
    draws = [splitmix(state, step) >> 11 for step in range(1, 2 * width + 1)]
    normal = [
        math.sqrt(-2 * math.log((a + 1) / 2**53)) * math.cos(2 * math.pi * b / 2**53)
        for a, b in zip(draws[:width], draws[width:], strict=True)
    ]
    length = math.hypot(*normal)
    vector = RandomEncoder(seed=7, width=width).encode(["socks"])[0]
    np.testing.assert_allclose(vector, [x / length for x in normal], rtol=1e-6)


def test_random_directions_are_uniform():
    vectors = RandomEncoder(3, width=32).encode([str(i) for i in range(4000)])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    # Mean 0 and covariance I / 32; five standard errors.
    assert np.abs(vectors.mean(axis=0)).max() < 5 * (1 / 32 / 4000) ** 0.5
    covariance = np.cov(vectors.T)
    np.testing.assert_allclose(covariance, np.eye(32) / 32, atol=5 * 2**0.5 / 32 / 4000**0.5)


def test_shuffled_rows_are_a_permutation_of_the_bases():
    texts = [str(i) for i in range(200)]
    base = as_encoder(Ordinal(), "ordinal", "1")
    shuffled = encode_items(Shuffled(base, seed=5), texts, recipe="title")
    expected = Shuffled(base, seed=5).permutation(200)
    np.testing.assert_array_equal(shuffled.vectors[:, 0], expected)
    np.testing.assert_array_equal(np.sort(expected), np.arange(200))
    assert (expected == np.arange(200)).mean() < 0.05
    assert shuffled.card.name == "shuffled:ordinal"
    assert shuffled.card.control


def test_rows_are_shuffled_by_seed_and_duplicates_move_apart():
    texts = ["7", "7", *map(str, range(100, 198))]
    base = as_encoder(Ordinal(), "ordinal", "1")
    first, again, other = (
        encode_items(Shuffled(base, seed), texts, recipe="title").vectors[:, 0]
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert first[0] != first[1]


def test_shuffling_encodes_nothing_again():
    calls = []

    class Counted(Ordinal):
        def encode(self, texts):
            calls.extend(texts)
            return super().encode(texts)

    base = as_encoder(Counted(), "ordinal", "1")
    texts = [str(i) for i in range(30)]
    encode_items(base, texts, recipe="title")
    shuffled = encode_items(Shuffled(base), texts, recipe="title")
    assert len(calls) == 30
    assert shuffled.cost.cached


def test_queries_keep_their_meaning():
    base = as_encoder(Ordinal(), "ordinal", "1")
    queries = encode_queries(Shuffled(base), ["5", "6"], ["1", "2", "3"], recipe="title")
    assert queries.vectors[:, 0].tolist() == [5, 6]
    assert queries.card.name == "shuffled:ordinal"


def test_an_encoder_that_learns_can_be_shuffled():
    encoder = get_encoder("shuffled:tfidf-svd", seed=3)
    plain = encode_items(get_encoder("tfidf-svd", seed=3), TEXTS, recipe="title")
    shuffled = encode_items(encoder, TEXTS, recipe="title")
    np.testing.assert_array_equal(shuffled.vectors, plain.vectors[encoder.permutation(len(TEXTS))])


@pytest.mark.parametrize("name", ["shuffled:random", "shuffled:shuffled:tfidf-svd"])
def test_shuffling_a_control_is_refused(name):
    with pytest.raises(UsageError, match="no meaning already"):
        get_encoder(name)
