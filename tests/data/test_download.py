"""Downloads against a local server that serves real archives, ranges, and every kind of trouble."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tastebench.data.card import DatasetCard, RawFile
from tastebench.data.download import fetch
from tastebench.data.transfer import CHUNK
from tastebench.data.unpack import unpack
from tastebench.errors import DataError
from tastebench.files import read_json

RATINGS = b"196\t242\t3\t881250949\n" * 40_000  # 800 kB: several chunks
MOVIES = b"242|Kolya (1996)|24-Jan-1997\n"


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


ARCHIVE = zipped({"ml-100k/u.data": RATINGS, "ml-100k/u.item": MOVIES, "ml-100k/README": b"hi"})


class Shop:
    """What the server serves, how it misbehaves, and what it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.content: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.break_after: list[int] = []  # bytes sent before the connection breaks, per request
        self.ranges = True
        self.tags = True

    def url(self, name: str, content: bytes) -> str:
        self.content[f"/{name}"] = content
        return f"{self.address}/{name}"

    @property
    def asked_from(self) -> list[str | None]:
        return [asked for _, asked in self.requests]


@pytest.fixture
def shop() -> Iterator[Shop]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            shop.requests.append((self.path, asked))
            content = shop.content.get(self.path)
            if content is None:
                self.send_error(404)
                return
            tag = f'"{sha256(content)[:8]}"'
            start = int(asked.split("=")[1].rstrip("-")) if asked and shop.ranges else 0
            if start and self.headers.get("If-Range", tag) != tag:
                start = 0
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            if start:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            if shop.tags:
                self.send_header("ETag", tag)
            self.end_headers()
            if shop.break_after:
                body = body[: shop.break_after.pop(0)]
                self.close_connection = True
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    shop = Shop(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield shop
    server.shutdown()
    thread.join()
    server.server_close()


def card_of(*files: RawFile) -> DatasetCard:
    return DatasetCard(
        name="movies", title="Movies", source="https://example.org/movies", files=files
    )


def archive_card(url: str, digest: str | None = None, mirrors: tuple[str, ...] = ()) -> DatasetCard:
    return card_of(
        *(
            RawFile(path=name, url=url, mirrors=mirrors, sha256=digest, unpack=True)
            for name in ("u.data", "u.item")
        )
    )


def test_an_archive_is_verified_unpacked_and_named(shop: Shop, tmp_path: Path) -> None:
    lines: list[str] = []
    url = shop.url("ml-100k.zip", ARCHIVE)
    raw = fetch(archive_card(url, sha256(ARCHIVE)), folder=tmp_path / "raw", progress=lines.append)
    assert (raw.path / "u.data").read_bytes() == RATINGS
    assert raw.files == {"u.data": sha256(RATINGS), "u.item": sha256(MOVIES)}
    assert raw.how == f"downloaded from {shop.address.removeprefix('http://')}"
    assert raw.notes == ()
    assert lines[0] == f"movies: downloading {url} (size not known)"
    assert lines[-1] == "movies: unpacking ml-100k.zip"
    # One request for two files, and nothing left over but what was wanted.
    assert shop.requests == [("/ml-100k.zip", None)]
    assert sorted(path.name for path in raw.path.iterdir()) == [
        "downloads.json",
        "u.data",
        "u.item",
    ]
    assert read_json(raw.path / "downloads.json") == {
        url: {"url": url, "sha256": sha256(ARCHIVE), "bytes": len(ARCHIVE), "verified": True}
    }


def test_what_is_there_is_not_fetched_again(shop: Shop, tmp_path: Path) -> None:
    card = archive_card(shop.url("ml-100k.zip", ARCHIVE), sha256(ARCHIVE))
    first = fetch(card, folder=tmp_path)
    again = fetch(card, folder=tmp_path)
    assert len(shop.requests) == 1
    assert (again.files, again.how) == (first.files, first.how)


def test_the_usual_place_is_under_the_home_folder(shop: Shop, home: Path) -> None:
    raw = fetch(archive_card(shop.url("ml-100k.zip", ARCHIVE)))
    assert raw.path == home / "raw" / "movies"


def test_without_a_published_hash_that_is_said(shop: Shop, tmp_path: Path) -> None:
    raw = fetch(archive_card(shop.url("ml-100k.zip", ARCHIVE)), folder=tmp_path)
    assert raw.notes == (
        f"ml-100k.zip was not verified: no SHA-256 is published for it; it has {sha256(ARCHIVE)}",
    )


def test_a_plain_file_keeps_its_path(shop: Shop, tmp_path: Path) -> None:
    url = shop.url("meta.json.gz", MOVIES)
    file = RawFile(path="raw/meta.json.gz", url=url, sha256=sha256(MOVIES))
    raw = fetch(card_of(file), folder=tmp_path)
    assert raw.files == {"raw/meta.json.gz": sha256(MOVIES)}


def test_a_broken_connection_is_resumed_from_the_byte_it_broke_at(
    shop: Shop, tmp_path: Path
) -> None:
    shop.break_after = [20 * CHUNK, 10 * CHUNK]
    url = shop.url("ml-100k.zip", ARCHIVE)
    raw = fetch(archive_card(url, sha256(ARCHIVE)), folder=tmp_path)
    assert (raw.path / "u.data").read_bytes() == RATINGS
    assert shop.asked_from == [None, f"bytes={20 * CHUNK}-", f"bytes={30 * CHUNK}-"]


def test_a_later_call_goes_on_with_what_arrived(shop: Shop, tmp_path: Path) -> None:
    url = shop.url("ml-100k.zip", ARCHIVE)
    shop.break_after = [20 * CHUNK, 0]
    with pytest.raises(DataError, match=r"ml-100k\.zip could not be downloaded: .* the connection"):
        fetch(archive_card(url, sha256(ARCHIVE)), folder=tmp_path)
    assert (tmp_path / ".part-ml-100k.zip").read_bytes() == ARCHIVE[: 20 * CHUNK]
    assert not (tmp_path / "u.data").exists()
    fetch(archive_card(url, sha256(ARCHIVE)), folder=tmp_path)
    assert shop.asked_from == [None, f"bytes={20 * CHUNK}-", f"bytes={20 * CHUNK}-"]
    assert (tmp_path / "u.data").read_bytes() == RATINGS


def test_a_file_that_changed_on_the_server_is_begun_anew(shop: Shop, tmp_path: Path) -> None:
    url = shop.url("ml-100k.zip", ARCHIVE)
    shop.break_after = [20 * CHUNK, 0]
    with pytest.raises(DataError):
        fetch(archive_card(url), folder=tmp_path)
    newer = zipped({"u.data": RATINGS[:20], "u.item": MOVIES, "more": RATINGS})
    shop.url("ml-100k.zip", newer)
    fetch(archive_card(url), folder=tmp_path)
    assert (tmp_path / "u.data").read_bytes() == RATINGS[:20]


def test_without_tag_and_hash_nothing_is_resumed(shop: Shop, tmp_path: Path) -> None:
    # Two halves of different files would join unnoticed.
    shop.tags = False
    shop.break_after = [20 * CHUNK]
    fetch(archive_card(shop.url("ml-100k.zip", ARCHIVE)), folder=tmp_path)
    assert shop.asked_from == [None, None]
    assert (tmp_path / "u.data").read_bytes() == RATINGS


def test_a_server_without_ranges_sends_the_file_from_the_start(shop: Shop, tmp_path: Path) -> None:
    shop.ranges = False
    shop.break_after = [20 * CHUNK]
    fetch(archive_card(shop.url("ml-100k.zip", ARCHIVE), sha256(ARCHIVE)), folder=tmp_path)
    assert shop.asked_from == [None, f"bytes={20 * CHUNK}-"]
    assert (tmp_path / "u.data").read_bytes() == RATINGS


def test_a_part_longer_than_the_file_is_dropped(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / ".part-ml-100k.zip").write_bytes(ARCHIVE + b"more")
    fetch(archive_card(shop.url("ml-100k.zip", ARCHIVE), sha256(ARCHIVE)), folder=tmp_path)
    assert (tmp_path / "u.data").read_bytes() == RATINGS


def test_a_wrong_hash_is_an_error_and_the_file_is_gone(shop: Shop, tmp_path: Path) -> None:
    url = shop.url("ml-100k.zip", ARCHIVE)
    wrong = "0" * 64
    with pytest.raises(DataError, match=f"another SHA-256 than {wrong}; it was removed"):
        fetch(archive_card(url, wrong), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_mirror_serves_when_the_official_address_does_not(shop: Shop, tmp_path: Path) -> None:
    mirror = shop.url("mirror.zip", ARCHIVE)
    lost = f"{shop.address}/lost.zip"
    raw = fetch(archive_card(lost, sha256(ARCHIVE), (mirror,)), folder=tmp_path)
    assert (raw.path / "u.data").read_bytes() == RATINGS
    assert read_json(tmp_path / "downloads.json")[lost]["url"] == mirror


def test_all_addresses_and_their_answers_are_in_the_error(shop: Shop, tmp_path: Path) -> None:
    lost, gone = f"{shop.address}/lost.zip", "http://127.0.0.1:1/gone.zip"
    with pytest.raises(DataError) as caught:
        fetch(archive_card(lost, None, (gone,)), folder=tmp_path)
    assert f"{lost}: the server answered 404 Not Found" in caught.value.what
    assert f"{gone}: no connection" in caught.value.what
    assert "--raw" in (caught.value.fix or "")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt", "C:\\out.txt"])
def test_a_climbing_zip_is_refused_whole(name: str, shop: Shop, tmp_path: Path) -> None:
    evil = zipped({"u.data": RATINGS, "u.item": MOVIES, name: b"gotcha"})
    with pytest.raises(DataError, match=re.escape("is a link or leads outside")):
        fetch(archive_card(shop.url("evil.zip", evil)), folder=tmp_path / "raw")
    assert not list(tmp_path.rglob("out.txt"))
    assert list((tmp_path / "raw").glob("*.*")) == []


def test_a_zip_with_a_link_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("u.data")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DataError, match="is a link"):
        unpack(path, ["u.data"], tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_a_tar_with_a_link_or_device_is_refused(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "evil.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("u.data")
        entry.type, entry.linkname = kind, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(DataError, match="is a link"):
        unpack(path, ["u.data"], tmp_path / "out")


def test_a_tar_is_unpacked_too(tmp_path: Path) -> None:
    path = tmp_path / "ml.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        entry = tarfile.TarInfo("ml/u.data")
        entry.size = len(MOVIES)
        archive.addfile(entry, io.BytesIO(MOVIES))
    unpack(path, ["u.data"], tmp_path / "out")
    assert (tmp_path / "out" / "u.data").read_bytes() == MOVIES


@pytest.mark.parametrize(
    ("entries", "path", "expected"),
    [
        (["train/news.tsv", "dev/news.tsv"], "dev/news.tsv", "dev/news.tsv"),
        (["news.tsv"], "MIND_train/news.tsv", "news.tsv"),
        (["x/dev/news.tsv", "x/train/news.tsv"], "train/news.tsv", "x/train/news.tsv"),
    ],
)
def test_entries_are_told_by_the_end_of_their_path(
    entries: list[str], path: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped({name: name.encode() for name in entries}))
    unpack(tmp_path / "a.zip", [path], tmp_path)
    assert (tmp_path / path).read_text() == expected


@pytest.mark.parametrize(
    "entries", [{"x/news.tsv": b"", "y/news.tsv": b""}, {"other.tsv": b""}], ids=["two", "none"]
)
def test_an_archive_without_the_one_file_says_what_it_has(
    entries: dict[str, bytes], tmp_path: Path
) -> None:
    (tmp_path / "a.zip").write_bytes(zipped(entries))
    with pytest.raises(DataError, match=f"has no file z/news.tsv .it has {sorted(entries)[0]}"):
        unpack(tmp_path / "a.zip", ["z/news.tsv"], tmp_path)


def test_a_damaged_archive_leaves_nothing_behind(shop: Shop, tmp_path: Path) -> None:
    content = zipped({"u.item": MOVIES, "u.data": RATINGS}, zipfile.ZIP_DEFLATED)
    position = content.index(b"u.data") + 200
    broken = content[:position] + b"\x00\x00\x00" + content[position + 3 :]
    card = archive_card(shop.url("ml-100k.zip", broken))
    with pytest.raises(DataError, match="damaged or cut off"):
        fetch(card, folder=tmp_path)
    assert not (tmp_path / "u.data").exists()
    # The next call asks again instead of finding the damaged archive.
    shop.url("ml-100k.zip", ARCHIVE)
    assert (fetch(card, folder=tmp_path).path / "u.data").read_bytes() == RATINGS


def test_an_error_page_is_no_archive(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="damaged or cut off"):
        fetch(archive_card(shop.url("ml-100k.zip", b"<html>moved</html>")), folder=tmp_path)


def test_an_archive_larger_than_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.zip").write_bytes(ARCHIVE)
    full = type("Usage", (), {"free": 10})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(DataError, match=r"needs 0.0 GB and 0.0 GB are free"):
        unpack(tmp_path / "a.zip", ["u.data"], tmp_path / "out")
    assert not (tmp_path / "out" / "u.data").exists()


def test_a_full_disk_is_said_before_the_download(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("Usage", (), {"free": 10})()
    monkeypatch.setattr("shutil.disk_usage", lambda path: full)
    with pytest.raises(DataError, match="the disk is full"):
        fetch(archive_card(shop.url("ml-100k.zip", ARCHIVE)), folder=tmp_path)


# A folder of the user's


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(MOVIES)
    return folder


def test_a_given_folder_is_read_and_said(tmp_path: Path) -> None:
    raw = fetch(archive_card("http://127.0.0.1:1/a.zip"), raw=put(tmp_path, "u.data", "u.item"))
    assert raw.how == f"read from {tmp_path}"
    assert raw.files == {"u.data": sha256(MOVIES), "u.item": sha256(MOVIES)}


@pytest.mark.parametrize("inner", ["movies", "ml-100k"])
def test_the_folder_around_the_release_will_do(inner: str, tmp_path: Path) -> None:
    put(tmp_path, f"{inner}/u.data", f"{inner}/u.item", "other/notes.txt")
    raw = fetch(archive_card("http://127.0.0.1:1/a.zip"), raw=tmp_path)
    assert raw.path == tmp_path / inner


def test_other_names_are_known(tmp_path: Path) -> None:
    card = card_of(RawFile(path="a.json.gz", also=("a.json",)))
    assert fetch(card, raw=put(tmp_path, "a.json")).files == {"a.json": sha256(MOVIES)}


def test_what_is_not_required_may_be_missing(tmp_path: Path) -> None:
    card = card_of(RawFile(path="a"), RawFile(path="b", required=False))
    assert list(fetch(card, raw=put(tmp_path, "a")).files) == ["a"]


def test_all_missing_files_are_in_one_error(tmp_path: Path) -> None:
    card = card_of(
        RawFile(path="here"),
        RawFile(path="u.data", url="https://x.org/ml.zip", bytes=4_924_029, unpack=True),
        RawFile(path="meta.gz", also=("meta",), url="https://x.org/meta.gz"),
        RawFile(path="titles.json"),
        RawFile(path="extra", required=False),
    )
    with pytest.raises(DataError) as caught:
        fetch(card, raw=put(tmp_path, "here"))
    assert caught.value.what.splitlines() == [
        "movies needs 3 files that are not there:",
        "  u.data (in ml.zip from https://x.org/ml.zip, 4.9 MB)",
        "  meta.gz or meta (from https://x.org/meta.gz, size not known)",
        "  titles.json (to be had from https://example.org/movies)",
    ]
    assert caught.value.where == str(tmp_path)
    assert caught.value.fix == (
        "see https://example.org/movies, put the files there and pass the folder with --raw"
    )


def test_a_single_missing_file_can_be_downloaded_instead(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs 1 file that is not there") as caught:
        fetch(archive_card("https://x.org/a.zip"), raw=put(tmp_path, "u.data"))
    assert caught.value.fix == "put it there, or leave --raw away to download"


def test_what_has_no_address_is_missed_before_anything_is_downloaded(
    shop: Shop, tmp_path: Path
) -> None:
    card = card_of(
        RawFile(path="u.data", url=shop.url("u.data", RATINGS)), RawFile(path="titles.json")
    )
    with pytest.raises(DataError, match=r"titles\.json"):
        fetch(card, folder=tmp_path)
    assert shop.requests == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        fetch(archive_card("https://x.org/a.zip"), raw=tmp_path / "nowhere")


def test_another_hash_than_the_release_is_noted(tmp_path: Path) -> None:
    card = card_of(RawFile(path="a", sha256="0" * 64))
    assert fetch(card, raw=put(tmp_path, "a")).notes == (
        "a differs from the release (another SHA-256)",
    )
