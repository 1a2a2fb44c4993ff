"""What every method that reads vectors keeps to, and what is peculiar to one."""

from __future__ import annotations

import numpy as np
import pytest

from tastebench.errors import DataError, UsageError
from tastebench.items.semantic_ids import methods
from tastebench.items.semantic_ids.codebooks import Quantiser, ResidualCodebooks, scaled
from tastebench.items.semantic_ids.recipe import METHODS, CodeRecipe

FEW_EPOCHS = {"epochs": 4, "check_every": 2, "warmup": 2, "hidden": [16], "latent": 8}
READ_VECTORS = [method for method in METHODS if method != "random"]


def recipe(method="rk-means", levels=3, size=8, **settings):
    few = FEW_EPOCHS if method == "rq-vae" else {}
    return CodeRecipe(method=method, levels=levels, size=size, settings={**few, **settings})


def blobs(n=300, d=12, k=20, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(k, d))[rng.integers(k, size=n)] + 0.2 * rng.normal(size=(n, d))
    return X.astype(np.float32)


def learned(recipe, X, seed=0):
    return methods.learn(recipe, X, np.random.default_rng(seed))


def error(quantiser, X, levels=None):
    rebuilt = quantiser.reconstruct(quantiser.assign(X), levels)
    return float(((quantiser.target(X) - rebuilt) ** 2).sum())


# ------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize("method", READ_VECTORS)
class TestQuantiser:
    def test_shapes_and_types(self, method):
        X = blobs()
        quantiser, notes = learned(recipe(method), X)
        assert isinstance(quantiser, Quantiser)
        assert quantiser.sizes == (8, 8, 8)
        assert quantiser.dim == 12
        codes = quantiser.assign(X)
        assert codes.shape == (300, 3) and codes.dtype == np.int64
        assert 0 <= codes.min() and codes.max() < 8
        assert quantiser.reconstruct(codes).shape == X.shape
        assert quantiser.reconstruct(codes).dtype == np.float32
        assert quantiser.last_costs(X, codes).shape == (300, 8)
        assert notes["learned_from"] == 300
        assert notes["settings"]["unit"] is True

    def test_what_is_restored_gives_equal_codes(self, method):
        X, others = blobs(), blobs(seed=7)
        of = recipe(method)
        quantiser, _ = learned(of, X)
        tensors = {name: array.copy() for name, array in quantiser.tensors().items()}
        assert all(isinstance(array, np.ndarray) for array in tensors.values())
        again = methods.restore(of, tensors)
        for vectors in (X, others):
            codes = quantiser.assign(vectors)
            np.testing.assert_array_equal(again.assign(vectors), codes)
            np.testing.assert_array_equal(again.reconstruct(codes), quantiser.reconstruct(codes))

    def test_a_seed_gives_the_same_codes_and_another_others(self, method):
        X = blobs()
        first, again, other = (learned(recipe(method), X, seed)[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.assign(X), again.assign(X))
        assert (first.assign(X) != other.assign(X)).any()

    def test_the_global_generators_are_left_alone(self, method):
        import torch

        np.random.seed(0)
        torch.manual_seed(0)
        expected = np.random.random(), torch.rand(1)
        np.random.seed(0)
        torch.manual_seed(0)
        learned(recipe(method), blobs(n=50))
        assert (np.random.random(), torch.rand(1)) == expected

    def test_the_chosen_last_code_is_the_cheapest(self, method):
        X = blobs()
        quantiser, _ = learned(recipe(method), X)
        codes = quantiser.assign(X)
        costs = quantiser.last_costs(X, codes)
        chosen = np.take_along_axis(costs, codes[:, -1:], axis=1)[:, 0]
        np.testing.assert_allclose(chosen, costs.min(axis=1), atol=1e-4)

    def test_the_scale_of_an_item_does_not_count_unless_it_is_to(self, method):
        X = blobs()
        factor = np.random.default_rng(0).choice([0.25, 1, 4], size=(len(X), 1)).astype(np.float32)
        quantiser, _ = learned(recipe(method), X)
        np.testing.assert_array_equal(quantiser.assign(X * factor), quantiser.assign(X))
        np.testing.assert_allclose(np.linalg.norm(quantiser.target(X), axis=1), 1, rtol=1e-5)
        raw, _ = learned(recipe(method, unit=False), X)
        np.testing.assert_array_equal(raw.target(X), X)
        assert (raw.assign(X * 4) != raw.assign(X)).any()

    @pytest.mark.parametrize("scale", [1e-3, 1e3])
    def test_the_scale_of_all_items_does_not_count(self, method, scale):
        X = blobs()
        one, _ = learned(recipe(method, unit=False), X)
        other, _ = learned(recipe(method, unit=False), X * np.float32(scale))
        # Powers of ten round: a few items lie between two codes.
        assert (one.assign(X) == other.assign(X * np.float32(scale))).mean() > 0.95

    def test_later_levels_lower_the_error(self, method):
        X = blobs(n=600)
        quantiser, _ = learned(recipe(method, size=16), X)
        errors = [error(quantiser, X, levels) for levels in (1, 2, 3)]
        assert errors[0] > errors[1] > errors[2]
        assert error(quantiser, X) == errors[2]

    @pytest.mark.parametrize("n", [1, 2, 7])
    def test_fewer_items_than_codes(self, method, n):
        X = blobs(n=n)
        quantiser, _ = learned(recipe(method, size=16), X)
        assert len(np.unique(quantiser.assign(X), axis=0)) == n
        assert all(np.isfinite(quantiser.reconstruct(quantiser.assign(X))).ravel())
        assert quantiser.assign(blobs(n=30, seed=5)).max() < 16

    def test_equal_vectors_have_equal_codes(self, method):
        X = np.repeat(blobs(n=1), 40, axis=0)
        codes = learned(recipe(method), X)[0].assign(X)
        assert len(np.unique(codes, axis=0)) == 1

    def test_zero_vectors_are_vectors_like_others(self, method):
        X = np.concatenate([np.zeros((5, 12), np.float32), blobs(n=60)])
        quantiser, _ = learned(recipe(method), X)
        codes = quantiser.assign(X)
        assert len(np.unique(codes[:5], axis=0)) == 1
        assert np.isfinite(quantiser.reconstruct(codes)).all()
        nothing = np.zeros((4, 12), np.float32)
        assert len(np.unique(learned(recipe(method), nothing)[0].assign(nothing), axis=0)) == 1

    @pytest.mark.parametrize(
        ("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinite"), (-np.inf, "infinite")]
    )
    def test_what_is_no_number_is_named_by_its_row(self, method, value, kind):
        X = blobs()
        X[17, 3] = value
        with pytest.raises(DataError, match=rf"holds {kind}(.|\n)*row 17 of 300"):
            learned(recipe(method), X)

    def test_no_vectors_at_all(self, method):
        with pytest.raises(DataError, match="no item vectors to learn codebooks from"):
            learned(recipe(method), np.empty((0, 12), np.float32))
        with pytest.raises(DataError, match=r"the shape \(12,\), not \[n, d\]"):
            learned(recipe(method), np.ones(12, np.float32))

    def test_progress_is_told_in_numbers(self, method):
        rows = []
        methods.learn(recipe(method), blobs(n=60), np.random.default_rng(0), rows.append)
        assert rows and all(
            isinstance(value, int | float) for row in rows for value in row.values()
        )

    def test_vectors_may_be_mapped_from_disk_in_half_precision(self, method, tmp_path):
        X = blobs().astype(np.float16)
        np.save(tmp_path / "X.npy", X)
        mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
        one, _ = learned(recipe(method), mapped)
        two, _ = learned(recipe(method), X.astype(np.float32))
        np.testing.assert_array_equal(one.assign(mapped), two.assign(X.astype(np.float32)))


# ----------------------------------------------------------------------------------- by hand


def test_residual_codes_by_hand():
    # x = (5, 1): nearest of (0,0), (4,0) is (4,0); left (1,1); nearest of (1,0), (1,2) is the
    # first of two at distance 1; left (0,1).
    books = ResidualCodebooks(
        np.array([[[0, 0], [4, 0]], [[1, 0], [1, 2]]], dtype=np.float32), np.zeros((2, 2), "f")
    )
    X = np.array([[5, 1], [1, 1.5]], dtype=np.float32)
    codes = books.assign(X)
    assert codes.tolist() == [[1, 0], [0, 1]]
    assert books.decode(codes).tolist() == [[5, 0], [1, 2]]
    assert books.decode(codes, 1).tolist() == [[4, 0], [0, 0]]
    assert books.last_costs(X, codes).tolist() == [[1, 1], [2.25, 0.25]]


def test_a_code_of_infinite_bias_is_never_chosen():
    books = ResidualCodebooks(np.array([[[0], [1]]], "f"), np.array([[np.inf, 0]], "f"))
    assert books.assign(np.array([[0], [1]], "f")).tolist() == [[1], [1]]


@pytest.mark.parametrize("factor", [1e-30, 1.0, 1e30])
def test_unit_length_neither_over_nor_underflows(factor):
    X = np.array([[3, 4], [0, 0]], dtype=np.float64) * factor
    np.testing.assert_allclose(scaled(X.astype(np.float32), True), [[0.6, 0.8], [0, 0]], rtol=1e-6)


def test_product_codes_split_rotated_vectors_into_parts_of_alike_variance():
    rng = np.random.default_rng(0)
    scale = np.geomspace(1, 0.05, 16)
    X = (rng.normal(size=(2000, 16)) * scale @ np.linalg.qr(rng.normal(size=(16, 16)))[0]).astype(
        "f"
    )
    turned, _ = learned(recipe("product", levels=4, size=16, unit=False), X)
    np.testing.assert_allclose(turned.rotation.T @ turned.rotation, np.eye(16), atol=1e-5)
    assert np.diff(turned.starts).tolist() == [4] * 4
    parts = np.log(((X - turned.mean) @ turned.rotation).var(axis=0)).reshape(4, 4).sum(axis=1)
    assert np.ptp(parts) < 0.5 * np.ptp(np.log(scale**2).reshape(4, 4).sum(axis=1))
    straight, _ = learned(recipe("product", levels=4, size=16, unit=False, rotate=False), X)
    np.testing.assert_array_equal(straight.rotation, np.eye(16))
    assert error(turned, X) < error(straight, X)


def test_product_codes_need_a_coordinate_a_level():
    with pytest.raises(UsageError, match="width 12 cannot be cut into 13 parts"):
        learned(recipe("product", levels=13), blobs())


def test_width_that_no_level_count_divides_is_cut_as_evenly_as_can_be():
    quantiser, _ = learned(recipe("product", levels=5), blobs())
    assert sorted(np.diff(quantiser.starts).tolist()) == [2, 2, 2, 3, 3]


def test_a_sample_is_learned_from_where_there_are_many():
    quantiser, notes = learned(recipe(sample=100), blobs())
    assert notes["learned_from"] == 100
    assert quantiser.assign(blobs()).shape == (300, 3)


# ----------------------------------------------------------------------------------- settings


def test_an_unknown_setting_names_the_nearest():
    with pytest.raises(UsageError, match=r"no setting 'epoch'(.|\n)*did you mean epochs\?"):
        methods.settings_of(CodeRecipe(method="rq-vae", settings={"epoch": 3}))
    with pytest.raises(UsageError, match="codes by random have no setting 'unit'"):
        methods.settings_of(CodeRecipe(method="random", settings={"unit": True}))


def test_a_value_that_cannot_be_is_refused():
    with pytest.raises(UsageError, match=r"setting priced of codes by rk-means cannot be -1"):
        methods.settings_of(CodeRecipe(method="rk-means", settings={"priced": -1}))


def test_every_method_has_settings_with_defaults():
    assert set(methods.SETTINGS) == set(METHODS)
    for method in METHODS:
        methods.settings_of(CodeRecipe(method=method))


def test_listing_settings_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys; from tastebench.items.semantic_ids import methods; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'sklearn', 'faiss')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
