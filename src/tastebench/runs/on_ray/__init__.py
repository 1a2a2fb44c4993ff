"""The runs of a plan on a Ray cluster; Ray itself is loaded only where one is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from tastebench.errors import DependencyError, UsageError

if TYPE_CHECKING:
    from tastebench.runs.on_ray.cluster import Cluster

CLIENT = "ray://"
FORMS = (
    "ray for the cluster of this machine, ray://HOST:10001 for one far away, ray:HOST:6379 on a "
    "machine of it"
)


def address_of(on: str) -> str | None:
    """Where `on` says that the cluster is; None for whatever there is here.

    >>> address_of("ray"), address_of("ray://head:10001"), address_of("ray:10.0.0.1:6379")
    (None, 'ray://head:10001', '10.0.0.1:6379')

    Raises:
        UsageError: It is no address of a cluster.
    """
    kind, colon, address = on.partition(":")
    if kind != "ray" or (colon and not address.removeprefix("//")):
        raise UsageError(f"a plan cannot be run on {on!r}", fix=FORMS)
    if not colon:
        return None
    return on if on.startswith(CLIENT) else address


def require(address: str | None) -> None:
    """Refuses early what is not installed.

    Raises:
        DependencyError: Ray is not, or what its client needs is not.
    """
    needed = ["ray"] if address is None or not address.startswith(CLIENT) else ["ray", "grpc"]
    for module in needed:
        if find_spec(module) is None:
            raise DependencyError(
                f"running on a cluster needs the package {module}, which is not installed",
                fix="pip install 'tastebench[ray]'",
            )


@contextmanager
def connect(on: str) -> Iterator[Cluster]:
    """The cluster that `on` names, while the block lasts.

    Args:
        on: `ray`, `ray://HOST:PORT` (Ray's client) or `ray:HOST:PORT` (from a machine of it).

    Raises:
        UsageError: `on` names no cluster, or it has another version of Ray or Python.
        DependencyError: Ray is not installed.
        DataError: No cluster answers.
    """
    address = address_of(on)
    require(address)
    cluster = importlib.import_module("tastebench.runs.on_ray.cluster")
    with cluster.connected(address) as found:
        yield found
