"""Caser against the filters of its paper, window by window."""

from __future__ import annotations

import torch

from tastebench.recommenders.seqrec.encoders.caser import Caser

WIDTH, WINDOW, HORIZONTAL, VERTICAL = 6, 5, 3, 2


def of_one_window(made: Caser, E: torch.Tensor) -> torch.Tensor:
    """The state of one window `[window, width]`: vertical filters, then horizontal by height."""
    found = [(G[:, None] * E).sum(dim=0) + bias for G, bias in vertical(made)]
    for height, filters in enumerate(made.horizontal, start=1):
        for F, bias in zip(filters.weight, filters.bias, strict=True):  # F is [width, height]
            matches = [
                torch.relu((F.T * E[i : i + height]).sum() + bias)
                for i in range(WINDOW - height + 1)
            ]
            found.append(torch.stack(matches).max()[None])
    return torch.relu(made.out.weight @ torch.cat(found) + made.out.bias)


def vertical(made: Caser) -> list[tuple[torch.Tensor, torch.Tensor]]:
    weights = made.vertical.weight[:, 0, :, 0]
    return list(zip(weights, made.vertical.bias, strict=True))


def filled() -> Caser:
    torch.manual_seed(0)
    made = Caser(WIDTH, window=WINDOW, horizontal=HORIZONTAL, vertical=VERTICAL, dropout=0.0)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_(std=0.5)
    return made


def test_every_position_reads_the_window_that_ends_there() -> None:
    made, x = filled(), torch.randn(2, 9, WIDTH)
    states = made(x)
    padded = torch.cat([torch.zeros(2, WINDOW - 1, WIDTH), x], dim=1)
    for row in range(2):
        for at in range(9):
            expected = of_one_window(made, padded[row, at : at + WINDOW])
            torch.testing.assert_close(states[row, at], expected)


def test_what_is_further_back_than_the_window_is_forgotten() -> None:
    made, x = filled(), torch.randn(1, 20, WIDTH)
    other = x.clone()
    other[:, :15] = torch.randn(1, 15, WIDTH)
    torch.testing.assert_close(made(other)[:, -1], made(x)[:, -1])
    assert not torch.allclose(made(other)[:, -2], made(x)[:, -2])


def test_parameters_of_the_published_size() -> None:
    """Width 64, 5 items, 4 vertical and 5 x 16 horizontal filters: the last layer reads 336."""
    made = Caser(64, window=5, horizontal=16, vertical=4, dropout=0.1)
    assert made.out.in_features == 4 * 64 + 16 * 5
    filters = 4 * (5 + 1) + sum(16 * (height * 64 + 1) for height in range(1, 6))
    assert sum(p.numel() for p in made.parameters()) == filters + 336 * 64 + 64
