from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tastebench.testing.server import Fault, RemoteServer


def lengths(texts: list[str]) -> np.ndarray:
    return np.array([[len(text), 1.0, 2.0] for text in texts])


def ask(server: RemoteServer, path: str, body: Any = None, **headers: str) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{server.url}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def embed(server: RemoteServer, *texts: str, **options: Any) -> Any:
    return ask(server, "/embeddings", {"model": "m", "input": list(texts), **options})


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with RemoteServer(embed=lengths, chat=lambda body: body["messages"][-1]["content"]) as running:
        yield running


def test_vectors_come_as_lists_or_as_base64(server: RemoteServer) -> None:
    answer = embed(server, "abc", "de fg")
    assert [entry["index"] for entry in answer["data"]] == [0, 1]
    assert [entry["embedding"] for entry in answer["data"]] == [[3, 1, 2], [5, 1, 2]]
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
    packed = embed(server, "abc", encoding_format="base64")["data"][0]["embedding"]
    assert np.frombuffer(base64.b64decode(packed), "<f4").tolist() == [3, 1, 2]


def test_shortened_vectors_have_unit_length(server: RemoteServer) -> None:
    (entry,) = embed(server, "abcd", dimensions=1)["data"]
    assert entry["embedding"] == [1.0]


def test_what_was_asked_is_kept(server: RemoteServer) -> None:
    ask(server, "/embeddings", {"model": "m", "input": "one text"}, Authorization="Bearer k")
    (request,) = server.requests
    assert request.path == "/v1/embeddings"
    assert request.headers["authorization"] == "Bearer k"
    assert request.body["input"] == "one text"


def test_chat_and_models(server: RemoteServer) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "say three words"}]}
    answer = ask(server, "/chat/completions", body)
    assert answer["choices"][0]["message"]["content"] == "say three words"
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 6, "completion_tokens": 3}
    assert [model["id"] for model in ask(server, "/models")["data"]] == ["test-model"]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/embeddings", {"model": "m", "input": ["a", ""]}, 400),
        ("/nothing", {}, 404),
        ("/nothing", None, 404),
    ],
)
def test_wrong_requests_are_refused(
    server: RemoteServer, path: str, body: Any, status: int
) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server, path, body)
    assert caught.value.code == status


def test_the_key_is_insisted_on() -> None:
    with RemoteServer(embed=lengths, key="right") as server:
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(server, "/embeddings", {"model": "m", "input": ["a"]}, Authorization="Bearer no")
        ask(server, "/embeddings", {"model": "m", "input": ["a"]}, Authorization="Bearer right")


def test_faults_are_taken_from_the_front_and_none_is_none(server: RemoteServer) -> None:
    server.faults += [
        Fault("status", status=429, headers={"Retry-After": "7"}, message="slow", code="c"),
        None,
        Fault("shuffle"),
    ]
    with pytest.raises(urllib.error.HTTPError) as caught:
        embed(server, "a")
    assert caught.value.code == 429
    assert caught.value.headers["Retry-After"] == "7"
    assert json.loads(caught.value.read())["error"]["message"] == "slow"
    assert len(embed(server, "a")["data"]) == 1
    assert [entry["index"] for entry in embed(server, "a", "b")["data"]] == [1, 0]
    assert server.faults == []


@pytest.mark.parametrize(
    ("kind", "index", "vectors"),
    [
        ("short", [0], [[1, 1, 2]]),
        ("shuffle", [1, 0], [[2, 1, 2], [1, 1, 2]]),
        ("repeat", [0, 0], [[1, 1, 2], [2, 1, 2]]),
        ("zero", [0, 1], [[0, 0, 0], [2, 1, 2]]),
        ("narrow", [0, 1], [[1, 1], [2, 1]]),
        ("nan", [0, 1], [[np.nan, 1, 2], [2, 1, 2]]),
    ],
)
def test_vectors_can_be_spoilt(
    server: RemoteServer, kind: Any, index: list[int], vectors: list[list[float]]
) -> None:
    server.faults.append(Fault(kind))
    data = embed(server, "a", "bb")["data"]
    assert [entry["index"] for entry in data] == index
    np.testing.assert_array_equal([entry["embedding"] for entry in data], vectors)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("drop", (http.client.RemoteDisconnected, ConnectionError)),
        ("truncate", http.client.IncompleteRead),
        ("half", json.JSONDecodeError),
    ],
)
def test_connections_and_answers_can_break(server: RemoteServer, kind: Any, error: Any) -> None:
    server.faults.append(Fault(kind))
    with pytest.raises(error):
        embed(server, "a")
    assert len(embed(server, "a")["data"]) == 1


def test_a_hanging_request_ends_with_the_server() -> None:
    with RemoteServer(embed=lengths) as server:
        server.faults.append(Fault("hang", seconds=60))
        url = f"{server.url}/embeddings"
        body = json.dumps({"model": "m", "input": ["a"]}).encode()
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(url, body, timeout=0.1)  # type: ignore[arg-type]
