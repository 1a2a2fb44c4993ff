"""The page docs/bring-your-data.md does what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

import tastebench as tb
from tastebench.cli import main
from tastebench.data.mapping import _MEANINGS
from tastebench.recommenders import get_recommender
from tastebench.runs.plan import make_plan
from tastebench.tasks import TASKS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-data.md"
TEXT = PAGE.read_text("utf-8")
[FROM_PYTHON] = re.findall(r"^```python\n(.*?)^```", TEXT, re.M | re.S)
COMMANDS = [
    shlex.split(command.replace("\\\n", " "))[1:]
    for block in re.findall(r"^```\n(.*?)^```", TEXT, re.M | re.S)
    for command in re.findall(r"^tastebench (?:.*\\\n)*.*", block, re.M)
]
PLANS = [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", TEXT, re.M | re.S)]


def test_from_python(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    items = [f"s{i},{'mug' if i % 2 else 'pot'} {i},for every day" for i in range(20)]
    clicks = [
        f"u{u},s{(u * 7 + t * 3) % 20},{1_600_000_000 + 60 * t}"
        for u in range(30)
        for t in range(8)
    ]
    Path("items.csv").write_text("\n".join(["sku,title,description", *items]))
    Path("clicks.csv").write_text("\n".join(["uid,sku,ts", *clicks]))
    names: dict[str, Any] = {}
    quick = FROM_PYTHON.replace('"name": "mine",', '"name": "mine", "latency_seconds": 0,')
    assert quick != FROM_PYTHON
    exec(compile(quick, str(PAGE), "exec"), names)
    assert names["results"].failed == ()
    again = tb.load_dataset("./data/my-shop")
    assert again.fingerprint == names["dataset"].fingerprint
    assert repr(again) == (
        f"Dataset(my-shop: 20 items, 240 interactions; {again.fingerprint[:12]})"
    )


def test_impressions_are_imported_and_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    news = [f"n{i},headline {i}" for i in range(8)]
    shown = [
        f"{u}-{t},u{u},n{(u + t + place) % 8},{1_600_000_000 + 60 * t},{int(place == t % 3)}"
        for u in range(10)
        for t in range(10)
        for place in range(3)
    ]
    Path("news.csv").write_text("\n".join(["nid,headline", *news]))
    Path("shown.csv").write_text("\n".join(["list,uid,nid,at,clicked", *shown]))
    [load] = [command for command in COMMANDS if "--impressions" in command]
    [look] = [command for command in COMMANDS if command == ["data", "check", "my-news"]]
    for command in (load, look):
        assert main(command) == 0
    said = capsys.readouterr().err
    assert "tasks: seqrec, cf, ctr" in said
    assert "ctr: test has 30 rows, 33.3% clicked, of 10 users" in said

    [clicks] = [plan for plan in PLANS if plan.get("name") == "clicks"]
    plan, data = make_plan(clicks), tb.load_dataset("my-news")
    assert [choice.name for choice in plan.datasets] == [data.name]
    assert plan.recommenders is not None
    for choice in plan.recommenders:
        card = get_recommender(choice.name)
        assert "ctr" in card.tasks
        if card.check is not None:
            card.check(
                card.config(**choice.params), (choice.representations or card.representations)[0]
            )
    [other] = [plan["protocol"]["ctr"] for plan in PLANS if "ctr" in plan.get("protocol", {})]
    protocol = TASKS.get("ctr").protocol(data, **other)
    assert protocol.rows is not None and protocol.rows.threshold == 3.5
    assert TASKS.get("ctr").protocol(data, group="impression").group == "impression"


def test_every_meaning_of_a_file_is_explained() -> None:
    for table in ("items", "interactions", "impressions", "histories"):
        named = {
            name
            for row in re.findall(rf"^\| (`.*?`) \| (?:\w+, )*{table}\b", TEXT, re.M)
            for name in re.findall(r"`(\w+)`", row)
        }
        meanings = set(_MEANINGS[table]) - {"title", "description"}
        assert meanings <= named, table
