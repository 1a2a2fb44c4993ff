"""PENS from small files of its format."""

from __future__ import annotations

from pathlib import Path

import pytest

from tastebench.data.schema import validate
from tastebench.data.sources import pens
from tastebench.errors import DataError

NEWS_HEADER = "News ID\tCategory\tTopic\tHeadline\tNews body\tTitle entity\tEntity content"
NEWS = [
    'N1\tsports\tsoccer\tA "quoted headline\tBody, one\t{}\t{}',
    "N2\tnews\tus\tTwo\t\t{}\t{}",
    "N3\tnews\tus\tThree\tBody\t{}\t{}",
]
HEADER = "UserID\tClicknewsID\tdwelltime\texposure_time\tpos\tneg\tstart\tend\tdwelltime_pos"
FIRST, EARLY, NOON = "6/19/2019 5:10:01 AM", "7/3/2019 6:43:49 AM", "7/3/2019 12:00:00 PM"
AT_EARLY, AT_NOON = 1_562_136_229_000, 1_562_155_200_000


def visit(user: str, clicked: str, exposed: list[str], pos: str, neg: str, start: str) -> str:
    times = "#TAB#".join(exposed)
    return f"{user}\t{clicked}\t1\t{times}\t{pos}\t{neg}\t{start}\t{start}\t9"


TRAIN = [
    visit("U1", "N3 N2 N1", [FIRST, EARLY, NOON], "N1", "N2", NOON),
    visit("U2", "", [], "N9 N1", "", EARLY),  # no history, nothing left unclicked
    # The first visit of U1, below a later one: of its history N1 is of the visit itself.
    visit("U1", "N2 N8 N1", [FIRST, FIRST, EARLY], "N1", "N3", EARLY),
]
VALID = [
    visit("U3", "N1", [FIRST], "", "N2", NOON),  # nothing was clicked
    visit("U2", "N1", [EARLY], "N2", "N3", NOON),
]


def put(
    folder: Path,
    train: list[str] = TRAIN,
    valid: list[str] = VALID,
    news: list[str] = NEWS,
) -> Path:
    tables = {"train": [HEADER, *train], "valid": [HEADER, *valid], "news": [NEWS_HEADER, *news]}
    for name, lines in tables.items():
        (folder / f"{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def test_visits_are_impression_lists(tmp_path: Path) -> None:
    tables = pens.read(put(tmp_path))
    assert tables.impressions is not None
    columns = ["impression_id", "user_id", "item_id", "time", "label", "part"]
    assert tables.impressions.columns == columns
    assert tables.impressions.rows() == [
        ("train-1", "U1", "N1", AT_NOON, 1, "train"),
        ("train-1", "U1", "N2", AT_NOON, 0, "train"),
        ("train-2", "U2", "N9", AT_EARLY, 1, "train"),
        ("train-2", "U2", "N1", AT_EARLY, 1, "train"),
        ("train-3", "U1", "N1", AT_EARLY, 1, "train"),
        ("train-3", "U1", "N3", AT_EARLY, 0, "train"),
        ("valid-1", "U3", "N2", AT_NOON, 0, "test"),
        ("valid-2", "U2", "N2", AT_NOON, 1, "test"),
        ("valid-2", "U2", "N3", AT_NOON, 0, "test"),
    ]
    assert tables.interactions is not None
    assert tables.interactions.rows() == [
        (0, "U1", "N1", AT_NOON),
        (1, "U2", "N9", AT_EARLY),
        (2, "U2", "N1", AT_EARLY),
        (3, "U1", "N1", AT_EARLY),
        (4, "U2", "N2", AT_NOON),
    ]
    validated = validate(tables, "pens").impressions
    assert validated is not None
    assert validated["part"].to_list() == tables.impressions["part"].to_list()


def test_a_history_is_that_of_the_first_visit_before_it_began(tmp_path: Path) -> None:
    tables = pens.read(put(tmp_path))
    assert tables.histories is not None
    # Nothing of U2, whose first visit gives none: that of the second holds clicks of the first.
    assert sorted(tables.histories.rows()) == [("U1", ["N2", "N8"]), ("U3", ["N1"])]


def test_of_visits_at_one_time_the_first_line_counts(tmp_path: Path) -> None:
    train = [visit("U", "N1", [FIRST], "N2", "", NOON), visit("U", "N2", [FIRST], "N3", "", NOON)]
    histories = pens.read(put(tmp_path, train=train, valid=train[1:])).histories
    assert histories is not None
    assert histories.rows() == [("U", ["N1"])]


def test_news_and_then_what_has_no_record(tmp_path: Path) -> None:
    assert pens.read(put(tmp_path)).items.rows() == [
        ("N1", 'A "quoted headline', "Body, one", "sports", "soccer"),
        ("N2", "Two", None, "news", "us"),
        ("N3", "Three", "Body", "news", "us"),
        ("N9", None, None, None, None),
        ("N8", None, None, None, None),
    ]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (visit("U1", "N1", [FIRST], "N1", "", "2019-07-03"), "start is not of the form"),
        (visit("U1", "N1", [FIRST], "", "", NOON), "nothing was shown"),
        (visit("U1", "N1 N2", [FIRST], "N1", "", NOON), "not as many times as clicked news"),
        (visit("", "N1", [FIRST], "N1", "", NOON), "UserID is missing"),
        (visit("U4", "N1", ["noon"], "N1", "", NOON), "exposure_time is not of the form"),
    ],
)
def test_bad_rows_are_named(line: str, what: str, tmp_path: Path) -> None:
    put(tmp_path, valid=[*VALID, line])
    with pytest.raises(DataError, match=f"{what}.* in 1 row") as caught:
        pens.read(tmp_path)
    assert caught.value.where == f"{tmp_path / 'valid.tsv'}, row 4"


def test_another_header_is_told(tmp_path: Path) -> None:
    put(tmp_path)
    path = tmp_path / "train.tsv"
    path.write_text(path.read_text().replace("ClicknewsID", "history"))
    with pytest.raises(DataError, match="there is no column ClicknewsID"):
        pens.read(tmp_path)
