"""A module imports only from its own room and the rooms above it in docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "tastebench"

ROOMS = [
    "errors",
    "registry",
    "files",
    "alone",
    "later",
    "ragged",
    "contracts",
    "data",
    "metrics",
    "lm",
    "encoders",
    "training",
    "items",
    "recommenders",
    "tasks",
    "build",
    "runs",
    "serving",
    "suites",
    "board",
    "api",
    "cli",
    "testing",
]


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = (
                [f"tastebench.{alias.name}" for alias in node.names]
                if node.module == "tastebench"
                else [node.module]
            )
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] == "tastebench" and len(parts) > 1 and parts[1] in ROOMS:
                yield parts[1], node.lineno


@pytest.mark.parametrize(
    "path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.relative_to(SOURCE))
)
def test_imports_point_upwards_only(path: Path) -> None:
    room = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        pytest.skip("the public API gathers from every room")
    own = ROOMS.index(room)
    wrong = [
        f"line {line}: {other}" for other, line in imported_rooms(path) if ROOMS.index(other) > own
    ]
    assert not wrong, f"{room} imports from rooms below it: {wrong}"
