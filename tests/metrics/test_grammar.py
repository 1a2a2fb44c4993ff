from __future__ import annotations

import pytest

from tastebench.errors import UsageError
from tastebench.metrics.grammar import METRICS, Metric, parse, parse_all, parse_rows


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("ndcg@10", Metric("ndcg", 10)),
        ("ndcg", Metric("ndcg")),
        ("recall_capped@20", Metric("recall_capped", 20)),
        ("mrr", Metric("mrr")),
        ("mrr@5", Metric("mrr", 5)),
        ("gauc_weighted", Metric("gauc_weighted")),
        ("coverage@100", Metric("coverage", 100)),
    ],
)
def test_a_name_is_its_own_identity(text: str, metric: Metric) -> None:
    assert parse(text) == metric
    assert str(metric) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ncdg@10", "did you mean ndcg?"),
        ("NDCG@10", "did you mean ndcg?"),
        ("nonsense", "known: accuracy, "),
        ("recall", "metric 'recall' needs a cut-off\n  fix:   write recall@10"),
        ("recall@0", "must be 1 or more"),
        ("recall@010", "must be 1 or more"),
        ("auc@5", "takes no cut-off, got 'auc@5'\n  fix:   write auc"),
        ("recall@", "'recall@' is not a metric\n  fix:   write it as recall@10"),
        ("recall@ten", "write it as recall@10"),
        ("auc@x", "write it as auc"),
        ("recall@-1", "write it as recall@10"),
        ("", "write it as ndcg@10"),
    ],
)
def test_what_names_nothing_is_refused_with_the_way_out(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert message in str(caught.value)


def test_a_list_holds_each_metric_once_and_only_what_can_be_computed() -> None:
    assert parse_all(["mrr", "hit@1"], needs="ranks") == [Metric("mrr"), Metric("hit", 1)]
    with pytest.raises(UsageError, match="'mrr' is given twice"):
        parse_all(["mrr", "mrr"])
    with pytest.raises(
        UsageError, match=r"computed from rows, not from ranks[\s\S]*use one of ndcg"
    ):
        parse_all(["auc"], needs="ranks")


def test_labelled_rows_have_ranking_metrics_but_not_those_of_pairs() -> None:
    names = ["gauc", "ndcg@5", "lrap", "logloss", "recall_capped@5"]
    assert [str(metric) for metric in parse_rows(names)] == names
    without = {name for name, info in METRICS.items() if not info.of_rows}
    pairs = {"ndcg_pairwise", "recall_pairwise", "mrr_pairwise"}
    answers = {name for name in METRICS if name.startswith("accuracy")}
    assert without == {*pairs, *answers, "coverage"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["mrr_pairwise"],
            "labelled rows have no metric 'mrr_pairwise': it counts a group's other positives as "
            "errors\n  fix:   use mrr",
        ),
        (["recall_pairwise@5"], "use recall@5"),
        (["coverage@5"], "it is computed from lists\n  fix:   use one of ndcg, recall, "),
        (["gauc", "gauc"], "'gauc' is given twice"),
        (["gauc@5"], "takes no cut-off"),
    ],
)
def test_what_labelled_rows_do_not_have_is_refused(names: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_rows(names)
    assert message in str(caught.value)


def test_directions() -> None:
    lower = {name for name, info in METRICS.items() if not info.higher_is_better}
    assert lower == {"logloss", "ece"}
    assert parse("ndcg@10").higher_is_better
