"""Tables and archives that users bring or that are downloaded."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import strategies as st

from tastebench.data import foreign
from tastebench.data.cells import ImportOptions
from tastebench.data.importer import import_dataset
from tastebench.data.mapping import parse_map
from tastebench.data.sources import reading
from tastebench.data.tables_io import read_table
from tastebench.data.unpack import unpack
from tastebench.errors import DataError
from tastebench.files import load_array

Fuzz = Callable[..., None]
Survives = Callable[..., Any]
Bent = Callable[[bytes], st.SearchStrategy[bytes]]

CSV = 'item_id,title,price\ni1,"a lamp, red",1.5\ni2,"say ""hi""",\ni3,büch,3\n'.encode()
LINES = b'{"item_id": "i1", "title": "a", "tags": ["x", "y"]}\n{"item_id": "i2", "title": null}\n'
ARRAY = b'[{"item_id": "i1", "at": {"b": 1}}, {"item_id": 2, "at": "c"}]'


def parquet() -> bytes:
    out = io.BytesIO()
    frame = pl.DataFrame(
        {"item_id": ["i1", "i2", "i3"], "n": [1, None, 3], "tags": [["a"], [], ["b", "c"]]}
    )
    frame.write_parquet(out)
    return out.getvalue()


FILES = {
    "a.csv": CSV,
    "a.tsv": CSV.replace(b",", b"\t"),
    "a.jsonl": LINES,
    "a.json": ARRAY,
    "a.parquet": parquet(),
    "a.csv.gz": gzip.compress(CSV),
    "a.jsonl.gz": gzip.compress(LINES),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("bad_rows", ["error", "drop"])
def test_a_bent_file_of_a_users(
    tmp_path: Path, fuzz: Fuzz, survives: Survives, bent: Bent, name: str, bad_rows: Any
) -> None:
    path = tmp_path / name

    def check(content: bytes) -> None:
        path.write_bytes(content)
        table = survives(lambda: read_table(path, bad_rows=bad_rows))
        if table is not None:
            assert len(table.rows) == len(table.frame) > 0

    path.write_bytes(FILES[name])
    assert len(read_table(path).frame) >= 2
    fuzz(bent(FILES[name]), check, 50)


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".json"])
def test_a_file_of_any_text(tmp_path: Path, fuzz: Fuzz, survives: Survives, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    anything = st.one_of(
        st.text('",;\t\n\r ab1{}[]:\\\0', max_size=60).map(str.encode), st.binary(max_size=60)
    )

    def check(content: bytes) -> None:
        path.write_bytes(content)
        survives(lambda: read_table(path, bad_rows="drop"))

    fuzz(anything, check, 80)


INTERACTIONS = b"user,item,time,rating\n" + b"".join(
    b"u%d,i%d,%d,%d\n" % (i % 5, i % 3 + 1, 1_600_000_000 + i, i % 5) for i in range(30)
)


def test_a_bent_import_as_a_whole(
    tmp_path: Path, fuzz: Fuzz, survives: Survives, bent: Bent
) -> None:
    items, events = tmp_path / "items.csv", tmp_path / "events.csv"
    items.write_bytes(CSV)
    mapping = {"user": "user", "interactions.item": "item", "time": "time", "rating": "rating"}

    def check(content: bytes) -> None:
        events.write_bytes(content)
        options = ImportOptions(bad_rows="drop")
        survives(lambda: import_dataset("mine", items, events, mapping, options=options))

    fuzz(bent(INTERACTIONS), check, 40)


@pytest.mark.parametrize(
    "read",
    [
        lambda path: reading.read_json_lines(path, {"item_id": pl.String(), "n": pl.Int64()}),
        lambda path: list(reading.lines(path)),
        reading.read_json,
        lambda path: reading.collect(reading.scan_table(path, ["item_id"]), path),
    ],
    ids=["json lines", "lines", "json", "scan"],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_bent_files_of_a_release(
    tmp_path: Path, fuzz: Fuzz, survives: Survives, bent: Bent, name: str, read: Any
) -> None:
    path = tmp_path / name

    def check(content: bytes) -> None:
        path.write_bytes(content)
        survives(lambda: read(path))

    fuzz(bent(FILES[name]), check, 50)


def test_a_bent_delimited_file_of_a_release(
    tmp_path: Path, fuzz: Fuzz, survives: Survives, bent: Bent
) -> None:
    path = tmp_path / "a.csv"
    columns = {"item_id": pl.String(), "price": pl.Float64()}

    def check(content: bytes) -> None:
        path.write_bytes(content)
        survives(lambda: reading.read_delimited(path, columns, path=path, needed=["item_id"]))
        survives(lambda: reading.collect(reading.scan_table(path, ["item_id"]), path))

    fuzz(bent(CSV), check, 80)


def test_any_mapping(fuzz: Fuzz, survives: Survives) -> None:
    fuzz(st.text("a=,. ü\0", max_size=30), lambda text: survives(lambda: parse_map(text)), 60)


# ------------------------------------------------------------------------------------- archives


def zipped(**changes: Any) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("release/a.txt", b"a lamp\n" * 50)
        archive.writestr("release/b.txt", b"a book\n")
        for name, content in changes.items():
            archive.writestr(name, content)
    return out.getvalue()


def tarred(mode: str = "w", *members: tarfile.TarInfo) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name in ("release/a.txt", "release/b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 350
            archive.addfile(info, io.BytesIO(b"a lamp\n" * 50))
        for member in members:
            archive.addfile(member)
    return out.getvalue()


ARCHIVES = {
    "zip": zipped(),
    "tar": tarred(),
    "tar.gz": tarred("w:gz"),
    "tar.bz2": tarred("w:bz2"),
    "tar.xz": tarred("w:xz"),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_a_bent_archive_writes_what_is_wanted_or_nothing(
    tmp_path: Path, fuzz: Fuzz, survives: Survives, bent: Bent, kind: str
) -> None:
    path, folder = tmp_path / f"release.{kind}", tmp_path / "out"
    unpack_it = lambda: unpack(path, ["a.txt", "b.txt"], folder)  # noqa: E731

    def check(content: bytes) -> None:
        path.write_bytes(content)
        survives(unpack_it)
        assert {p.name for p in folder.glob("*")} <= {"a.txt", "b.txt"}
        assert {p.name for p in tmp_path.iterdir()} <= {path.name, "out", "home"}

    path.write_bytes(ARCHIVES[kind])
    unpack_it()
    assert (folder / "a.txt").read_bytes() == b"a lamp\n" * 50
    fuzz(bent(ARCHIVES[kind]), check, 80)


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


@pytest.mark.parametrize(
    "content",
    [
        zipped(**{"../out.txt": b"x"}),
        zipped(**{"/etc/x": b"x"}),
        zipped(**{"C:\\x": b"x"}),
        zipped(**{"a\\..\\..\\x": b"x"}),
        tarred("w", link("a", "/etc/passwd")),
        tarred("w", link("a", "b", tarfile.LNKTYPE)),
        tarred("w", link("a", "", tarfile.FIFOTYPE)),
        tarred("w", link("a", "", tarfile.CHRTYPE)),
        tarred("w", link("../../a", "", tarfile.REGTYPE)),
    ],
)
def test_what_leads_outside_is_refused_whole(tmp_path: Path, content: bytes) -> None:
    path, folder = tmp_path / "a.archive", tmp_path / "out"
    path.write_bytes(content)
    with pytest.raises(DataError, match="a link or leads outside"):
        unpack(path, ["a.txt"], folder)
    assert not folder.exists() or not list(folder.iterdir())


def test_a_zip_that_says_less_than_it_holds_is_refused(tmp_path: Path) -> None:
    path, folder = tmp_path / "bomb.zip", tmp_path / "out"
    content = bytearray(zipped(**{"bomb.txt": b"0" * (1 << 22)}))
    # The size in the directory at the end of the archive is what is looked up beforehand.
    at = content.rindex(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<I", 10)
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged"):
        unpack(path, ["bomb.txt"], folder)
    assert not list(folder.glob("*"))


def test_an_archive_larger_than_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    path = tmp_path / "bomb.zip"
    path.write_bytes(zipped(**{"bomb.txt": b"0" * (1 << 24)}))
    with pytest.raises(DataError, match="unpacking needs"):
        unpack(path, ["bomb.txt"], tmp_path / "out")


# ---------------------------------------------------------------------------------------- bombs

SMALL = 1 << 24


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign, "free_memory", lambda: SMALL)


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.jsonl.gz"])
def test_gzip_that_unpacks_to_more_than_the_memory_is_refused(
    tmp_path: Path, quick: Any, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"0" * (8 * SMALL)))
    with pytest.raises(DataError, match=f"unpacks to more than {SMALL:,} bytes"):
        quick(lambda: read_table(path))
    with pytest.raises(DataError, match="unpacks to more"):
        reading.read_bytes(path)


def bombs() -> dict[str, pl.DataFrame]:
    return {
        "many rows": pl.DataFrame({"item_id": pl.repeat("x", 4_000_000, eager=True)}),
        "long text": pl.DataFrame({"item_id": ["x" * (1 << 25)]}),
        "long lists": pl.DataFrame({"item_id": [[0] * 3_000_000]}),
    }


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize("kind", ["many rows", "long text", "long lists"])
def test_parquet_that_holds_more_than_the_memory_is_refused_unread(
    tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "bomb.parquet"
    bombs()[kind].write_parquet(path, compression="zstd")
    assert path.stat().st_size < 1 << 16
    with pytest.raises(DataError, match="bytes of memory"):
        read_table(path)


def test_an_array_that_says_it_is_large_takes_no_memory(tmp_path: Path, quick: Any) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.arange(8, dtype=np.float64))
    path.write_bytes(path.read_bytes().replace(b"(8,), ", b"(9" + b"9" * 9 + b",),")[:128])
    with pytest.raises(ValueError, match="length"):
        quick(lambda: load_array(path))


def test_an_array_of_objects_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects"):
        load_array(path)


def test_a_footer_read_by_hand_agrees_with_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    n = 10_000
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({"a": rng.normal(size=n), "b": [[1, 2]] * n, "c": [{"d": "e"}] * n})
    frame.write_parquet(path, compression="uncompressed", row_group_size=1000)
    values = n + 2 * n + n  # of a, of b one a list element, of c.d
    size = foreign._declared(foreign._footer(path))
    # Uncompressed, all but the footer is pages: their bytes are those of the file.
    pages = size - foreign._VALUE * values
    assert 0.9 * path.stat().st_size < pages < path.stat().st_size


def test_a_footer_whose_row_group_has_no_columns_is_refused() -> None:
    # Found by tools/fuzz.py: field 4, a list of one struct that ends at once, and the end.
    footer = b"\x49\x1c\x00\x00"
    with pytest.raises(pl.exceptions.ComputeError, match="no Parquet"):
        foreign.check_parquet(footer + bytes([len(footer), 0, 0, 0]) + b"PAR1")


def test_deep_json_is_told_as_such(tmp_path: Path, quick: Any) -> None:
    lines, array = tmp_path / "a.jsonl", tmp_path / "a.json"
    lines.write_bytes(b'{"item_id": "i1"}\n' + b'{"a":' * 50_000 + b"\n")
    with pytest.raises(DataError, match="1 row cannot be read") as refused:
        quick(lambda: read_table(lines))
    assert refused.value.where == f"{lines}, row 2"
    array.write_bytes(b"[" * 100_000)
    with pytest.raises(DataError, match="nested too deep"):
        quick(lambda: read_table(array))
    with pytest.raises(DataError, match="nested too deep"):
        reading.read_json(array)


def test_a_number_of_thousands_of_digits_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'[{"item_id": ' + b"9" * 5000 + b"}]")
    with pytest.raises(DataError, match="this is not JSON"):
        read_table(path)


def test_columns_that_differ_by_blanks_alone_are_one_column_twice(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"id, id\n1,2\n")
    with pytest.raises(DataError, match="names a column twice"):
        read_table(path)


def test_a_tar_that_unpacks_without_end_is_refused(tmp_path: Path, quick: Any) -> None:
    path = tmp_path / "bomb.tar.bz2"
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:bz2", compresslevel=9) as archive:
        for name in ("a.txt", "b.txt"):
            info = tarfile.TarInfo(name)
            info.size = 1 << 24
            archive.addfile(info, io.BytesIO(bytes(info.size)))
    path.write_bytes(out.getvalue())
    assert len(out.getvalue()) < 1 << 12
    with pytest.raises(DataError, match="unpacks to more than"):
        quick(lambda: unpack(path, ["a.txt"], tmp_path / "out"))


def test_an_entry_that_is_a_file_and_a_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tarred("w", link("release/a.txt", "", tarfile.DIRTYPE)))
    with pytest.raises(DataError, match="is a file and a folder"):
        unpack(path, ["a.txt"], tmp_path / "out")
