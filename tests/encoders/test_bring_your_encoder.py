"""The page docs/bring-your-encoder.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import tastebench as tb
from tastebench.data.card import DatasetCard
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.encoders import ENCODERS, get_encoder
from tastebench.testing import EncoderTests

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-encoder.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
[EXAMPLE, CONFORMANCE, RUN, ROLES, SHIP] = BLOCKS


def done(*blocks: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": __name__}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    return names


NAMES = done(EXAMPLE, CONFORMANCE, ROLES, SHIP)
TestTrigrams = NAMES["TestTrigrams"]


class TestWithPrompt(EncoderTests):
    @pytest.fixture
    def encoder(self):
        return NAMES["WITH_PROMPT"]


class TestCardedTrigrams(EncoderTests):
    @pytest.fixture
    def encoder(self):
        return NAMES["TRIGRAMS_ENTRY"].build(0)


def test_the_role_reaches_the_model():
    encoder = NAMES["WITH_PROMPT"]
    question = encoder.encode(["I am looking for socks"], "query")
    assert (question == encoder.encode(["socks"], "item")).all()


def test_an_installed_entry_is_found_by_name(monkeypatch):
    monkeypatch.setattr(ENCODERS, "_foreign", {"trigrams": "my_package.encoders:TRIGRAMS_ENTRY"})
    monkeypatch.setattr(
        "tastebench.registry.import_module",
        lambda name: type("module", (), {"TRIGRAMS_ENTRY": NAMES["TRIGRAMS_ENTRY"]}),
    )
    assert get_encoder("trigrams").card == NAMES["CARD"]


def small_shop(folder: Path) -> Path:
    """Ten things, asked for by their names."""
    names = [
        "socks",
        "tents",
        "pans",
        "lamps",
        "books",
        "chairs",
        "kites",
        "drums",
        "vases",
        "rugs",
    ]
    queries = [f"q{row}" for row in range(10)]
    tables = Tables(
        items=pl.DataFrame({"item_id": names, "title": [f"red {name}" for name in names]}),
        queries=pl.DataFrame({"query_id": queries, "text": names, "group": ["short"] * 10}),
        relevance=pl.DataFrame({"query_id": queries, "item_id": names, "grade": [1.0] * 10}),
    )
    card = DatasetCard(name="small", title="Small", tasks=("search",))
    Dataset.create(card, tables).save(folder)
    return folder


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
            "encoders": plan["encoders"][:1],
            "recommenders": ["dot"],
            "latency_seconds": 0,
        }
        return run({**plan, **small}, progress=False)

    monkeypatch.setattr(tb, "run", quicker)
    names = done(EXAMPLE, RUN)
    assert not names["results"].failed
    [record] = names["results"].records
    assert record.spec.encoder == "trigrams"
    assert record.metrics[record.headline].mean == 1
    assert "trigrams" in capsys.readouterr().out
    [plan] = plans
    assert set(plan["encoders"][1:]) <= set(ENCODERS)
