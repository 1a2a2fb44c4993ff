"""Streams by name."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tastebench.training.seeds import generator, torch_seeded


def draws(seed: int, name: str) -> list[int]:
    return generator(seed, name).integers(1 << 40, size=4).tolist()


def test_a_name_gives_the_same_stream_at_every_call() -> None:
    assert draws(3, "epoch 1") == draws(3, "epoch 1")


@pytest.mark.parametrize("other", [(3, "epoch 2"), (4, "epoch 1"), (3, "")])
def test_another_name_or_seed_gives_another_stream(other: tuple[int, str]) -> None:
    assert draws(3, "epoch 1") != draws(*other)


def test_streams_are_the_same_on_every_machine() -> None:
    # Written down once: a change here changes every number that was ever published.
    assert generator(7, "weights").integers(1000, size=5).tolist() == [901, 284, 521, 861, 853]


def test_torch_draws_follow_the_generator_and_leave_the_global_state() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with torch_seeded(generator(7, "dropout")):
        first = torch.rand(5)
    assert torch.equal(torch.rand(3), expected)
    with torch_seeded(generator(7, "dropout")):
        assert torch.equal(torch.rand(5), first)
    with torch_seeded(generator(8, "dropout")):
        assert not torch.equal(torch.rand(5), first)


def test_the_global_state_survives_an_error() -> None:
    before = torch.random.get_rng_state()
    with pytest.raises(KeyError), torch_seeded(np.random.default_rng(0)):
        torch.rand(5)
        raise KeyError
    assert torch.equal(torch.random.get_rng_state(), before)
