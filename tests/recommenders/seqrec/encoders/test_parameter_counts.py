"""Parameters at published settings, to the last one; nothing is allocated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tastebench.recommenders.seqrec.encoders.gru import GRU4Rec
from tastebench.recommenders.seqrec.encoders.hstu import HSTU
from tastebench.recommenders.seqrec.encoders.mamba import Mamba2
from tastebench.recommenders.seqrec.encoders.mamba4rec import Mamba4Rec
from tastebench.recommenders.seqrec.encoders.transformer import PostNormTransformer
from tastebench.recommenders.seqrec.encoders.trm import Trm, inner_width


def count(build: Callable[[], nn.Module]) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build().parameters())


def uqabench_hstu(bias: str) -> HSTU:
    return HSTU(
        512,
        512,
        layers=4,
        heads=8,
        key_width=256,
        value_width=256,
        dropout=0.1,
        bias=bias,  # type: ignore[arg-type]
    )


UQABENCH: dict[str, tuple[int, Callable[[], nn.Module]]] = {
    "gru4rec": (11_535_872, lambda: GRU4Rec(512, hidden=1024, layers=2, dropout=0.1)),
    "sasrec": (
        16_028_672,
        lambda: PostNormTransformer(512, 512, layers=6, heads=8, inner=1536, dropout=0.1),
    ),
    # 4,608 of them are biases that are never read.
    "hstu": (20_978_176, lambda: uqabench_hstu("reference")),
    "hstu, biases of distance read": (20_975_616, lambda: uqabench_hstu("position")),
    "hstu without biases": (20_973_568, lambda: uqabench_hstu("none")),
    "mamba2": (6_880_448, lambda: Mamba2(512, layers=4)),
    "trm++ of the code": (13_635_584, lambda: Trm(512, layers=4, heads=4, dropout=0.1)),
    "trm++ of the paper": (27_271_168, lambda: Trm(512, layers=8, heads=8, dropout=0.1)),
}


@pytest.mark.parametrize("name", UQABENCH)
def test_encoders_of_uqabench(name: str) -> None:
    """T18."""
    expected, build = UQABENCH[name]
    assert count(build) == expected


@pytest.mark.parametrize(
    ("layers", "width", "heads", "millions"),
    [
        (4, 256, 4, 3.41),
        (4, 512, 8, 13.64),
        (8, 512, 8, 27.27),
        (8, 768, 12, 56.64),
        (12, 768, 12, 84.95),
        (24, 1024, 8, 308.33),
        (24, 1536, 12, 679.55),
        (24, 2048, 16, 1233.22),
    ],
)
def test_scaling_table_of_uqabench(layers: int, width: int, heads: int, millions: float) -> None:
    """T25: layers of four square matrices, three of the feed-forward part and two gains."""
    exact = count(lambda: Trm(width, layers=layers, heads=heads, dropout=0.1))
    assert exact == layers * (4 * width**2 + 3 * width * inner_width(width) + 2 * width)
    assert round(exact / 1e6, 2) == millions


def test_grouped_keys_and_values_are_fewer() -> None:
    whole = count(lambda: Trm(512, layers=2, heads=8, dropout=0.0))
    grouped = count(lambda: Trm(512, layers=2, heads=8, kv_heads=2, dropout=0.0))
    assert whole - grouped == 2 * 2 * 512 * (512 - 128)


def test_mamba4rec_as_published() -> None:
    width, inner, state, rank = 64, 128, 32, 4
    mixer = (
        width * 2 * inner  # into
        + inner * 4
        + inner  # convolution and its bias
        + inner * (rank + 2 * state)  # step, B, C
        + rank * inner
        + inner  # step to coordinates
        + inner * state  # decays
        + inner  # skip
        + inner * width  # out
    )
    feed = width * 4 * width + 4 * width + 4 * width * width + width
    norms = 3 * 2 * width
    assert count(lambda: Mamba4Rec(64, layers=1, dropout=0.2)) == mixer + feed + norms


@pytest.mark.parametrize(
    ("width", "inner"),
    [(256, 768), (512, 1536), (768, 2048), (1024, 2816), (1536, 4096), (2048, 5632), (64, 256)],
)
def test_inner_widths(width: int, inner: int) -> None:
    assert inner_width(width) == inner
