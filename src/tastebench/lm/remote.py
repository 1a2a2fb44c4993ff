"""Remote models: one client for whatever speaks OpenAI's dialect, for embeddings and for chat.

Requests go out side by side within rate limits and a budget. What may pass by itself - too many
requests, a server's own failure, silence, a broken connection - is tried again, later each time;
anything else fails at once. An answer is used only if it is whole: as many vectors as texts, each
finite, none zero, all of one width. A failure is an error, never a vector. The key is read from the
environment and appears in no message: errors of the library below, which hold the request, are
replaced by ours and not chained.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tastebench.data.offline import refuse_if_offline
from tastebench.errors import UsageError
from tastebench.lm.answers import (
    Answer,
    Token,
    hidden,
    read_answer,
    read_usage,
    read_vectors,
)
from tastebench.lm.attempts import Problem, send
from tastebench.lm.endpoint import (
    OPENAI_URL,
    PREFIX,
    Endpoint,
    RefusedError,
    RemoteError,
)
from tastebench.lm.spending import Budget, Limits, Pace, Price, Usage, estimate_tokens
from tastebench.lm.threads import Stop, Stopped, each

if TYPE_CHECKING:
    from openai import OpenAI

Message = Mapping[str, str]
"""`{"role": "user", "content": "..."}`."""

_PER_MESSAGE = 4
"""Tokens around a message's words, for estimates."""
_CONNECT_SECONDS = 10.0
_NEEDED_HEADERS = frozenset(
    "accept accept-encoding connection content-length content-type host user-agent".split()
)

__all__ = ["Answer", "Client", "Endpoint", "Message", "RemoteError", "Token"]


class Client:
    """Asks one endpoint.

    Args:
        endpoint: The model and where it is.
        rng: Spreads the attempts of processes that were turned away together; no answer depends on
            it.
        limits: How the server may be asked.
        budget: What may be spent; it can be shared between clients.
        price: What the provider charges; None if unknown, and then `Usage.usd` is None.

    Raises:
        UsageError: The budget caps dollars and the price is unknown.
        RemoteError: There is no key.
        OfflineError: The network is not to be used, and the endpoint is not this machine.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        rng: np.random.Generator,
        limits: Limits | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
    ) -> None:
        refuse_unless_near(endpoint)
        self.endpoint, self.price = endpoint, price
        self.limits, self.budget = limits or Limits(), budget or Budget()
        if self.budget.usd is not None and price is None:
            raise UsageError(
                f"a cap in US dollars needs the price of {endpoint.model}, which is not known here",
                fix="export TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS=..., or cap tokens instead",
            )
        self._rng, self._lock = rng, threading.Lock()
        self._pace = Pace(self.limits)
        self._usage = Usage(usd=None if price is None else 0.0)
        self._key = endpoint.key()
        self._api = _connect(endpoint, self._key, self.limits)

    @property
    def usage(self) -> Usage:
        """Everything used so far."""
        with self._lock:
            return self._usage

    # --------------------------------------------------------------------------------- embeddings

    def embed(self, texts: Sequence[str], *, dimensions: int | None = None) -> np.ndarray:
        """The vectors of texts, float32 `[n, d]`, rows in their order.

        An empty text is sent as one space: servers refuse the empty string.

        Args:
            texts: At least one.
            dimensions: Width to ask for, from models that can shorten their vectors.

        Raises:
            RemoteError: The server could not be asked, or gave anything but one finite vector of
                the same width for each text. Nothing is returned in part.
            BudgetError: The budget does not allow it.
        """
        sent = [text or " " for text in texts]
        batches = _batches([estimate_tokens(text) for text in sent], self.limits)
        parts: list[np.ndarray] = [np.empty((0, 0), dtype=np.float32)] * len(batches)

        def work(index: int, stop: Stop) -> np.ndarray:
            return self._embed(sent[batches[index]], dimensions, stop)

        for index, vectors in each(len(batches), work, self.limits.concurrency):
            parts[index] = vectors
        widths = {part.shape[1] for part in parts}
        if len(widths) != 1:
            raise self._unusable(f"vectors of different widths: {sorted(widths)}")
        return np.concatenate(parts)

    def _embed(self, texts: list[str], dimensions: int | None, stop: Stop) -> np.ndarray:
        options: dict[str, Any] = {} if dimensions is None else {"dimensions": dimensions}

        def call() -> bytes:
            return self._api.embeddings.with_raw_response.create(
                model=self.endpoint.model, input=texts, encoding_format="base64", **options
            ).content

        estimate = sum(estimate_tokens(text) for text in texts)
        value, _ = self._ask(call, estimate, 0, stop)
        try:
            vectors = read_vectors(value, len(texts))
        except ValueError as error:
            reason = str(error)
        else:
            if dimensions is None or vectors.shape[1] == dimensions:
                return vectors
            reason = f"{vectors.shape[1]} numbers a vector where {dimensions} were asked for"
        raise self._unusable(reason)

    # --------------------------------------------------------------------------------------- chat

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        temperature: float | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
    ) -> list[Answer]:
        """The answers, in the order of the conversations; see `answers`."""
        found = dict(
            self.answers(
                conversations,
                max_tokens=max_tokens,
                temperature=temperature,
                seed=seed,
                logprobs=logprobs,
            )
        )
        return [found[index] for index in range(len(conversations))]

    def answers(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_tokens: int,
        temperature: float | None = None,
        seed: int | None = None,
        logprobs: int | None = None,
        refused_too: bool = False,
    ) -> Iterator[tuple[int, Answer]]:
        """`(index, answer)` as they come, so that each can be kept before the next is paid for.

        Args:
            conversations: What was said so far, one list of messages each.
            max_tokens: An answer is cut there.
            temperature: 0 takes the likeliest token each time; None is the server's default.
            seed: Of the server's sampling, where it honours one.
            logprobs: So many likeliest tokens a place, 0 for the chosen one alone; None for none.
            refused_too: A request that the server refuses for what it says has an empty answer with
                the error, and the others go on.

        Raises:
            RemoteError: The server could not be asked, or gave no answer. The answers under way are
                handed out first.
            BudgetError: The budget does not allow it.
        """
        # OpenAI's newer models refuse the old name, most other servers do not know the new one.
        most = "max_completion_tokens" if self.endpoint.url == OPENAI_URL else "max_tokens"
        options: dict[str, Any] = {
            most: max_tokens,
            **({} if temperature is None else {"temperature": temperature}),
            **({} if seed is None else {"seed": seed}),
            **({} if logprobs is None else {"logprobs": True, "top_logprobs": logprobs}),
        }

        def work(index: int, stop: Stop) -> Answer:
            try:
                return self._answer(conversations[index], options, max_tokens, stop)
            except RefusedError as error:
                if not refused_too:
                    raise
                return Answer("", "refused", Usage(), refusal=error.what, error=error)

        return each(len(conversations), work, self.limits.concurrency)

    def _answer(
        self, messages: Sequence[Message], options: dict[str, Any], max_tokens: int, stop: Stop
    ) -> Answer:
        sent: Any = [dict(message) for message in messages]

        def call() -> bytes:
            return self._api.chat.completions.with_raw_response.create(
                model=self.endpoint.model, messages=sent, **options
            ).content

        prompt = sum(estimate_tokens(message["content"]) + _PER_MESSAGE for message in messages)
        value, usage = self._ask(call, prompt, max_tokens, stop)
        try:
            return hidden(read_answer(value, usage), self._key)
        except ValueError as error:
            reason = str(error)
        raise self._unusable(reason)

    # ------------------------------------------------------------------------------------ asking

    def _ask(
        self, call: Callable[[], bytes], prompt: int, completion: int, stop: Stop
    ) -> tuple[Any, Usage]:
        """The answer as JSON and what it took; tries again what may pass by itself."""
        held = prompt + completion
        usd = self.price.of(prompt, completion) if self.price else 0.0
        began = time.perf_counter()
        for attempt in range(self.limits.attempts):
            _wait(self._pace.reserve(held), stop)
            self.budget.reserve(held, usd)
            value: Any = None
            used = Usage()
            charged = (held, usd)  # also where the attempt is interrupted: nobody knows
            try:
                value, problem = send(call, self._key)
                if problem is None:
                    used = self._count(value, prompt, attempt, time.perf_counter() - began)
                    charged = (used.tokens, used.usd or 0.0)
                elif not problem.charged:
                    charged = (0, 0.0)
            finally:
                self.budget.settle(held, usd, *charged)
            if problem is None:
                self._pace.correct(used.tokens - held)
                return value, used
            self._wait_for_another(problem, attempt, stop)
        raise AssertionError("the last attempt returns or raises")

    def _count(self, value: Any, prompt: int, retries: int, seconds: float) -> Usage:
        """What an answer took: as the server says, else as estimated."""
        prompt_tokens, completion_tokens = read_usage(value, prompt)
        usd = self.price.of(prompt_tokens, completion_tokens) if self.price else None
        usage = Usage(1, retries, prompt_tokens, completion_tokens, seconds, usd)
        with self._lock:
            self._usage += usage
        return usage

    def _wait_for_another(self, problem: Problem, attempt: int, stop: Stop) -> None:
        """Waits before the next attempt, or raises if there shall be none."""
        attempts = self.limits.attempts
        if not problem.reached and self.usage.requests == 0:
            attempts = min(attempts, 2)  # nobody was ever there: an address that is wrong
        too_long = problem.wait is not None and problem.wait > self.limits.longest_delay
        if not problem.again or too_long or attempt + 1 >= attempts:
            tried = f" ({attempt + 1} attempts)" if attempt else ""
            kind = RefusedError if problem.for_it else RemoteError
            raise kind(
                problem.what + tried,
                where=f"{self.endpoint.model} at {self.endpoint.address}",
                fix=problem.fix,
            )
        delay = min(self.limits.first_delay * 2**attempt, self.limits.longest_delay)
        with self._lock:
            delay *= self._rng.uniform(0.5, 1.0)
        if problem.wait is not None:
            self._pace.hold(problem.wait)
            delay = problem.wait + min(delay, 0.1 * problem.wait)
        _wait(delay, stop)

    def _unusable(self, reason: str) -> RemoteError:
        return RemoteError(
            f"the server's answer cannot be used: {reason}",
            where=f"{self.endpoint.model} at {self.endpoint.address}",
            fix="check that the address serves this kind of model and the server is sound; "
            "nothing of this answer is kept",
        )


def refuse_unless_near(endpoint: Endpoint) -> None:
    """Refuses a model that is asked over the network, where that is not to be used.

    Raises:
        OfflineError: It is not this machine.
    """
    if not endpoint.is_local:
        refuse_if_offline(
            f"the model {endpoint} is asked over the network",
            where=endpoint.address,
            fix="take a model whose files are here, or a server on this machine: "
            f"{PREFIX}{endpoint.model}@http://localhost:PORT/v1",
        )


def _connect(endpoint: Endpoint, key: str, limits: Limits) -> OpenAI:
    import openai

    from tastebench.lm.bounded import ENCODINGS, bound

    # A proxy that stands in the environment cannot reach this machine's own servers.
    timeout = openai.Timeout(
        limits.timeout_seconds, connect=min(limits.timeout_seconds, _CONNECT_SECONDS)
    )
    http = openai.DefaultHttpxClient(
        timeout=timeout,
        trust_env=not endpoint.is_local,
        headers={"Accept-Encoding": ENCODINGS},
        event_hooks={"request": [] if endpoint.is_openai else [_strip(key)], "response": [bound()]},
    )
    return openai.OpenAI(
        api_key=key,
        base_url=endpoint.url,
        timeout=timeout,
        max_retries=0,  # ours know the budget, the pace and when to stop
        http_client=http,
    )


def _strip(key: str) -> Callable[[Any], None]:
    """Leaves a request what any server needs.

    What the library adds from `OPENAI_ORG_ID` or `OPENAI_CUSTOM_HEADERS` is meant for OpenAI, not
    for an address that a plan names.
    """

    def strip(request: Any) -> None:
        for name in set(request.headers) - _NEEDED_HEADERS:
            if not name.startswith("x-stainless-"):  # the library's notes to itself
                del request.headers[name]
        request.headers["authorization"] = f"Bearer {key}"

    return strip


def _wait(seconds: float, stop: Stop) -> None:
    if stop.wait(seconds) if seconds > 0 else stop.is_set():
        raise Stopped


def _batches(tokens: Sequence[int], limits: Limits) -> list[slice]:
    """Neighbouring texts by request; a text above the limit goes alone."""
    batches: list[slice] = []
    start = total = 0
    for index, n in enumerate(tokens):
        full = index - start >= limits.texts_per_request
        if full or (index > start and total + n > limits.tokens_per_request):
            batches.append(slice(start, index))
            start, total = index, 0
        total += n
    batches.append(slice(start, len(tokens)))
    return batches
