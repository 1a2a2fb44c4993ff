from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tastebench.lm.linear import PackedLinear, agreement, can_pack, fastest, swap_linears


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(24, 40), nn.GELU(), nn.Linear(40, 8, bias=False))
        self.special = type("Adapter", (nn.Linear,), {})(8, 8)

    def forward(self, x):
        return self.special(self.body(x).float())


@pytest.mark.parametrize("device", ["cpu", "elsewhere"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_swapped_layers_compute_the_same_and_can_be_undone(device, dtype, tolerance):
    net = Net()
    x = torch.randn(5, 7, 24)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=False):
        expected = net(x)
        originals = [net.body[0], net.body[2], net.special]
        swap = swap_linears(net, device, dtype)
        assert net.special is originals[2]
        assert net.body[0] is not originals[0]
        assert isinstance(net.body[0], PackedLinear) == (device == "cpu" and can_pack("cpu", dtype))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            found = net(x).float()
        np.testing.assert_allclose(found, expected, atol=tolerance)
        swap.undo()
        assert [net.body[0], net.body[2], net.special] == originals
        torch.testing.assert_close(net(x), expected)


def test_only_a_cpu_packs():
    assert not can_pack("cuda")


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([[1, 0], [0, 2]], [[3, 0], [0, 1]], 1),
        ([[1, 0], [0, 1]], [[1, 0], [1, 1]], 0.5**0.5),
        ([[1, 0]], [[-1, 0]], -1),
        ([[0, 0]], [[0, 0]], 1),
        ([[0, 0]], [[1, 0]], -1),
        ([[np.nan, 0]], [[1, 0]], -1),
    ],
)
def test_agreement_is_the_lowest_cosine(a, b, expected):
    assert agreement(np.array(a, float), np.array(b, float)) == pytest.approx(expected)


@pytest.mark.parametrize(("centred", "expected"), [(False, "bfloat16"), (True, "float32")])
def test_what_all_vectors_share_does_not_hide_that_they_differ(monkeypatch, centred, expected):
    monkeypatch.setattr("tastebench.lm.linear.can_pack", lambda *where: False)
    net = Net()
    originals = [net.body[0], net.body[2]]
    rng = np.random.default_rng(0)
    truth = 100 + rng.normal(size=(8, 16))
    rough = truth + 0.1 * rng.normal(size=truth.shape)
    assert agreement(rough, truth) > 0.9999  # of what tells the rows apart, a tenth is noise
    vectors = {"float32": truth, "bfloat16": rough}
    found = fastest(net, "cpu", vectors.__getitem__, lower=True, name="net", centred=centred)
    assert found == expected
    assert ([net.body[0], net.body[2]] == originals) == (expected == "float32")
