"""What every encoder must do: inherit `EncoderTests`, say how to make yours, run pytest.

class TestMine(EncoderTests):
    @pytest.fixture
    def encoder(self):
        return as_encoder(MyModel(), "mine", revision="1")
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tastebench.contracts import Encoder, EncoderCard, Role
from tastebench.encoders import encode_items, encode_queries

TEXTS = (
    "wool socks, grey, pack of three",
    "espresso machine with milk frother",
    "Wool Socks, Grey, Pack of Three",
    "grey socks",
    "Größe 42: Wanderschuhe für Damen",
    "登山靴 レディース",
    "<b>Deal!</b> &amp; more &lt;3",
    "a",
    "trail running shoes " * 40,
)
"""Short, long, in other scripts, with markup, and two that differ in case alone."""


class EncoderTests:
    """Shape, order, determinism and finiteness of an encoder, and that its vectors can be cached.

    Attributes:
        role: The role that is tested; both must be accepted.
        tolerance: Lowest cosine between encodings of one text in different company.
    """

    role: Role = "item"
    tolerance = 0.9999

    @pytest.fixture
    def encoder(self) -> Encoder:
        """The encoder under test; yours to override."""
        raise NotImplementedError("override the fixture `encoder`")

    def encode(self, encoder: Encoder, texts: list[str]) -> np.ndarray:
        """Encodes in the role under test."""
        return encoder.encode(texts, self.role)

    def test_is_an_encoder_with_a_card(self, encoder: Encoder) -> None:
        """It says what it is."""
        assert isinstance(encoder, Encoder)
        assert isinstance(encoder.card, EncoderCard)
        assert encoder.card.name
        assert encoder.card.revision is None or encoder.card.revision

    def test_gives_one_finite_float32_vector_a_text(self, encoder: Encoder) -> None:
        """The shape is what everybody relies on."""
        vectors = self.encode(encoder, list(TEXTS))
        assert vectors.dtype == np.float32
        assert vectors.ndim == 2
        assert len(vectors) == len(TEXTS)
        assert np.isfinite(vectors).all()
        if encoder.card.dimensions is not None:
            assert vectors.shape[1] == encoder.card.dimensions

    def test_normalised_vectors_have_unit_length(self, encoder: Encoder) -> None:
        """What the card says is so; a text without a known word may be zero."""
        norms = np.linalg.norm(self.encode(encoder, list(TEXTS)), axis=1)
        if encoder.card.normalised:
            np.testing.assert_allclose(norms[norms > 0], 1, atol=1e-3)

    def test_tells_texts_apart(self, encoder: Encoder) -> None:
        """Two different things do not look the same."""
        socks, machine = self.encode(encoder, list(TEXTS[:2]))
        assert not np.allclose(socks, machine)

    def test_is_deterministic(self, encoder: Encoder) -> None:
        """The same question, the same bits."""
        first = self.encode(encoder, list(TEXTS))
        second = self.encode(encoder, list(TEXTS))
        np.testing.assert_array_equal(first, second)

    def test_rows_follow_the_texts(self, encoder: Encoder) -> None:
        """Sorting by length inside must be undone."""
        forward = self.encode(encoder, list(TEXTS))
        backward = self.encode(encoder, list(TEXTS[::-1]))
        assert _lowest_cosine(forward, backward[::-1]) >= self.tolerance

    def test_a_vector_does_not_depend_on_its_company(self, encoder: Encoder) -> None:
        """Padding and batches leave no trace beyond the tolerance."""
        together = self.encode(encoder, list(TEXTS))
        alone = np.concatenate([self.encode(encoder, [text]) for text in TEXTS])
        assert _lowest_cosine(together, alone) >= self.tolerance

    def test_equal_texts_get_equal_vectors(self, encoder: Encoder) -> None:
        """Wherever they stand."""
        vectors = self.encode(encoder, [TEXTS[0], TEXTS[1], TEXTS[0]])
        assert _lowest_cosine(vectors[:1], vectors[2:]) >= self.tolerance

    def test_takes_the_empty_text(self, encoder: Encoder) -> None:
        """Catalogues have items without text."""
        vectors = self.encode(encoder, ["", TEXTS[0]])
        assert np.isfinite(vectors).all()
        assert _lowest_cosine(vectors[1:], self.encode(encoder, [TEXTS[0]])) >= self.tolerance

    def test_leaves_its_input_alone(self, encoder: Encoder) -> None:
        """The caller's list is the caller's."""
        texts = list(TEXTS)
        self.encode(encoder, texts)
        assert texts == list(TEXTS)

    def test_items_and_queries_share_a_space(self, encoder: Encoder) -> None:
        """Both roles are accepted and can be compared."""
        item = encoder.encode([TEXTS[0]], "item")
        query = encoder.encode([TEXTS[0]], "query")
        assert item.shape == query.shape

    def test_vectors_of_a_catalogue_are_kept(self, encoder: Encoder) -> None:
        """The second time they come from the cache, if there is a revision."""
        first = encode_items(encoder, TEXTS, recipe="title")
        second = encode_items(encoder, TEXTS, recipe="title")
        np.testing.assert_array_equal(first.vectors, second.vectors)
        assert first.key == second.key
        assert first.card.dimensions == first.vectors.shape[1]
        assert second.cost.cached == (encoder.card.revision is not None)
        assert dataclasses.replace(second.cost, cached=False, seconds=0, texts_per_second=0) == (
            dataclasses.replace(first.cost, cached=False, seconds=0, texts_per_second=0)
        )

    def test_queries_can_be_encoded_for_a_catalogue(self, encoder: Encoder) -> None:
        """Search gets vectors of the items' width."""
        items = encode_items(encoder, TEXTS, recipe="title")
        queries = encode_queries(encoder, ["warm socks"], TEXTS, recipe="title")
        assert queries.vectors.shape == (1, items.vectors.shape[1])


def _lowest_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Two zero rows agree; a zero row and another do not."""
    length_a, length_b = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
    both_zero = (length_a == 0) & (length_b == 0)
    lengths = np.where(both_zero, 1, length_a * length_b)
    cosine = np.where(both_zero, 1, (a * b).sum(axis=1) / np.where(lengths > 0, lengths, 1))
    return float(cosine.min())
