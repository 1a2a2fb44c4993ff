from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from tastebench.runs import processes
from tastebench.runs.processes import Listener, Work, run_all
from tastebench.runs.record import Failure

TARGETS = '''
import os
import signal
import threading
import time
from pathlib import Path

from tastebench import files
from tastebench.errors import DataError


def write(path, around):
    around.tell("writing")
    Path(path).write_text(str(os.getpid()))


def write_home(path, around):
    Path(path).write_text(str(files.home()))


def write_key(path, around):
    Path(path).write_text(os.environ.get("SOME_API_KEY", "none"))


def die(path, around):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(path, around):
    raise DataError("nothing to read", fix="bring it")


def leave(path, around):
    os._exit(5)


def die_parked(path, around):
    """Is killed while it waits to be alone."""
    Path(path).write_text(str(os.getpid()))
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGKILL)).start()
    around.alone()


def wait_for(path, around):
    """Works until the parked one beside it is gone."""
    while not Path(path).exists():
        time.sleep(0.01)
    while Path("/proc", Path(path).read_text(), "stat").exists():
        stat = Path("/proc", Path(path).read_text(), "stat").read_text()
        if stat.rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.01)


def alone(folder, around):
    """Nobody else of these may be between `enter` and `leave`."""
    around.alone()
    (Path(folder) / f"in-{os.getpid()}").touch()
    inside = {path.name for _ in range(50) for path in Path(folder).glob("in-*")}
    (Path(folder) / f"in-{os.getpid()}").unlink()
    (Path(folder) / f"seen-{os.getpid()}").write_text(" ".join(inside))
'''


Make = Callable[..., Work]


class Diary(Listener):
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []
        self.failures: dict[str, Failure | None] = {}

    def started(self, key: str) -> None:
        self.events.append(("started", key))

    def said(self, key: str, text: str) -> None:
        self.events.append((text, key))

    def ended(self, key: str, failure: Failure | None) -> None:
        self.events.append(("ended", key))
        self.failures[key] = failure


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    """Makes work out of the functions above, which a process can import."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "process_targets.py").write_text(TARGETS)
    monkeypatch.syspath_prepend(tmp_path / "lib")
    import process_targets

    def make(key: str, target: str, argument: object = None, after: str | None = None) -> Work:
        log = tmp_path / "logs" / key
        return Work(key, getattr(process_targets, target), str(argument), log, after)

    yield make
    sys.modules.pop("process_targets")


def test_work_happens_in_another_process_and_is_told_about(work: Make, tmp_path: Path) -> None:
    diary = Diary()
    run_all([work("a", "write", tmp_path / "pid")], 1, diary)
    assert diary.events == [("started", "a"), ("writing", "a"), ("ended", "a")]
    assert diary.failures == {"a": None}
    assert int((tmp_path / "pid").read_text()) != os.getpid()


def test_a_kill_takes_one_and_the_others_go_on(work: Make, tmp_path: Path) -> None:
    diary = Diary()
    works = [
        work("killed", "die"),
        work("broken", "leave"),
        work("failed", "fail"),
        work("fine", "write", tmp_path / "pid", after="killed"),
    ]
    run_all(works, 2, diary)
    failures = diary.failures
    assert failures["fine"] is None
    assert "SIGKILL" in failures["killed"].what
    assert "exit code 5" in failures["broken"].what
    assert failures["failed"] == Failure(kind="DataError", what="nothing to read", fix="bring it")
    assert diary.events.index(("ended", "killed")) < diary.events.index(("started", "fine"))


@pytest.mark.parametrize("workers", [1, 3])
def test_what_must_be_alone_is_alone(work: Make, tmp_path: Path, workers: int) -> None:
    run_all([work(f"w{i}", "alone", tmp_path) for i in range(7)], workers, Diary())
    seen = [path.read_text().split() for path in tmp_path.glob("seen-*")]
    assert len(seen) == 7
    assert all(len(inside) == 1 for inside in seen)


def test_who_is_killed_while_it_is_parked_holds_nobody_up(work: Make, tmp_path: Path) -> None:
    diary = Diary()
    works = [
        work("parked", "die_parked", tmp_path / "pid"),
        work("beside", "wait_for", tmp_path / "pid"),
        work("next", "write", tmp_path / "next"),
    ]
    run_all(works, 2, diary)
    killed = diary.failures["parked"]
    assert killed is not None and "SIGKILL" in killed.what
    assert diary.failures["beside"] is None and diary.failures["next"] is None


def test_a_script_without_a_main_guard_does_not_start_itself_again(tmp_path: Path) -> None:
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(tmp_path)!r})
            import targets
            from tastebench.runs.processes import Listener, Work, run_all
            from pathlib import Path
            print("once")
            folder = Path({str(tmp_path)!r})
            run_all([Work("a", targets.write, folder / "pid", folder / "log")], 1, Listener())
            """
        )
    )
    (tmp_path / "targets.py").write_text(TARGETS)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout == "once\n"
    assert (tmp_path / "pid").exists()


def test_a_process_keeps_things_where_its_starter_does(
    work: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in ("one", "other"):
        monkeypatch.setenv("TASTEBENCH_HOME", str(tmp_path / place))
        run_all([work(place, "write_home", tmp_path / "home")], 1, Diary())
        assert (tmp_path / "home").read_text() == str(tmp_path / place)


def test_a_process_sees_what_its_starter_put_into_the_environment_since(
    work: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for value in ("first", "second"):
        monkeypatch.setenv("SOME_API_KEY", value)
        run_all([work(value, "write_key", tmp_path / "key")], 1, Diary())
        assert (tmp_path / "key").read_text() == value
    monkeypatch.delenv("SOME_API_KEY")
    run_all([work("none", "write_key", tmp_path / "key")], 1, Diary())
    assert (tmp_path / "key").read_text() == "none"


def test_what_is_started_never_hears_of_ctrl_c() -> None:
    def blocked() -> bool:
        return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])

    with processes._no_interrupts():
        assert blocked()
        resource_tracker.ensure_running()
        assert blocked()
    assert not blocked()
