from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench.contracts import Encoder
from tastebench.encoders import encode_items
from tastebench.encoders.hooks import Prepares
from tastebench.encoders.remote import PROBE, CutTextWarning, RemoteEncoder, remote_encoder
from tastebench.errors import UsageError
from tastebench.lm.endpoint import RemoteError
from tastebench.lm.spending import Budget, BudgetError, Limits, Price
from tastebench.runs.spec import RunSpec
from tastebench.testing import EncoderTests
from tastebench.testing.server import Fault, RemoteServer

CANARY = "sk-canary-1234567890"
QUICK = Limits(first_delay=0.001, timeout_seconds=20)


def letters(texts: list[str]) -> np.ndarray:
    """Different words point in different directions."""
    return np.array([np.bincount(list(t.encode()), minlength=256) for t in texts], np.float32)


def backwards(texts: list[str]) -> np.ndarray:
    return letters(texts)[:, ::-1]


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with RemoteServer(embed=letters) as running:
        yield running


def make(server: RemoteServer, options: str = "", **given: Any) -> RemoteEncoder:
    return RemoteEncoder(f"openai:m@{server.url}{options}", **{"limits": QUICK, **given})


def asked(server: RemoteServer) -> list[str]:
    """The texts that were sent, without the probe."""
    texts = [text for request in server.requests for text in request.body["input"]]
    return [text for text in texts if text not in PROBE]


class TestMiniLmBehindAnAddress(EncoderTests):
    @pytest.fixture
    def encoder(self, minilm: Encoder) -> Iterator[Encoder]:
        with RemoteServer(embed=minilm) as server:
            yield remote_encoder(f"openai:all-minilm@{server.url}")


@pytest.mark.parametrize("packed", [True, False], ids=["base64", "float"])
def test_vectors_are_the_local_ones(minilm: Encoder, titles: list[str], packed: bool) -> None:
    with RemoteServer(embed=minilm, packed=packed) as server:
        limits = Limits(texts_per_request=16)
        vectors = make(server, limits=limits).encode(titles)
    # In the batches of the requests: in bfloat16 a vector depends on what is encoded beside it.
    parts = [minilm.encode(titles[begin : begin + 16]) for begin in range(0, len(titles), 16)]
    np.testing.assert_allclose(vectors, np.concatenate(parts), rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------ names and identity


def test_the_card_says_what_can_be_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    card = remote_encoder("openai:all-minilm@http://localhost:11434/v1/").card
    assert card.name == "openai:all-minilm@http://localhost:11434/v1"
    assert card.revision == "all-minilm@localhost:11434/v1"
    assert (card.dimensions, card.normalised, card.usd_per_million_tokens) == (None, False, None)
    card = remote_encoder("openai:text-embedding-3-large").card
    assert card.revision == "text-embedding-3-large@api.openai.com/v1"
    assert (card.dimensions, card.max_tokens, card.usd_per_million_tokens) == (3072, 8192, 0.13)
    assert card.normalised and card.nested
    shorter = remote_encoder("openai:text-embedding-3-large#dimensions=256#v2").card
    assert shorter.name == "openai:text-embedding-3-large#dimensions=256#v2"
    assert shorter.revision == f"{card.revision}#dimensions=256#v2"
    assert shorter.dimensions == 256
    assert CANARY not in repr((card, shorter))


@pytest.mark.parametrize(
    "options",
    ["#", "#a b", "#dimensions=0", "#dimensions=2#dimensions=3", "#a#b", f"#{CANARY}@host/v1"],
)
def test_options_that_are_none_are_refused_and_not_repeated(options: str) -> None:
    with pytest.raises(UsageError, match="behind the #") as caught:
        remote_encoder(f"openai:m@http://localhost:1/v1{options}")
    assert CANARY not in str(caught.value)


def test_names_make_safe_folders() -> None:
    name = "openai:org/m:latest@http://localhost:11434/../v1#dimensions=2#v" + "x" * 300
    spec = RunSpec(task="cf", dataset="d", recommender="dot", representation="vector", encoder=name)
    assert "/" not in spec.folder
    assert len(spec.folder) <= 200
    # Ordinary ones can be read.
    spec = spec.model_copy(update={"encoder": "openai:all-minilm@http://localhost:11434/v1"})
    assert spec.folder == "dot-vector-openai:all-minilm_http:__localhost:11434_v1"


def test_vectors_lie_under_a_safe_name(server: RemoteServer, home: Path) -> None:
    encode_items(make(server, "#v1"), ["a", "b"], recipe="title")
    (folder,) = (path for path in (home / "vectors").iterdir() if path.name != "probes")
    assert folder.name.startswith("openai-m-http-127.0.0.1-")


def test_a_missing_key_is_said_at_once_where_nothing_can_be_cached(
    server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(RemoteError, match="OPENAI_API_KEY is not set"):
        remote_encoder("openai:text-embedding-3-small")
    # Another machine than this one, as far as a name can tell.
    monkeypatch.setattr("tastebench.lm.endpoint._is_loopback", lambda host: False)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    first = encode_items(RemoteEncoder("openai:m", limits=QUICK), ["a", "b"], recipe="title")
    monkeypatch.delenv("OPENAI_API_KEY")
    again = remote_encoder("openai:m")
    kept = encode_items(again, ["a", "b"], recipe="title")
    np.testing.assert_array_equal(kept.vectors, first.vectors)
    with pytest.raises(RemoteError, match="OPENAI_API_KEY is not set"):
        encode_items(again, ["a", "c"], recipe="title")


# ------------------------------------------------------------------------------------- the probe


def test_a_model_that_changed_under_its_name_is_noticed(server: RemoteServer) -> None:
    encode_items(make(server), ["a", "b"], recipe="title")
    encode_items(make(server), ["a", "b", "c"], recipe="title")
    server.embed = backwards
    with pytest.raises(RemoteError, match=r"no longer the model it was.* cosine 0\.") as caught:
        encode_items(make(server), ["d"], recipe="title")
    assert "#v2'" in str(caught.value.fix)
    encode_items(make(server, "#v2"), ["d"], recipe="title")


def test_a_model_of_another_width_is_noticed(server: RemoteServer) -> None:
    make(server).encode(["a"])
    server.embed = lambda texts: letters(texts)[:, :200]
    with pytest.raises(RemoteError, match="no longer the model it was"):
        make(server).encode(["a"])


def test_the_probe_is_sent_once_a_process_and_not_for_kept_vectors(server: RemoteServer) -> None:
    encoder = make(server)
    encode_items(encoder, ["a", "b"], recipe="title")
    encoder.encode(["c"])
    assert [request.body["input"] for request in server.requests].count(list(PROBE)) == 1
    before = len(server.requests)
    encode_items(make(server), ["a", "b"], recipe="title")
    assert len(server.requests) == before


def test_a_width_that_the_catalogue_rules_out_is_refused(
    server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RemoteError, match="256 numbers a vector where 300 were asked for"):
        make(server, "#dimensions=300").encode(["a"])
    assert make(server, "#dimensions=100").encode(["a"]).shape == (1, 100)
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.openai.com/v1")
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    known = remote_encoder("openai:text-embedding-3-small").card
    encoder = make(server)
    encoder.card = known
    with pytest.raises(RemoteError, match="width 256, not 1536"):
        encoder.encode(["a"])


# ------------------------------------------------------------------------------- cutting and cost


def test_texts_are_cut_only_where_the_limit_is_known(server: RemoteServer) -> None:
    from dataclasses import replace

    encoder = make(server)
    encoder.encode(["x" * 5000])
    assert asked(server) == ["x" * 5000]
    encoder.card = replace(encoder.card, max_tokens=2)
    with pytest.warns(CutTextWarning, match="2 of 3 texts were cut to 6 bytes"):
        encoder.encode(["short", "a long one", "ééé é"])
    assert asked(server)[1:] == ["short", "a long", "ééé"]


def test_tokens_and_dollars_are_counted_without_the_probe(server: RemoteServer) -> None:
    encoder = make(server, price=Price(10.0))
    assert isinstance(encoder, Prepares)
    assert encoder.usage().tokens == 0
    encoded = encode_items(encoder, ["two words", "and three words"], recipe="title")
    assert encoded.cost.tokens == 5
    assert encoded.cost.usd == pytest.approx(5 * 10 / 1e6)
    assert encoded.cost.device == "remote"
    again = encode_items(make(server), ["two words", "and three words"], recipe="title")
    assert again.cost.cached
    assert (again.cost.tokens, again.cost.usd) == (5, encoded.cost.usd)


def test_without_a_price_no_dollars_are_claimed(server: RemoteServer) -> None:
    assert encode_items(make(server), ["a"], recipe="title").cost.usd is None


def test_price_and_caps_come_from_the_environment(
    server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS", "10")
    monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_USD", "0.001")
    encoder = remote_encoder(f"openai:m@{server.url}")
    encoder.encode(["a"])
    with pytest.raises(BudgetError, match=r"cap of 0\.001 USD"):
        encoder.encode(["x" * 400])
    assert "x" * 400 not in asked(server)


# ------------------------------------------------------------------------- what is paid is kept


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tastebench.encoders.vectors.CAPACITY", 8)


def shards(home: Path) -> int:
    return sum("probes" not in path.parts for path in home.rglob("*.safetensors"))


def test_an_abort_in_the_third_shard_keeps_two(
    server: RemoteServer, titles: list[str], home: Path, small_shards: None
) -> None:
    """T17: a failed batch leaves no vectors of its shard, and the paid ones are not paid again."""
    server.faults += [None, None, None, Fault("status", status=400, message="no more")]
    with pytest.raises(RemoteError, match="no more"):
        encode_items(make(server), titles, recipe="title")
    assert shards(home) == 2
    assert not list(home.rglob("*.npy"))
    paid = [text for request in server.requests[1:3] for text in request.body["input"]]
    server.requests.clear()
    encoded = encode_items(make(server), titles, recipe="title")
    assert sorted(asked(server) + paid) == sorted(titles)
    np.testing.assert_array_equal(encoded.vectors, letters(titles))


@pytest.mark.parametrize("kind", ["short", "nan", "zero", "repeat"])
def test_an_unusable_answer_leaves_nothing_behind(
    server: RemoteServer, home: Path, kind: Any
) -> None:
    """T17: never zero vectors, never a short answer."""
    server.faults += [None, Fault(kind)]
    with pytest.raises(RemoteError, match="cannot be used"):
        encode_items(make(server), ["a", "b"], recipe="title")
    assert shards(home) == 0


def test_a_changed_text_is_paid_and_the_others_are_not(
    server: RemoteServer, titles: list[str], small_shards: None
) -> None:
    """T17: changing one item's text changes the key."""
    first = encode_items(make(server), titles, recipe="title")
    server.requests.clear()
    second = encode_items(make(server), [*titles[:-1], "a new title"], recipe="title")
    assert first.key != second.key
    assert "a new title" in asked(server)
    assert len(asked(server)) <= 16


def test_a_cap_keeps_what_was_paid_before_it(
    server: RemoteServer, titles: list[str], home: Path, small_shards: None
) -> None:
    with pytest.raises(BudgetError):
        encode_items(make(server, budget=Budget(tokens=300)), titles, recipe="title")
    assert 0 < shards(home) < 13
    paid = len(asked(server))
    server.requests.clear()
    encode_items(make(server), titles, recipe="title")
    assert len(asked(server)) == 100 - paid


def test_the_key_is_in_no_file(
    server: RemoteServer, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    encoded = encode_items(make(server), ["a", "b"], recipe="title")
    assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    files = [path for path in home.rglob("*") if path.is_file()]
    assert len(files) >= 4
    assert not [path for path in files if CANARY.encode() in path.read_bytes()]
    assert CANARY not in repr(encoded)
