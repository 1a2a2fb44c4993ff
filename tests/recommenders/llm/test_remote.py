"""A model behind an address, asked over HTTP: right scores, honest counts, nothing paid twice."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tastebench import files
from tastebench.contracts import KeepsAccount
from tastebench.errors import UsageError
from tastebench.lm.asking import tokens_of
from tastebench.lm.endpoint import RemoteError
from tastebench.lm.spending import BudgetError
from tastebench.recommenders.llm.llm import CARD, LLMConfig
from tastebench.recommenders.llm.prompt import get_prompt
from tastebench.recommenders.llm.remote import RemotePairwise, preview
from tastebench.tasks import TASKS
from tastebench.tasks.shown import Shown, score_all
from tastebench.testing import RecommenderTests
from tastebench.testing.server import Fault, RemoteServer
from tastebench.testing.tiny import TEXTS, Tiny
from tastebench.training.fit import FabricTrainer

CANARY = "sk-canary-1234567890"
N_TEST = 8
"""Rows of the test part of the tiny shop: users 6 and 7, four each."""
N_NEW = 7
"""Of their questions one is the question that `fit` asks: item 0 for a user without a history."""


def config(server: RemoteServer, **changes: Any) -> LLMConfig:
    return LLMConfig(model=f"openai:small@{server.url}", **changes)


def fitted(server: RemoteServer, shop: Tiny, **changes: Any) -> RemotePairwise:
    made = CARD.build(config(server, **changes))
    assert isinstance(made, RemotePairwise)
    made.fit(shop.problem, shop.items, FabricTrainer(seed=0))
    return made


def asked(shop: Tiny, part: Any = "test") -> Shown:
    shown = TASKS.get("ctr").ask(shop.problem, shop.protocol, part, shop.forms)
    assert isinstance(shown, Shown)
    return shown


def scores(recommender: RemotePairwise, shop: Tiny) -> np.ndarray:
    return score_all(recommender, asked(shop).candidates)


def candidate(body: dict[str, Any]) -> str:
    """The text of the candidate that a request is about."""
    found = re.search(r"Candidate item:(.*)\n", body["messages"][-1]["content"])
    assert found is not None
    return found[1].strip()


def probability(text: str) -> float:
    """What the scripted model thinks of an item."""
    return (1 + TEXTS.index(text)) / (len(TEXTS) + 1)


def telling(body: dict[str, Any]) -> dict[str, Any]:
    """Answers with log-probabilities, in several spellings."""
    yes = probability(candidate(body))
    pairs = [(" Yes", 0.6 * yes), ("yes", 0.3 * yes), ("No", 0.9 * (1 - yes)), ("I", 1e-4)]
    top = [{"token": text, "logprob": math.log(p)} for text, p in pairs]
    best = max(top, key=lambda one: float(one["logprob"]))
    return {
        "message": {"role": "assistant", "content": best["token"]},
        "finish_reason": "stop",
        "logprobs": {"content": [{**best, "top_logprobs": top[: body["top_logprobs"]]}]}
        if body.get("logprobs")
        else None,
    }


def plain(body: dict[str, Any]) -> str:
    return "Yes." if probability(candidate(body)) > 0.5 else "no"


# ------------------------------------------------------------------------------------- scores


def test_log_probabilities_become_log_odds(shop: Tiny) -> None:
    with RemoteServer(chat=telling) as server:
        recommender = fitted(server, shop)
        got = scores(recommender, shop)
        sent = server.requests[-1].body
    items = asked(shop).candidates.items.values
    p = np.array([probability(TEXTS[item]) for item in items])
    np.testing.assert_allclose(got, np.log(0.9 * p / (0.9 * (1 - p))), rtol=1e-12)
    assert recommender.log_odds
    assert (sent["temperature"], sent["logprobs"], sent["top_logprobs"]) == (0, True, 20)
    account = recommender.account()
    assert account.counts["answered"] == N_TEST
    assert not any(account.counts[name] for name in ("unparsed", "refused", "no_logprobs", "cut"))
    evaluation = TASKS.get("ctr").evaluate(
        recommender, shop.problem, shop.protocol, "test", shop.forms
    )
    assert np.isfinite(evaluation.means()["logloss"])


def test_the_model_is_asked_what_the_prompt_says(shop: Tiny) -> None:
    prompt = get_prompt("yes-no-chat-v1")
    with RemoteServer(chat=telling) as server:
        scores(fitted(server, shop), shop)
        told = {str(request.body["messages"]) for request in server.requests}
    shown = asked(shop).candidates
    for who, item in zip(shown.items.rows, shown.items.values, strict=True):
        history = [TEXTS[i] for i in shown.history[int(who)]]
        conversation = prompt.conversation(history, [TEXTS[item]])
        # An item without a word has no blank before it.
        assert str(conversation).replace(r"item: \n", r"item:\n") in told


def test_without_log_probabilities_words_are_read_and_nothing_claims_to_be_one(
    shop: Tiny,
) -> None:
    with RemoteServer(chat=plain) as server:  # as `transformers serve`: it ignores the wish
        recommender = fitted(server, shop)
        got = scores(recommender, shop)
    items = asked(shop).candidates.items.values
    expected = [1.0 if probability(TEXTS[item]) > 0.5 else -1.0 for item in items]
    assert got.tolist() == expected
    assert not recommender.log_odds
    evaluation = TASKS.get("ctr").evaluate(
        recommender, shop.problem, shop.protocol, "test", shop.forms
    )
    assert np.isnan(evaluation.means()["logloss"])


@pytest.mark.parametrize("most", [20, 5, 0])
def test_a_server_that_refuses_so_many_is_asked_for_fewer_or_none(shop: Tiny, most: int) -> None:
    with RemoteServer(chat=telling) as server:
        fault = Fault("status", status=400, message="top_logprobs is too high")
        server.faults = [None, *[fault] * {20: 0, 5: 1, 0: 2}[most]]
        recommender = fitted(server, shop)
        wished = [request.body.get("top_logprobs") for request in server.requests]
        assert wished == {20: [None, 20], 5: [None, 20, 5], 0: [None, 20, 5]}[most]
        assert recommender.log_odds == (most > 0)
        before = len(server.requests)
        scores(recommender, shop)
        assert {r.body.get("top_logprobs") for r in server.requests[before:]} == {most or None}
        # What it refuses is known from then on.
        asked_before = len(server.requests)
        assert fitted(server, shop).log_odds == (most > 0)
        assert len(server.requests) == asked_before


def test_probabilities_can_be_left_unasked(shop: Tiny) -> None:
    with RemoteServer(chat=plain) as server:
        recommender = fitted(server, shop, asked={"probabilities": "never"})
        assert not server.requests
        scores(recommender, shop)
        assert not any("logprobs" in request.body for request in server.requests)
        assert not recommender.log_odds


def test_concurrency_changes_no_number(shop: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for n in ("1", "8"):
        monkeypatch.setenv("TASTEBENCH_REMOTE_CONCURRENCY", n)
        monkeypatch.setenv("TASTEBENCH_HOME", str(files.home().with_name(f"home-{n}")))
        with RemoteServer(chat=telling) as server:
            recommender = fitted(server, shop)
            got, account = scores(recommender, shop), recommender.account()
            found.append((got.tolist(), account.counts, account.prompt_tokens, account.requests))
    assert found[0] == found[1]


# ------------------------------------------------------------------------------ what goes wrong


def test_answers_that_say_nothing_are_counted_and_lie_between(shop: Tiny) -> None:
    answers = {
        TEXTS[0]: "Да, конечно.",  # another language
        TEXTS[4]: "I am sorry, I cannot help with that.",
        TEXTS[8]: "",
    }

    def chat(body: dict[str, Any]) -> Any:
        text = candidate(body)
        if text == TEXTS[9]:
            message = {"role": "assistant", "content": None, "refusal": "I will not."}
            return {"message": message, "finish_reason": "stop"}
        if text == TEXTS[5]:
            message = {"role": "assistant", "content": "Yes"}
            return {"message": message, "finish_reason": "content_filter"}
        return answers.get(text, "Yes")

    with RemoteServer(chat=chat) as server:
        recommender = fitted(server, shop)
        recommender.account()
        got = scores(recommender, shop)
        items = asked(shop).candidates.items.values
        # User 6 is shown items 0, 4, 8, 9 and user 7 items 8, 11, 5, 10.
        assert items.tolist() == [0, 4, 8, 9, 8, 11, 5, 10]
        assert got.tolist() == [0, 0, 0, 0, 0, 1, 0, 1]
        counts = recommender.account().counts
        assert {k: counts[k] for k in ("answered", "unparsed", "refused")} == {
            "answered": 2,
            "unparsed": 4,
            "refused": 2,
        }


def test_a_server_that_stops_telling_probabilities_is_not_mixed_up_with_words(shop: Tiny) -> None:
    def chat(body: dict[str, Any]) -> Any:
        answer = telling(body)
        if candidate(body) == TEXTS[9]:
            answer["logprobs"] = None
        return answer

    with RemoteServer(chat=chat) as server:
        recommender = fitted(server, shop)
        got = scores(recommender, shop)
        assert got[3] == 0.0 and (got[:3] != 0).all()
        assert recommender.account().counts["no_logprobs"] == 1


def test_a_request_that_is_refused_among_others_is_counted_and_kept(shop: Tiny) -> None:
    with RemoteServer(chat=telling) as server:
        recommender = fitted(server, shop)
        recommender.account()
        server.faults = [Fault("status", status=400, message="content policy")]
        assert (scores(recommender, shop) == 0).sum() == 1
        account = recommender.account()
        assert (account.counts["answered"], account.counts["refused"]) == (N_TEST - 1, 1)
        n = len(server.requests)
        again = fitted(server, shop)
        assert (scores(again, shop) == 0).sum() == 1
        assert len(server.requests) == n


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (Fault("hang", seconds=60), "did not answer in time"),
        (Fault("status", status=429, headers={"retry-after": "0.01"}), "status 429"),
        (Fault("status", status=500), "status 500"),
        (Fault("half"), "no whole JSON"),
        (Fault("truncate"), "connection broke"),
        (Fault("drop"), "connection broke"),
        (Fault("status", status=401), "status 401"),
        (Fault("status", status=404), "status 404"),
    ],
)
def test_what_lasts_ends_the_run_and_what_was_answered_is_kept(
    shop: Tiny, monkeypatch: pytest.MonkeyPatch, quick: None, fault: Fault, what: str
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_CONCURRENCY", "1")
    monkeypatch.setenv("TASTEBENCH_REMOTE_TIMEOUT_SECONDS", "0.5" if fault.kind == "hang" else "5")
    with RemoteServer(chat=telling) as server:
        recommender = fitted(server, shop)
        before = len(server.requests)
        server.faults = [None, None, None, *[fault] * 2]
        with pytest.raises(RemoteError, match=what) as error:
            scores(recommender, shop)
        assert error.value.fix is not None and "small" in str(error.value.where)
        server.faults = []
        failed = len(server.requests) - before - 3
        assert failed == (1 if fault.status in {401, 404} else 2)
        expected_whole = scores(fitted(server, shop), shop)
        # Three were answered before, the rest is asked now, nothing twice.
        assert len(server.requests) - before == N_NEW + failed
    p = np.array([probability(TEXTS[item]) for item in asked(shop).candidates.items.values])
    np.testing.assert_allclose(expected_whole, np.log(p / (1 - p)), rtol=1e-9)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", status=429, headers={"retry-after": "0.01"}),
        Fault("half"),
        Fault("truncate"),
        Fault("status", status=503),
    ],
)
def test_what_passes_by_itself_changes_no_number(shop: Tiny, quick: None, fault: Fault) -> None:
    with RemoteServer(chat=telling) as server:
        recommender = fitted(server, shop)
        server.faults = [None, fault]
        got = scores(recommender, shop)
    with RemoteServer(chat=telling) as other:
        np.testing.assert_array_equal(got, scores(fitted(other, shop), shop))


def test_a_server_that_refuses_everything_is_an_error_at_once(shop: Tiny) -> None:
    with RemoteServer(chat=telling) as server:
        server.faults = [Fault("status", status=400, message="no such model here")] * 50
        with pytest.raises(RemoteError, match="no such model here"):
            fitted(server, shop)
        assert len(server.requests) == 1


# ------------------------------------------------------------------------------- money and caps


def test_a_cap_stops_and_the_second_run_asks_only_what_is_missing(
    shop: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_CONCURRENCY", "1")
    with RemoteServer(chat=telling) as server:
        recommender = fitted(server, shop)
        used = recommender.account()
        spent = used.prompt_tokens + used.completion_tokens
        monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_TOKENS", str(spent + 700))
        capped = fitted(server, shop)
        before = len(server.requests)
        with pytest.raises(BudgetError, match="cap of") as error:
            scores(capped, shop)
        first = len(server.requests) - before
        assert 0 < first < N_NEW
        assert error.value.fix == (
            "raise TASTEBENCH_REMOTE_MAX_TOKENS or TASTEBENCH_REMOTE_MAX_USD and give the same "
            f"command again: what is answered is kept, {first + 2} times by this prompt"
        )
        # What was paid for counts: the same cap again asks for no more than its rest allows.
        with pytest.raises(BudgetError):
            scores(fitted(server, shop), shop)
        assert len(server.requests) - before <= first + 1
        monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_TOKENS", "100000")
        resumed = fitted(server, shop)
        scores(resumed, shop)
        account = resumed.account()
        assert len(server.requests) - before == N_NEW
        assert account.requests + account.kept == N_TEST + 1  # with that of the first question


def test_what_answering_took_is_told_once_whoever_paid(
    shop: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS", "1000")
    with RemoteServer(chat=telling) as server:
        first = fitted(server, shop)
        assert isinstance(first, KeepsAccount)
        start = first.account()
        assert (start.requests, start.kept) == (2, 0)
        scores(first, shop)
        paid = first.account()
        words = [request.body["messages"] for request in server.requests[2:]]
        read = sum(len(m["content"].split()) for messages in words for m in messages)
        assert (paid.requests, paid.kept) == (N_NEW, 0)
        assert (paid.prompt_tokens, paid.completion_tokens) == (read, N_NEW)
        assert paid.usd == pytest.approx((read + N_NEW) / 1000)
        assert paid.seconds is not None and paid.seconds.shape == (N_NEW,)
        scores(first, shop)  # the same again takes nothing
        nothing = first.account()
        assert (nothing.requests, nothing.kept, nothing.prompt_tokens) == (0, 0, 0)
        assert nothing.counts["answered"] == N_TEST
        second = fitted(server, shop)
        second.account()
        scores(second, shop)
        kept = second.account()
    assert (kept.requests, kept.kept) == (0, N_NEW)
    assert (kept.prompt_tokens, kept.usd) == (paid.prompt_tokens, paid.usd)
    np.testing.assert_array_equal(kept.seconds, paid.seconds)


def test_nobody_else_is_asked_without_a_cap(shop: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    away = LLMConfig(model="openai:m@http://shop.example/v1")
    with pytest.raises(UsageError, match=r"shop\.example may charge .* nothing caps it") as error:
        CARD.build(away).fit(shop.problem, shop.items, FabricTrainer(seed=0))
    assert error.value.fix is not None
    found = re.fullmatch(
        r"export TASTEBENCH_REMOTE_MAX_TOKENS=(\d+): about what it takes in any case",
        error.value.fix,
    )
    assert found is not None
    shown = [asked(shop, part) for part in ("valid", "test")]
    n = sum(len(part) for part in shown)
    assert int(found[1]) > 100 * n
    monkeypatch.setenv("TASTEBENCH_REMOTE_MAX_USD", "5")
    with pytest.raises(UsageError, match="needs the price of m"):
        CARD.build(away).fit(shop.problem, shop.items, FabricTrainer(seed=0))


def test_no_secret_is_in_a_message_or_a_file(
    shop: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quick: None
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with RemoteServer(chat=telling, key=CANARY) as server:
        recommender = fitted(server, shop)
        scores(recommender, shop)
        server.key = "another"  # the server's message repeats the key it was sent
        with pytest.raises(RemoteError, match="status 401") as error:
            fitted(server, shop, prompt="yes-no-v1")
        assert server.requests[-1].headers["authorization"] == f"Bearer {CANARY}"
    assert CANARY not in str(error.value)
    assert CANARY not in str(recommender.account())
    kept = [path for path in files.home().rglob("*") if path.is_file()]
    assert kept
    assert not any(CANARY.encode() in path.read_bytes() for path in kept)


# -------------------------------------------------------------------------------- before asking


def test_a_preview_asks_nobody_and_is_about_right(
    shop: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS", "10")
    with RemoteServer(chat=telling) as server:
        told = CARD.preview(config(server), shop.problem, shop.items)  # type: ignore[misc]
        assert not server.requests
        parts = [asked(shop, part) for part in ("test", "valid")]
        n = sum(len(part) for part in parts)
        assert told.requests == n
        assert len(told.prompts) == 2  # the test part has two users
        assert "user: You are given" in told.prompts[0] and "system: " in told.prompts[0]
        assert told.seconds is not None and told.seconds > 0
        recommender = fitted(server, shop)
        for part in parts:
            score_all(recommender, part.candidates)
        sent = [tokens_of(request.body["messages"]) for request in server.requests[1:]]
        assert told.prompt_tokens == pytest.approx(sum(sent), rel=0.01)
        assert told.usd == pytest.approx((told.prompt_tokens + told.completion_tokens) / 1e5)
        # Everything is kept now, so nothing is left to ask.
        after = preview(config(server), shop.problem, shop.items)
        assert (after.requests, after.prompt_tokens, after.usd) == (0, 0, 0.0)
        assert len(server.requests) == n + 1


def test_a_model_somewhere_else_can_be_previewed_without_a_key(shop: Tiny) -> None:
    away = LLMConfig(model="openai:m@http://shop.example/v1")
    told = preview(away, shop.problem, shop.items)
    assert told.requests and told.usd is None


def test_the_address_is_a_part_of_what_identifies_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CARD.weights is not None
    bare = LLMConfig(model="openai:m")
    before = CARD.weights(bare, "text", False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://shop.example/v1")
    after = CARD.weights(bare, "text", False)
    assert before != after and after is not None
    assert after.startswith("m@shop.example/v1 prompt ")
    assert after == CARD.weights(LLMConfig(model="openai:m@http://shop.example/v1"), "text", False)
    reworded = LLMConfig(model="openai:m", prompt="yes-no-v1")
    assert CARD.weights(reworded, "text", False) != after


@pytest.mark.parametrize(
    ("changes", "what"),
    [({"tune": "lora"}, "cannot be tuned"), ({"scoring": "matching"}, "read for its vectors")],
)
def test_what_no_server_does_is_refused_before(changes: dict[str, Any], what: str) -> None:
    assert CARD.check is not None
    with pytest.raises(UsageError, match=what):
        CARD.check(LLMConfig(model="openai:m", **changes), "text")


# ---------------------------------------------------------------------------------- conformance


class TestConformance(RecommenderTests):
    card = replace(CARD, representations=("text",))

    @pytest.fixture(autouse=True)
    def _served(self) -> Iterator[None]:
        with RemoteServer(chat=telling) as server:
            type(self).config = {"model": f"openai:small@{server.url}"}
            yield
