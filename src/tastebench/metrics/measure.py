"""Several ranking metrics of the same ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tastebench.metrics import ranking
from tastebench.metrics.grammar import Weight, parse_all
from tastebench.metrics.ranks import Ranks

RANKING: dict[str, Callable[..., np.ndarray]] = {
    "ndcg": ranking.ndcg,
    "ndcg_pairwise": ranking.ndcg_pairwise,
    "recall": ranking.recall,
    "recall_pairwise": ranking.recall,
    "recall_capped": ranking.recall_capped,
    "precision": ranking.precision,
    "hit": ranking.hit,
    "mrr": ranking.mrr,
    "mrr_allpos": ranking.mrr_allpos,
    "mrr_pairwise": ranking.mrr_allpos,
    "map": ranking.map,
    "lrap": ranking.lrap,
}

WEIGHTS: dict[Weight, Callable[[Ranks], np.ndarray]] = {
    "relevant": lambda ranks: ranks.n_relevant,
}


def measure(names: Sequence[str], ranks: Ranks) -> dict[str, np.ndarray]:
    """Each metric of each query.

    Args:
        names: Ranking metrics, e.g. `["ndcg@10", "mrr"]`.
        ranks: Where the relevant items stand.

    Returns:
        Name to float64 `[q]`, in the order of `names`; NaN where the metric is undefined for the
        query.

    Raises:
        UsageError: An unknown metric, or one that is not computed from ranks.

    >>> scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.2, 0.1]])
    >>> ranks = Ranks.from_scores(scores, np.array([0, 0]))
    >>> {name: values.tolist() for name, values in measure(["hit@1", "mrr"], ranks).items()}
    {'hit@1': [1.0, 0.5], 'mrr': [1.0, 0.75]}
    """
    values = {}
    for metric in parse_all(names, needs="ranks"):
        function = RANKING[metric.name]
        values[str(metric)] = function(ranks) if metric.k is None else function(ranks, metric.k)
    return values


def weigh(names: Sequence[str], ranks: Ranks) -> dict[str, np.ndarray]:
    """How much each query counts in the mean of a metric.

    Returns:
        Name to `[q]`; a metric that counts every query alike is not there.

    >>> ranks = Ranks.from_scores(np.array([[0.9, 0.5]]), np.array([1]))
    >>> weigh(["ndcg@10", "ndcg_pairwise@10"], ranks)
    {'ndcg_pairwise@10': array([1])}
    """
    metrics = parse_all(names, needs="ranks")
    return {str(m): WEIGHTS[m.info.weight](ranks) for m in metrics if m.info.weight != "one"}
