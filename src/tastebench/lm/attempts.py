"""One request to a remote model: its answer, or what went wrong and whether to try again."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tastebench.files import parse_json
from tastebench.lm.endpoint import NO_KEY

_SHORT = 300
_LATER = "run again later: what is finished is kept"
_START = "start the server, or check its address and the network"


@dataclass(frozen=True)
class Problem:
    """Why an attempt failed.

    Attributes:
        again: It may pass by itself.
        charged: The server may have done the work all the same.
        wait: Seconds for which the server asked to be left alone.
        reached: Somebody was there.
        for_it: It is about this one request; others may well be answered.
    """

    what: str
    fix: str
    again: bool
    charged: bool = False
    wait: float | None = None
    reached: bool = True
    for_it: bool = False


def send(call: Callable[[], bytes], key: str) -> tuple[Any, None] | tuple[None, Problem]:
    """One request: the JSON of its answer, or what went wrong.

    No error of the library leaves: they hold the request, and the request holds the key.
    """
    import openai

    try:
        content = call()
    except openai.APITimeoutError as error:
        return None, _silence(error)
    except openai.APIConnectionError as error:
        return None, _broken(error, key)
    except openai.APIStatusError as error:
        return None, _refused(error, key)
    try:
        return parse_json(content), None
    except ValueError:
        shown = _shortened(content.decode(errors="replace"), key)
        what = f"the server's answer is no whole JSON: {shown!r}"
        return None, Problem(what, _LATER, again=True, charged=True)


def _silence(error: Any) -> Problem:
    if type(error.__cause__).__name__ == "ConnectTimeout":
        what = "the server cannot be reached: no connection in time"
        return Problem(what, _START, again=True, reached=False)
    what = "the server did not answer in time"
    fix = "export TASTEBENCH_REMOTE_TIMEOUT_SECONDS=... higher, or run again later"
    return Problem(what, fix, again=True, charged=True)


def _broken(error: Any, key: str) -> Problem:
    cause = error.__cause__
    reason = _shortened(str(cause), key)
    if type(cause).__name__ == "ConnectError":
        what = f"the server cannot be reached: {reason}"
        return Problem(what, _START, again=True, reached=False)
    return Problem(f"the connection broke: {reason}", _LATER, again=True, charged=True)


def _refused(error: Any, key: str) -> Problem:
    """What an answer with an error status comes to."""
    status: int = error.status_code
    body = error.body
    message = body.get("message") if isinstance(body, dict) else body
    said = _shortened(message if isinstance(message, str) else error.response.text, key)
    what = f"the server refused with status {status}: {said or 'no reason given'}"
    used_up = status == 429 and error.code == "insufficient_quota"
    if (status in {408, 429} or status >= 500) and not used_up:
        fix = "run again later: what is finished is kept; fewer requests at a time may help "
        fix += "(TASTEBENCH_REMOTE_CONCURRENCY, TASTEBENCH_REMOTE_REQUESTS_PER_MINUTE)"
        return Problem(what, fix, again=True, wait=retry_after(error.response.headers))
    fixes = {
        401: "check the key in the environment",
        403: "check the key in the environment and what it may do",
        404: "check the model's name, and that the address ends before /embeddings (often in /v1)",
        413: "export TASTEBENCH_REMOTE_TEXTS_PER_REQUEST=32, or fewer",
        422: "export TASTEBENCH_REMOTE_TEXTS_PER_REQUEST=32, or see what the server says",
        429: "the provider's quota is used up: raise it there, then run again",
    }
    for_it = status in {400, 413, 422} and error.code != "billing_hard_limit_reached"
    fix = fixes.get(status, "see what the server says")
    return Problem(what, fix, again=False, for_it=for_it)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait, if it does so in a way that can be read.

    >>> retry_after({"retry-after": "2"}), retry_after({"retry-after-ms": "250"})
    (2.0, 0.25)
    >>> retry_after({"retry-after": "soon"})
    """
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    return max(0.0, date.timestamp() - time.time())


def _shortened(text: str, key: str) -> str:
    """A server's words on one line and not too many; some repeat the key they were sent."""
    line = " ".join((text if key == NO_KEY else text.replace(key, "***")).split())
    return line if len(line) <= _SHORT else line[:_SHORT] + " ..."
