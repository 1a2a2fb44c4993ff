"""The shipped plans and how they are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench import suites
from tastebench.errors import UsageError


def test_a_preset_is_a_suite_of_the_same_family() -> None:
    assert {"laptop", "paper"} <= set(suites.presets("blair"))
    assert suites.find_plan("blair", preset="laptop").preliminary
    assert suites.find_plan("blair", ["seeds=[7]"], preset="paper").seeds == (7,)


def test_what_has_no_preset_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no preset 'papre': did you mean paper"):
        suites.find_plan("blair", preset="papre")
    with pytest.raises(UsageError, match="no preset 'paper': it has none"):
        suites.find_plan("quickstart", preset="paper")
    with pytest.raises(UsageError, match="no suite"):
        suites.find_plan("blarp", preset="paper")
    with pytest.raises(UsageError, match="a preset belongs to a suite"):
        suites.find_plan(tmp_path / "plan.yaml", preset="paper")


def test_the_published_plan_has_the_published_columns_and_encoders() -> None:
    """BLaIR ranks 11 encoders by 5 + 6 + 1 + 2 columns."""
    from tastebench.data.sources import SOURCES

    plan = suites.find_plan("blair", preset="paper")
    assert len(plan.encoders) == 11
    tasks = [task for choice in plan.datasets for task in SOURCES.get(choice.name).card.tasks]
    assert {task: tasks.count(task) for task in tasks} == {"seqrec": 5, "cf": 6, "search": 3}
