"""A board that follows its folder: what comes, what is half there, and how it ends."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tastebench.board import make_board
from tastebench.board.watch import View, state_of, view_of, views, watch
from tastebench.cli import main
from tastebench.runs.record import Record

Make = Callable[..., Record]
Write = Callable[..., Path]


class Steps:
    """What happens between two looks, one step after the other; then Ctrl-C."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self.steps = list(steps)

    def __call__(self, seconds: float = 0.0) -> None:
        if not self.steps:
            raise KeyboardInterrupt
        self.steps.pop(0)()


def nothing() -> None:
    """Nothing happens."""


@pytest.fixture
def put(tmp_path: Path, record: Make, write_run: Write) -> Callable[..., Path]:
    """Writes the record of an encoder below `results`."""
    root = tmp_path / "results"
    return lambda name, task="seqrec", **given: write_run(
        root, record(task, "unisrec", name, **given), {"ndcg@10": [0.1, 0.2]}
    )


def seen(root: Path, steps: Steps, **options: object) -> list[View]:
    """All views until Ctrl-C."""
    found: list[View] = []
    make = lambda loaded: make_board(loaded, **options)  # type: ignore[arg-type]  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        for view in views(root, make, steps):
            found.append(view)
    return found


def names(view: View) -> list[str]:
    return [] if view.board is None else sorted(row.name for row in view.board.rows)


def test_records_are_shown_as_they_come(tmp_path: Path, put: Callable[..., Path]) -> None:
    root = tmp_path / "results"
    found = seen(root, Steps(nothing, lambda: put("a"), nothing, lambda: put("b"), nothing))
    assert [view.message for view in found] == [f"waiting for the first record in {root}", "", ""]
    assert [names(view) for view in found] == [[], ["a"], ["a", "b"]]


def test_a_record_done_again_is_read_again(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a")
    new = {"created": "2026-02-02T00:00:00+00:00", "kind": "control"}
    found = seen(tmp_path / "results", Steps(lambda: put("a", **new)))
    kinds = [view.board.rows[0].kind for view in found if view.board is not None]
    assert kinds == ["model", "control"]


def test_half_a_record_hides_no_other(tmp_path: Path, put: Callable[..., Path]) -> None:
    root = tmp_path / "results"
    half = root / "demo" / "half" / "record.json"

    def write() -> None:
        half.parent.mkdir(parents=True)
        half.write_text('{"schema_ver')

    found = seen(root, Steps(write, lambda: put("a"), half.unlink))
    assert [view.message for view in found] == [
        f"waiting for the first record in {root}",
        "1 record cannot be read",
        "",
        "",
    ]
    assert found[2].board is not None and "1 record cannot be read" in found[2].board.notes
    assert found[3].board is not None and "1 record cannot be read" not in found[3].board.notes


def test_what_cannot_be_shown_yet_leaves_the_last_board(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    root = tmp_path / "results"
    put("a")
    found = seen(
        root, Steps(lambda: put("b", suite="other"), lambda: shutil.rmtree(root / "other"))
    )
    assert "records of 2 plans lie here" in found[1].message
    assert [names(view) for view in found] == [["a"], ["a"], ["a"]]
    # A task that nothing is there of yet may come.
    found = seen(root, Steps(lambda: put("a", task="cf")), task="cf")
    assert "no record is of a task 'cf'" in found[0].message and found[0].board is None
    assert names(found[1]) == ["a"]


def test_runs_under_way_are_not_looked_into(tmp_path: Path, put: Callable[..., Path]) -> None:
    folder = put("a")
    shutil.copytree(folder, tmp_path / "results" / ".work" / "b")
    assert [path for path, _, _ in state_of(tmp_path / "results")] == [str(folder / "record.json")]
    assert view_of(tmp_path, (), make_board).message.startswith("waiting for the first record")


def test_without_a_terminal_it_is_printed_when_it_changed(
    tmp_path: Path, put: Callable[..., Path]
) -> None:
    out, said = StringIO(), []
    steps = Steps(nothing, lambda: put("a"), nothing, nothing, lambda: put("b"))
    watch(tmp_path / "results", make_board, Console(file=out, width=100), 1.0, steps, said.append)
    assert said == [f"waiting for the first record in {tmp_path / 'results'}"]
    text = out.getvalue()
    assert text.count("demo, by encoder") == 2 and text.isascii()
    assert text.index(" a ") < text.index(" b ")


def test_on_a_terminal_the_last_board_stays(tmp_path: Path, put: Callable[..., Path]) -> None:
    out = StringIO()
    console = Console(file=out, width=100, height=30, force_terminal=True, color_system=None)
    watch(tmp_path / "results", make_board, console, 1.5, Steps(lambda: put("a")))
    begun, _, left = out.getvalue().rpartition("\x1b[?1049l")
    assert "waiting for the first record in" in begun
    assert "1 record, " in begun and "looked for every 1.5 s; Ctrl-C ends" in begun
    assert "demo, by encoder" in begun and "demo, by encoder" in left
    assert "Ctrl-C" not in left


def test_another_size_of_the_terminal_draws_anew(tmp_path: Path, put: Callable[..., Path]) -> None:
    put("a")
    out = StringIO()
    console = Console(file=out, width=100, height=30, force_terminal=True, color_system=None)

    def narrower() -> None:
        console.width = 60

    watch(tmp_path / "results", make_board, console, 1.5, Steps(nothing, narrower, nothing))
    assert out.getvalue().count("1 record, ") == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--watch", "--json"], "--watch shows the board itself"),
        (["--watch", "--svg", "x.svg"], "--watch shows the board itself"),
        (["--every", "1"], "--every is of --watch"),
        (["--watch", "--metric", "ndgc@10"], "did you mean ndcg?"),
        (["--watch", "--row-by", "encodr"], "did you mean encoder?"),
        (["--watch", "--published", "blairr"], "did you mean blair"),
        (["--watch", "--compare", "lr"], "--compare shows a table of its own"),
    ],
)
def test_what_can_never_be_meant_is_refused_at_once(
    tree: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["board", str(tree), *options]) == 2
    out, err = capsys.readouterr()
    assert message in err and out == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_ends_it_without_an_error(terminal: bool, tree: Path) -> None:
    """A process of its own, as a person starts and ends it."""
    command = [sys.executable, "-m", "tastebench.cli", "board", str(tree), "--watch"]
    reader, writer = pty.openpty() if terminal else os.pipe()
    environment = {**os.environ, "TERM": "xterm", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=writer, stdout=writer, stderr=subprocess.PIPE, env=environment
    ) as process:
        os.close(writer)
        seen_so_far = b""
        while b"minilm" not in seen_so_far:
            seen_so_far += os.read(reader, 65536)
        process.send_signal(signal.SIGINT)
        rest = b""
        try:
            while more := os.read(reader, 65536):
                rest += more
        except OSError:  # a terminal that nobody has open any more
            pass
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 0
    os.close(reader)
    assert b"demo, by encoder" in (rest if terminal else seen_so_far)
    assert b"Traceback" not in rest
