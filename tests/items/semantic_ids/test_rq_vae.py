"""RQ-VAE: it learns, uses its codes, is the network it says, and goes on after an interruption."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tastebench.errors import DataError, UsageError
from tastebench.items.semantic_ids import methods, rq_vae_training
from tastebench.items.semantic_ids.paths import same_path
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.semantic_ids.rq_vae_training import Network
from tastebench.items.semantic_ids.settings import RqVaeSettings

SMALL = {"hidden": [64, 32], "latent": 16, "batch_size": 128, "device": "cpu"}


def recipe(levels=3, size=16, **settings):
    return CodeRecipe(
        method="rq-vae", levels=levels, size=size, settings={**SMALL, "epochs": 30, **settings}
    )


def blobs(n=1500, d=32, k=100, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(k, d))[rng.integers(k, size=n)] + 0.3 * rng.normal(size=(n, d))
    return X.astype(np.float32)


def learned(of, X, seed=0, **kept):
    return methods.learn(of, X, np.random.default_rng(seed), **kept)


def network(levels=2, size=4):
    torch.manual_seed(0)
    made = Network(6, RqVaeSettings(hidden=(5,), latent=3), levels, size)
    torch.nn.init.normal_(made.centres)
    return made


def test_on_blobs_the_reconstruction_falls_and_codes_are_used():
    """T8: reconstruction falls, usage above 80 %."""
    X = blobs()
    quantiser, notes = learned(recipe(lr=3e-3), X)
    curve = [row["reconstruction"] for row in notes["curve"]]
    assert curve[-1] < 0.6 * curve[0]
    codes = quantiser.assign(X)
    used = [len(np.unique(codes[:, level])) / 16 for level in range(3)]
    assert min(used) > 0.8
    target = quantiser.target(X)
    left = ((target - quantiser.reconstruct(codes)) ** 2).sum()
    assert left < 0.4 * ((target - target.mean(axis=0)) ** 2).sum()


def test_one_seed_gives_one_result_another_another():
    """T8: same seed, same codes."""
    X = blobs(n=400)
    first, again, other = (learned(recipe(epochs=6), X, seed)[0] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.assign(X), again.assign(X))
    for name, array in first.tensors().items():
        np.testing.assert_array_equal(array, again.tensors()[name])
    assert (first.assign(X) != other.assign(X)).any()


def test_the_loss_and_its_gradients_by_hand():
    # One level, entries 0 and 10, items 1 and 7: both terms are mean(1, 9) = 5.
    made = Network(1, RqVaeSettings(hidden=(), latent=1), 1, 2)
    made.centres.data = torch.tensor([[[0.0], [10.0]]])
    z = torch.tensor([[1.0], [7.0]], requires_grad=True)
    codes, total, towards_item, towards_code = made.quantise(z)
    assert codes.tolist() == [[0], [1]]
    assert total.tolist() == [[0.0], [10.0]]
    assert towards_item.item() == towards_code.item() == 5
    (towards_item + 0.25 * towards_code).backward()
    # Entries: 2 (e - r) / n; items: beta 2 (r - e) / n.
    assert made.centres.grad.tolist() == [[[-1.0], [3.0]]]
    assert z.grad.tolist() == [[0.25], [-0.75]]


def test_entries_learn_from_their_own_level_alone():
    made = network()
    z = torch.randn(20, 3)
    _, _, towards_item, _ = made.quantise(z)
    towards_item.backward()
    both = made.centres.grad.clone()
    # The second level's residuals as constants give the same gradient for the second codebook.
    first = rq_vae_training.nearest(z, made.centres[0], made.bias[0])
    left = (z - made.centres[0][first]).detach()
    made.centres.grad = None
    second = rq_vae_training.nearest(left, made.centres[1], made.bias[1])
    (torch.nn.functional.mse_loss(made.centres[1][second], left) / 2).backward()
    np.testing.assert_allclose(both[1], made.centres.grad[1], atol=1e-6)


def test_the_numpy_network_is_the_trained_one():
    X = blobs(n=300)
    quantiser, _ = learned(recipe(epochs=3), X)
    tensors = quantiser.tensors()
    made = Network(32, RqVaeSettings.model_validate(SMALL), 3, 16)
    made.centres.data = torch.from_numpy(tensors["centres"])
    for name, layers in (("encoder", made.encoder), ("decoder", made.decoder)):
        linear = [layer for layer in layers if isinstance(layer, torch.nn.Linear)]
        for i, layer in enumerate(linear):
            layer.weight.data = torch.from_numpy(tensors[f"{name}.weight.{i}"])
            layer.bias.data = torch.from_numpy(tensors[f"{name}.bias.{i}"])
    x = torch.from_numpy((quantiser.target(X) - tensors["mean"]) * tensors["scale"])
    with torch.no_grad():
        codes, total, _, _ = made.quantise(made.encoder(x))
        rebuilt = made.decoder(total).numpy() / tensors["scale"] + tensors["mean"]
    np.testing.assert_array_equal(quantiser.assign(X), codes.numpy())
    np.testing.assert_allclose(quantiser.reconstruct(codes.numpy()), rebuilt, atol=1e-5)


def test_the_published_widths_are_the_default():
    made = Network(768, RqVaeSettings(), 3, 256)
    shapes = [tuple(p.shape) for p in made.encoder.parameters() if p.ndim == 2]
    assert shapes == [(512, 768), (256, 512), (128, 256), (32, 128)]
    assert [s[::-1] for s in shapes[::-1]] == [
        tuple(p.shape) for p in made.decoder.parameters() if p.ndim == 2
    ]
    assert made.centres.shape == (3, 256, 32)


def test_entries_that_nobody_took_begin_again_where_items_are(monkeypatch):
    X = blobs(n=300)

    def far_off(training):
        training.network.centres.data[:] = 1e3  # all but one entry of a level are never the nearest
        training.network.centres.data[:, 0] = 0

    monkeypatch.setattr(rq_vae_training, "_begin_codebooks", far_off)
    quantiser, notes = learned(recipe(epochs=8, warmup=0), X)
    rows = notes["curve"]
    assert rows[0]["usage"] == pytest.approx(1 / 16)
    assert rows[0]["again"] == 45
    assert rows[-1]["usage"] > 0.9
    assert np.abs(quantiser.tensors()["centres"]).max() < 100


def test_codebooks_begin_where_items_are():
    X = blobs(n=600)
    _, notes = learned(recipe(epochs=1), X)
    assert notes["curve"][5]["usage"] > 0.95


def test_it_stops_when_collisions_no_longer_fall():
    _, notes = learned(recipe(epochs=400, patience=2, check_every=1), blobs(n=300))
    checks = [row["collisions"] for row in notes["curve"] if "collisions" in row]
    assert notes["stopped_early"]
    assert len(notes["curve"]) < 405
    lowest = checks.index(min(checks))
    assert len(checks) == lowest + 3
    best = [row for row in notes["curve"] if row["epoch"] == notes["best_epoch"]]
    sums = [row["collisions"] + row["error"] for row in notes["curve"] if "error" in row]
    assert best[0]["collisions"] + best[0]["error"] == min(sums)


def test_the_best_epoch_is_what_comes_back():
    X = blobs(n=400)
    quantiser, notes = learned(recipe(epochs=12, check_every=1), X)
    best = next(row for row in notes["curve"] if row["epoch"] == notes["best_epoch"])
    codes = quantiser.assign(X)
    assert 1 - (same_path(codes).max() + 1) / 400 == pytest.approx(best["collisions"], abs=0.003)
    tensors = quantiser.tensors()
    left = ((quantiser.target(X) - quantiser.reconstruct(codes)) * tensors["scale"]) ** 2
    assert left.mean() == pytest.approx(best["error"], rel=1e-3)


@pytest.mark.parametrize("after", [1, 3, 4, 9])
def test_an_interrupted_training_goes_on_to_the_same_codebooks(tmp_path, monkeypatch, after):
    monkeypatch.setattr(rq_vae_training, "_SAVE_EVERY", 0)
    X, of = blobs(n=300), recipe(epochs=8, warmup=3, check_every=2)
    whole, notes = learned(of, X)

    def stop(row):
        if row["epoch"] > after:
            raise KeyboardInterrupt

    path = tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        learned(of, X, progress=stop, state=path)
    told = []
    again, resumed = learned(of, X, progress=told.append, state=path)
    assert told[0]["epoch"] == after + 1
    for name, array in whole.tensors().items():
        np.testing.assert_array_equal(array, again.tensors()[name])
    keys = ("epoch", "loss", "collisions")
    assert [[row.get(key) for key in keys] for row in notes["curve"]] == [
        [row.get(key) for key in keys] for row in resumed["curve"]
    ]
    # What is finished is not trained again.
    told.clear()
    learned(of, X, progress=told.append, state=path)
    assert told == []


def test_a_training_may_go_on_elsewhere(tmp_path):
    path, X = tmp_path / "state.safetensors", blobs(n=100)
    learned(recipe(epochs=2, device="cpu"), X, state=path)
    told = []
    _, notes = learned(recipe(epochs=2, device="auto"), X, progress=told.append, state=path)
    assert told == [] and notes["device"]


def test_a_state_of_something_else_is_refused(tmp_path):
    path, X = tmp_path / "state.safetensors", blobs(n=100)
    learned(recipe(epochs=1), X, state=path)
    for of, vectors, seed in [
        (recipe(epochs=2), X, 0),
        (recipe(epochs=1), X + 1, 0),
        (recipe(epochs=1), X, 1),
        (recipe(epochs=1, size=8), X, 0),
    ]:
        with pytest.raises(UsageError, match="made with other settings"):
            learned(of, vectors, seed, state=path)
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="training state cannot be read"):
        learned(recipe(epochs=1), X, state=path)


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(UsageError, match=r"RQ-VAE diverged(.|\n)*lr=1e\+30(.|\n)*lower lr"):
        learned(recipe(lr=1e30, warmup=0), blobs(n=300))


def test_a_device_that_is_not_there():
    with pytest.raises(UsageError, match="no device 'cuda:99'"):
        learned(recipe(device="cuda:99"), blobs(n=20))
