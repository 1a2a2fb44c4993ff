"""A shop's problem, and servers that answer about it over HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tastebench.testing.server import RemoteServer
from tastebench.testing.tiny import Tiny, tiny


@pytest.fixture
def shop() -> Tiny:
    return tiny("ctr")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_ATTEMPTS", "2")
    monkeypatch.setenv("TASTEBENCH_REMOTE_TIMEOUT_SECONDS", "5")


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with RemoteServer(chat=lambda body: "Yes") as one:
        yield one
