"""What models say, and what servers and prompts of others are made of."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import strategies as st

from tastebench.build.form import form_faults, sentences, tidy_query
from tastebench.lm.answers import Token, read_answer, read_usage, read_vectors
from tastebench.lm.attempts import retry_after, send
from tastebench.lm.endpoint import Endpoint
from tastebench.lm.spending import Usage
from tastebench.metrics.grammar import parse
from tastebench.recommenders.llm.answers import log_odds, order_of, said, without_thoughts
from tastebench.recommenders.llm.grounding import Catalogue, plain
from tastebench.recommenders.llm.memorisation import _said

Fuzz = Callable[..., None]
Survives = Callable[..., Any]

WORDS = st.lists(
    st.one_of(
        st.sampled_from(
            ["yes", "No", "**yes**", "Answer:", "the final answer is", "<think>", "</think>", "[1]",
             "[2]", "> ", "9" * 5000, "٣", "²", "\n", "A)", "(B", "\0", "\u202e", "…", "ﬀ", "İ"]
        ),
        st.text(max_size=8),
    ),
    max_size=12,
).map(" ".join)  # fmt: skip


def test_any_answer_is_yes_no_or_neither(fuzz: Fuzz) -> None:
    def check(text: str) -> None:
        assert said(text, "Yes", "No") in (True, False, None)
        without_thoughts(text)

    fuzz(WORDS, check, 200)


def test_any_answer_is_an_order_of_the_candidates_it_names(fuzz: Fuzz) -> None:
    def check(text: str) -> None:
        for n in (0, 1, 3):
            order = order_of(text, n)
            assert len(set(order.places)) == len(order.places)
            assert all(0 <= place < n for place in order.places)
            assert not order.whole or sorted(order.places) == list(range(n))

    fuzz(WORDS, check, 200)


def test_a_number_of_thousands_of_digits_is_no_candidate() -> None:
    assert order_of("[" + "7" * 5000 + "] [1]", 2).places == (0,)
    assert not order_of("[" + "7" * 5000 + "] [1] [2]", 2).whole


def test_any_answer_names_a_title_or_nothing(fuzz: Fuzz) -> None:
    catalogue = Catalogue(["The Matrix (1999)", "Wake up!", "ﬀ"], "letters", 0.5)

    def check(text: str) -> None:
        found = catalogue.ground([text, "", text.upper()])
        assert ((found.title >= -1) & (found.title < 3)).all()
        assert ((found.likeness >= 0) & (found.likeness <= 1 + 1e-6)).all()
        plain(text)
        _said(text)

    fuzz(WORDS, check, 80)


def test_any_answer_is_a_query_or_has_faults(fuzz: Fuzz) -> None:
    def check(text: str) -> None:
        form_faults(tidy_query(text), "stop", None)
        assert sentences(text) >= 0

    fuzz(WORDS, check, 150)


@pytest.mark.parametrize(
    "unit", ["<think>", "\"'", ". ) ", "e.g. ", "[1", "answer is ", " \n", "!"]
)
def test_long_answers_are_read_in_time(unit: str, quick: Callable[..., Any]) -> None:
    text = unit * (60_000 // len(unit))
    quick(lambda: (said(text, "Yes", "No"), order_of(text, 5), sentences(text), tidy_query(text)))


NUMBERS = st.one_of(
    st.floats(), st.sampled_from([0.0, -1e308, 1e308, -math.inf, math.inf, math.nan])
)
TOKENS = st.lists(
    st.builds(
        Token,
        st.sampled_from(["yes", " Yes", "no", "y", "", ".", "nö", "\0"]),
        NUMBERS,
        st.lists(st.tuples(st.sampled_from(["yes", "no", "n", " "]), NUMBERS), max_size=4).map(
            tuple
        ),
    ),
    max_size=4,
)


def test_any_probabilities_give_odds_or_none(fuzz: Fuzz) -> None:
    def check(tokens: list[Token]) -> None:
        odds = log_odds(tokens, "yes", "no")
        assert odds is None or isinstance(odds.score, float)

    fuzz(TOKENS, check, 200)


# ------------------------------------------------------------------------------------- servers

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(max_size=6),
    st.sampled_from(["AAAA", "AACAPwAAgD8=", "stop", "yes"]),
)
KEYS = st.sampled_from(
    ["data", "embedding", "index", "choices", "message", "content", "logprobs", "token", "logprob",
     "top_logprobs", "usage", "prompt_tokens", "completion_tokens", "finish_reason", "refusal"]
)  # fmt: skip
REPLY: dict[str, Any] = {
    "data": [{"index": 0, "embedding": [1.0, 2.0]}, {"index": 1, "embedding": "AACAPwAAgD8="}],
    "choices": [
        {
            "message": {"content": "yes", "refusal": None},
            "finish_reason": "stop",
            "logprobs": {
                "content": [
                    {
                        "token": "yes",
                        "logprob": -0.1,
                        "top_logprobs": [{"token": "no", "logprob": -3}],
                    }
                ]
            },
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 1},
}


def values(depth: int = 3) -> st.SearchStrategy[Any]:
    inner = LEAVES if depth == 0 else values(depth - 1)
    return st.one_of(LEAVES, st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4))


@st.composite
def replies(draw: st.DrawFn) -> Any:
    """A good reply with some values at any depth replaced, or left out."""
    reply = json.loads(json.dumps(REPLY))
    for _ in range(draw(st.integers(1, 3))):
        at: Any = reply
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            deeper = isinstance(at[key], dict | list) and at[key] and draw(st.booleans())
            if deeper:
                at = at[key]
                continue
            if draw(st.booleans()):
                at[key] = draw(values())
            elif isinstance(at, dict):
                del at[key]
            break
    return reply


@pytest.mark.parametrize("source", [replies(), values()], ids=["almost good", "anything"])
def test_any_reply_is_read_or_refused_as_a_value_that_cannot_be(
    fuzz: Fuzz, source: st.SearchStrategy[Any]
) -> None:
    def check(reply: Any) -> None:
        try:
            vectors = read_vectors(reply, 2)
            assert vectors.shape[0] == 2 and vectors.any(axis=1).all()
        except ValueError as error:  # what the client turns into an error that names the server
            assert str(error)
        try:
            answer = read_answer(reply, Usage())
            assert isinstance(answer.text, str)
            if answer.tokens is not None:
                log_odds(answer.tokens, "yes", "no")
        except ValueError as error:
            assert str(error)
        assert all(count >= 0 for count in read_usage(reply, 3))

    fuzz(source, check, 250)


def test_tokens_that_are_no_texts_are_refused() -> None:
    for entry in ({"token": 3, "logprob": 0.1}, {"token": "a", "logprob": 10**400}, [], None):
        choice = {"message": {"content": "yes"}, "logprobs": {"content": [entry]}}
        with pytest.raises(ValueError, match="log-probabilities are broken"):
            read_answer({"choices": [choice]}, Usage())


def test_a_vector_of_numbers_of_hundreds_of_digits_is_refused() -> None:
    data = [{"index": 0, "embedding": [10**400]}]
    with pytest.raises(ValueError, match="hundreds of digits"):
        read_vectors({"data": data}, 1)


def test_any_bytes_are_json_or_a_problem(fuzz: Fuzz) -> None:
    def check(content: bytes) -> None:
        value, problem = send(lambda: content, "sk-planted-0123456789")
        assert problem is None or (value is None and problem.what and problem.fix)

    deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 50_000, b"9" * 5000, b"\xff\xfe{}"])
    fuzz(st.one_of(st.binary(max_size=40), deep), check, 60)


def test_any_header_asks_for_a_wait_that_is_one_or_none(fuzz: Fuzz) -> None:
    texts = st.one_of(
        st.text(max_size=20),
        st.floats().map(str),
        st.sampled_from(["Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 1 Jan 0001 00:00:00 +2359"]),
    )

    def check(text: str) -> None:
        for name in ("retry-after", "retry-after-ms"):
            wait = retry_after({name: text})
            assert wait is None or 0 <= wait < math.inf

    fuzz(texts, check, 100)


def test_any_name_of_a_remote_model(fuzz: Fuzz, survives: Survives) -> None:
    parts = ["openai:", "m", "@", "http://", "https://", "[::1]", ":99999", "/v1", "#", "?", "%00"]
    texts = st.lists(st.one_of(st.sampled_from(parts), st.text(max_size=3)), max_size=7)

    def check(name: str) -> None:
        survives(lambda: Endpoint.parse(f"openai:{name}").address)

    fuzz(texts.map("".join), check, 200)


def test_any_name_of_a_metric(fuzz: Fuzz, survives: Survives) -> None:
    parts = st.sampled_from(["ndcg", "@", "10", "0", "9" * 5000, "-1", "auc", "²", "\0", " "])
    fuzz(st.lists(parts, max_size=4).map("".join), lambda text: survives(lambda: parse(text)), 150)
