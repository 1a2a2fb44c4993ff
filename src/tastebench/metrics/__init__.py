"""Metrics: what a name means, one value a user or query, and how sure the mean is."""

from tastebench.metrics.grammar import METRICS, Metric, parse, parse_all
from tastebench.metrics.interval import Interval, bootstrap
from tastebench.metrics.measure import measure
from tastebench.metrics.ranks import UNRANKED, Ranks

__all__ = [
    "METRICS",
    "UNRANKED",
    "Interval",
    "Metric",
    "Ranks",
    "bootstrap",
    "measure",
    "parse",
    "parse_all",
]
