"""A small real HTTP server that speaks OpenAI's dialect, and fails the ways real ones do.

    with RemoteServer(embed=get_encoder("minilm")) as server:
        server.faults += [Fault("status", status=429, headers={"Retry-After": "0.1"})]
        vectors = encode_items(get_encoder(f"openai:any@{server.url}"), texts, recipe="title")
        assert server.requests[0].body["input"] == texts

It listens on this machine alone, on a port of the system's choice.
"""

from __future__ import annotations

import base64
import json
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

import numpy as np

from tastebench.contracts import Encoder

Embed = Encoder | Callable[[list[str]], np.ndarray]
Chat = Callable[[dict[str, Any]], str | dict[str, Any]]
"""From a request's body to the answer's text, or to a whole choice."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        kind: `status` answers with an error status, `hang` keeps silent for `seconds`, `drop`
            breaks the connection, `truncate` breaks it within the answer, `half` sends half an
            answer as if it were whole. Of vectors, `short` leaves the last one out, `shuffle` turns
            their order around (each with its right index), `repeat` gives all the index 0, `nan`
            and `zero` spoil the first, `narrow` cuts the last number off each.
    """

    kind: Literal[
        "status",
        "hang",
        "drop",
        "truncate",
        "half",
        "short",
        "shuffle",
        "repeat",
        "nan",
        "zero",
        "narrow",
    ]
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "scripted fault"
    code: str | None = None
    seconds: float = 60.0


@dataclass(frozen=True)
class Request:
    """What was asked: path, headers (names in lower case) and the JSON body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class RemoteServer:
    """Serves `/v1/embeddings`, `/v1/chat/completions` and `/v1/models` while its block lasts.

    Args:
        embed: An encoder, or a function from texts to vectors.
        chat: Answers a chat request; None serves no chat.
        models: The names that `/v1/models` lists; requests may name any model.
        key: The key to insist on; None asks for none.
        packed: Vectors can be had as base64; otherwise they come as lists, whatever is asked for.
        count: Tokens of a text; None leaves usage out of the answers.

    Attributes:
        faults: Taken from the front, one a request, until none is left; None is no fault.
        requests: Everything asked of embeddings and chat, in the order of arrival.
    """

    def __init__(
        self,
        embed: Embed | None = None,
        chat: Chat | None = None,
        *,
        models: Sequence[str] = ("test-model",),
        key: str | None = None,
        packed: bool = True,
        count: Callable[[str], int] | None = lambda text: len(text.split()),
    ) -> None:
        self.embed, self.chat = embed, chat
        self.models, self.key, self.packed, self.count = tuple(models), key, packed, count
        self.faults: list[Fault | None] = []
        self.requests: list[Request] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """The base address, to be put behind the `@` of an encoder's name."""
        assert self._server is not None, "the server runs inside its `with` block only"
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> RemoteServer:
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        poll = {"poll_interval": 0.02}
        threading.Thread(target=self._server.serve_forever, kwargs=poll, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    # ------------------------------------------------------------------------------------ answers

    def embeddings(self, body: dict[str, Any], fault: Fault | None) -> dict[str, Any]:
        """The answer of `/v1/embeddings`."""
        assert self.embed is not None
        texts = _listed(body["input"])
        with self.lock:  # encoders need not be safe for threads
            found = (
                self.embed.encode(texts) if isinstance(self.embed, Encoder) else self.embed(texts)
            )
        vectors = np.array(found, dtype=np.float32)
        if width := body.get("dimensions"):
            vectors = vectors[:, :width]
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        vectors = _spoilt(vectors, fault)
        as_text = self.packed and body.get("encoding_format") == "base64"
        data = [
            {"object": "embedding", "index": i, "embedding": _text(v) if as_text else v.tolist()}
            for i, v in enumerate(vectors)
        ]
        if fault is not None and fault.kind == "shuffle":
            data.reverse()
        if fault is not None and fault.kind == "repeat":
            data = [{**entry, "index": 0} for entry in data]
        answer = {"object": "list", "model": body["model"], "data": data}
        return {**answer, **self._usage(texts, [])}

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer of `/v1/chat/completions`."""
        assert self.chat is not None
        choice = self.chat(body)
        if isinstance(choice, str):
            message = {"role": "assistant", "content": choice}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
        words = [message["content"] for message in body["messages"]]
        said = [choice.get("message", {}).get("content") or ""]
        answer = {"object": "chat.completion", "model": body["model"], "choices": [choice]}
        return {**answer, **self._usage(words, said)}

    def _usage(self, read: list[str], written: list[str]) -> dict[str, Any]:
        if self.count is None:
            return {}
        prompt, completion = sum(map(self.count, read)), sum(map(self.count, written))
        usage = {"prompt_tokens": prompt, "total_tokens": prompt + completion}
        return {"usage": {**usage, **({"completion_tokens": completion} if written else {})}}


class _Handler(BaseHTTPRequestHandler):
    owner: RemoteServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            self._refuse(404, f"no such path: {self.path}")
            return
        models = [{"id": name, "object": "model"} for name in self.owner.models]
        self._send(200, {"object": "list", "data": models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        headers = {name.lower(): value for name, value in self.headers.items()}
        owner = self.owner
        with owner.lock:
            owner.requests.append(Request(self.path, headers, body))
            fault = owner.faults.pop(0) if owner.faults else None
        sent = headers.get("authorization", "").removeprefix("Bearer ")
        if owner.key is not None and sent != owner.key:
            self._refuse(401, f"Incorrect API key provided: {sent}")
        elif fault is not None and fault.kind == "status":
            self._refuse(fault.status, fault.message, fault.code, fault.headers)
        elif fault is not None and fault.kind == "drop":
            self._break()
        elif self.path == "/v1/embeddings" and owner.embed is not None:
            self._embed(body, fault)
        elif self.path == "/v1/chat/completions" and owner.chat is not None:
            self._send(200, owner.completion(body), fault)
        else:
            self._refuse(404, f"no such path: {self.path}")

    def _embed(self, body: dict[str, Any], fault: Fault | None) -> None:
        if "" in _listed(body["input"]):
            self._refuse(400, "'$.input' is invalid: an empty string")
        else:
            self._send(200, self.owner.embeddings(body, fault), fault)

    def _refuse(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        error = {"message": message, "type": "error", "code": code}
        self._send(status, {"error": error}, headers=headers)

    def _send(
        self,
        status: int,
        value: dict[str, Any],
        fault: Fault | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        kind = None if fault is None else fault.kind
        if fault is not None and kind == "hang":
            self.owner.closing.wait(fault.seconds)
        content = json.dumps(value).encode()
        if kind == "half":
            content = content[: len(content) // 2]
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            for name, text in (headers or {}).items():
                self.send_header(name, text)
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if kind == "truncate" else content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # whoever asked has given up
        if kind == "truncate":
            self._break()

    def _break(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: tests look at `requests`."""


def _listed(given: str | list[str]) -> list[str]:
    return [given] if isinstance(given, str) else given


def _spoilt(vectors: np.ndarray, fault: Fault | None) -> np.ndarray:
    kind = None if fault is None else fault.kind
    if kind == "nan":
        vectors[0, 0] = np.nan
    elif kind == "zero":
        vectors[0] = 0
    elif kind == "short":
        return vectors[:-1]
    elif kind == "narrow":
        return vectors[:, :-1]
    return vectors


def _text(vector: np.ndarray) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
