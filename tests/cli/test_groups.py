"""`tastebench run --groups`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tastebench import cli

PLAN = """
name: study
datasets: [storefront]
tasks: [ctr]
recommenders:
  - {name: dnn, group: A}
  - {name: dnn, group: B, representations: text}
  - {name: gdcn, group: B, representations: text}
  - popularity
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        (["--groups", "A"], ["dnn", "popularity"]),
        (["--groups", "a,B"], ["dnn", "dnn(text)", "gdcn(text)", "popularity"]),
        (["--groups", "B", "--groups", "A", "-m", "dnn"], ["dnn", "dnn(text)"]),
    ],
)
def test_groups_choose_recommenders(
    plan: str, options: list[str], labels: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", plan, "--dry-run", "--json", *options]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert sorted(run["label"] for run in runs) == sorted(labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--groups", "E"], "no group E: it has A, B"),
        (["--groups", "B", "-m", "popularity"], "none of popularity is in group B"),
    ],
)
def test_groups_that_cannot_be_meant_are_refused(
    plan: str, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", plan, "--dry-run", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err
