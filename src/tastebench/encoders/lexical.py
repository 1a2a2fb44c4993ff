"""TF-IDF and a truncated SVD (latent semantic analysis): words that occur together, no model.

Deerwester et al. (1990). It learns from the catalogue's texts alone, so it is the encoder that any
pre-trained one must beat to be worth its cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tastebench.contracts import EncoderCard, Role
from tastebench.encoders.shards import Distinct
from tastebench.errors import UsageError

_WIDTH = 256
_WORDS = r"(?u)\b\w+\b"


class TfidfSvd:
    """TF-IDF with sublinear counts, then the leading right singular vectors, then unit length.

    Width is `min(width, distinct texts, distinct words)`. A text without a word of the catalogue -
    the empty text too - is the zero vector. Counting is by distinct text: an item listed twice
    weighs once.

    Args:
        seed: Of the randomised SVD (Halko, Martinsson and Tropp, 2011).
        width: Singular vectors to keep, at most.
        catalogue: The texts to learn from; None until `fitted`.
    """

    def __init__(
        self, seed: int = 0, width: int = _WIDTH, catalogue: Sequence[str] | None = None
    ) -> None:
        self.seed = seed
        self.width = width
        self._model: tuple[Any, np.ndarray] | None = None
        self._distinct: list[str] | None = None
        self._latest: TfidfSvd | None = None
        revision = f"1-seed{seed}-width{width}"
        if catalogue is not None:
            distinct = Distinct.of(catalogue)
            self._distinct = [catalogue[row] for row in distinct.first]
            revision += f"-{distinct.content()}"
        self.card = EncoderCard(
            name="tfidf-svd",
            revision=revision,
            parameters=None,
            normalised=True,
            licence="Apache-2.0",
            source="scikit-learn",
            training_data=(),
        )

    def fitted(self, items: Sequence[str]) -> TfidfSvd:
        """The same for this catalogue; it learns when it first encodes, and once a catalogue."""
        asked = TfidfSvd(self.seed, self.width, items)
        if self._latest is None or self._latest.card != asked.card:
            self._latest = asked
        return self._latest

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        """Unit (or zero) vectors, float32 `[n, d]`; the role makes no difference.

        Raises:
            UsageError: It has not been fitted to a catalogue.
        """
        if self._distinct is None:
            raise UsageError(
                "tfidf-svd learns from a catalogue and has none yet",
                fix="use encode_items(encoder, texts, recipe=...), or encoder.fitted(texts)",
            )
        if self._model is None:
            self._model = _learn(self._distinct, self.width, self.seed)
        vectorizer, axes = self._model
        vectors = vectorizer.transform(texts) @ axes if vectorizer else np.zeros((len(texts), 1))
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _learn(texts: list[str], width: int, seed: int) -> tuple[Any, np.ndarray]:
    """The vectorizer and the axes, float64 `[words, d]`; no vectorizer if there is not one word."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.utils.extmath import randomized_svd

    vectorizer = TfidfVectorizer(sublinear_tf=True, strip_accents="unicode", token_pattern=_WORDS)
    analyse = vectorizer.build_analyzer()
    if not any(analyse(text) for text in texts):
        return None, np.zeros((0, 1))
    matrix = vectorizer.fit_transform(texts)
    d = min(width, *matrix.shape)
    _, _, axes = randomized_svd(matrix, d, n_iter=7, random_state=seed, flip_sign=False)
    # A singular vector's sign is arbitrary: its largest entry shall be positive.
    largest = axes[np.arange(d), np.abs(axes).argmax(axis=1)]
    return vectorizer, (axes * np.where(largest < 0, -1, 1)[:, None]).T
