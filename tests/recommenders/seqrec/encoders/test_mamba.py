"""Mamba-2 against the recurrence and against transformers' mixer."""

from __future__ import annotations

import math

import pytest
import torch
from transformers import Mamba2Config
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer as TheirMixer

from tastebench.errors import UsageError
from tastebench.recommenders.seqrec.encoders.mamba import (
    Mamba2,
    Mamba2Mixer,
    first_steps,
    state_space,
)


def loop(
    x: torch.Tensor, step: torch.Tensor, decay: torch.Tensor, B: torch.Tensor, C: torch.Tensor
) -> torch.Tensor:
    """`S_t = exp(step_t decay) S_(t-1) + step_t B_t x_t^T;  y_t = C_t S_t`."""
    state = x.new_zeros(len(x), x.shape[2], B.shape[2], x.shape[3])
    outputs = []
    for t in range(x.shape[1]):
        state = torch.exp(step[:, t] * decay)[..., None, None] * state
        added = B[:, t, None, :, None] * x[:, t, :, None, :]
        state = state + step[:, t, :, None, None] * added
        outputs.append((C[:, t, None, :, None] * state).sum(dim=2))
    return torch.stack(outputs, dim=1)


def drawn(length: int) -> list[torch.Tensor]:
    torch.manual_seed(length)
    given = [
        torch.randn(2, length, 3, 4),
        torch.rand(2, length, 3) + 0.01,
        -torch.rand(3) * 2,
        torch.randn(2, length, 5),
        torch.randn(2, length, 5),
    ]
    return [t.requires_grad_() for t in given]


@pytest.mark.parametrize("length", [1, 2, 5, 16, 67])
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_equals_the_loop(length: int, chunk: int) -> None:
    given, weights = drawn(length), torch.randn(2, length, 3, 4)
    ours, theirs = state_space(*given, chunk=chunk), loop(*given)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(
        torch.autograd.grad((ours * weights).sum(), given),
        torch.autograd.grad((theirs * weights).sum(), given),
        rtol=1e-3,
        atol=1e-3,
    )


def test_fast_decay_stays_finite() -> None:
    """Over a chunk the decay is exp(-6400): zero, but no difference of it is."""
    given = drawn(200)
    with torch.no_grad():
        given[1].fill_(1.0)
        given[2].fill_(-100.0)
    y = state_space(*given)
    torch.testing.assert_close(y, loop(*given), rtol=1e-4, atol=1e-4)
    for grad in torch.autograd.grad(y.sum(), given):
        assert grad.isfinite().all()


def test_equals_the_mixer_of_transformers() -> None:
    torch.manual_seed(0)
    ours = Mamba2Mixer(16, state=6, head_width=8, expand=2, kernel=4)
    theirs = TheirMixer(
        Mamba2Config(
            hidden_size=16,
            num_heads=4,
            head_dim=8,
            state_size=6,
            expand=2,
            n_groups=1,
            conv_kernel=4,
            chunk_size=4,
            layer_norm_epsilon=1e-5,
            num_hidden_layers=1,
        ),
        layer_idx=0,
    )
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    theirs.load_state_dict(
        {
            "dt_bias": ours.step,
            "A_log": ours.log_decay,
            "D": ours.skip,
            "conv1d.weight": ours.mix.weight,
            "conv1d.bias": ours.mix.bias,
            "in_proj.weight": ours.into.weight,
            "norm.weight": ours.norm.weight,
            "out_proj.weight": ours.out.weight,
        }
    )
    x = torch.randn(3, 11, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)


def test_a_stack_adds_mixers_of_the_norm() -> None:
    torch.manual_seed(0)
    made = Mamba2(16, layers=2, state=4, head_width=8)
    x = torch.randn(2, 5, 16)
    expected = x
    for mixer in made.mixers:
        scale = (expected.square().mean(dim=-1, keepdim=True) + 1e-5).rsqrt()
        expected = expected + mixer(expected * scale)
    torch.testing.assert_close(made(x), expected)


def test_the_residual_stream_is_float32() -> None:
    made = Mamba2(16, layers=1, state=4, head_width=8)
    x = torch.randn(2, 5, 16, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert made(x).dtype == torch.float32


def test_steps_begin_between_a_thousandth_and_a_tenth() -> None:
    torch.manual_seed(0)
    step = torch.nn.functional.softplus(first_steps(10_000))
    assert 0.001 <= step.min().item() * 1.001 and step.max().item() <= 0.1001
    # Log-uniform: the middle is the geometric mean.
    assert step.median().item() == pytest.approx(0.01, rel=0.1)


def test_decays_begin_between_one_and_sixteen() -> None:
    torch.manual_seed(0)
    decay = Mamba2Mixer(64, state=4, head_width=2, expand=2, kernel=4).log_decay.exp()
    assert 1 <= decay.min().item() < 3 and 14 < decay.max().item() <= 16
    assert not math.isclose(decay[0].item(), decay[1].item())


def test_heads_must_divide_the_inner_width() -> None:
    with pytest.raises(
        UsageError, match=r"head_width=64 does not divide an inner width of 2 \* 16"
    ):
        Mamba2(16, layers=1)
