"""The page docs/bring-your-recommender.md does what it says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import tastebench as tb
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.encoders import ENCODERS
from tastebench.recommenders import RECOMMENDERS
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


def small_shop(folder: Path) -> Path:
    """Thirty users who mostly take the next of ten items."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{(start + step) % 10}", step)
        for user, start in enumerate(rng.integers(0, 10, 30))
        for step in range(6)
    ]
    names = [f"i{item}" for item in range(10)]
    tables = Tables(
        items=pl.DataFrame({"item_id": names, "title": [f"thing {name}" for name in names]}),
        interactions=pl.DataFrame(rows, ["user_id", "item_id", "time"], orient="row"),
    )
    card = DatasetCard(name="small", title="Small", tasks=("seqrec",))
    Dataset.create(card, tables).save(folder)
    return folder


class Letters:
    """Counts letters: an encoder that runs in this process and costs nothing."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([np.bincount(list(text.encode()), minlength=128) for text in texts], float)


def test_the_run_ends_in_a_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run, plans = tb.run, []

    def quicker(plan: dict[str, Any]) -> tb.Results:
        """The plan of the page on a small shop, in this process."""
        plans.append(plan)
        small = {
            "datasets": [str(small_shop(tmp_path / "small"))],
            "encoders": [tb.as_encoder(Letters(), "letters")],
            "recommenders": plan["recommenders"][:1],
        }
        return run({**plan, **small}, progress=False)

    monkeypatch.setattr(tb, "run", quicker)
    names = done(EXAMPLE, RUN)
    assert [record.spec.recommender for record in names["results"].records] == ["like-the-last"]
    assert not names["results"].failed
    assert "like-the-last" in capsys.readouterr().out
    [plan] = plans
    assert set(plan["recommenders"][1:]) <= set(RECOMMENDERS)
    assert set(plan["encoders"]) <= set(ENCODERS)
