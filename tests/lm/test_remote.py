from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import Any

import numpy as np
import pytest

from tastebench.errors import UsageError
from tastebench.lm.answers import read_answer, read_vectors
from tastebench.lm.attempts import retry_after
from tastebench.lm.endpoint import Endpoint, RemoteError
from tastebench.lm.remote import Client, Token
from tastebench.lm.spending import Budget, BudgetError, Limits, Price, Usage
from tastebench.testing.server import Fault, RemoteServer

CANARY = "sk-canary-1234567890"
QUICK = Limits(first_delay=0.001, timeout_seconds=5)


def letters(texts: list[str]) -> np.ndarray:
    return np.array([[len(t), sum(map(ord, t)), 1.0] for t in texts], dtype=np.float32)


def agree(body: dict[str, Any]) -> str:
    return "yes " + str(body["messages"][-1]["content"])


@pytest.fixture
def server() -> Iterator[RemoteServer]:
    with RemoteServer(
        embed=letters, chat=lambda body: "yes " + body["messages"][-1]["content"]
    ) as s:
        yield s


def client(server: RemoteServer, limits: Limits = QUICK, **options: Any) -> Client:
    endpoint = Endpoint("test-model", server.url)
    return Client(endpoint, rng=np.random.default_rng(0), limits=limits, **options)


def ask(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


# ------------------------------------------------------------------------------------- embeddings


@pytest.mark.parametrize("packed", [True, False])
def test_vectors_keep_the_order_of_the_texts_over_many_requests(packed: bool) -> None:
    texts = [f"text {i}" for i in range(100)]
    with RemoteServer(embed=letters, packed=packed) as server:
        server.faults = [Fault("shuffle")] * 10
        asked = client(server, Limits(texts_per_request=10, concurrency=4))
        np.testing.assert_array_equal(asked.embed(texts), letters(texts))
        assert len(server.requests) == 10
        assert asked.usage.requests == 10
        assert asked.usage.prompt_tokens == 200  # two words each, counted by the server


def test_requests_are_cut_by_tokens_too(server: RemoteServer) -> None:
    # 40 bytes are 10 tokens: two texts a request, and the long one alone.
    texts = ["x" * 40] * 4 + ["y" * 400] + ["z" * 40]
    client(server, Limits(tokens_per_request=20, concurrency=1)).embed(texts)
    assert [len(request.body["input"]) for request in server.requests] == [2, 2, 1, 1]


def test_an_empty_text_is_sent_as_a_space(server: RemoteServer) -> None:
    vectors = client(server).embed(["", "a"])
    assert server.requests[0].body["input"] == [" ", "a"]
    np.testing.assert_array_equal(vectors, letters([" ", "a"]))


def test_dimensions_are_asked_for_and_checked(server: RemoteServer) -> None:
    assert client(server).embed(["ab"], dimensions=2).shape == (1, 2)
    assert server.requests[0].body["dimensions"] == 2
    with pytest.raises(RemoteError, match="3 numbers a vector where 4 were asked for"):
        client(server).embed(["ab"], dimensions=4)
    assert "dimensions" not in _body_of_plain_request(server)


def _body_of_plain_request(server: RemoteServer) -> dict[str, Any]:
    client(server).embed(["ab"])
    return server.requests[-1].body


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("short", "1 vectors for 2 texts"),
        ("repeat", "not said once for each text"),
        ("nan", "NaN or infinity"),
        ("zero", "zero throughout"),
    ],
)
def test_an_answer_that_is_not_whole_fails_at_once(
    server: RemoteServer, kind: Any, message: str
) -> None:
    """T17: a failed batch is a failure, never a vector."""
    server.faults.append(Fault(kind))
    with pytest.raises(RemoteError, match=message):
        client(server).embed(["a", "b"])
    assert len(server.requests) == 1


def test_one_bad_request_of_many_fails_all(server: RemoteServer) -> None:
    """T17: nothing is returned in part."""
    server.faults += [None, None, Fault("nan")]
    with pytest.raises(RemoteError, match="NaN"):
        client(server, Limits(texts_per_request=1, concurrency=1)).embed(list("abcdef"))
    assert len(server.requests) == 3


def test_requests_must_agree_on_the_width(server: RemoteServer) -> None:
    server.faults += [None, Fault("narrow")]
    with pytest.raises(RemoteError, match=r"different widths: \[2, 3\]"):
        client(server, Limits(texts_per_request=1, concurrency=1)).embed(["a", "b"])


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "no list of vectors"),
        ({"data": "x"}, "no list of vectors"),
        ({"data": [{"index": 0, "embedding": []}]}, "width 0"),
        ({"data": [{"index": 0, "embedding": "%%"}]}, "broken base64"),
        ({"data": [{"index": 0, "embedding": "AAA="}]}, "broken base64"),
        ({"data": [{"index": 0, "embedding": [1, "x"]}]}, "no list of numbers"),
        ({"data": [{"index": 0, "embedding": [True]}]}, "no list of numbers"),
        ({"data": [{"index": True, "embedding": [1.0]}]}, "not said once"),
        ({"data": [{"embedding": [1.0]}]}, "not said once"),
        ({"data": [{"index": 0, "embedding": [1e39]}]}, "infinity"),
    ],
)
def test_broken_vectors_are_told_apart(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_vectors(value, 1)


# ---------------------------------------------------------------------------------- trying again


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers={"Retry-After": "0.02"}),
        Fault("status", status=500),
        Fault("status", status=503, headers={"retry-after-ms": "20"}),
        Fault("drop"),
        Fault("truncate"),
        Fault("half"),
        Fault("hang"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.status}",
)
def test_what_passes_is_tried_again(server: RemoteServer, fault: Fault) -> None:
    """T17: the vectors are the server's, however often it failed before."""
    server.faults += [fault, fault]
    limits = Limits(first_delay=0.001, timeout_seconds=0.15)
    asked = client(server, limits)
    np.testing.assert_array_equal(asked.embed(["a", "bc"]), letters(["a", "bc"]))
    assert len(server.requests) == 3
    assert (asked.usage.requests, asked.usage.retries) == (1, 2)


def test_the_server_says_how_long_to_wait(server: RemoteServer) -> None:
    server.faults.append(Fault("status", status=429, headers={"Retry-After": "0.2"}))
    began = time.monotonic()
    client(server).embed(["a"])
    assert 0.2 <= time.monotonic() - began < 2


def test_a_wait_beyond_patience_is_a_failure(server: RemoteServer) -> None:
    server.faults.append(Fault("status", status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(RemoteError, match="status 429: scripted fault"):
        client(server).embed(["a"])
    assert len(server.requests) == 1


def test_waiting_doubles_and_ends(server: RemoteServer, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("tastebench.lm.remote._wait", lambda seconds, stop: waited.append(seconds))
    server.faults = [Fault("status", status=500, message="broken")] * 9
    with pytest.raises(RemoteError, match=r"status 500: broken \(4 attempts\)") as caught:
        client(server, Limits(first_delay=1, longest_delay=3, attempts=4)).embed(["a"])
    delays = [seconds for seconds in waited if seconds > 0]
    assert len(server.requests) == 4
    for delay, most in zip(delays, [1, 2, 3], strict=True):
        assert most / 2 <= delay <= most
    assert "test-model at 127.0.0.1" in str(caught.value.where)
    assert "kept" in str(caught.value.fix)


@pytest.mark.parametrize(
    ("fault", "fix"),
    [
        (Fault("status", status=400, message="too long"), "see what the server says"),
        (Fault("status", status=401), "check the key"),
        (Fault("status", status=404), "the model's name"),
        (Fault("status", status=413), "TEXTS_PER_REQUEST"),
        (Fault("status", status=429, code="insufficient_quota"), "quota is used up"),
    ],
    ids=lambda value: str(value.status) if isinstance(value, Fault) else "",
)
def test_what_does_not_pass_fails_at_once(server: RemoteServer, fault: Fault, fix: str) -> None:
    server.faults.append(fault)
    with pytest.raises(RemoteError, match=f"status {fault.status}: {fault.message}") as caught:
        client(server).embed(["a"])
    assert len(server.requests) == 1
    assert fix in str(caught.value.fix)


def test_a_long_message_is_shortened(server: RemoteServer) -> None:
    server.faults.append(Fault("status", status=400, message="a\n b " * 1000))
    with pytest.raises(RemoteError) as caught:
        client(server).embed(["a"])
    assert len(caught.value.what) < 400
    assert "\n" not in caught.value.what


def test_a_server_that_is_not_there_is_said_soon(server: RemoteServer) -> None:
    gone = server.url.replace("127.0.0.1", "127.0.0.2")  # nobody listens there
    asked = Client(Endpoint("m", gone), rng=np.random.default_rng(0), limits=QUICK)
    with pytest.raises(RemoteError, match=r"cannot be reached.*\(2 attempts\)") as caught:
        asked.embed(["a"])
    assert "start the server" in str(caught.value.fix)


def test_retry_after_may_be_a_date() -> None:
    seconds = retry_after({"retry-after": formatdate(time.time() + 100, usegmt=True)})
    assert seconds is not None and 95 < seconds <= 100
    assert retry_after({"retry-after": formatdate(0, usegmt=True)}) == 0.0
    assert retry_after({}) is None


# --------------------------------------------------------------------------------------- secrets


@pytest.mark.parametrize("fault", [None, "status", "half", "hang", "drop"])
def test_the_key_is_sent_and_appears_nowhere(
    fault: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    with RemoteServer(embed=letters, key="another" if fault is None else CANARY) as server:
        # The server repeats the key it was sent: without a fault, because it is the wrong one.
        if fault is not None:
            server.faults = [Fault(fault, message=f"bad key {CANARY}")] * 9
        asked = client(server, Limits(attempts=2, first_delay=0.001, timeout_seconds=0.1))
        with pytest.raises(RemoteError) as caught:
            asked.embed(["a"])
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    shown = "".join(traceback.format_exception(caught.value))
    assert CANARY not in shown + caplog.text + repr(asked) + repr(asked.endpoint)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_what_the_environment_adds_for_openai_goes_to_openai_alone(
    server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", CANARY)
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", f"Authorization: {CANARY}\nX-Gateway: {CANARY}")
    monkeypatch.setenv("OPENAI_API_KEY", "own")
    client(server).embed(["a"])
    headers = server.requests[0].headers
    assert headers["authorization"] == "Bearer own"
    assert CANARY not in repr(headers)
    # An address from the environment is the environment's own business.
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    Client(Endpoint("m"), rng=np.random.default_rng(0), limits=QUICK).embed(["a"])
    assert server.requests[1].headers["x-gateway"] == CANARY


# ---------------------------------------------------------------------------------- rates, budget


def test_usage_is_estimated_where_the_server_does_not_count() -> None:
    with RemoteServer(embed=letters, chat=lambda body: "y" * 40, count=None) as server:
        asked = client(server, price=Price(2.0, 4.0))
        asked.embed(["x" * 400])
        assert asked.usage.prompt_tokens == 100
        assert asked.usage.usd == pytest.approx(2.0 * 100 / 1e6)
        (answer,) = asked.chat([ask("x" * 40)], max_tokens=50)
    # 10 tokens of words and 4 around them; 40 letters of answer.
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (14, 10)
    assert answer.usage.usd == pytest.approx((2 * 14 + 4 * 10) / 1e6)


def test_the_rate_is_kept(server: RemoteServer) -> None:
    began = time.monotonic()
    limits = Limits(requests_per_minute=600, texts_per_request=1, concurrency=4)
    client(server, limits).embed(list("abcd"))
    assert time.monotonic() - began >= 0.3  # three gaps of a tenth


def test_a_budget_stops_before_the_request_that_would_pass_it(server: RemoteServer) -> None:
    # Each text is estimated at 10 tokens and counted by the server as 1.
    budget = Budget(tokens=12)
    asked = client(server, Limits(texts_per_request=1, concurrency=1), budget=budget)
    with pytest.raises(BudgetError, match="cap of 12 tokens"):
        asked.embed(["x" * 40] * 9)
    assert len(server.requests) == 3  # 1 + 1 + 10 fits, 1 + 1 + 1 + 10 does not
    assert budget.spent_tokens == asked.usage.tokens == 3


def test_a_refused_request_is_not_charged_and_a_broken_one_is(server: RemoteServer) -> None:
    budget = Budget(tokens=100)
    server.faults += [Fault("status", status=500), Fault("truncate")]
    client(server, budget=budget).embed(["x" * 40])
    assert budget.spent_tokens == 10 + 1  # the broken one by its estimate, the answered one as told


def test_a_cap_in_dollars_needs_a_price(server: RemoteServer) -> None:
    with pytest.raises(UsageError, match="needs the price of test-model"):
        client(server, budget=Budget(usd=1))
    asked = client(server, budget=Budget(usd=1e-6), price=Price(1.0))
    with pytest.raises(BudgetError, match="cap of 1e-06 USD"):
        asked.embed(["x" * 40])
    assert server.requests == []


# ------------------------------------------------------------------------------------------- chat


def test_answers_keep_the_order_of_the_questions(server: RemoteServer) -> None:
    asked = client(server, price=Price(1.0, 2.0))
    answers = asked.chat(
        [ask(f"question {i}") for i in range(20)], max_tokens=9, temperature=0.0, seed=7
    )
    assert [answer.text for answer in answers] == [f"yes question {i}" for i in range(20)]
    assert {answer.finish_reason for answer in answers} == {"stop"}
    body = server.requests[0].body
    assert (body["max_tokens"], body["temperature"], body["seed"]) == (9, 0.0, 7)
    assert "logprobs" not in body and "max_completion_tokens" not in body
    usage = answers[0].usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (2, 3)
    assert usage.usd == pytest.approx((2 + 2 * 3) / 1e6)
    assert asked.usage.tokens == 20 * 5


def test_what_is_not_given_is_left_to_the_server(server: RemoteServer) -> None:
    client(server).chat([ask("hi")], max_tokens=3)
    assert set(server.requests[0].body) == {"model", "messages", "max_tokens"}


def test_answers_can_be_kept_one_by_one_until_something_fails(server: RemoteServer) -> None:
    server.faults += [None, None, Fault("status", status=400, message="no more")]
    asked = client(server, Limits(concurrency=1))
    kept = {}
    with pytest.raises(RemoteError, match="no more"):
        for index, answer in asked.answers([ask(str(i)) for i in range(9)], max_tokens=5):
            kept[index] = answer.text
    assert kept == {0: "yes 0", 1: "yes 1"}
    assert len(server.requests) == 3


def test_a_request_refused_for_what_it_says_need_not_stop_the_others(server: RemoteServer) -> None:
    server.faults += [None, Fault("status", status=400, message="filtered")]
    asked = client(server, Limits(concurrency=1))
    conversations = [ask(str(i)) for i in range(3)]
    found = dict(asked.answers(conversations, max_tokens=5, refused_too=True))
    assert [found[i].text for i in range(3)] == ["yes 0", "", "yes 2"]
    assert (found[1].finish_reason, found[1].usage.tokens) == ("refused", 0)
    assert "filtered" in str(found[1].error)
    server.faults += [Fault("status", status=401, message="who are you")]
    with pytest.raises(RemoteError, match="who are you"):
        list(asked.answers(conversations, max_tokens=5, refused_too=True))


def reply(choice: dict[str, Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda body: choice


def test_a_refusal_is_no_text_and_a_cut_is_said() -> None:
    refusal = {"message": {"content": None, "refusal": "I won't"}, "finish_reason": "stop"}
    with RemoteServer(chat=reply(refusal)) as server:
        (answer,) = client(server).chat([ask("hi")], max_tokens=3)
    assert (answer.text, answer.refusal, answer.tokens) == ("", "I won't", None)
    cut = {"message": {"content": "a b"}, "finish_reason": "length"}
    with RemoteServer(chat=reply(cut)) as server:
        (answer,) = client(server).chat([ask("hi")], max_tokens=2)
    assert (answer.text, answer.finish_reason, answer.refusal) == ("a b", "length", None)


def test_log_probabilities_are_asked_for_and_read() -> None:
    top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.5}]
    content = [{"token": "yes", "logprob": -0.1, "top_logprobs": top}]
    choice = {"message": {"content": "yes"}, "logprobs": {"content": content}}
    with RemoteServer(chat=reply(choice)) as server:
        (answer,) = client(server).chat([ask("hi")], max_tokens=1, logprobs=2)
        body = server.requests[0].body
    assert (body["logprobs"], body["top_logprobs"]) == (True, 2)
    assert answer.tokens == (Token("yes", -0.1, (("yes", -0.1), ("no", -2.5))),)
    assert answer.finish_reason == "unknown"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "no choices"),
        ({"choices": []}, "no choices"),
        ({"choices": [{"text": "x"}]}, "no message"),
        (
            {"choices": [{"message": {}, "logprobs": {"content": [{"token": "x"}]}}]},
            "log-probabilities are broken",
        ),
    ],
)
def test_an_answer_without_one_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_answer(value, Usage())


def test_openai_itself_is_asked_under_the_new_name(
    server: RemoteServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tastebench.lm.remote.OPENAI_URL", server.url)
    client(server).chat([ask("hi")], max_tokens=3)
    assert server.requests[0].body["max_completion_tokens"] == 3
    assert "max_tokens" not in server.requests[0].body


def test_nothing_to_ask_is_nothing_asked(server: RemoteServer) -> None:
    assert client(server).chat([], max_tokens=3) == []
    assert server.requests == []
