"""What a remote model costs, what it may cost, and how fast it may be asked."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, fields

from tastebench.errors import UsageError
from tastebench.lm.endpoint import RemoteError

BYTES_PER_TOKEN = 4
"""For estimates before a server has counted: about right for English in every common vocabulary."""

_VARIABLE = "TASTEBENCH_REMOTE_"


class BudgetError(RemoteError):
    """The next request could exceed the cap, so it is not sent."""


def estimate_tokens(text: str) -> int:
    """About how many tokens a text has, before anyone counts: its UTF-8 bytes / 4, at least 1.

    >>> estimate_tokens("wool socks"), estimate_tokens("登山靴"), estimate_tokens("")
    (3, 3, 1)
    """
    return max(1, math.ceil(len(text.encode()) / BYTES_PER_TOKEN))


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens, as the provider lists them.

    >>> Price(prompt=0.5, completion=2.0).of(1_000_000, 250_000)
    1.0
    """

    prompt: float
    completion: float = 0.0

    def of(self, prompt_tokens: int, completion_tokens: int = 0) -> float:
        """What so many tokens cost, in US dollars."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / 1e6


@dataclass(frozen=True)
class Usage:
    """What was used; usages add up.

    Attributes:
        requests: Requests that were answered.
        retries: Requests that failed and were sent again.
        prompt_tokens, completion_tokens: As the server counted them; estimated where it did not.
        seconds: From sending to the answer, failed attempts and waiting included; requests side by
            side each count.
        usd: None where no price is known.
    """

    requests: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    usd: float | None = None

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.prompt_tokens + self.completion_tokens

    def __add__(self, other: Usage) -> Usage:
        usd = [usage.usd for usage in (self, other) if usage.usd is not None]
        return Usage(
            self.requests + other.requests,
            self.retries + other.retries,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            sum(usd) if usd else None,
        )


def per_thousand(
    asked: int, read: int, written: int, seconds: float, usd: float | None = None
) -> dict[str, float]:
    """What a thousand recommendations take, by the name under which a record has it.

    Args:
        asked: Recommendations: what a task asks for one by one, a candidate or a list.
        read: Tokens of all prompts.
        written: Tokens of all answers.
        seconds: Of asking; requests side by side each count.
        usd: What was charged; None where no price is known.

    Returns:
        Nothing where nothing was asked.

    >>> per_thousand(4, read=100, written=8, seconds=0.5, usd=0.002)["usd_per_thousand"]
    0.5
    """
    if not asked:
        return {}
    taken = {"prompt_tokens": read, "completion_tokens": written, "seconds": seconds}
    priced = {} if usd is None else {"usd": usd}
    return {f"{name}_per_thousand": 1000 * n / asked for name, n in {**taken, **priced}.items()}


class Budget:
    """A cap on tokens and on US dollars, for as many threads and clients as share it.

    Before a request its estimate is set aside, afterwards what it really took is counted. A request
    whose estimate does not fit waits while others are under way, since they may take less than was
    set aside for them, and is refused once nothing is. Estimates can be too low, so the cap can be
    passed by what the requests then under way were underestimated, and by nothing after them.

    Args:
        tokens: Cap on tokens read and written; None for no cap.
        usd: Cap on US dollars; None for no cap.
    """

    def __init__(self, tokens: int | None = None, usd: float | None = None) -> None:
        self.tokens, self.usd = tokens, usd
        self.spent_tokens, self.spent_usd = 0, 0.0
        self._held: list[tuple[int, float]] = []
        self._changed = threading.Condition()

    def reserve(self, tokens: int, usd: float) -> None:
        """Sets the estimate of a request aside.

        Raises:
            BudgetError: It does not fit.
        """
        with self._changed:
            while (excess := self._excess(tokens, usd)) and self._held:
                self._changed.wait()
            if excess:
                raise BudgetError(
                    f"the cap of {excess} would be passed, so no more is asked",
                    where=f"spent so far: {self.spent_tokens:,} tokens, {self.spent_usd:.4f} USD",
                    fix="raise the cap and give the same command again: what is paid is kept",
                )
            self._held.append((tokens, usd))

    def settle(self, tokens: int, usd: float, spent_tokens: int, spent_usd: float) -> None:
        """Counts what a request took in place of its estimate (`tokens`, `usd`)."""
        with self._changed:
            self._held.remove((tokens, usd))
            self.spent_tokens += spent_tokens
            self.spent_usd += spent_usd
            self._changed.notify_all()

    def _excess(self, tokens: int, usd: float) -> str:
        all_tokens = self.spent_tokens + sum(held[0] for held in self._held) + tokens
        all_usd = self.spent_usd + sum(held[1] for held in self._held) + usd
        if self.tokens is not None and all_tokens > self.tokens:
            return f"{self.tokens:,} tokens"
        if self.usd is not None and all_usd > self.usd:
            return f"{self.usd:g} USD"
        return ""

    @classmethod
    def from_environment(cls) -> Budget:
        """The caps in `TASTEBENCH_REMOTE_MAX_TOKENS` and `TASTEBENCH_REMOTE_MAX_USD`.

        Raises:
            UsageError: One is no positive number.
        """
        tokens = _number("MAX_TOKENS")
        return cls(None if tokens is None else int(tokens), _number("MAX_USD"))


@dataclass(frozen=True)
class Limits:
    """How a server may be asked; nothing here changes an answer.

    Attributes:
        concurrency: Requests under way at a time.
        requests_per_minute, tokens_per_minute: Rate limits; None for none of ours.
        texts_per_request, tokens_per_request: Size of an embedding request at most.
        attempts: How often one request is sent, at most.
        timeout_seconds: A server that says nothing for so long has failed.
        first_delay, longest_delay: Seconds before the second attempt, doubled for each further one,
            and the most there is to wait.
    """

    concurrency: int = 4
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    texts_per_request: int = 256
    tokens_per_request: int = 100_000
    attempts: int = 6
    timeout_seconds: float = 120.0
    first_delay: float = 0.5
    longest_delay: float = 120.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not value > 0:
                raise UsageError(f"{field.name} must be above 0, not {value}")

    @classmethod
    def from_environment(cls) -> Limits:
        """The defaults, or what `TASTEBENCH_REMOTE_CONCURRENCY` and the like say instead.

        The variables are `CONCURRENCY`, `REQUESTS_PER_MINUTE`, `TOKENS_PER_MINUTE`,
        `TEXTS_PER_REQUEST`, `ATTEMPTS` and `TIMEOUT_SECONDS` after `TASTEBENCH_REMOTE_`.

        Raises:
            UsageError: One is no positive number.
        """
        whole = ("concurrency", "texts_per_request", "attempts")
        rates = ("requests_per_minute", "tokens_per_minute", "timeout_seconds")
        given: dict[str, float] = {}
        for name in (*whole, *rates):
            value = _number(name.upper())
            if value is not None:
                given[name] = max(1, int(value)) if name in whole else value
        return cls(**given)  # type: ignore[arg-type]


def price_from_environment() -> Price | None:
    """`TASTEBENCH_REMOTE_USD_PER_MILLION_TOKENS`, for providers whose price is not known here."""
    usd = _number("USD_PER_MILLION_TOKENS")
    return None if usd is None else Price(usd, usd)


class Pace:
    """Spreads requests evenly, so that no minute holds more of them, or of their tokens, than may.

    Args:
        limits: The rates.
        clock: Seconds, monotonic.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_request = 60 / limits.requests_per_minute if limits.requests_per_minute else 0.0
        self._per_token = 60 / limits.tokens_per_minute if limits.tokens_per_minute else 0.0
        self._clock = clock
        self._free = -math.inf
        self._lock = threading.Lock()

    def reserve(self, tokens: int) -> float:
        """Seconds to wait before a request of so many tokens."""
        with self._lock:
            now = self._clock()
            begin = max(now, self._free)
            self._free = begin + max(self._per_request, tokens * self._per_token)
            return begin - now

    def correct(self, tokens: int) -> None:
        """So many tokens more than estimated were used."""
        with self._lock:
            self._free += max(0, tokens) * self._per_token

    def hold(self, seconds: float) -> None:
        """Nothing new for so long: the server said so."""
        with self._lock:
            self._free = max(self._free, self._clock() + seconds)


def _number(name: str) -> float | None:
    given = os.environ.get(_VARIABLE + name, "").strip()
    if not given:
        return None
    try:
        value = float(given)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise UsageError(
            f"the environment variable {_VARIABLE}{name} is {given!r}, not a number above 0",
            fix=f"export {_VARIABLE}{name}=10, or unset it",
        )
    return value
