"""The page docs/bring-your-data.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import tastebench as tb

PAGE = Path(__file__).resolve().parents[2] / "docs" / "bring-your-data.md"
[FROM_PYTHON] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)


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
