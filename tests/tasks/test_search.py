from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, ProtocolError
from tastebench.tasks import NO_FORMS, TASKS, QueryForms

TASK = TASKS.get("search")


@pytest.fixture
def catalogue() -> Dataset:
    items = pl.DataFrame({"item_id": list("uvwxy"), "title": list("uvwxy")})
    queries = pl.DataFrame(
        {
            "query_id": ["q1", "q2", "q3", "q4"],
            "text": ["one", "two", "three", "four"],
            "group": ["short", "complex", "short", "complex"],
        }
    )
    relevance = pl.DataFrame(
        {
            "query_id": ["q2", "q1", "q2", "q3", "q4"],
            "item_id": ["y", "v", "u", "w", "x"],
            "grade": [10.0, 1.0, 100.0, 0.0, 0.5],
        }
    )
    card = DatasetCard(name="c", title="C", tasks=("search",))
    return Dataset.create(card, Tables(items, queries=queries, relevance=relevance))


def test_grades_above_zero_are_relevant(catalogue: Dataset) -> None:
    problem = TASK.problem(catalogue, TASK.protocol(catalogue))
    assert problem.relevance.to_lists() == [[1], [4, 0], [], [3]]
    assert problem.gain.to_lists() == [[1.0], [10.0, 100.0], [], [0.5]]
    assert problem.groups == ("short", "complex") and problem.group.tolist() == [0, 1, 0, 1]
    assert (problem.n_items, problem.n_queries) == (5, 4)


def test_min_grade_comes_from_the_card_and_the_plan_overrides_it(catalogue: Dataset) -> None:
    strict = Dataset.create(catalogue.card.model_copy(update={"min_grade": 1.0}), catalogue.tables)
    assert TASK.problem(strict, TASK.protocol(strict)).relevance.to_lists() == [[1], [4, 0], [], []]
    protocol = TASK.protocol(strict, min_grade=100.0)
    assert TASK.problem(strict, protocol).relevance.to_lists() == [[], [0], [], []]
    assert "relevant from grade 100" in protocol.describe()


def test_metrics_by_hand_with_grades_and_groups(
    catalogue: Dataset, told: Callable[[Any], Any]
) -> None:
    protocol = TASK.protocol(catalogue, metrics=("ndcg@10", "recall@1", "mrr"))
    problem = TASK.problem(catalogue, protocol)
    scores = np.array([[1.0, 5, 2, 3, 4], [4, 3, 2, 1, 5], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
    evaluation = TASK.evaluate(told(scores), problem, protocol, "test", top_k=2)
    assert evaluation.unit == "query" and evaluation.ids.tolist() == [0, 1, 3]
    # q2: y (10) is first and u (100) second, where u first would be best.
    second = 1 / np.log2(3)
    graded = (10 + 100 * second) / (100 + 10 * second)
    # q4: five items tie, so x is at each rank with chance 1/5.
    tied = np.mean(1 / np.log2(np.arange(2, 7)))
    np.testing.assert_allclose(evaluation.values["ndcg@10"], [1, graded, tied])
    np.testing.assert_allclose(evaluation.values["recall@1"], [1, 0.5, 0.2])
    np.testing.assert_allclose(evaluation.values["mrr"], [1, 1, np.mean(1 / np.arange(1, 6))])
    assert evaluation.segments["group"].tolist() == ["short", "complex", "complex"]
    assert evaluation.counts == {
        "asked": 3,
        "queries": 3,
        "excluded_no_target": 1,
        "targets": 4,
        "tied": 1,
    }
    assert evaluation.top is not None
    assert evaluation.top.items.tolist() == [[1, 4], [4, 0], [0, 1]]


def test_query_forms_follow_the_queries(catalogue: Dataset) -> None:
    protocol = TASK.protocol(catalogue)
    problem = TASK.problem(catalogue, protocol)
    vectors = np.arange(8, dtype=np.float32).reshape(4, 2)
    asked = TASK.ask(
        problem, protocol, "test", QueryForms(["one", "two", "three", "four"], vectors)
    )
    assert asked.queries.text == ["one", "two", "four"]
    assert asked.queries.vector is not None
    assert asked.queries.vector.tolist() == [[0, 1], [2, 3], [6, 7]]
    assert asked.queries.row is not None and asked.queries.row.tolist() == [0, 1, 3]
    with pytest.raises(ProtocolError, match="1 query texts for 4 queries"):
        TASK.ask(problem, protocol, "test", QueryForms(["one"]))


def test_there_is_no_validation_part(catalogue: Dataset, told: Callable[[Any], Any]) -> None:
    protocol = TASK.protocol(catalogue)
    problem = TASK.problem(catalogue, protocol)
    with pytest.raises(ProtocolError, match="search has no valid part"):
        TASK.evaluate(told(np.zeros((4, 5))), problem, protocol, "valid", NO_FORMS)


def test_a_dataset_without_queries_is_refused(shop: Callable[..., Dataset]) -> None:
    dataset = shop("a x 1")
    with pytest.raises(DataError, match="shop has no queries"):
        TASK.problem(dataset, TASK.protocol(dataset))


def test_a_query_with_two_answers_is_measured_both_ways(
    catalogue: Dataset, told: Callable[[Any], Any]
) -> None:
    protocol = TASK.protocol(catalogue)
    assert "ndcg@100" in protocol.metrics and protocol.metrics[-1] == "ndcg_pairwise@100"
    problem = TASK.problem(catalogue, protocol)
    scores = np.array([[1.0, 5, 2, 3, 4], [4, 3, 2, 1, 5], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5]])
    evaluation = TASK.evaluate(told(scores), problem, protocol)
    # Pairs: q1-v at rank 1; q2-y at 1 and q2-u at 2; q4-x at 2.
    second = 1 / np.log2(3)
    np.testing.assert_allclose(
        evaluation.values["ndcg_pairwise@100"], [1, (1 + second) / 2, second]
    )
    assert {name: w.tolist() for name, w in evaluation.weights.items()} == {
        "ndcg_pairwise@100": [1, 2, 1]
    }
    assert evaluation.means()["ndcg_pairwise@100"] == pytest.approx((2 + 2 * second) / 4)


def test_queries_are_told_apart_by_the_category_of_their_first_answer() -> None:
    """The ten most frequent by name, the first of equally frequent; lists count by their first."""
    n = 12
    items = pl.DataFrame(
        {
            "item_id": [f"i{i:02}" for i in range(n)],
            "title": ["t"] * n,
            "categories": [[f"c{i:02}", "x"] for i in range(n - 1)] + [None],
        }
    )
    queries = pl.DataFrame({"query_id": [f"q{i:02}" for i in range(n)], "text": ["t"] * n})
    relevance = pl.DataFrame(
        {"query_id": [f"q{i:02}" for i in range(n)], "item_id": [f"i{i:02}" for i in range(n)]}
    )
    card = DatasetCard(name="d", title="D", tasks=("search",))
    dataset = Dataset.create(card, Tables(items=items, queries=queries, relevance=relevance))
    found = TASK.problem(dataset, TASK.protocol(dataset)).segments["category"]
    assert found.tolist() == [*(f"c{i:02}" for i in range(10)), "other", "other"]
