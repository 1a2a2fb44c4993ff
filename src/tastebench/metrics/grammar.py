"""The names of metrics: the string is the identity.

`ndcg@10` names a metric and its cut-off and nothing else; two metrics that differ in a number have
two names. `METRICS` is the one table of what a name means; the reference page is written from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from tastebench.errors import UsageError, did_you_mean

Needs = Literal["ranks", "rows", "lists", "answers"]
Cut = Literal["required", "optional", "none"]
Weight = Literal["one", "relevant", "rows"]

FORMULA = "the formula"
"""Of a metric whose value for a user is its formula applied to that user."""


@dataclass(frozen=True)
class MetricInfo:
    """What a metric's name means.

    Attributes:
        name: The name without a cut-off.
        needs: `ranks` (positions of relevant items), `rows` (label and score a row), `lists` (the
            top k of every query) or `answers` (options of a question and which was picked).
        cut: Whether a cut-off `@k` belongs to the name.
        summary: One line for lists.
        formula: Its definition for one unit.
        ties: What equal scores do.
        undefined: When there is no value; the unit is then left out of the mean and counted.
        oracle: The independent implementation it is tested against.
        citation: Where the definition comes from.
        higher_is_better: Direction.
        weight: How much a unit counts in the mean: every one alike, or by the number of its
            relevant items or of its rows.
        per_unit: Value of a user: `FORMULA`, or what it is instead and how much it counts, such
            that the mean over users is the metric of all rows.
    """

    name: str
    needs: Needs
    cut: Cut
    summary: str
    formula: str
    ties: str
    undefined: str
    oracle: str
    citation: str
    higher_is_better: bool = True
    weight: Weight = "one"
    per_unit: str = FORMULA

    @property
    def of_rows(self) -> bool:
        """Whether labelled rows have it: ranking metrics are then those of each group's rows.

        Metrics of pairs would count a group's other positives as errors, against their labels.
        """
        return self.needs == "rows" or (self.needs == "ranks" and self.weight == "one")


_EXPECTED = "expected value over all orders of equal scores"
_NO_RELEVANT = "no relevant item"
_LINEAR = "sum over relevant i of P(r_i <= k)"
_NO_ODDS = "scores of rows that are not log-odds"
_BOTH = "over its groups with both classes"
_PAIRS = "every relevant item is a query of its own, and the others of the query count as errors"

KINDS_OF_QUESTIONS = {
    "df": "an attribute of one of the first or last items",
    "mf": "how many items there are, or have a value",
    "ip": "the title of the next item",
    "ap": "another attribute of the next item",
    "li": "the three values that are most frequent",
    "si": "the value that is most frequent lately",
    "it": "how the most frequent value changed",
}
"""What questions about users ask for, in UQABench's order."""

DIMENSIONS = {
    "sequence": ("df", "mf"),
    "action": ("ip", "ap"),
    "interest": ("li", "si", "it"),
}
"""Kinds of questions that UQABench counts together."""


def _accuracy(of: str, about: str, undefined: str) -> MetricInfo:
    return MetricInfo(
        name=f"accuracy_{of}" if of else "accuracy",
        needs="answers",
        cut="none",
        summary=f"Share of questions answered right: {about}",
        formula="1 if the right option alone scores highest, 1 / m if it is one of m that do, else "
        "0; 0 without an answer. The mean over questions is a micro average",
        ties="expected value over a uniformly random choice of the options that score highest",
        undefined=undefined,
        oracle="scikit-learn accuracy_score",
        citation="UQABench (Liu et al. 2025)",
    )


_TABLE = (
    MetricInfo(
        name="ndcg",
        needs="ranks",
        cut="optional",
        summary="Gain of the relevant items, discounted by rank, over the best possible",
        formula="DCG / IDCG; DCG = sum over relevant i with r_i <= k of g_i / log2(r_i + 1); "
        "IDCG = the DCG of the relevant items in falling order of gain; g_i = 1 without grades",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="scikit-learn ndcg_score (its ties are averaged too); ir_measures without ties",
        citation="Järvelin & Kekäläinen 2002; ties: McSherry & Najork 2008",
    ),
    MetricInfo(
        name="recall",
        needs="ranks",
        cut="required",
        summary="Share of the relevant items that are in the top k",
        formula=f"{_LINEAR} / R",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="ir_measures R@k",
        citation="Manning et al. 2008, ch. 8",
    ),
    MetricInfo(
        name="ndcg_pairwise",
        needs="ranks",
        cut="optional",
        summary=f"ndcg over (query, relevant item) pairs: {_PAIRS}",
        formula="(1 / R) sum over relevant i with r_i <= k of 1 / log2(r_i + 1), without grades",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="ndcg of one query a pair",
        citation="the nDCG of Hou et al. 2024 (BLaIR), where a query with several products is "
        "several queries",
        weight="relevant",
    ),
    MetricInfo(
        name="recall_pairwise",
        needs="ranks",
        cut="required",
        summary=f"recall over (query, relevant item) pairs: {_PAIRS}",
        formula=f"{_LINEAR} / R",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="recall of one query a pair",
        citation="as ndcg_pairwise",
        weight="relevant",
    ),
    MetricInfo(
        name="recall_capped",
        needs="ranks",
        cut="required",
        summary="Relevant items in the top k, over the most that could be there",
        formula=f"{_LINEAR} / min(k, R)",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="brute force",
        citation="Liang et al. 2018 (their Recall@R)",
    ),
    MetricInfo(
        name="precision",
        needs="ranks",
        cut="required",
        summary="Share of the top k that is relevant",
        formula=f"{_LINEAR} / k, also where fewer than k items exist",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="ir_measures P@k",
        citation="Manning et al. 2008, ch. 8",
    ),
    MetricInfo(
        name="hit",
        needs="ranks",
        cut="required",
        summary="Whether a relevant item is in the top k",
        formula="P(min_i r_i <= k)",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="ir_measures Success@k",
        citation="Deshpande & Karypis 2004",
    ),
    MetricInfo(
        name="mrr",
        needs="ranks",
        cut="optional",
        summary="One over the rank of the first relevant item",
        formula="1 / min_i r_i; 0 where that is beyond k or nothing relevant is ranked",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="ir_measures RR",
        citation="Voorhees 1999",
    ),
    MetricInfo(
        name="mrr_allpos",
        needs="ranks",
        cut="optional",
        summary="Mean of one over the rank over all relevant items (some news work calls this MRR)",
        formula="(1 / R) sum over relevant i with r_i <= k of 1 / r_i",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="brute force",
        citation="the MRR of Wu et al. 2020 (MIND)",
    ),
    MetricInfo(
        name="mrr_pairwise",
        needs="ranks",
        cut="optional",
        summary=f"mrr over (query, relevant item) pairs: {_PAIRS}",
        formula="(1 / R) sum over relevant i with r_i <= k of 1 / r_i",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="mrr of one query a pair",
        citation="as ndcg_pairwise",
        weight="relevant",
    ),
    MetricInfo(
        name="map",
        needs="ranks",
        cut="optional",
        summary="Mean over the relevant items of the precision at their rank",
        formula="(1 / R) sum over relevant i with r_i <= k of |{j relevant: r_j <= r_i}| / r_i",
        ties=_EXPECTED,
        undefined=_NO_RELEVANT,
        oracle="ir_measures AP@k",
        citation="Buckley & Voorhees 2000; ties: McSherry & Najork 2008",
    ),
    MetricInfo(
        name="lrap",
        needs="ranks",
        cut="none",
        summary="As map, but an item's rank counts everything scored at least as high",
        formula="(1 / R) sum over relevant i of |{j relevant: s_j >= s_i}| / |{j: s_j >= s_i}|",
        ties="pessimistic by definition: no order enters",
        undefined=_NO_RELEVANT,
        oracle="scikit-learn label_ranking_average_precision_score (which says 1 where we say "
        "undefined)",
        citation="Tsoumakas et al. 2010",
    ),
    MetricInfo(
        name="auc",
        needs="rows",
        cut="none",
        summary="Chance that a positive row is scored above a negative one, over all rows",
        formula="(pairs in right order + half of the tied pairs) / (positives x negatives)",
        ties="half",
        undefined="only one class",
        oracle="scikit-learn roc_auc_score; its variance: DeLong et al., and resampled users",
        citation="Hanley & McNeil 1982; per user: DeLong et al. 1988, Obuchowski 1997",
        per_unit="AUC + users x influence; influence = sum over the user's positives of (V - AUC) "
        "/ positives + sum over its negatives of (V - AUC) / negatives, V the share of the other "
        "class that the row is in right order with",
    ),
    MetricInfo(
        name="gauc",
        needs="rows",
        cut="none",
        summary="AUC within each group (user or impression), then the plain mean over groups",
        formula="mean over groups with both classes of their AUC",
        ties="half",
        undefined="group: only one class",
        oracle="scikit-learn roc_auc_score, group by group",
        citation="Rendle et al. 2009 (the AUC they evaluate by)",
        per_unit=f"mean {_BOTH}; counts by their number",
    ),
    MetricInfo(
        name="gauc_weighted",
        needs="rows",
        cut="none",
        summary="As gauc, but a group counts by its number of rows",
        formula="sum over groups with both classes of rows x AUC / sum of their rows",
        ties="half",
        undefined="group: only one class",
        oracle="scikit-learn roc_auc_score, group by group",
        citation="Zhu et al. 2017; Zhou et al. 2018",
        weight="rows",
        per_unit=f"mean {_BOTH}, by their rows; counts by these rows",
    ),
    MetricInfo(
        name="logloss",
        needs="rows",
        cut="none",
        summary="Mean negative log-likelihood of the labels under the predicted probabilities",
        formula="-(1 / n) sum of y log p + (1 - y) log(1 - p), p kept within [2^-52, 1 - 2^-52]; "
        "scores outside [0, 1] are refused. Of log-odds z: (1 / n) sum of log(1 + e^-z) or, for "
        "y = 0, log(1 + e^z), z kept within 52 log 2, which is the same",
        ties="none",
        undefined=f"no row; {_NO_ODDS}",
        oracle="scikit-learn log_loss",
        citation="Good 1952",
        higher_is_better=False,
        weight="rows",
        per_unit="mean over its rows; counts by their number",
    ),
    MetricInfo(
        name="ece",
        needs="rows",
        cut="none",
        summary="How far predicted probabilities are from observed rates",
        formula="sum over 15 equal bins of [0, 1] of (rows in bin / n) |mean label - mean score|; "
        "a bin holds its lower edge, the last also 1; scores outside [0, 1] are refused",
        ties="none",
        undefined=f"no row; {_NO_ODDS}",
        oracle="brute force",
        citation="Naeini et al. 2015; 15 bins as Guo et al. 2017",
        higher_is_better=False,
        weight="rows",
        per_unit="mean over its rows of s (y - p), s = 1 or -1 the sign of the sum of y - p over "
        "all rows of the bin; counts by their number. Its interval holds these signs fixed and "
        "does not correct that chance alone keeps it above 0",
    ),
    MetricInfo(
        name="f1",
        needs="rows",
        cut="none",
        summary="Balance of precision and recall of the rows scored 0.5 or more",
        formula="2 TP / (2 TP + FP + FN); scores outside [0, 1] are refused",
        ties="none",
        undefined=f"no positive row and none predicted; {_NO_ODDS}",
        oracle="scikit-learn f1_score",
        citation="van Rijsbergen 1979; per user: Cochran 1977, sec. 2.11",
        per_unit="F1 + users x (2 TP_u - F1 D_u) / D, D = 2 TP + FP + FN and D_u that of its rows",
    ),
    MetricInfo(
        name="coverage",
        needs="lists",
        cut="required",
        summary="Share of the catalogue that is in anyone's top k",
        formula="|union over queries of their top k| / n_items",
        ties="as the list was made",
        undefined="empty catalogue",
        oracle="brute force",
        citation="Ge et al. 2010",
    ),
    _accuracy("", "all questions about users", "no question"),
    *(
        _accuracy(name, f"those of {', '.join(kinds)}", "a question of another kind")
        for name, kinds in DIMENSIONS.items()
    ),
    *(
        _accuracy(kind, about, "a question of another kind")
        for kind, about in KINDS_OF_QUESTIONS.items()
    ),
)

METRICS: dict[str, MetricInfo] = {info.name: info for info in _TABLE}

_SHAPE = re.compile(r"(?P<name>[^@]+)(?:@(?P<k>[0-9]{1,9}))?")


class Metric(NamedTuple):
    """A metric with its cut-off; `str` of it is its identity.

    >>> str(Metric("ndcg", 10)), str(Metric("mrr"))
    ('ndcg@10', 'mrr')
    """

    name: str
    k: int | None = None

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    @property
    def info(self) -> MetricInfo:
        """What the name means."""
        return METRICS[self.name]

    @property
    def higher_is_better(self) -> bool:
        """Direction."""
        return self.info.higher_is_better


def parse(text: str) -> Metric:
    """The metric that `text` names.

    Raises:
        UsageError: No such metric, or a cut-off that is missing, not wanted or not a positive
            whole number.

    >>> parse("recall@20")
    Metric(name='recall', k=20)
    """
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise UsageError(f"{text!r} is not a metric", fix=f"write it as {_example(text)}")
    name, k = shape["name"], shape["k"]
    info = METRICS.get(name)
    if info is None:
        hint = did_you_mean(name.lower(), METRICS)
        raise UsageError(f"unknown metric {text!r}: {hint}", fix="tastebench list metrics")
    if k is None and info.cut == "required":
        raise UsageError(f"metric {text!r} needs a cut-off", fix=f"write {name}@10")
    if k is not None and info.cut == "none":
        raise UsageError(f"metric {name!r} takes no cut-off, got {text!r}", fix=f"write {name}")
    if k is not None and (int(k) == 0 or k.startswith("0")):
        raise UsageError(f"the cut-off of {text!r} must be 1 or more", fix=f"write {name}@10")
    return Metric(name, None if k is None else int(k))


def parse_all(names: Sequence[str], needs: Needs | None = None) -> list[Metric]:
    """The metrics that `names` name, in order, each once.

    Args:
        names: Metric names.
        needs: Refuse metrics that are computed from something else.

    Raises:
        UsageError: As `parse`, a name given twice, or a metric that needs something else.
    """
    metrics = [parse(name) for name in names]
    for i, metric in enumerate(metrics):
        if metric in metrics[:i]:
            raise UsageError(f"metric {str(metric)!r} is given twice", fix="name it once")
        if needs is not None and metric.info.needs != needs:
            fitting = [info.name for info in METRICS.values() if info.needs == needs]
            raise UsageError(
                f"metric {str(metric)!r} is computed from {metric.info.needs}, not from {needs}",
                fix=f"use one of {', '.join(fitting)}",
            )
    return metrics


def parse_rows(names: Sequence[str]) -> list[Metric]:
    """The metrics that `names` name, in order, each once, of labelled rows.

    Raises:
        UsageError: As `parse_all`, or a metric that labelled rows do not have.

    >>> [str(metric) for metric in parse_rows(["gauc", "ndcg@5"])]
    ['gauc', 'ndcg@5']
    """
    metrics = parse_all(names)
    for metric in metrics:
        if metric.info.of_rows:
            continue
        plain = Metric(metric.name.removesuffix("_pairwise"), metric.k)
        if plain != metric:
            why, fix = "it counts a group's other positives as errors", f"use {plain}"
        else:
            fitting = [info.name for info in METRICS.values() if info.of_rows]
            why = f"it is computed from {metric.info.needs}"
            fix = f"use one of {', '.join(fitting)}"
        raise UsageError(f"labelled rows have no metric {str(metric)!r}: {why}", fix=fix)
    return metrics


def _example(text: str) -> str:
    name = text.partition("@")[0].lower()
    info = METRICS.get(name)
    return f"{name}@10" if info is not None and info.cut != "none" else name or "ndcg@10"
