from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tastebench.tasks import nearest as module
from tastebench.tasks.nearest import Engine, nearest

ENGINES: list[Engine] = ["faiss", "torch"]


@pytest.mark.parametrize("engine", ENGINES)
def test_nearest_equals_a_full_sort(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ITEMS_AT_ONCE", 13)
    monkeypatch.setattr(module, "_SCORES_AT_ONCE", 13 * 4)
    rng = np.random.default_rng(1)
    queries = rng.normal(size=(7, 9)).astype(np.float32)
    vectors = rng.normal(size=(50, 9)).astype(np.float32)
    found = nearest(queries, vectors, 20, engine=engine)
    scores = queries @ vectors.T
    expected = np.argsort(-scores, axis=1)[:, :20]
    np.testing.assert_array_equal(found.items, expected)
    np.testing.assert_allclose(
        found.scores, np.take_along_axis(scores, expected, axis=1), rtol=1e-5
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_nearest_reads_a_memory_map_and_stops_at_all_items(engine: Engine, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.eye(3, dtype=np.float32))
    vectors = np.load(tmp_path / "x.npy", mmap_mode="r")
    found = nearest(np.array([[0.1, 0.3, 0.2]]), vectors, 10, engine=engine)
    assert found.items.tolist() == [[1, 2, 0]]


def test_nearest_of_nothing_and_wrong_shapes() -> None:
    assert nearest(np.empty((0, 3)), np.eye(3), 2).items.shape == (0, 2)
    with pytest.raises(ValueError, match="do not fit"):
        nearest(np.ones((1, 2)), np.eye(3), 2)
