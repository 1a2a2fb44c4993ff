"""A Ray cluster as the place where a plan is carried out."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stdout, suppress
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from tastebench import files
from tastebench.errors import DataError, UsageError
from tastebench.runs import environment
from tastebench.runs.on_ray.board import Board, News
from tastebench.runs.on_ray.crew import Crew
from tastebench.runs.on_ray.nodes import PROBE_SECONDS, Nodes, check_nodes
from tastebench.runs.on_ray.unit import Caller, taken
from tastebench.runs.processes import Listener, Need, Work

OBJECT_STORE = 100 * 2**20
"""Bytes of the object store of a cluster that is started here: paths travel, arrays do not."""

PLACINGS = 5
"""Attempts at having the switchboard beside the caller."""


class Cluster:
    """A connected cluster; `run_all` is that of `tastebench.runs.processes`, on its nodes.

    Args:
        address: What it is called in messages.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.nodes = Nodes.of(ray.nodes())
        if not self.nodes:
            raise UsageError("the cluster has no node with a core to work on", where=address)
        variables = {**taken(os.environ), files.HOME: str(files.home().absolute())}
        self.caller = Caller(variables, Path.cwd())
        self._board: Any = None
        self._hearing: Any = None

    @property
    def board(self) -> Any:
        """The switchboard, beside the caller or what stands for it there; made when first asked."""
        if self._board is None:
            self._board = self._placed()
        return self._board

    def _placed(self) -> Any:
        """A switchboard where it should be, or after some attempts wherever Ray puts it.

        Where it is asked to be is a wish: seen once on a node that had just joined, whose loss then
        ended the plan.
        """
        node = ray.get_runtime_context().get_node_id()
        here = NodeAffinitySchedulingStrategy(node, soft=True)
        options = {"num_cpus": 0, "max_concurrency": 100_000, "scheduling_strategy": here}
        board: Any = None
        for _ in range(PLACINGS):
            if board is not None:
                ray.kill(board)
            board = ray.remote(Board).options(**options).remote()
            with suppress(exceptions.RayActorError):  # lost before it began: the next attempt
                if ray.get(board.node.remote()) == node:
                    break
        return board

    def close(self) -> None:
        """Ends what was made for this plan; the cluster stays."""
        if self._board is not None:
            ray.kill(self._board)

    def look(self) -> None:
        """Finds out which nodes there are now."""
        self.nodes = Nodes.of(ray.nodes())

    def check(
        self, shared: Sequence[Path], needed: Sequence[Path], needs: Sequence[Need]
    ) -> str | None:
        """Makes sure before anything starts that the plan can be done here.

        Args:
            shared: Folders that every node reads and writes.
            needed: What every node reads.
            needs: Of the plan's work.

        Returns:
            What is worth knowing, if there is anything.

        Raises:
            UsageError: A folder is not shared, versions differ, or no node can ever do some work.
            DataError: A node does not see a dataset or model, or does not answer.
        """
        for need in dict.fromkeys(needs):
            self.nodes.check(need)
        return check_nodes(self.nodes, self._ask, shared, needed)

    def _ask(self, function: Any, arguments: Sequence[Any]) -> list[Any]:
        references = [
            ray.remote(function)
            .options(
                num_cpus=0,
                max_retries=1,
                name="tastebench probe",
                scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
            )
            .remote(*arguments)
            for node in self.nodes
        ]
        try:
            answers: list[Any] = ray.get(references, timeout=PROBE_SECONDS)
        except exceptions.GetTimeoutError:
            raise DataError(
                f"not every node of the cluster has answered within {PROBE_SECONDS:.0f} s",
                where=self.address,
                fix="ray status says how its nodes are",
            ) from None
        return answers

    def run_all(self, works: Sequence[Work], workers: int | None, listener: Listener) -> None:
        """Does all the work, in order as far as `after` allows.

        A unit whose worker or node is lost is done again from what it has kept. On any exception
        here (Ctrl-C, a full disk) everything is stopped before it goes on.

        Args:
            works: What to do, and what each takes.
            workers: At most so many at a time; None leaves it to the cluster.
            listener: Told what happens.

        Raises:
            DataError: The cluster is gone, or no node is left that could do the work.
        """
        crew = Crew(self, works, workers, listener)
        try:
            while crew.busy:
                crew.step()
        except (exceptions.RayActorError, ConnectionError) as error:
            raise _gone(self.address) from error
        finally:
            crew.stop()

    def hearing(self) -> Any:
        """A reference that is ready when there are news."""
        if self._hearing is None:
            self._hearing = self.board.hear.remote()
        return self._hearing

    def heard(self) -> list[News]:
        """The news that `hearing` waited for."""
        news: list[News] = ray.get(self._hearing)
        self._hearing = None
        return news


@contextmanager
def connected(address: str | None) -> Iterator[Cluster]:
    """The cluster at an address; with None the one of this machine, started if there is none.

    A connection that the process has already is used, and stays.
    """
    if ray.is_initialized():
        if address is not None:
            raise UsageError(
                "this process is connected to a Ray cluster already",
                where=address,
                fix="on='ray' takes that one; ray.shutdown() leaves it",
            )
        with closing(Cluster("ray")) as cluster:
            yield cluster
        return
    # Ray prints what it says of lost workers on standard output, which is the result's.
    with redirect_stdout(sys.stderr):
        name = address or os.environ.get("RAY_ADDRESS") or "ray"
        try:
            _connect(address)
            with closing(Cluster(name)) as cluster:
                yield cluster
        except EOFError as error:  # an answer of Ray's client that was cut off
            raise _gone(name) from error
        finally:
            ray.shutdown()


def _connect(address: str | None) -> None:
    quiet = {"log_to_driver": False, "configure_logging": False}
    try:
        ray.init(address=address or "auto", **quiet)
    except ConnectionError as error:
        if address is None and not os.environ.get("RAY_ADDRESS"):
            _start(quiet)
            return
        raise DataError(
            "no Ray cluster answers",
            where=address or os.environ.get("RAY_ADDRESS"),
            fix="ray start --head starts one, ray status says how it is; one that asks for tokens "
            "wants RAY_AUTH_MODE=token here too",
        ) from error
    except RuntimeError as error:
        if "version mismatch" not in str(error).lower():
            raise
        raise UsageError(
            f"the cluster has another version of Ray or Python: {error}",
            where=address,
            fix="the same versions on every machine",
        ) from error


def _start(quiet: dict[str, bool]) -> None:
    """A cluster of this machine alone, for as long as this process lasts."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nobody is told that it was started
    ray.init(
        address="local",
        num_cpus=environment.cores(),
        object_store_memory=OBJECT_STORE,
        include_dashboard=False,
        _system_config={"worker_niceness": 0},  # as processes here have it
        **quiet,
    )


def _gone(address: str) -> DataError:
    return DataError(
        "the connection to the Ray cluster is lost, so the plan stops here",
        where=address,
        fix="give the same command again when the cluster is back: what is finished is kept",
    )
