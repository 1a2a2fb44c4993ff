"""What a server sends is bounded while it comes, packed or not."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from tastebench.lm import bounded
from tastebench.lm.endpoint import Endpoint, RemoteError
from tastebench.lm.remote import Client
from tastebench.lm.spending import Limits

ANSWER = json.dumps({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]})


@contextmanager
def serving(
    content: bytes, packed: str | None = None, status: int = 200, endless: bool = False
) -> Iterator[str]:
    """A server with one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            if packed is not None:
                self.send_header("Content-Encoding", packed)
            if not endless:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            try:
                self.wfile.write(content)
                while endless:
                    self.wfile.write(content)
            except OSError:
                pass  # whoever asked has had enough

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()


def ask(url: str) -> str:
    client = Client(Endpoint("m", url), rng=np.random.default_rng(0), limits=Limits(attempts=1))
    return client.chat([[{"role": "user", "content": "is it?"}]], max_tokens=5)[0].text


@pytest.mark.parametrize(
    ("packed", "pack"),
    [(None, bytes), ("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress)],
)
def test_answers_are_read_as_they_are_packed(packed: str | None, pack) -> None:
    with serving(pack(ANSWER.encode()), packed) as url:
        assert ask(url) == "yes"


def test_what_unpacks_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "MOST", 1 << 20)
    bomb = gzip.compress(b" " * (1 << 26))
    assert len(bomb) < 1 << 17
    with serving(bomb, "gzip") as url, pytest.raises(RemoteError, match="more than 1,048,576 byte"):
        ask(url)


@pytest.mark.parametrize("status", [200, 400])
def test_what_is_sent_without_end_is_cut(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(bounded, "MOST", 1 << 20)
    with (
        serving(b" " * (1 << 16), None, status, endless=True) as url,
        pytest.raises(RemoteError, match="more than 1,048,576 bytes"),
    ):
        ask(url)


def test_what_is_no_gzip_is_told() -> None:
    with serving(b"no gzip at all", "gzip") as url, pytest.raises(RemoteError) as refused:
        ask(url)
    assert refused.value.fix


def test_an_encoding_nobody_offered_is_no_answer() -> None:
    with serving(b"\x1b\x00", "br") as url, pytest.raises(RemoteError, match="no whole JSON"):
        ask(url)
