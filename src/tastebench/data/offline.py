"""Working without a network: everything that would fetch or ask says so instead.

`TASTEBENCH_OFFLINE=1` says it for every verb and for Python, `tastebench run --offline` for one
run. Processes that a run starts inherit it. Servers on this machine are no network.
"""

from __future__ import annotations

import os

from tastebench.errors import DataError, UsageError

VARIABLE = "TASTEBENCH_OFFLINE"
"""The environment variable that says it; it decides what may be fetched, never a number."""

_HUB = "HF_HUB_OFFLINE"
_YES, _NO = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


class OfflineError(DataError):
    """Something that would have to come over the network, which may not be used."""


def is_offline() -> bool:
    """Whether the network may not be used.

    Raises:
        UsageError: The variable says neither yes nor no.
    """
    said = os.environ.get(VARIABLE, "").strip().lower()
    if said not in _YES | _NO:
        raise UsageError(f"{VARIABLE}={said!r} is neither yes nor no", fix=f"export {VARIABLE}=1")
    return said in _YES


def go_offline() -> None:
    """From here on nothing is fetched, in this process and in those that it starts."""
    os.environ[VARIABLE] = "1"
    obey()


def obey() -> None:
    """Tells the hub's library where the user wants no network; best before it is imported.

    Our own code asks `is_offline` wherever it would fetch; this is for what models' libraries look
    up by themselves.
    """
    if is_offline():
        os.environ[_HUB] = "1"


def refuse_if_offline(what: str, *, where: str, fix: str) -> None:
    """Refuses to use the network where the user wants none.

    Args:
        what: What would be fetched or asked, as the beginning of a sentence.
        where: Its address or name.
        fix: How to do without.

    Raises:
        OfflineError: There is to be no network.
    """
    if is_offline():
        raise OfflineError(
            f"{what}, and the network is not to be used (--offline or {VARIABLE})",
            where=where,
            fix=fix,
        )
