from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tastebench.errors import UsageError
from tastebench.metrics import METRICS, Ranks, measure
from tastebench.metrics.measure import RANKING, WEIGHTS
from tastebench.metrics.reference import markdown

ROOT = Path(__file__).resolve().parents[2]


def test_values_come_in_the_order_of_the_names() -> None:
    ranks = Ranks.from_scores(np.array([[3.0, 2.0, 1.0]]), np.array([1]))
    values = measure(["mrr", "hit@1", "recall@2"], ranks)
    assert {name: v.tolist() for name, v in values.items()} == {
        "mrr": [0.5],
        "hit@1": [0.0],
        "recall@2": [1.0],
    }
    assert list(values) == ["mrr", "hit@1", "recall@2"]
    assert all(v.dtype == np.float64 for v in values.values())


def test_only_ranking_metrics_can_be_measured_on_ranks() -> None:
    with pytest.raises(UsageError, match="computed from lists, not from ranks"):
        measure(["coverage@10"], Ranks.from_scores(np.zeros((1, 1)), np.array([0])))


def test_the_table_and_the_functions_name_the_same_ranking_metrics() -> None:
    assert set(RANKING) == {name for name, info in METRICS.items() if info.needs == "ranks"}


def test_every_weight_of_a_ranking_metric_can_be_computed() -> None:
    used = {info.weight for info in METRICS.values() if info.needs == "ranks"}
    assert used == {"one", *WEIGHTS}


def test_the_reference_page_is_written_from_the_table() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == markdown(), "run: python -m tastebench.metrics.reference > docs/metrics.md"
    for name in METRICS:
        assert f"### `{name}" in page


def test_metrics_are_light_to_import() -> None:
    code = (
        "import sys, tastebench.metrics, tastebench.metrics.click, tastebench.metrics.beyond;"
        "heavy = {'torch', 'scipy', 'sklearn', 'polars', 'numba'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
