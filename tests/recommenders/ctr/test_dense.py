"""Dense layers in training are torch's own, whichever library multiplies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tastebench.recommenders.ctr.predictors import dense
from tastebench.recommenders.ctr.predictors.cross import CrossMatrices
from tastebench.recommenders.ctr.predictors.dense import FEWEST_ROWS, by_onednn, linear

ROWS = FEWEST_ROWS + 3
needs_onednn = pytest.mark.skipif(dense._ONEDNN is None, reason="torch has no oneDNN here")


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def results(
    multiply: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, weights: Tensor
) -> list[Tensor]:
    """What it makes, and the gradients by all that it reads, of its numbers with those weights."""
    given = [value.clone().requires_grad_() for value in (x, weight, bias) if value is not None]
    made = multiply(*given, *([None] if bias is None else []))
    return [made.detach(), *torch.autograd.grad(made, given, weights)]


@needs_onednn
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("constant", [False, True])
def test_a_product_and_its_gradients_are_torchs(
    with_bias: bool, transposed: bool, constant: bool
) -> None:
    """Also of a transposed input, and where the gradient is one number seen everywhere."""
    x = draw(17, ROWS).T if transposed else draw(ROWS, 17)
    weight, bias = draw(9, 17), draw(9) if with_bias else None
    weights = torch.ones(()).expand(ROWS, 9) if constant else draw(ROWS, 9)
    assert by_onednn(x)
    ours = results(linear, x, weight, bias, weights)
    theirs = results(functional.linear, x, weight, bias, weights)
    for one, two in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-4)


@needs_onednn
def test_only_gradients_that_are_asked_for_are_made() -> None:
    x, weight = draw(ROWS, 5), draw(4, 5).requires_grad_()
    linear(x, weight, None).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(weight.grad, x.sum(dim=0).expand(4, 5))


@needs_onednn
def test_only_large_products_of_training_in_single_precision_go_by_onednn() -> None:
    x = draw(ROWS, 4)
    assert by_onednn(x)
    assert not by_onednn(x[: FEWEST_ROWS - 1])
    assert not by_onednn(x.double())
    assert not by_onednn(x.bfloat16())
    assert not by_onednn(x.to("meta"))
    with torch.no_grad():
        assert not by_onednn(x)
    with torch.autocast("cpu", torch.bfloat16):
        assert not by_onednn(x)
        assert linear(x, draw(2, 4), None).dtype == torch.bfloat16


def test_without_onednn_it_is_torchs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dense, "_ONEDNN", None)
    x, weight, bias = draw(ROWS, 6), draw(3, 6), draw(3)
    assert torch.equal(linear(x, weight, bias), functional.linear(x, weight, bias))


@pytest.mark.parametrize("rows", [7, ROWS])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_cross_layers_and_their_gradients_are_those_of_the_recursion(
    rows: int, layers: int
) -> None:
    torch.manual_seed(layers)
    ours, x0 = CrossMatrices(6, layers), draw(rows, 6).requires_grad_()
    x = x0
    for layer in ours.layers:
        x = x0 * layer(x) + x
    given = (x0, *ours.parameters())
    weights = draw(rows, 6)
    torch.testing.assert_close(ours(x0), x, rtol=1e-5, atol=1e-5)
    for one, two in zip(
        torch.autograd.grad((ours(x0) * weights).sum(), given),
        torch.autograd.grad((x * weights).sum(), given),
        strict=True,
    ):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-4)


def test_gradients_of_cross_layers_are_those_of_small_differences() -> None:
    ours, x = CrossMatrices(3, 2).double(), draw(4, 3).double().requires_grad_()
    parameters = dict(ours.named_parameters())

    def crossed(x: Tensor, *values: Tensor) -> Tensor:
        given = dict(zip(parameters, values, strict=True))
        made: Tensor = torch.func.functional_call(ours, given, (x,))
        return made

    assert torch.autograd.gradcheck(crossed, (x, *parameters.values()))


def test_the_gradient_that_comes_in_is_left_as_it_is() -> None:
    ours, x, grad = CrossMatrices(4, 2), draw(ROWS, 4).requires_grad_(), draw(ROWS, 4)
    before = grad.clone()
    ours(x).backward(grad)
    assert torch.equal(grad, before)


def test_cross_layers_in_half_precision_are_near_those_in_single() -> None:
    ours, x = CrossMatrices(6, 2), draw(ROWS, 6).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        half = ours(x)
    half.float().sum().backward()
    torch.testing.assert_close(half.float(), ours(x), rtol=0.05, atol=0.05)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())
