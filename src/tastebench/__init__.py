"""Tastebench: what is a foundation model worth to your recommender, in which role, at what cost?

    import tastebench as tb

    results = tb.run({"name": "mine", "datasets": ["storefront"], "encoders": ["minilm", "random"]})
    print(results.board())

    model = tb.load("results/mine/storefront/...")          # a record's folder
    model.recommend([["i1", "i2"]], k=10)

Importing it loads nothing heavy; the names below load what they need when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_PUBLIC = {
    "DataError": "errors",
    "Dataset": "data.dataset",
    "DependencyError": "errors",
    "Plan": "runs.plan",
    "ProtocolError": "errors",
    "Record": "runs.record",
    "Results": "api",
    "TastebenchError": "errors",
    "UsageError": "errors",
    "as_encoder": "encoders",
    "as_recommender": "recommenders",
    "get_encoder": "encoders",
    "get_recommender": "recommenders",
    "import_dataset": "data.importer",
    "list_datasets": "data.catalog",
    "load": "serving.restore",
    "load_dataset": "data.catalog",
    "run": "api",
}

__all__ = [
    "DataError",
    "Dataset",
    "DependencyError",
    "Plan",
    "ProtocolError",
    "Record",
    "Results",
    "TastebenchError",
    "UsageError",
    "__version__",
    "as_encoder",
    "as_recommender",
    "get_encoder",
    "get_recommender",
    "import_dataset",
    "list_datasets",
    "load",
    "load_dataset",
    "run",
]

if TYPE_CHECKING:
    from tastebench.api import Results, run
    from tastebench.data.catalog import list_datasets, load_dataset
    from tastebench.data.dataset import Dataset
    from tastebench.data.importer import import_dataset
    from tastebench.encoders import as_encoder, get_encoder
    from tastebench.errors import (
        DataError,
        DependencyError,
        ProtocolError,
        TastebenchError,
        UsageError,
    )
    from tastebench.recommenders import as_recommender, get_recommender
    from tastebench.runs.plan import Plan
    from tastebench.runs.record import Record
    from tastebench.serving.restore import load


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tastebench' has no attribute {name!r}")
    value = getattr(import_module(f"tastebench.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
