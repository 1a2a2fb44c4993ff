"""The page docs/bring-your-recommender.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tastebench.testing import RecommenderTests

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-recommender.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
[EXAMPLE, CONFORMANCE, RUN, PARAMETERS] = BLOCKS


def done(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": __name__}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


NAMES = done(EXAMPLE, CONFORMANCE, PARAMETERS)
TestLikeTheLast = NAMES["TestLikeTheLast"]


class TestFading(RecommenderTests):
    card = NAMES["FADING"]
    config: ClassVar = {"half_life": 2.0}


def test_the_run_ends_in_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = done(EXAMPLE, RUN)
    assert not names["results"].failed
    assert "like-the-last" in capsys.readouterr().out
