"""A model behind an address, and everything it has answered: nothing is asked twice.

Answers are kept in a file for each model, prompt and catalogue, whatever run asked first; runs side
by side take turns. A cap counts what is in the file already, so that it holds over interruptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tastebench import files
from tastebench.contracts import Account
from tastebench.errors import UsageError
from tastebench.lm.asking import REFUSED, USUAL_SECONDS, Conversation, ask
from tastebench.lm.calls import Call, Calls, read_calls, usage
from tastebench.lm.endpoint import Endpoint
from tastebench.lm.remote import Client
from tastebench.lm.spending import (
    Budget,
    BudgetError,
    Limits,
    Price,
    per_thousand,
    price_from_environment,
)

TOP = (20, 5)
"""Likeliest tokens to ask for: as many as OpenAI gives, and as many as every server that has them.
"""
_CAPS = "TASTEBENCH_REMOTE_MAX_TOKENS", "TASTEBENCH_REMOTE_MAX_USD"


class RemoteModel:
    """Asks a model, keeps what it says, and keeps account.

    Prices, caps and rates are those of the environment. An answer's tokens, money and seconds are
    told once, when it is first used here, also where it was kept from before: what answering took
    does not depend on how often a run was interrupted.

    Args:
        name: `openai:NAME[@URL]`.
        prompt: Hash of the prompt.
        texts: The catalogue's.
        temperature: Of the answers.
        budget: To be shared with others; None has the caps of the environment for this one alone.
    """

    def __init__(
        self,
        name: str,
        prompt: str,
        texts: Sequence[str],
        temperature: float | None,
        budget: Budget | None = None,
    ) -> None:
        self.endpoint = Endpoint.parse(name)
        self.prompt, self.temperature = prompt, temperature
        self.price = price_from_environment()
        self.budget = budget or Budget.from_environment()
        self._client: Client | None = None
        catalogue = files.hash_json(list(texts))
        folder = files.home() / "artefacts" / "answers" / files.hash_json(identity(name))
        self.path: Path = folder / f"{prompt}-{catalogue}.jsonl"
        self._calls: Mapping[str, Call] = {}
        self._told: set[str] = set()
        self._new: list[Call] = []
        self._requests = self._kept = 0
        self._counted = False

    @property
    def known(self) -> Mapping[str, Call]:
        """What is kept, by key."""
        if not self._calls:
            self._calls = read_calls(self.path)
        return self._calls

    def key(
        self,
        conversation: Conversation,
        *,
        max_tokens: int,
        logprobs: int | None = None,
        draw: int = 0,
    ) -> str:
        """Identifies a question by all that decides its answer, beside model and address.

        Args:
            conversation: What is said.
            max_tokens: An answer is cut there.
            logprobs: Likeliest tokens to be told.
            draw: Which of several answers to the same question; each is asked for once.
        """
        asked = [conversation, max_tokens, self.temperature, logprobs]
        return files.hash_json([*asked, draw] if draw else asked, 32)

    def ask(
        self,
        conversations: Sequence[Conversation],
        *,
        max_tokens: int,
        logprobs: int | None = None,
        draw: int = 0,
    ) -> list[Call]:
        """The answers, in the order of the questions; see `key`.

        Raises:
            UsageError: Somebody else's server and no cap, or a cap in dollars without a price.
            BudgetError: The cap is reached; what was answered is kept.
            RemoteError: The server cannot be asked, or refuses every request; what was answered is
                kept.
        """
        keys = [
            self.key(one, max_tokens=max_tokens, logprobs=logprobs, draw=draw)
            for one in conversations
        ]
        known, missing = self.known, {}
        for key, conversation in zip(keys, conversations, strict=True):
            if key not in known:
                missing[key] = conversation
        if missing:
            options = {"temperature": self.temperature, "logprobs": logprobs}
            self._ask(missing, max_tokens, options)
        for key in dict.fromkeys(keys):
            if key not in self._told:
                self._told.add(key)
                self._new.append(self._calls[key])
                self._kept += key not in missing
        return [self._calls[key] for key in keys]

    def _ask(
        self, missing: Mapping[str, Conversation], max_tokens: int, options: Mapping[str, Any]
    ) -> None:
        client = self._connect()
        with Calls(self.path, wait=True) as calls:
            if not self._counted:
                spent = usage(calls, self.price)
                self.budget.spent_tokens += spent.tokens
                self.budget.spent_usd += spent.usd or 0.0
                self._counted = True
            before = len(calls)
            try:
                ask(
                    missing,
                    calls,
                    client,
                    prompt=self.prompt,
                    max_tokens=max_tokens,
                    options=options,
                )
            except BudgetError as error:
                raise BudgetError(
                    error.what,
                    where=error.where,
                    fix=f"raise {' or '.join(_CAPS)} and give the same command again: "
                    f"what is answered is kept, {len(calls):,} times by this prompt",
                ) from error
            finally:
                self._requests += len(calls) - before
                self._calls = dict(calls)

    def offered(self, conversation: Conversation, max_tokens: int) -> int | None:
        """How many likeliest tokens the server tells of at each place; None for none.

        It is asked without them first: a server that refuses that refuses everything, and one that
        does not refuses log-probabilities, which is then kept as what it is.

        Raises:
            RemoteError: The server cannot be asked.
        """
        self.ask([conversation], max_tokens=max_tokens)
        for logprobs in TOP:
            answer = self.ask([conversation], max_tokens=max_tokens, logprobs=logprobs)[0]
            if answer.finish_reason != REFUSED:
                tokens = answer.tokens or ()
                return logprobs if any(token.top for token in tokens) else None
        return None

    def known_offer(self, conversation: Conversation, max_tokens: int) -> int | None:
        """The same, as far as it is known already; nobody is asked."""
        for logprobs in TOP:
            key = self.key(conversation, max_tokens=max_tokens, logprobs=logprobs)
            if key in self.known and any(token.top for token in self.known[key].tokens or ()):
                return logprobs
        return None

    def check_cap(self, tokens: int, usd: float | None) -> None:
        """Refuses to ask somebody else's server where nothing caps what it may charge.

        Args:
            tokens: What answering will take at most, about.
            usd: The same in dollars; None where no price is known.

        Raises:
            UsageError: Nothing does.
        """
        if self.budget.tokens or self.budget.usd or self.endpoint.is_local:
            return
        fix = f"export {_CAPS[0]}={tokens}"
        if usd is not None:
            fix += f", or export {_CAPS[1]}={usd + 0.01:.2f}"
        raise UsageError(
            f"{self.endpoint.host} may charge for this and nothing caps it",
            where=str(self.endpoint),
            fix=f"{fix}: about what it takes in any case",
        )

    def seconds(self, requests: int) -> float:
        """About how long so many requests take, by those that were made."""
        made = usage(self.known, None)
        each = made.seconds / made.requests if made.requests else USUAL_SECONDS
        return each * requests / Limits.from_environment().concurrency

    def account(
        self,
        counts: Mapping[str, int],
        probes: Mapping[str, float] | None = None,
        *,
        asked: int = 0,
    ) -> Account:
        """What the answers took that were first used since the last call.

        Args:
            counts: What came of them.
            probes: What else was measured.
            asked: Recommendations that they were asked for.
        """
        new, self._new = self._new, []
        requests, self._requests = self._requests, 0
        kept, self._kept = self._kept, 0
        read = sum(call.prompt_tokens for call in new)
        written = sum(call.completion_tokens for call in new)
        seconds = np.array([call.seconds for call in new])
        usd = cost(self.price, read, written)
        taken = per_thousand(asked, read, written, float(seconds.sum()), usd)
        return Account(
            counts=counts,
            prompt_tokens=read,
            completion_tokens=written,
            requests=requests,
            kept=kept,
            usd=usd,
            seconds=seconds,
            probes={**(probes or {}), **taken},
        )

    def _connect(self) -> Client:
        if self._client is None:
            self._client = Client(
                self.endpoint,
                rng=np.random.default_rng(),  # spreads repeated attempts; no answer depends on it
                limits=Limits.from_environment(),
                budget=self.budget,
                price=self.price,
            )
        return self._client


def identity(name: str) -> str:
    """What a model behind an address is known by: its name and where it is.

    Weights behind an address cannot be hashed. The address is a part of it, also where the
    environment says it.
    """
    endpoint = Endpoint.parse(name)
    return f"{endpoint.model}@{endpoint.address}"


def cost(price: Price | None, read: int, written: int) -> float | None:
    """In US dollars; None where no price is known."""
    return None if price is None else price.of(read, written)
