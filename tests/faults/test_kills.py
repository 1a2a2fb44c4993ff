"""`kill -9` at every moment of every stage, then the same command again.

What comes out is equal to the bit, nothing is begun twice but the unit in which the process died,
and what is left behind is nothing but `.tmp-*` files that no reader looks at.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, NamedTuple

import pytest

from tastebench.data.card import DatasetCard, RawFile
from tastebench.data.dataset import Dataset
from tastebench.data.transfer import CHUNK

Child = Callable[..., int]

KILLED = -9


class Case(NamedTuple):
    """A moment: the number of an event, and whether half of a file was written by then."""

    at: int
    half: bool


def moments(events: list[str]) -> Iterator[Case]:
    """Where to die: at every event, of runs of like ones at some.

    A file is flushed, then renamed. Dying before a flush leaves what dying before the rename
    leaves, so at flushes half of the file is lost; and where file after file is written, one is
    died in at its flush, the next at its rename. Of files that are deleted one after another it is
    the first and the last.
    """
    pairs = 0
    for at, event in enumerate(events):
        kind, after = event.split()[0], events[at + 1].split()[0] if at + 1 < len(events) else ""
        before = events[at - 1].split()[0] if at else ""
        if kind == "flush":
            pairs += 1
            if pairs % 2:
                yield Case(at, half=True)
        elif kind == "replace" and before == "flush":
            if pairs % 2 == 0:
                yield Case(at, half=False)
        elif kind not in ("unlink", "rmdir") or not before == kind == after:
            yield Case(at, half=False)


@dataclass(frozen=True)
class Went:
    """How a stage went to its end.

    Attributes:
        outcome: What has to be the same.
        events: The moments there were, in order.
        units: Work begun, by kind, in all processes together.
        left: Files below the root, each with how often.
    """

    outcome: Any
    events: list[str]
    units: Counter[str]
    left: Counter[str]


def went(root: Path) -> Went:
    told = json.loads(root.with_name(f"{root.name}.json").read_text())
    units: Counter[str] = Counter()
    path = root.with_name(f"{root.name}.units")
    for line in path.read_text().splitlines() if path.exists() else ():
        kind, amount = json.loads(line)
        units[kind] += amount
    return Went(told["outcome"], told["events"], units, left_in(root))


def left_in(root: Path) -> Counter[str]:
    return Counter(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def is_of_no_reader(path: str) -> bool:
    """Half-made files, and the empty ones that locks are taken on."""
    parts = path.split("/")
    half_made = any(part.startswith(".tmp-") for part in parts)
    return half_made or parts[-1].endswith(".lock")


def check(whole: Went, again: Went, event: str) -> None:
    """A stage that died at `event` and was begun again, against one that did not."""
    assert again.outcome == whole.outcome, event
    for kind, amount in again.units.items():
        assert amount <= whole.units[kind] + UNIT[kind], (event, kind, again.units)
    more = again.left - whole.left
    assert not [path for path in more if not is_of_no_reader(path)], (event, more)
    assert not whole.left - again.left, event


UNIT = {"epochs": 2, "texts": 16, "chunks": 1}
"""What a kill may cost: of an RQ-VAE the epochs between two checks, else one; a shard; a chunk."""


@dataclass(frozen=True)
class Study:
    """A stage, prepared once, carried out undisturbed once."""

    stage: str
    folder: Path
    child: Child
    more: dict[str, Any]

    def begin(self, name: str) -> Path:
        root = self.folder / name
        prepared = self.folder / "prepared"
        if not prepared.exists():
            assert self.child(do="prepare", stage=self.stage, root=prepared) == 0
        shutil.copytree(prepared, root)
        return root

    def carry_out(self, root: Path, **moment: Any) -> int:
        order = {"do": "carry out", "stage": self.stage, "root": root, **self.more}
        return self.child(**order, **moment)

    def kill_at(self, moment: Case, event: str, between: Callable[[Path], None]) -> Went:
        root = self.begin(f"{moment.at}-{moment.half}")
        died = self.carry_out(root, at=moment.at, half=moment.half)
        assert died == KILLED, event
        between(root)
        assert self.carry_out(root) == 0, event
        return went(root)


def everywhere(
    study: Study, between: Callable[[Path], None] = lambda root: None, every: int = 1
) -> Went:
    """Kills a stage at its moments, each in a folder of its own; how it goes undisturbed.

    Args:
        study: The stage.
        between: Looks at what the killed process left.
        every: Take one in so many of the moments at which files are written or work is under way;
            those at which something is renamed into place or deleted are all taken.
    """
    root = study.begin("whole")
    assert study.carry_out(root) == 0
    whole = went(root)
    for place, moment in enumerate(moments(whole.events)):
        event = f"{moment.at}: {whole.events[moment.at]}"
        if place % every and event.split()[1] in ("flush", "replace", "in"):
            continue
        check(whole, study.kill_at(moment, event, between), event)
    return whole


@pytest.mark.parametrize(
    ("stage", "begun", "every"),
    [
        ("preparation", {}, 1),
        ("encoding", {"texts": 40}, 1),
        ("codes", {"epochs": 5}, 2),
        ("language model", {"epochs": 3}, 2),
        ("study", {"texts": 40, "epochs": 6}, 6),
        ("report", {}, 1),
    ],
)
def test_a_stage_that_was_killed_goes_on(
    stage: str, begun: dict[str, int], every: int, child: Child, tmp_path: Path
) -> None:
    whole = everywhere(Study(stage, tmp_path, child, {}), every=every)
    assert whole.units == begun
    assert whole.events[-1] == "end"
    assert sum(event.startswith("flush") for event in whole.events) >= 1


def test_a_dataset_that_is_replaced_is_there_at_every_moment(child: Child, tmp_path: Path) -> None:
    older = 20

    def old_or_new(root: Path) -> None:
        dataset = Dataset.load(root / "home" / "datasets" / "mine", verify=True)
        seen.add(dataset.n_items)

    seen: set[int] = set()
    everywhere(Study("import", tmp_path, child, {}), old_or_new)
    assert seen == {older, 40}


# -------------------------------------------------------------------------------------- downloads


class Server:
    """Serves files with ranges, and perhaps with tags."""

    def __init__(self, content: dict[str, bytes], *, tags: bool) -> None:
        self.content, self.tags = content, tags

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        content = self.content[request.path]
        asked = request.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if asked and start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if asked else 200)
        request.send_header("Content-Length", str(len(content) - start))
        if self.tags:
            request.send_header("ETag", '"one"')
        request.end_headers()
        with suppress(OSError):  # whoever asked may have been killed
            for at in range(start, len(content), CHUNK):
                request.wfile.write(content[at : at + CHUNK])


@pytest.fixture
def serve() -> Iterator[Callable[[Server], str]]:
    with ExitStack() as stack:

        def begin(server: Server) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    server.answer(self)

                def log_message(self, format: str, *args: object) -> None:
                    """Quiet."""

            listening = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(listening.shutdown)
            return f"http://127.0.0.1:{listening.server_address[1]}"

        yield begin


@pytest.mark.parametrize(("hashes", "tags"), [(True, False), (False, True)], ids=["hash", "tag"])
def test_a_download_that_was_killed_goes_on(
    hashes: bool,
    tags: bool,
    child: Child,
    tmp_path: Path,
    serve: Callable[[Server], str],
) -> None:
    data, about = bytes(range(256)) * 256, b"242|Kolya (1996)\n" * 2000
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("shop/u.data", data)
        opened.writestr("shop/u.item", about)
    content = {"/shop.zip": archive.getvalue(), "/more.gz": about[::-1]}
    server = Server(content, tags=tags)
    address = serve(server)

    def file(path: str, name: str, *, unpack: bool) -> RawFile:
        known = hashlib.sha256(content[name]).hexdigest() if hashes else None
        return RawFile(path=path, url=f"{address}{name}", sha256=known, unpack=unpack)

    files = (
        file("u.data", "/shop.zip", unpack=True),
        file("u.item", "/shop.zip", unpack=True),
        file("more/more.gz", "/more.gz", unpack=False),
    )
    card = DatasetCard(name="shop", title="Shop", source="https://example.org", files=files)
    whole = everywhere(Study("download", tmp_path, child, {"card": card.model_dump(mode="json")}))
    chunks = sum(-(-len(one) // CHUNK) for one in content.values())
    assert whole.units == {"chunks": chunks}
    assert whole.outcome["how"] == f"downloaded from {address.removeprefix('http://')}"
    assert len(whole.outcome["notes"]) == (0 if hashes else 2)
    folder = tmp_path / "whole" / "raw"
    assert (folder / "u.data").read_bytes() == data
    assert sorted(path.name for path in folder.iterdir()) == [
        "downloads.json", "more", "u.data", "u.item"
    ]  # fmt: skip
