"""The metrics reference page, written from the table: `python -m tastebench.metrics.reference`."""

from __future__ import annotations

import sys

from tastebench.metrics.grammar import FORMULA, METRICS, MetricInfo, Needs, Weight

_HEAD = """\
# Metrics

<!-- Written by `python -m tastebench.metrics.reference`; a test keeps it equal to the code. -->

The name is the identity. `ndcg@10` is a metric and its cut-off; what changes a number has a name
of its own (`recall` and `recall_capped`, `mrr` and `mrr_allpos` and `lrap`, `gauc` and
`gauc_weighted`). Names that need a cut-off are refused without one, and the other way round.

Rules that hold for all of them:

- **Per user first, then the mean.** Every ranking metric is one value a user (or query); a number
  on a board is the mean over users, and its interval comes from resampling users. Where users or
  queries do not count alike (`average: row`, metrics that say so below), each has a weight beside
  its value, the mean is weighted, and still whole users are resampled.
- **Ties never decide.** Equal scores have no order, so a ranking metric is its expected value over
  all orders of equal scores, computed in closed form (McSherry & Najork 2008) and not by drawing.
  A recommender that scores everything alike gets what a random order gets.
- **Undefined is not zero.** A user without a relevant item, or a group with one class, has no
  value: it is left out of the mean and counted beside it.
- **A score must be a number.** NaN is an error that names its place. Infinite scores are ranked.
- **A list is a list.** Where a recommender generates items and knows no score for the rest, its
  list is the order: an invalid slot takes a place, a repeated item counts where it stands first,
  and a relevant item that is not listed is never found but stays among the relevant ones.

In the formulas `r_i` is the rank of item `i`, `R` the number of relevant items, `k` the cut-off,
`s` a score, `y` a label, `p` a score read as a probability. Where a cut-off is optional, leaving it
out means the whole ranking.

## Intervals

`mean (low - high)` is the percentile bootstrap over units at 95 %, 1,000 resamples (Efron &
Tibshirani 1993). Undefined units are left out before resampling. For metrics with at most 256
distinct values the counts of the values are drawn from the multinomial distribution, which is the
same bootstrap; above 20,000 units with more values than that, the interval is the normal one, to
which the percentile interval tends. One unit alone has no interval. The same seed gives the same
interval.

With several seeds each user's value is first averaged over the seeds: the interval says how sure
the mean over users is, for the average of those training runs.
"""

_MEANS: dict[Weight, str] = {
    "relevant": "a query counts by its number of relevant items",
    "rows": "a group counts by its number of rows",
}

_ROWS = """\
## Click metrics

Computed from a label (0 or 1) and a score for every row; rows lie in groups (a user, or what was
shown to a user at one time), and every group in one user. Ranking metrics other than those of pairs
(`_pairwise`) are then computed among the rows of each group: a group without a positive has no
value, a user's is the mean over its groups, and counts by their number.

Where a user's value is not the formula applied to its rows, *per user* says what it is. Its
(weighted) mean over users is the metric of all rows, and resampling users gives its interval. It
tells of one user beside the others: for `auc`, `f1` and `ece` the mean over some of the users is
what they contribute, not the metric of their rows.
"""

_BESIDE = """\
## Beside the metrics

### Reliability

`tastebench.metrics.calibration.reliability` gives the reliability diagram as arrays: for bins of
equal width or of equal numbers of rows the mean predicted probability, the observed rate and its
interval (Wilson 1927; where users are given, with the design effect of their rows, Korn & Graubard
1998). In 15 bins of equal width its `ece` is the metric `ece`. A bin without rows has NaN.

### Accuracy per carbon

`tastebench.metrics.green.apc` is `(100 AUC - 50) / grams * 100`: points of AUC above chance for
100 g CO2e (GreenRec, Liu et al. 2024). It is 0 or less where the AUC is no better than chance, and
undefined where nothing was emitted. Its scope is that of the metered carbon; compare only what was
metered alike, and read it beside the AUC: a model near chance that costs next to nothing may have
more of it than a good one.
"""

_SECTIONS: dict[Needs, str] = {
    "ranks": "## Ranking metrics\n\nComputed from where relevant items stand among candidates.\n",
    "rows": _ROWS,
    "answers": "## Questions about users\n\nComputed from the options of a question and which of "
    "them was taken.\n",
    "lists": "## Beyond accuracy\n\nComputed from the top k of every user or query.\n",
}


def markdown() -> str:
    """The page."""
    parts = [_HEAD]
    for needs, head in _SECTIONS.items():
        parts.append(head)
        parts.extend(_entry(info) for info in METRICS.values() if info.needs == needs)
    parts.append(_BESIDE)
    return "\n".join(parts)


def _entry(info: MetricInfo) -> str:
    name = {"required": f"{info.name}@k", "optional": f"{info.name}`, `{info.name}@k"}
    rows = [
        f"### `{name.get(info.cut, info.name)}`\n",
        f"{info.summary}. {'Higher' if info.higher_is_better else 'Lower'} is better.\n",
        f"- Formula: `{info.formula}`",
        *_mean(info),
        f"- Equal scores: {info.ties}",
        f"- Undefined: {info.undefined}",
        f"- Tested against: {info.oracle}",
        f"- Source: {info.citation}\n",
    ]
    return "\n".join(rows)


def _mean(info: MetricInfo) -> list[str]:
    """How units make up the mean, where that is not each alike by the formula."""
    if info.per_unit != FORMULA:
        return [f"- Per user: {info.per_unit}"]
    return [f"- Mean: {_MEANS[info.weight]}"] if info.weight in _MEANS else []


if __name__ == "__main__":
    sys.stdout.write(markdown())
