"""Quality by hand, and against loops over pairs."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tastebench.items.semantic_ids import report
from tastebench.items.semantic_ids.codebooks import ResidualCodebooks
from tastebench.items.semantic_ids.ids import SemanticIds, make_ids
from tastebench.items.semantic_ids.recipe import CodeRecipe
from tastebench.items.semantic_ids.report import quality
from tastebench.items.semantic_ids.rk_means import ResidualKMeans


def by_hand():
    """Four items in the plane, two levels; the first two share a path."""
    centres = np.array([[[0, 0], [4, 0], [9, 9]], [[0, 0], [0, 3], [8, 8]]], dtype=np.float32)
    quantiser = ResidualKMeans(ResidualCodebooks(centres, np.zeros((2, 3), np.float32)), False)
    values = np.array([[1, 0, 0], [1, 0, 1], [1, 1, -1], [0, 1, -1]])
    X = np.array([[4, 0], [4, 0], [4, 3], [0, 5]], dtype=np.float32)
    recipe = CodeRecipe(levels=2, size=3)
    about = {"recipe": recipe.model_dump(mode="json")}
    return SemanticIds(values, (3, 3, 2), 2, quantiser, about), X


def test_numbers_by_hand():
    ids, X = by_hand()
    found = quality(ids, X)
    assert {k: found[k] for k in ("items", "paths", "largest_group")} == {
        "items": 4,
        "paths": 3,
        "largest_group": 2,
    }
    assert found["collision_rate"] == found["nearest_collision_rate"] == 0.25
    assert found["colliding_items"] == 0.5
    first, second = found["levels"]
    assert (first["level"], first["size"], first["prefixes"]) == (1, 3, 2)
    assert first["usage"] == second["usage"] == pytest.approx(2 / 3)
    # Shares 1/4, 3/4 and 1/2, 1/2.
    assert first["perplexity"] == pytest.approx(4 / 3**0.75)
    assert second["perplexity"] == pytest.approx(2)
    # Mean (3, 2): squares 5 + 5 + 2 + 18 = 30. Level 1 leaves 0, 0, 9 and 25; both 0, 0, 0 and 4.
    assert first["error"] == pytest.approx(34 / 30)
    assert second["error"] == found["error"] == pytest.approx(4 / 30)
    # Cosines of the first three: 1, 0.8, 0.8; of each with the last: 0, 0, 0.6.
    assert (first["pairs"], second["pairs"]) == (3, 1)
    assert first["cosine"] == pytest.approx(2.6 / 3)
    assert second["cosine"] == pytest.approx(1)
    assert found["random_cosine"] == pytest.approx(3.2 / 6)


def test_it_is_json_and_says_nothing_that_needs_vectors_without_them():
    ids, X = by_hand()
    for given in (X, None):
        json.dumps(quality(ids, given), allow_nan=False)
    found = quality(ids, None)
    assert found["random_cosine"] is found["error"] is found["nearest_collision_rate"] is None
    assert "cosine" not in found["levels"][0]
    assert found["collision_rate"] == 0.25


def test_cosines_are_those_of_a_loop_over_pairs(monkeypatch):
    monkeypatch.setattr(report, "_COLUMNS", 3)
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 7)).astype(np.float32)
    X[5] = 0
    ids = make_ids(CodeRecipe(levels=2, size=4, settings={"repair": 0}), X, 80)
    unit = X / np.where(np.linalg.norm(X, axis=1) > 0, np.linalg.norm(X, axis=1), 1)[:, None]
    found = quality(ids, X)
    for length in (1, 2):
        cosines = [
            float(unit[i] @ unit[j])
            for i in range(80)
            for j in range(i)
            if (ids.values[i, :length] == ids.values[j, :length]).all()
        ]
        assert found["levels"][length - 1]["pairs"] == len(cosines)
        assert found["levels"][length - 1]["cosine"] == pytest.approx(np.mean(cosines), abs=1e-5)


def test_what_a_shared_prefix_says_grows_with_its_length():
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(40, 16))[rng.integers(40, size=900)]).astype(np.float32)
    X += 0.3 * rng.normal(size=X.shape).astype(np.float32)
    found = quality(make_ids(CodeRecipe(levels=3, size=8, settings={"repair": 0}), X, 900), X)
    cosines = [found["random_cosine"], *(row["cosine"] for row in found["levels"])]
    assert cosines == sorted(cosines)
    assert all(row["usage"] == 1 and 6 < row["perplexity"] <= 8 for row in found["levels"])


def test_collisions_before_and_after_items_are_moved():
    X = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float32)
    plain, moved = (
        quality(make_ids(CodeRecipe(levels=2, size=8, settings={"repair": rounds}), X, 60), X)
        for rounds in (0, 30)
    )
    assert plain["collision_rate"] == plain["nearest_collision_rate"] > 0.2
    assert moved["nearest_collision_rate"] == plain["collision_rate"]
    assert moved["collision_rate"] < 0.25 * plain["collision_rate"]
    assert moved["error"] > plain["error"]


def test_random_codes_say_nothing_of_items():
    X = np.random.default_rng(0).normal(size=(500, 8)).astype(np.float32)
    ids = make_ids(CodeRecipe(method="random", levels=2, size=32), None, 500)
    found = quality(ids, X)
    assert found["collision_rate"] == 0
    assert abs(found["levels"][0]["cosine"] - found["random_cosine"]) < 0.01
    assert found["error"] is None


@pytest.mark.parametrize(("n", "paths"), [(0, 0), (1, 1)])
def test_of_no_item_and_of_one(n, paths):
    ids = make_ids(CodeRecipe(method="random"), None, n)
    found = quality(ids, np.ones((n, 3), np.float32))
    assert found["paths"] == paths
    assert found["random_cosine"] is None
    json.dumps(found, allow_nan=False)


def test_equal_vectors_leave_no_variance_to_explain():
    X = np.ones((9, 4), np.float32)
    found = quality(make_ids(CodeRecipe(size=2, levels=1), X, 9), X)
    assert found["error"] is None
    assert found["random_cosine"] == pytest.approx(1)
