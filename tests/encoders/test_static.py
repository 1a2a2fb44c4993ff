from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tastebench.encoders import get_encoder
from tastebench.encoders.static import StaticEncoder
from tastebench.errors import DataError
from tastebench.lm.linear import agreement
from tastebench.lm.load import find_model
from tastebench.testing.encoders import TEXTS, EncoderTests


@pytest.fixture(scope="module")
def potion(asset):
    return asset("models/potion-base-4m-int8")


@pytest.fixture
def small(tmp_path):
    """Four words with vectors of two dimensions, and whatever a test changes."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    def make(config=None, **tensors):
        folder = tmp_path / "small"
        folder.mkdir(exist_ok=True)
        tokenizer = Tokenizer(WordLevel({"?": 0, "a": 1, "b": 2, "c": 3}, unk_token="?"))
        tokenizer.pre_tokenizer = Whitespace()
        tokenizer.save(str(folder / "tokenizer.json"))
        (folder / "config.json").write_text(
            json.dumps({"model_type": "model2vec", "normalize": False, **(config or {})})
        )
        table = {"embeddings": np.array([[9, 9], [1, 0], [0, 2], [4, 4]], np.float32), **tensors}
        save_file(table, folder / "model.safetensors")
        return folder

    return make


class TestPotion(EncoderTests):
    @pytest.fixture
    def encoder(self, potion):
        return get_encoder(potion)


def test_the_real_model_gives_the_vectors_of_model2vec(potion, titles):
    model2vec = pytest.importorskip("model2vec", reason="the oracle is an optional package")
    texts = [*titles, *TEXTS, "", "qqqqzzzz ðððð", "word " * 3000]
    expected = model2vec.StaticModel.from_pretrained(str(potion)).encode(texts)
    encoder = get_encoder(potion)
    vectors = encoder.encode(texts)
    assert agreement(vectors, expected) > 0.999999
    assert (encoder.card.dimensions, encoder.card.normalised) == (128, True)
    assert encoder.card.parameters == 29528 * 128


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [1, 0]),
        ("a b", [0.5, 1]),
        ("a a b", [2 / 3, 2 / 3]),
        # Unknown words do not count.
        ("a zebra b", [0.5, 1]),
        ("zebra", [0, 0]),
        ("", [0, 0]),
    ],
)
def test_a_vector_is_the_mean_of_its_known_tokens(small, text, expected):
    vectors = get_encoder(small()).encode([text, "c"])
    np.testing.assert_allclose(vectors, [expected, [4, 4]], rtol=1e-6)


def test_normalised_as_the_model_says(small):
    vectors = get_encoder(small({"normalize": True})).encode(["c b", ""])
    # Mean [2, 3].
    np.testing.assert_allclose(vectors, [[2 / 13**0.5, 3 / 13**0.5], [0, 0]], rtol=1e-6)


def test_token_weights_scale_and_do_not_change_the_divisor(small):
    folder = small(weights=np.array([1, 3, 1, 0.5], np.float32))
    np.testing.assert_allclose(get_encoder(folder).encode(["a c"]), [[2.5, 1]], rtol=1e-6)


def test_a_mapping_names_the_row_of_a_token(small):
    folder = small(
        embeddings=np.array([[1, 1], [5, 6]], np.float32), mapping=np.array([0, 1, 1, 0])
    )
    np.testing.assert_allclose(get_encoder(folder).encode(["a b c"]), [[11 / 3, 13 / 3]], rtol=1e-6)


def test_texts_are_cut_at_the_models_limit(small):
    vectors = get_encoder(small({"max_length": 2})).encode(["a b c"])
    # Two characters first (the median token has one), "a ", so that one token is left.
    np.testing.assert_allclose(vectors, [[1, 0]])
    np.testing.assert_allclose(
        get_encoder(small({"max_length": None})).encode(["a b c"]), [[5 / 3, 2]], rtol=1e-6
    )


def test_int8_tables_are_read(small):
    folder = small(embeddings=np.array([[0, 0], [-128, 3], [127, 1], [1, 1]], np.int8))
    np.testing.assert_allclose(get_encoder(folder).encode(["a b"]), [[-0.5, 2]])


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_broken_folder_says_so(small, file):
    folder = small()
    (folder / file).write_bytes(b"{broken")
    with pytest.raises(DataError, match="cannot load the static model 'small'"):
        get_encoder(folder).encode(["a"])


def test_a_folder_without_tokenizer_says_so(small):
    folder = small()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="cannot load the static model 'small'"):
        get_encoder(folder).encode(["a"])


def test_a_table_that_does_not_fit_its_words_is_refused(small):
    folder = small(embeddings=np.ones((3, 2), np.float32))
    with pytest.raises(DataError, match="3 token vectors and 4 tokens"):
        get_encoder(folder).encode(["a"])
    folder = small()
    (folder / "model.safetensors").unlink()
    shutil.copy(folder / "config.json", folder / "x.safetensors")
    with pytest.raises(DataError, match="cannot load the static model"):
        StaticEncoder(find_model(str(folder))).encode(["a"])
