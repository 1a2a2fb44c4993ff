"""The page about records names every field there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from tastebench.runs import energy, record
from tastebench.runs.spec import RunSpec

PAGE = Path(__file__).resolve().parents[2] / "docs" / "read-a-record.md"
MODELS: list[type[BaseModel]] = [
    record.Record,
    RunSpec,
    record.MetricValue,
    record.Budget,
    record.Cost,
    record.Prompting,
    record.EncodeStep,
    record.CodesStep,
    record.Parameters,
    record.Latency,
    energy.Energy,
    record.Percentiles,
    record.Fit,
    record.Trial,
    record.Failure,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_is_explained(model: type[BaseModel]) -> None:
    named = set(re.findall(r"`([a-z_0-9]+)`", PAGE.read_text(encoding="utf-8")))
    assert set(model.model_fields) <= named
