"""Imported once by the server that runs are forked from: what nearly every run needs.

Importing only; a library that starts its threads here would hang in the forked process.
"""

import lightning_fabric
import polars
import scipy.sparse
import torch
import yaml

import tastebench.data.catalog
import tastebench.metrics.interval
import tastebench.metrics.measure
import tastebench.runs.perform
import tastebench.tasks.rank
import tastebench.training.fit

__all__ = ["lightning_fabric", "polars", "scipy", "tastebench", "torch", "yaml"]
