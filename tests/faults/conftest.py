"""The warm process that children are forked from, for all tests of this room."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

collect_ignore = ["kills.py", "stages.py", "warm.py"]  # read by the warm process alone

Order = Callable[..., int]


@pytest.fixture(scope="session")
def child() -> Iterator[Order]:
    """`child(do=..., stage=..., root=...)` carries an order out in a process; its exit code."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"POLARS_MAX_THREADS": "1", "PYTHONWARNINGS": "error::RuntimeWarning"}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("warm.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
    ) as warm:
        assert warm.stdin is not None and warm.stdout is not None
        assert warm.stdout.readline() == "ready\n"

        def send(**order: Any) -> int:
            assert warm.stdin is not None and warm.stdout is not None
            warm.stdin.write(json.dumps({**order, "root": str(order["root"])}) + "\n")
            warm.stdin.flush()
            return int(warm.stdout.readline())

        yield send
        warm.stdin.close()
