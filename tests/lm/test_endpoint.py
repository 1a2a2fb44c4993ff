from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tastebench.errors import UsageError
from tastebench.lm.endpoint import Endpoint, RemoteError

LOCAL = "http://localhost:11434/v1"
CANARY = "sk-canary-1234567890"


@pytest.mark.parametrize(
    ("name", "model", "url"),
    [
        ("openai:text-embedding-3-small", "text-embedding-3-small", None),
        (f"openai:all-minilm@{LOCAL}", "all-minilm", LOCAL),
        (f"openai:all-minilm@{LOCAL}/", "all-minilm", LOCAL),
        (f"openai:qwen3-embedding:0.6b@{LOCAL}", "qwen3-embedding:0.6b", LOCAL),
        (f"openai:@cf/baai/bge-m3@{LOCAL}", "@cf/baai/bge-m3", LOCAL),
        ("openai:text-embedding@001", "text-embedding@001", None),
        ("openai:org/model@https://[::1]:8000/v1", "org/model", "https://[::1]:8000/v1"),
        ("openai:m@http://10.0.0.5/a/b", "m", "http://10.0.0.5/a/b"),
    ],
)
def test_a_name_is_model_and_address(name: str, model: str, url: str | None) -> None:
    endpoint = Endpoint.parse(name)
    assert (endpoint.model, endpoint.base_url) == (model, url)
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilm", "names no remote model"),
        ("openai:", "names no remote model"),
        ("openai: ", "needs a name"),
        ("openai:m@localhost:11434/v1", "begins with http"),
        ("openai:m@api.example.com/v1", "begins with http"),
        ("openai:m@", "no whole address"),
        ("openai:m@https:", "no whole address"),
        (f"openai:m@http:/{CANARY}/v1", "no whole address"),
        ("openai:m@http://", "no http address"),
        ("openai:m@http://host:99999/v1", "no http address"),
        ("openai:m@http://host:port/v1", "no http address"),
        ("openai:m@http://ho st/v1", "no http address"),
        (f"openai:m@http://user:{CANARY}@host/v1", "holds credentials"),
        (f"openai:m@http://{CANARY}@host/v1", "holds credentials"),
        (f"openai:m@http://host/v1?key={CANARY}", "holds credentials"),
        (f"openai:m@http://host/v1#{CANARY}", "holds credentials"),
    ],
)
def test_what_is_no_plain_name_is_refused_and_secrets_are_not_repeated(
    name: str, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        Endpoint.parse(name)
    assert CANARY not in str(caught.value)


@given(st.text(max_size=30))
def test_any_name_is_read_or_refused(text: str) -> None:
    try:
        endpoint = Endpoint.parse(f"openai:{text}")
    except UsageError:
        return
    assert Endpoint.parse(str(endpoint)) == endpoint


def test_records_see_host_port_and_path() -> None:
    endpoint = Endpoint.parse("openai:m@https://API.example.com:8443/v1")
    assert endpoint.address == "API.example.com:8443/v1"
    assert endpoint.host == "api.example.com"


def test_without_an_address_it_is_openai_or_what_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert Endpoint("m").url == "https://api.openai.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example.com/v1/")
    assert Endpoint("m").url == "https://gateway.example.com/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://u:{CANARY}@gateway.example.com/v1")
    with pytest.raises(UsageError, match="OPENAI_BASE_URL holds credentials") as caught:
        _ = Endpoint("m").url
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("openai:m", "OPENAI_API_KEY"),
        ("openai:m@https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("openai:m@http://127.0.0.1:8000/v1", "OPENAI_API_KEY"),
        ("openai:m@https://evil.example.com/v1", "TASTEBENCH_KEY_EVIL_EXAMPLE_COM"),
        ("openai:m@http://192.168.1.5:11434/v1", "TASTEBENCH_KEY_192_168_1_5"),
    ],
)
def test_a_name_carries_openais_key_nowhere_else(name: str, variable: str) -> None:
    assert Endpoint.parse(name).key_variable == variable


def test_a_missing_key_is_named_and_this_machine_needs_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(RemoteError, match="OPENAI_API_KEY is not set") as caught:
        Endpoint("m").key()
    assert caught.value.exit_code == 4
    assert Endpoint("m", LOCAL).key() == "none"
    with pytest.raises(RemoteError, match="TASTEBENCH_KEY_H_EXAMPLE is not set"):
        Endpoint.parse("openai:m@https://h.example/v1").key()
    monkeypatch.setenv("MINE", f" {CANARY}\n")
    assert Endpoint("m", LOCAL, "MINE").key() == CANARY
    assert CANARY not in repr(Endpoint("m", LOCAL, "MINE"))


@pytest.mark.parametrize("key", [f"{CANARY} x", f"{CANARY}\nx", f"{CANARY}é"])
def test_what_cannot_be_a_key_is_not_sent_and_not_shown(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(RemoteError, match="OPENAI_API_KEY holds no key") as caught:
        Endpoint("m").key()
    assert CANARY not in str(caught.value)
