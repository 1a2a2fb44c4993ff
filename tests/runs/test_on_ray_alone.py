"""What of a cluster needs no Ray: whose turn it is on a node, and what nodes have to be like."""

from __future__ import annotations

import asyncio
import importlib.metadata
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tastebench.errors import DataError, DependencyError, UsageError
from tastebench.runs.on_ray import address_of, connect
from tastebench.runs.on_ray.board import Board
from tastebench.runs.on_ray.nodes import Node, Nodes, check_nodes
from tastebench.runs.processes import Need

# -------------------------------------------------------------------------------------- the board


class Play:
    """Units on nodes, and what each has been let do so far."""

    def __init__(self) -> None:
        self.board = Board()
        self.allowed: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def asks(self, waiting: Coroutine[Any, Any, None], what: str) -> None:
        """Starts to wait for something, which is noted when it may be done."""

        async def wait() -> None:
            await waiting
            self.allowed.append(what)

        self.tasks.append(asyncio.create_task(wait()))
        await self.settle()

    async def enters(self, unit: str, node: str = "n", *, alone: bool = False) -> None:
        await self.asks(self.board.enter(unit, node, alone), unit)

    async def parks(self, unit: str, node: str = "n") -> None:
        await self.asks(self.board.alone(unit, node), f"{unit} alone")

    async def leaves(self, unit: str) -> None:
        await self.board.leave(unit)
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


def played(script: Callable[[Play], Coroutine[Any, Any, None]]) -> list[str]:
    async def main() -> list[str]:
        play = Play()
        await script(play)
        for task in play.tasks:
            task.cancel()
        return play.allowed

    return asyncio.run(main())


def test_who_must_be_alone_waits_for_the_others_and_nobody_starts_meanwhile() -> None:
    async def script(play: Play) -> None:
        await play.enters("a")
        await play.enters("b")
        await play.parks("a")
        await play.enters("late")
        assert play.allowed == ["a", "b"]
        await play.parks("b")  # nobody is at work any more: one by one, in their order
        assert play.allowed == ["a", "b", "a alone"]
        await play.leaves("a")
        assert play.allowed[3:] == ["b alone"]
        await play.leaves("b")

    assert played(script) == ["a", "b", "a alone", "b alone", "late"]


def test_nodes_do_not_wait_for_each_other() -> None:
    async def script(play: Play) -> None:
        await play.enters("a", "one")
        await play.enters("b", "two")
        await play.parks("a", "one")
        await play.parks("b", "two")

    assert played(script) == ["a", "b", "a alone", "b alone"]


def test_what_is_alone_from_the_start_waits_and_is_alone_to_its_end() -> None:
    async def script(play: Play) -> None:
        await play.enters("a")
        await play.enters("whole", alone=True)
        await play.enters("b")
        assert play.allowed == ["a"]
        await play.leaves("a")
        assert play.allowed == ["a", "whole"]
        await play.parks("whole")  # it is alone already
        assert play.allowed == ["a", "whole", "whole alone"]
        await play.leaves("whole")

    assert played(script) == ["a", "whole", "whole alone", "b"]


@pytest.mark.parametrize("lost", ["working", "parked", "sole", "outside"])
def test_who_is_lost_holds_nobody_up(lost: str) -> None:
    async def script(play: Play) -> None:
        await play.enters("a")
        await play.enters("b")
        if lost == "working":
            await play.parks("a")
            await play.leaves("b")
            assert play.allowed == ["a", "b", "a alone"]
        elif lost == "parked":
            await play.parks("a")
            await play.leaves("a")
            await play.enters("c")
            assert play.allowed == ["a", "b", "c"]
        elif lost == "sole":
            await play.leaves("b")
            await play.parks("a")
            await play.enters("c")
            await play.leaves("a")
            assert play.allowed == ["a", "b", "a alone", "c"]
        else:
            await play.parks("a")
            await play.enters("c")
            await play.leaves("c")
            await play.leaves("b")
            await play.leaves("a")
            assert play.allowed == ["a", "b", "a alone"]

    played(script)


def test_news_come_in_order_and_nothing_after_the_end() -> None:
    async def main() -> list[tuple[str, ...]]:
        board = Board()
        await board.enter("a", "n", False)
        await board.say("a", "one")
        await board.leave("a")
        await board.say("a", "too late")
        await board.leave("a")
        return [tuple(news) for news in await board.hear()]

    assert asyncio.run(main()) == [("started", "a", ""), ("said", "a", "one"), ("left", "a", "")]


# -------------------------------------------------------------------------------------- the nodes


def row(cores: float, gpus: float = 0, memory: float = 0, *, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": cores, "GPU": gpus, "memory": memory, "node:10.0.0.1": 1.0}
    return {
        "NodeID": f"id{cores}{gpus}",
        "NodeManagerAddress": "10.0.0.1",
        "Alive": alive,
        "Resources": {name: value for name, value in resources.items() if value},
    }


def test_nodes_that_cannot_work_do_not_count() -> None:
    nodes = Nodes.of([row(4, memory=2**30), row(8, alive=False), row(0)])
    assert nodes == (Node("id40", "10.0.0.1", 4, 0, 2**30),)


@pytest.mark.parametrize(
    ("need", "options", "units"),
    [
        (Need(cores=1), {"num_cpus": 1}, 12),
        (Need(cores=3), {"num_cpus": 3}, 3),  # 4 // 3 + 8 // 3
        (Need(cores=8, memory=2**20), {"num_cpus": 8, "memory": 2**20}, 1),
        (Need(cores=1, memory=2**40), {"num_cpus": 1, "memory": 2**33}, 12),
        (Need(cores=1, gpu=True), {"num_cpus": 1}, 12),  # none there: it computes without
    ],
)
def test_needs_become_what_ray_is_asked_for(
    need: Need, options: dict[str, float], units: int
) -> None:
    nodes = Nodes.of([row(4, memory=2**32), row(8, memory=2**33)])
    assert nodes.options(need) == options
    assert nodes.units(need) == units


def test_a_gpu_is_asked_for_where_the_cluster_has_one() -> None:
    nodes = Nodes.of([row(64), row(8, gpus=2)])
    assert nodes.options(Need(cores=4, gpu=True)) == {"num_cpus": 4, "num_gpus": 1}
    assert nodes.units(Need(cores=4, gpu=True)) == 2
    assert nodes.options(Need(cores=16)) == {"num_cpus": 16}
    with pytest.raises(UsageError, match="no node with a GPU of the cluster has more than 8"):
        nodes.check(Need(cores=16, gpu=True))
    with pytest.raises(UsageError, match=r"needs 65 cores at once, and no node .* more than 64"):
        nodes.check(Need(cores=65))


NODES = Nodes([Node("first", "10.0.0.1", 4, 0, 0), Node("second", "10.0.0.2", 4, 0, 0)])


def everyone(function: Callable[..., Any], arguments: Any) -> list[Any]:
    return [function(*arguments) for _ in NODES]


def test_like_nodes_on_shared_storage_pass_and_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    assert check_nodes(NODES, everyone, [tmp_path / "out"], [tmp_path / "model"]) is None
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_a_node_does_not_see_is_refused(tmp_path: Path) -> None:
    def ask(function: Callable[..., Any], arguments: Any) -> list[Any]:
        (probe,), *rest = arguments
        return [function([probe], *rest), function([probe.replace("out", "elsewhere")], *rest)]

    with pytest.raises(UsageError, match="not on storage that every node sees") as caught:
        check_nodes(NODES, ask, [tmp_path / "out"], [])
    assert caught.value.where == str(tmp_path / "out")
    assert "shared file system" in str(caught.value.fix)
    assert not list((tmp_path / "out").iterdir())


def test_what_a_node_writes_elsewhere_is_noticed(tmp_path: Path) -> None:
    """Folders of one path that are not one: the token was copied, the answer does not arrive."""

    def ask(function: Callable[..., Any], arguments: Any) -> list[Any]:
        answers = everyone(function, arguments)
        next(tmp_path.glob("out/.tastebench-probe-*-*")).unlink()
        return answers

    with pytest.raises(UsageError, match="what nodes write does not arrive here"):
        check_nodes(NODES, ask, [tmp_path / "out"], [])


def test_a_model_that_a_node_does_not_see_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"10\.0\.0\.1 does not see") as caught:
        check_nodes(NODES, everyone, [tmp_path / "out"], [tmp_path / "model"])
    assert caught.value.where == str(tmp_path / "model")


@pytest.mark.parametrize(("theirs", "said"), [("0.0.1", "has torch 0.0.1"), (None, "has no torch")])
def test_other_versions_are_refused_with_both(
    theirs: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = importlib.metadata.version("torch")

    def other(package: str) -> str:
        if package == "torch":
            if theirs is None:
                raise importlib.metadata.PackageNotFoundError(package)
            return theirs
        return real(package)

    real = importlib.metadata.version

    def ask(function: Callable[..., Any], arguments: Any) -> list[Any]:
        first = function(*arguments)
        with monkeypatch.context() as patch:
            patch.setattr(importlib.metadata, "version", other)
            return [first, function(*arguments)]

    with pytest.raises(UsageError, match=re.escape(f"{said}, and this process has {own}")):
        check_nodes(NODES, ask, [tmp_path / "out"], [])


def test_processors_of_several_kinds_are_said(tmp_path: Path) -> None:
    def ask(function: Callable[..., Any], arguments: Any) -> list[Any]:
        first, second = everyone(function, arguments)
        return [(*first[:-1], "old"), (*second[:-1], "new")]

    told = check_nodes(NODES, ask, [tmp_path / "out"], [])
    assert told is not None and "2 kinds (new; old)" in told


# ------------------------------------------------------------------------------------ the address


@pytest.mark.parametrize("on", ["spark", "ray:", "ray://", "rays", "http://host:1"])
def test_what_is_no_cluster_is_refused(on: str) -> None:
    with pytest.raises(UsageError, match="cannot be run on"):
        address_of(on)


@pytest.mark.parametrize(("on", "missing"), [("ray", "ray"), ("ray://h:1", "grpc")])
def test_a_missing_package_is_said_with_the_install_line(
    on: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_spec(name: str) -> object:
        return None if name == missing else object()

    monkeypatch.setattr("tastebench.runs.on_ray.find_spec", find_spec)
    with pytest.raises(DependencyError, match=f"the package {missing}") as caught, connect(on):
        pass
    assert caught.value.fix == "pip install 'tastebench[ray]'"
