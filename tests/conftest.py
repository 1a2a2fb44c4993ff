"""Fixtures shared by all tests: where real data lies, and a home folder of each test's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test gets its own Tastebench home, so none sees another's datasets or vectors."""
    folder = tmp_path / "home"
    monkeypatch.setenv("TASTEBENCH_HOME", str(folder))
    return folder


@pytest.fixture(scope="session")
def asset() -> Callable[[str], Path]:
    """`asset("data/ml-100k")` is that path, or the test skips; with CI=true absence fails."""
    root = Path(os.environ.get("TASTEBENCH_ASSETS", ROOT.parent / "shared"))

    def find(name: str) -> Path:
        path = root / name
        if not path.exists():
            message = f"real data or model {name!r} is not under TASTEBENCH_ASSETS ({root})"
            if os.environ.get("CI") == "true":
                pytest.fail(message)
            pytest.skip(message)
        return path

    return find
