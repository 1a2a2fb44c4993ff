"""Plans on a real cluster of two nodes: the same numbers, and what is lost is done again."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest
from typing_extensions import override

import tastebench as tb
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import datasets_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError
from tastebench.runs import store
from tastebench.runs.execute import Options, carry_out, look
from tastebench.runs.on_ray import connect
from tastebench.runs.plan import make_plan
from tastebench.runs.processes import Listener, Need, Work
from tastebench.runs.record import Failure
from tastebench.runs.watch import Watcher

# One of its kind for all tests: side by side they would start two.
pytestmark = pytest.mark.xdist_group("ray")

TARGETS = '''
import os
import time
from pathlib import Path

import psutil

from tastebench.errors import DataError


def write(path, around):
    around.tell("writing")
    Path(path).write_text(str(os.getpid()))


def fail(path, around):
    raise DataError("nothing to read", fix="bring it")


def lose_worker_once(path, around):
    """Kills Ray's worker (this process's server's parent) the first time."""
    first = not Path(path).exists()
    Path(path).write_text("seen")
    if first:
        psutil.Process().parent().parent().kill()
        time.sleep(60)


def die(path, around):
    with Path(path).open("a") as file:
        file.write("x")
    psutil.Process().kill()


def sleep(path, around):
    Path(path).write_text(str(os.getpid()))
    around.tell("sleeping")
    time.sleep(600)


def sleep_once(path, around):
    first = not Path(path).exists()
    Path(path).write_text(str(os.getpid()))
    if first:
        around.tell("sleeping")
        time.sleep(600)


def environment(path, around):
    names = ("OPENAI_API_KEY", "OMP_WAIT_POLICY", "CUDA_VISIBLE_DEVICES")
    Path(path).write_text(" ".join(os.environ.get(name, "none") for name in names))


def imported(path, around):
    Path(path).write_text(psutil.__file__)
'''

Make = Callable[..., Work]
PLAN: dict[str, Any] = {
    "name": "study",
    "datasets": ["tiny"],
    "tasks": ["cf"],
    "encoders": ["random"],
    "recommenders": [{"name": "alpharec", "params": {"epochs": 2}}, "popularity"],
    "grid": {"lr": [1e-3, 1e-1]},
    "seeds": [0, 1],
    "latency_seconds": 0.02,
}


class Diary(Listener):
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.failures: dict[str, Failure | None] = {}

    @override
    def started(self, key: str) -> None:
        self.events.append(("started", key))

    @override
    def said(self, key: str, text: str) -> None:
        self.events.append((text, key))

    @override
    def ended(self, key: str, failure: Failure | None) -> None:
        self.events.append(("ended", key))
        self.failures[key] = failure

    def of(self, key: str) -> list[str]:
        return [event for event, who in self.events if who == key]


class Watched(Watcher):
    def __init__(self) -> None:
        self.labels: list[str] = []
        self.stages: list[str] = []

    @override
    def begin(self, labels: Any, finished: int) -> None:
        self.labels = [label for _, label in labels]

    @override
    def stage(self, key: str, text: str) -> None:
        self.stages.append(text)


@pytest.fixture(scope="module")
def ray_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes with a core each, connected; skips where Ray is absent, but not where CI has it."""
    if os.environ.get("CI") != "true":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    import ray
    from ray.cluster_utils import Cluster

    folder = tmp_path_factory.mktemp("lib")
    (folder / "on_ray_targets.py").write_text(TARGETS)
    patch = pytest.MonkeyPatch()
    patch.syspath_prepend(folder)
    patch.setenv("PYTHONPATH", str(folder))  # for the nodes, which are processes of this one
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    small = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
    head = {**small, "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**small)
    ray.init(address=cluster.address, log_to_driver=False, configure_logging=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    patch.undo()
    sys.modules.pop("on_ray_targets", None)


@pytest.fixture
def work(ray_cluster: Any, tmp_path: Path) -> Make:
    import on_ray_targets  # type: ignore[import-not-found]

    def make(key: str, target: str, after: str | None = None, need: Need | None = None) -> Work:
        function, log = getattr(on_ray_targets, target), tmp_path / "logs" / key
        return Work(key, function, str(tmp_path / key), log, after, need or Need())

    return make


def both(plan: dict[str, Any], folder: Path, **options: Any) -> tuple[tb.Results, tb.Results]:
    """A plan here and on the cluster."""
    here = tb.run(plan, out=folder / "here", workers=1, progress=False, **options)
    there = tb.run(plan, out=folder / "there", on="ray", progress=False, **options)
    return here, there


def assert_equal(here: tb.Results, there: tb.Results) -> None:
    """Everything but costs and moments, to the last bit."""
    for a, b in zip(here.records, there.records, strict=True):
        assert (a.spec_hash, a.status, b.status) == (b.spec_hash, "ok", "ok")
        assert (a.metrics, a.valid, a.counts) == (b.metrics, b.valid, b.counts)
        assert [(t.params, t.valid) for t in a.trials] == [(t.params, t.valid) for t in b.trials]
        assert a.fingerprints == b.fingerprints
        for name in ("per_user.parquet", "predictions.parquet"):
            tables = [
                pl.read_parquet(store.folder_of(results.folder.parent, record) / name)
                for results, record in ((here, a), (there, b))
            ]
            assert tables[0].equals(tables[1]), name


def test_numbers_are_those_of_one_machine(ray_cluster: Any, tiny: Dataset, tmp_path: Path) -> None:
    here, there = both(PLAN, tmp_path)
    assert_equal(here, there)
    for record in there.records:
        assert record.cost is not None and record.cost.isolated
        assert record.cost.latency is not None


def test_what_happens_is_told_and_what_is_lost_is_done_again(work: Make, tmp_path: Path) -> None:
    diary = Diary()
    works = [
        work("second", "write", after="lost"),
        work("lost", "lose_worker_once"),
        work("fails", "fail"),
        work("dies", "die"),
    ]
    with connect("ray") as cluster:
        cluster.run_all(works, 2, diary)
    again = "its worker was killed, perhaps for want of memory; again, 2 of 3"
    assert diary.of("lost") == ["started", again, "started", "ended"]
    assert diary.of("second") == ["started", "writing", "ended"]
    assert diary.events.index(("ended", "lost")) < diary.events.index(("started", "second"))
    assert diary.failures["lost"] is None and diary.failures["second"] is None
    failed = Failure(kind="DataError", what="nothing to read", fix="bring it")
    assert diary.failures["fails"] == failed
    assert diary.of("fails") == ["started", "ended"]  # its own failure is not tried again
    killed = diary.failures["dies"]
    assert killed is not None and killed.kind == "Killed"
    assert "SIGKILL" in killed.what and "tried 3 times" in killed.what
    assert (tmp_path / "dies").read_text() == "xxx"


class KillsOnce(Watched):
    """Kills Ray's worker when its run has trained for some epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.killed = 0

    @override
    def stage(self, key: str, text: str) -> None:
        super().stage(key, text)
        if not self.killed and text.startswith("epoch 5"):
            for process in psutil.Process().children(recursive=True):
                with contextlib.suppress(psutil.ZombieProcess):  # of a test before
                    if "ray::tastebench do_run" in " ".join(process.cmdline()):
                        process.kill()
                        self.killed += 1


def test_a_run_whose_worker_is_killed_goes_on_to_the_same_numbers(
    ray_cluster: Any, tiny: Dataset, tmp_path: Path
) -> None:
    params = {"epochs": 150, "patience": 150}
    plan = {
        **PLAN,
        "recommenders": [{"name": "alpharec", "params": params}],
        "grid": {},
        "seeds": [0],
        "latency_seconds": 0,
    }
    here = tb.run(plan, out=tmp_path / "here", workers=1, progress=False)
    watch = KillsOnce()
    todo = look(make_plan(plan), Options(out=tmp_path / "there", on="ray"), watcher=watch)
    carry_out(todo, watcher=watch)
    there = tb.api.results_of(todo)
    assert watch.killed == 1
    assert any("again, 2 of 3" in text for text in watch.stages)
    assert_equal(here, there)
    curves = [pl.read_parquet(next(r.folder.rglob("curves.parquet"))) for r in (here, there)]
    assert curves[0]["valid"].equals(curves[1]["valid"])


def test_shards_of_an_encoding_are_made_by_several(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = 2500
    items = pl.DataFrame(
        {"item_id": [f"i{i}" for i in range(n)], "title": [f"thing {i}" for i in range(n)]}
    )
    rng = np.random.default_rng(0)
    interactions = pl.DataFrame(
        {
            "user_id": [f"u{i // 8}" for i in range(320)],
            "item_id": [f"i{i}" for i in rng.integers(n, size=320)],
            "time": np.arange(320),
            "row": np.arange(320),
        }
    )
    many = Dataset.create(
        DatasetCard(name="many", title="Many"), Tables(items=items, interactions=interactions)
    )
    plan = {**PLAN, "datasets": ["many"], "recommenders": ["alpharec"], "seeds": [0]}
    plan |= {"grid": {"epochs": [1]}, "latency_seconds": 0}
    found, labels = [], []
    for place, on in (("here", None), ("there", "ray")):
        monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path / place))
        many.save(datasets_folder() / "many")
        watch = Watched()
        todo = look(make_plan(plan), Options(out=tmp_path / f"{place}-out", on=on), watcher=watch)
        carry_out(todo, watcher=watch)
        labels.append(watch.labels)
        files = sorted((tmp_path / place / "vectors").rglob("*.npy"))
        found.append([np.load(file) for file in files])
        (record,) = tb.api.results_of(todo).records
        assert record.status == "ok"
    assert labels[0][0] == "encode random"
    shares = ["encode random, part 1 of 2", "encode random, part 2 of 2"]
    assert labels[1][:3] == [*shares, "encode random"]
    assert found[0][0].shape[0] == n
    for ours, theirs in zip(*found, strict=True):
        assert np.array_equal(ours, theirs)


def test_what_no_node_can_do_is_refused_before_anything_starts(
    ray_cluster: Any, tiny: Dataset, tmp_path: Path
) -> None:
    plan = {**PLAN, "threads": 64}
    with pytest.raises(UsageError, match=r"needs 64 cores at once, and no node .* more than 1"):
        tb.run(plan, out=tmp_path / "out", on="ray", progress=False)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_cancelling_leaves_nothing_running(work: Make, tmp_path: Path) -> None:
    class Interrupts(Diary):
        @override
        def said(self, key: str, text: str) -> None:
            raise KeyboardInterrupt

    with connect("ray") as cluster, pytest.raises(KeyboardInterrupt):
        cluster.run_all([work("long", "sleep"), work("never", "write", "long")], 2, Interrupts())
    pid, end = int((tmp_path / "long").read_text()), time.monotonic() + 30
    while psutil.pid_exists(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not psutil.pid_exists(pid)
    assert not (tmp_path / "never").exists()
    diary = Diary()  # the cluster is as good as before
    with connect("ray") as cluster:
        cluster.run_all([work("after", "write")], None, diary)
    assert diary.failures == {"after": None}


@pytest.fixture
def larger(ray_cluster: Any) -> Iterator[Callable[[], Any]]:
    """Adds nodes of two cores, which the other tests do not have."""
    added: list[Any] = []

    def add() -> Any:
        added.append(ray_cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20))
        return added[-1]

    yield add
    for node in added:
        if node in ray_cluster.worker_nodes:
            ray_cluster.remove_node(node)


def test_what_is_lost_with_its_node_is_done_on_another_or_not_waited_for(
    ray_cluster: Any, larger: Callable[[], Any], work: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [larger()]

    class Loses(Diary):
        """Its node goes when the work is at its longest, and another takes its place at first."""

        @override
        def said(self, key: str, text: str) -> None:
            super().said(key, text)
            if text == "sleeping":
                if key == "lost":
                    nodes.append(larger())
                ray_cluster.remove_node(nodes.pop(0), allow_graceful=False)

    monkeypatch.setattr("tastebench.runs.on_ray.crew.QUIET_SECONDS", 1.0)
    diary, need = Loses(), Need(cores=2)
    with connect("ray") as cluster:
        cluster.run_all([work("lost", "sleep_once", need=need)], 1, diary)
        with pytest.raises(DataError, match="no node of the cluster is left that has 2 cores"):
            cluster.run_all([work("gone", "sleep", need=need)], 1, diary)
    # Ray notices first that the node is lost, or that its worker is.
    lost, gone = ([text.rpartition("; ")[2] for text in diary.of(key)] for key in ("lost", "gone"))
    assert lost == ["started", "sleeping", "again, 2 of 3", "started", "ended"]
    assert gone == ["started", "sleeping", "again, 2 of 3"]
    assert diary.failures == {"lost": None}


def test_keys_reach_the_workers_and_no_log(
    work: Make, ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    monkeypatch.setenv("OPENAI_API_KEY", "sk-planted-3141592653")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    with connect("ray") as cluster:
        assert "planted" not in repr(cluster.caller)
        works = [work("keys", "environment"), work("psutil", "imported")]
        cluster.run_all(works, 1, Diary())
    assert (tmp_path / "keys").read_text().split()[:2] == ["sk-planted-3141592653", "none"]
    assert (tmp_path / "keys").read_text().split()[2] != "7"  # devices are the node's own
    assert "ray" not in Path((tmp_path / "psutil").read_text()).parts  # not the copy Ray brings
    session = Path(ray._private.worker._global_node.get_session_dir_path())
    logs = [path for path in (session / "logs").rglob("*") if path.is_file()]
    assert logs
    assert not [path for path in logs if b"planted" in path.read_bytes()]


def test_an_address_beside_a_connection_is_refused(ray_cluster: Any) -> None:
    with pytest.raises(UsageError, match="connected to a Ray cluster already"), connect("ray:h:1"):
        pass


def test_a_record_that_does_not_appear_is_said(tmp_path: Path) -> None:
    from tastebench.runs.place import record_of

    with pytest.raises(DataError, match="its record is not here"):
        record_of(tmp_path / "record", wait=False)
