from __future__ import annotations

import numpy as np
import pytest
import torch

from tastebench.contracts import Encoder, EncoderCard
from tastebench.encoders import as_encoder
from tastebench.errors import DataError, UsageError
from tastebench.testing.encoders import EncoderTests


class Lengths:
    def encode(self, texts):
        return [[len(text), 1] for text in texts]


def returning(value):
    class Model:
        def encode(self, texts):
            return value

    return as_encoder(Model(), "model")


class TestWrapped(EncoderTests):
    @pytest.fixture
    def encoder(self):
        class Letters:
            def encode(self, texts: list[str]):
                return [[t.lower().count(letter) for letter in "aeiourstz"] + [1] for t in texts]

        return as_encoder(Letters(), "letters", revision="1")


class TestWrappedWithoutRevision(TestWrapped):
    @pytest.fixture
    def encoder(self):
        class Letters:
            def encode(self, texts):
                return torch.tensor([[len(t), t.count("e"), 1.0] for t in texts])

        return as_encoder(Letters(), "letters")


@pytest.mark.parametrize(
    "value",
    [
        [[1, 2], [3, 4]],
        np.array([[1, 2], [3, 4]], dtype=np.float64),
        torch.tensor([[1, 2], [3, 4]], dtype=torch.bfloat16),
        torch.tensor([[1.0, 2], [3, 4]], requires_grad=True),
        [torch.tensor([1.0, 2]), torch.tensor([3.0, 4])],
        np.array([[1, 2], [3, 4]], dtype=np.float16),
    ],
)
def test_every_kind_of_matrix_becomes_float32(value):
    vectors = returning(value).encode(["a", "b"])
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1, 2], r"returned shape \(2,\) for 2 texts"),
        ([[1, 2]], r"returned shape \(1, 2\) for 2 texts"),
        (np.zeros((2, 0)), r"returned shape \(2, 0\) for 2 texts"),
        (np.zeros((2, 1, 3)), r"returned shape \(2, 1, 3\)"),
        ([[1, 2], [3]], "no matrix of real numbers"),
        ([["x", "y"], ["z", "w"]], "no matrix of real numbers"),
        (np.array([[1j], [2]]), "no matrix of real numbers"),
        (None, "no matrix of real numbers"),
        ([[1.0, 2], [np.nan, 1]], "NaN or infinity for 1 of 2"),
        ([[1.0, 2], [np.inf, 1]], "NaN or infinity for 1 of 2"),
        ([[1.0, 2], [1e300, 1]], "NaN or infinity for 1 of 2"),
    ],
)
def test_what_is_no_matrix_of_vectors_is_refused(value, message):
    with pytest.raises(DataError, match=message):
        returning(value).encode(["first", "second"])


def test_a_bad_number_names_its_text():
    with pytest.raises(DataError) as caught:
        returning([[1.0], [np.nan]]).encode(["first", "second"])
    assert caught.value.where == "text 1: 'second'"


def test_a_role_parameter_is_used():
    class Asked:
        def encode(self, texts, *, role="item"):
            return [[role == "query"]] * len(texts)

    encoder = as_encoder(Asked(), "asked")
    with pytest.raises(DataError, match="dtype bool"):
        encoder.encode(["a"])

    class Numbered(Asked):
        def encode(self, texts, role="item"):
            return np.array(super().encode(texts, role=role), dtype=float)

    encoder = as_encoder(Numbered(), "asked")
    assert encoder.encode(["a"], "query").tolist() == [[1]]
    assert encoder.encode(["a"]).tolist() == [[0]]


def test_query_and_document_methods_are_used():
    class TwoTowers:
        def encode(self, texts):
            raise AssertionError("not asked")

        def encode_query(self, texts):
            return [[1.0]] * len(texts)

        def encode_document(self, texts):
            return [[2.0]] * len(texts)

    encoder = as_encoder(TwoTowers(), "towers")
    assert encoder.encode(["a"], "query").tolist() == [[1]]
    assert encoder.encode(["a"], "item").tolist() == [[2]]


def test_a_live_sentence_transformer_is_an_encoder(tiny, titles):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(tiny), device="cpu")
    encoder = as_encoder(model, "mine")
    np.testing.assert_allclose(
        encoder.encode(titles[:5], "query"), model.encode_query(titles[:5]), atol=1e-6
    )


def test_the_name_is_ours_and_the_rest_of_a_card_is_kept():
    class Carded(Lengths):
        card = EncoderCard("theirs", "7", nested=True, licence="MIT")

    encoder = as_encoder(Carded(), "ours")
    assert isinstance(encoder, Encoder)
    assert encoder.card == EncoderCard("ours", None, nested=True, licence="MIT")


def test_texts_are_given_as_a_list():
    class Strict:
        def encode(self, texts):
            assert type(texts) is list
            return [[1.0]] * len(texts)

    assert as_encoder(Strict(), "strict").encode(("a", "b")).shape == (2, 1)


@pytest.mark.parametrize("thing", [object(), 3, lambda texts: texts])
def test_what_has_no_encode_is_refused(thing):
    with pytest.raises(UsageError, match="has no method encode"):
        as_encoder(thing, "thing")


def test_a_name_is_needed():
    with pytest.raises(UsageError, match="needs a name"):
        as_encoder(Lengths(), " ")
