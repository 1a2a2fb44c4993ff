"""Encoders by name and size: their numbers of parameters are the published ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from tastebench.recommenders.userqa.encoders import (
    SCALES,
    EncoderSettings,
    dense_parameters,
    make_encoder,
)

PAPER = {
    "gru4rec": 11_535_872,
    "sasrec": 16_028_672,
    "trm": 27_271_168,
}
"""Dense parameters at UQABench's settings, by their formulas."""

SCALING = {
    "3.2M": 3.41,
    "13M": 13.64,
    "25M": 27.27,
    "57M": 56.64,
    "85M": 84.95,
    "303M": 308.33,
    "680M": 679.55,
    "1.2B": 1233.22,
}
"""The exact sizes of the scaling study, in millions."""


def made(name: str, size: str = "small", length: int = 512, **shape: Any) -> torch.nn.Module:
    with torch.device("meta"):  # nothing of a billion numbers is drawn
        return make_encoder(EncoderSettings(name=name, size=size, **shape), length)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PAPER)
def test_the_published_shapes_have_the_published_numbers(name: str) -> None:
    assert dense_parameters(made(name, "paper")) == PAPER[name]


def test_hstu_of_the_published_code_has_its_unused_biases() -> None:
    """T18: 4,608 of them, for distances of both signs and for times."""
    reference = dense_parameters(made("hstu", "paper", bias="reference"))
    assert reference == 20_978_176
    assert reference - dense_parameters(made("hstu", "paper", bias="none")) == 4_608


def test_mamba2_is_about_as_large_as_published() -> None:
    assert dense_parameters(made("mamba2", "paper")) == pytest.approx(6.88e6, rel=0.01)


@pytest.mark.parametrize("size", SCALING)
def test_the_scaling_study_has_its_sizes(size: str) -> None:
    """T25: the constructor reproduces the table to its last digit."""
    assert round(dense_parameters(made("trm", size)) / 1e6, 2) == SCALING[size]
    layers, width, heads = SCALES[size]
    settings = EncoderSettings(name="trm", size=size)  # type: ignore[arg-type]
    assert (settings.shape("layers"), settings.shape("width")) == (layers, width)
    assert width // heads == (64 if width < 1024 else 128)


@pytest.mark.parametrize("name", ["sasrec", "gru4rec", "hstu", "mamba2", "trm"])
def test_small_ones_read_a_history_and_are_of_one_size(name: str) -> None:
    settings = EncoderSettings(name=name)  # type: ignore[arg-type]
    encoder = make_encoder(settings, 50).eval()
    states = encoder(torch.randn(2, 7, 64))
    assert states.shape == (2, 7, 64) and states.isfinite().all()
    places = [p for n, p in encoder.named_parameters() if n.endswith(("positions", "distances"))]
    beside = dense_parameters(encoder) - sum(p.numel() for p in places)
    assert beside == pytest.approx(130_000, rel=0.06)


def test_single_numbers_replace_those_of_the_size() -> None:
    settings = EncoderSettings(name="sasrec", size="paper", width=32, heads=4, inner=8)
    assert [settings.shape(f) for f in ("width", "layers", "heads", "inner")] == [32, 6, 4, 8]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "sasrec", "size": "25M"}, "size=25M is one of trm's"),
        ({"name": "gru4rec", "heads": 2}, "heads changes nothing in gru4rec"),
        ({"name": "trm", "inner": 2}, "inner changes nothing in trm"),
        ({"name": "sasrec", "bias": "none"}, "bias=none changes nothing in sasrec"),
        ({"name": "sasrec", "heads": 3}, "heads=3 does not divide width=64"),
        ({"name": "trm", "width": 6}, "does not divide width=6"),
        ({"name": "mamba2", "heads": 7}, "heads=7 does not divide twice width=64"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        EncoderSettings(**changes)
