"""Last.fm 1K from small files of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.data.dataset import Dataset
from tastebench.data.sources import SOURCES, lastfm
from tastebench.data.text import item_texts
from tastebench.data.tidy import tidy
from tastebench.errors import DataError

FILE = "userid-timestamp-artid-artname-traid-traname.tsv"
ARTIST = "15676fc4-ba0b-4871-ac8d-ef058895b075"
T1 = "6cc252d0-3f42-4fd3-a70f-c8ff8b693aa4"
T2 = "1c3d5f00-3f42-4fd3-a70f-c8ff8b693aa4"
T3 = "0B9C5E4C-3F42-4FD3-A70F-C8FF8B693AA4"

PLAYS = [
    f"user_000001\t2009-05-04T23:08:57Z\t{ARTIST}\tBjörk\t{T1}\tJóga",
    f'user_000001\t2009-05-04T23:08:57Z\t\tAir\t{T2}\tAlone "Live"',
    "user_000001\t2009-05-04T22:00:00Z\t\tAir\t\tHow Does It Make You Feel",  # no track id
    f"user_000001\t2009-05-04T21:00:00Z\t{ARTIST}\tAn\tartist\t{T3}\tof\ttabs",
    f"user_000002\t2009-05-03T00:00:00Z\t{ARTIST}\tBjork\t{T1}\tJoga (album version)",
    f"user_000002\t2009-05-02T00:00:00Z\t{ARTIST}\tBjörk",  # the empty end is stripped
    f"user_000002\t2009-05-01T00:00:00Z\t{ARTIST}\tBjörk\t{T2}",  # also
]
MAY_1, MAY_2, MAY_3 = 1_241_136_000_000, 1_241_222_400_000, 1_241_308_800_000
MAY_4_21H = 1_241_470_800_000
HOUR = 3_600_000


def put(folder: Path, lines: list[str]) -> Path:
    (folder / FILE).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_plays_are_oldest_first_and_keyed_on_the_track_id(tmp_path: Path) -> None:
    tables = lastfm.read(put(tmp_path, PLAYS))
    assert tables.interactions is not None
    last = MAY_4_21H + 2 * HOUR + 8 * 60_000 + 57_000
    assert tables.interactions.rows() == [
        (0, "user_000002", T2, MAY_1),
        (1, "user_000002", lastfm.NO_TRACK, MAY_2),
        (2, "user_000002", T1, MAY_3),
        (3, "user_000001", T3, MAY_4_21H),
        (4, "user_000001", lastfm.NO_TRACK, MAY_4_21H + HOUR),
        (5, "user_000001", T2, last),  # of two plays in one second the lower line was earlier
        (6, "user_000001", T1, last),
    ]
    assert tables.items.rows() == [
        (T1, "Jóga", "Björk"),
        (T2, 'Alone "Live"', "Air"),
        (T3, "of\ttabs", "An\tartist"),
    ]


def test_names_are_the_first_that_there_are(tmp_path: Path) -> None:
    stripped = f"u\t2009-05-01T00:00:00Z\t\tAir\t{T1}"
    empty = f"u\t2009-05-01T00:00:00Z\t\t\t{T1}\t "
    named = f"u\t2009-05-01T00:00:00Z\t\tOther\t{T1}\tNamed at last"
    items = lastfm.read(put(tmp_path, [empty, stripped, named])).items
    assert items.rows() == [(T1, "Named at last", "Air")]
    assert lastfm.read(put(tmp_path, [empty])).items.rows() == [(T1, None, None)]


def test_plays_without_a_track_id_are_dropped_and_counted(tmp_path: Path) -> None:
    card = SOURCES.get("lastfm-1k").card
    tables, repairs = tidy(lastfm.read(put(tmp_path, PLAYS)), card.name)
    assert repairs == {"interactions of unknown items dropped": 2}
    dataset = Dataset.create(card, tables)
    assert dataset.tables.interactions is not None
    assert dataset.tables.interactions["row"].to_list() == [0, 2, 3, 5, 6]
    texts = item_texts(dataset.tables.items, card.text_recipe, card.text_columns)
    assert texts[0] == "Jóga. Björk"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (f"u\t2009-05-04 23:08:57\t\tA\t{T1}\tT", "time is not of the form"),
        ("u\t2009-05-04T23:08:57Z\t\tA\tno-id\tT", "not the fields of a play"),
        (f"u\t2009-05-04T23:08:57Z\tno-id\tA\t{T1}\tT", "not the fields of a play"),
        ("\t2009-05-04T23:08:57Z\t\tA\t\tT", "not the fields of a play"),
        ("half a line", "not the fields of a play"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, tmp_path: Path) -> None:
    path = put(tmp_path, [PLAYS[0], "", line]) / FILE
    with pytest.raises(DataError, match=f"{what}.* in 1 row") as caught:
        lastfm.read(tmp_path)
    assert caught.value.where == f"{path}, row 3"
