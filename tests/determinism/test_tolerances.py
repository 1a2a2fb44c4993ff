"""What is not equal to the bit stays within the tolerance that `docs/determinism.md` states."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import nn

from tastebench.encoders.catalog import minilm_folder
from tastebench.encoders.sentence import SentenceEncoder
from tastebench.errors import DependencyError
from tastebench.lm.load import find_model
from tastebench.training.fit import FabricTrainer
from tastebench.training.settings import TrainSettings

TEXTS = [
    f"{colour} {thing} {rest}".strip()
    for colour in ("red", "ocean blue")
    for thing in ("lipstick", "wool socks", "tent for two")
    for rest in ("", "pack of 3", "- large, with a five year warranty (2019), for camping " * 2)
]
"""Of many lengths, so that company decides how a batch is padded."""


def minilm(precision: Literal["float32", "bfloat16"]) -> SentenceEncoder:
    try:
        folder = minilm_folder()
    except DependencyError as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(error))
    return SentenceEncoder(find_model(str(folder)), precision=precision)


@pytest.mark.parametrize(
    ("precision", "in_vectors", "in_cosines"),
    [("float32", 1e-6, 1e-6), ("bfloat16", 1e-2, 1e-3)],
)
def test_the_company_of_a_text_moves_its_vector_little(
    precision: Literal["float32", "bfloat16"], in_vectors: float, in_cosines: float
) -> None:
    encoder = minilm(precision)
    if encoder.precision != precision:
        pytest.skip(f"this machine computes in {encoder.precision} where {precision} is wanted")
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    assert np.abs(together - alone).max() < in_vectors
    assert np.abs(together @ together.T - alone @ alone.T).max() < in_cosines
    np.testing.assert_array_equal(encoder.encode(TEXTS), together)  # in equal company equal


def test_scores_in_other_chunks_differ_by_rounding_alone() -> None:
    """What a matrix product adds up may be split otherwise for another number of items."""
    rng = np.random.default_rng(0)
    users = torch.from_numpy(rng.normal(size=(33, 64)).astype(np.float32))
    items = torch.from_numpy(rng.normal(size=(1000, 64)).astype(np.float32))
    whole = users @ items.T
    for width in (1, 7, 256):
        parts = torch.cat([users @ part.T for part in items.split(width)], dim=1)
        assert (parts - whole).abs().max() <= 1e-5 * whole.abs().max()


def test_training_on_a_gpu_again_stays_close() -> None:
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU here: sums on one may be added up in another order")

    def curve() -> list[float]:
        rng = np.random.default_rng(0)
        torch.manual_seed(0)
        table = nn.Embedding(500, 32).cuda()
        rows = torch.from_numpy(rng.integers(500, size=(64, 256))).cuda()

        def loss(batch: Any) -> torch.Tensor:
            return (table(batch).sum(dim=1) - 1).square().mean()

        trainer = FabricTrainer(seed=0)
        settings = TrainSettings(epochs=3, device="cuda")
        report = trainer.fit(table, settings, lambda stream: rows.split(16), loss)
        return [row["loss"] for row in report.curve]

    np.testing.assert_allclose(curve(), curve(), rtol=1e-3)
