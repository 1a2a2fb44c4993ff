"""Where a remote model is asked, by which name, and with whose key.

`openai:MODEL` is OpenAI's own server (or the one in `OPENAI_BASE_URL`), `openai:MODEL@URL` any that
speaks its dialect: `openai:all-minilm@http://localhost:11434/v1`. A name like this stands in plans
and records, so an address that carries a secret is refused, and no message repeats it.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from tastebench.errors import DataError, UsageError

PREFIX = "openai:"
OPENAI_URL = "https://api.openai.com/v1"
OPENAI_KEY = "OPENAI_API_KEY"
URL_VARIABLE = "OPENAI_BASE_URL"
NO_KEY = "none"
HIDDEN = "***"
"""What stands where a server or model repeated a key."""
SHORTEST_KEY = 8
"""A shorter key is none: servers that ask for no key are given such, and texts may hold them."""

# A model's name may hold colons, slashes and @ itself: `@cf/baai/bge-m3`, `qwen3-embedding:0.6b`.
_NAME = re.compile(r"(?P<model>.+?)(@(?P<url>https?://.*))?", re.DOTALL)
_ADDRESS_WITHOUT_SCHEME = re.compile(r".+@(localhost\b|\[|[\w.-]+:\d|[\w-]+(\.[\w-]+)+/).*")
# `M@` and `M@https:/host`: meant as an address, and no model is called so.
_BROKEN_ADDRESS = re.compile(r".+@(https?(:.*)?)?", re.DOTALL | re.IGNORECASE)
_EXAMPLE = "e.g. openai:text-embedding-3-small, or openai:all-minilm@http://localhost:11434/v1"


class RemoteError(DataError):
    """A remote model that cannot be asked, or whose answer cannot be used."""


class RefusedError(RemoteError):
    """A server will not answer this one request, e.g. for what its content filter finds in it."""


@dataclass(frozen=True)
class Endpoint:
    """A model behind an address. It never holds the key.

    Attributes:
        model: What the server calls it.
        base_url: Up to and without `/embeddings`; None is `OPENAI_BASE_URL`, else OpenAI's own.
        key_variable: Environment variable that holds the key.
    """

    model: str
    base_url: str | None = None
    key_variable: str = OPENAI_KEY

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise UsageError("a remote model needs a name", fix=_EXAMPLE)
        if self.base_url is not None:
            _split(self.base_url, "the address of a remote model")
            object.__setattr__(self, "base_url", self.base_url.rstrip("/"))

    @classmethod
    def parse(cls, name: str) -> Endpoint:
        """The endpoint that `openai:MODEL` or `openai:MODEL@URL` names.

        The key of a server that a name brings along is looked for under a variable of its own
        (`key_variable_of`): a plan by somebody else must not carry OpenAI's key elsewhere.

        Raises:
            UsageError: It is no such name, or the address holds credentials or a query.
        """
        found = _NAME.fullmatch(name.removeprefix(PREFIX))
        if not name.startswith(PREFIX) or found is None:
            raise UsageError(f"{name!r} names no remote model", fix=_EXAMPLE)
        model, url = found["model"], found["url"]
        if url is None and _ADDRESS_WITHOUT_SCHEME.fullmatch(model):
            raise UsageError(
                "the address of a remote model begins with http:// or https://",
                where=f"{PREFIX}{model.partition('@')[0]}@...",
                fix=_EXAMPLE,
            )
        if url is None and _BROKEN_ADDRESS.fullmatch(model):
            raise UsageError(
                "behind the @ of a remote model's name stands no whole address",
                where=f"{PREFIX}{model.partition('@')[0]}@...",
                fix=_EXAMPLE,
            )
        return cls(model, url, OPENAI_KEY if url is None else key_variable_of(url))

    @property
    def url(self) -> str:
        """Where requests go.

        Raises:
            UsageError: `OPENAI_BASE_URL` is no plain address.
        """
        if self.base_url is not None:
            return self.base_url
        url = os.environ.get(URL_VARIABLE, "").strip() or OPENAI_URL
        _split(url, f"the environment variable {URL_VARIABLE}")
        return url.rstrip("/")

    @property
    def address(self) -> str:
        """Host, port and path: what records say and revisions hold."""
        return self.url.partition("://")[2]

    @property
    def host(self) -> str:
        """The host alone, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_openai(self) -> bool:
        """Whether it is what the environment's settings for OpenAI are about."""
        return self.base_url is None or self.host == urlsplit(OPENAI_URL).hostname

    @property
    def is_local(self) -> bool:
        """Whether it is this machine."""
        return _is_loopback(self.host)

    def __str__(self) -> str:
        return PREFIX + self.model + (f"@{self.base_url}" if self.base_url else "")

    def key(self) -> str:
        """The key, from the environment; a server on this machine may do without.

        Raises:
            RemoteError: There is none, or it cannot be one.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key and self.is_local:
            return NO_KEY
        if not key:
            raise RemoteError(
                f"no key for {self.host}: the environment variable {self.key_variable} is not set",
                where=f"{PREFIX}{self.model}",
                fix=f"export {self.key_variable}=...; {NO_KEY} where the server asks for no key",
            )
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise RemoteError(
                f"the environment variable {self.key_variable} holds no key: keys are plain "
                "letters, digits and signs without a space",
                where=f"{PREFIX}{self.model}",
                fix=f"export {self.key_variable}=... again, as the provider shows it",
            )
        return key

    def known_key(self) -> str | None:
        """The key as far as the environment has one; for those who have to hide it."""
        return os.environ.get(self.key_variable, "").strip() or None


def key_variable_of(url: str) -> str:
    """The environment variable with the key of a server.

    >>> key_variable_of("https://api.example.com:8080/v1")
    'TASTEBENCH_KEY_API_EXAMPLE_COM'
    >>> key_variable_of("http://127.0.0.1:11434/v1")
    'OPENAI_API_KEY'
    """
    host = _split(url, "the address of a remote model").hostname or ""
    if _is_loopback(host) or host == urlsplit(OPENAI_URL).hostname:
        return OPENAI_KEY
    return "TASTEBENCH_KEY_" + re.sub(r"[^A-Z0-9]+", "_", host.upper()).strip("_")


def _split(url: str, what: str) -> SplitResult:
    """The parts of a plain address. Messages never repeat it: it may hold what is refused."""
    if "@" in url or "?" in url or "#" in url:
        raise UsageError(
            f"{what} holds credentials, a query or a fragment, which would stand in records",
            fix="give scheme, host, port and path alone, and the key by the environment",
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = SplitResult("", "", "", "", ""), None
    whole = parts.scheme in {"http", "https"} and parts.hostname and port != 0
    if not whole or re.search(r"[\s\x00-\x1f]", url):
        raise UsageError(
            f"{what} is no http address with a host and, if any, a port from 1 to 65535",
            fix="e.g. http://localhost:11434/v1 or https://api.example.com/v1",
        )
    return parts


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
