"""`tastebench build questions` and `tastebench inspect` of them as a person meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tastebench import cli
from tastebench.data.card import DatasetCard
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.questions import QuestionSpec, generate
from tastebench.data.questions.artefact import ABOUT, TABLE, load
from tastebench.data.schema import Tables

SMALL = ("--questions", "140", "--train-questions", "60", "--valid-questions", "20")


def make_shop() -> Dataset:
    """80 users of 14 to 30 events; a title and a brand move the cursor."""
    rng = np.random.default_rng(2)
    items = pl.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(40)],
            "title": [f"\x1b[2JThing {i}" for i in range(40)],
            "category": [f"kind {i % 5}" for i in range(40)],
            "brand": [f"brand\x07 {i % 7}" for i in range(40)],
        }
    )
    users = np.repeat(np.arange(80), rng.integers(15, 32, size=80))
    taken = pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in rng.integers(40, size=len(users))],
            "time": np.arange(len(users)),
        }
    )
    dataset = Dataset.create(
        DatasetCard(name="my-shop", title="Shop"), Tables(items=items, interactions=taken)
    )
    dataset.save(dataset_folder("my-shop"))
    return dataset


@pytest.fixture
def shop(home: Path) -> Dataset:
    return make_shop()


class Call:
    """A command and what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> None:
        self.code = cli.main(arguments)
        self.out, self.err = capsys.readouterr()

    @property
    def json(self) -> dict[str, Any]:
        assert self.code == 0, self.err
        found: dict[str, Any] = json.loads(self.out)
        return found


def build(capsys: pytest.CaptureFixture[str], *arguments: str) -> Call:
    return Call(capsys, "build", "questions", "-d", "my-shop", *SMALL, *arguments)


@pytest.fixture
def made(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> Path:
    return Path(build(capsys, "--json").json["folder"])


def test_questions_are_made_and_told(shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    done = build(capsys)
    assert done.code == 0, done.err
    for line in (
        "Questions about users of my-shop",
        "English, 4 options; ",
        " answers worked out a second time",
        "category  the column category",
        "li  long-term interest",
        "test   ",
    ):
        assert line in done.out
    assert "\x1b" not in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    assert "checking the answers" in done.err
    assert "next:  tastebench inspect " in done.err


def test_they_are_those_of_the_spec_and_are_found_again(
    shop: Dataset, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--language", "zh", "--seed", "4", "--set", "min_length=12", "--json"]
    found = build(capsys, *arguments).json
    spec = QuestionSpec(
        language="zh",
        questions=140,
        train_questions=60,
        valid_questions=20,
        seed=4,
        min_length=12,
    )
    artefact = load(Path(found["folder"]))
    assert artefact.table.equals(generate(shop, spec).table)
    assert artefact.about.spec == spec
    assert found["checked"] == len(artefact.table)
    asked = {part: sum(kinds.values()) for part, kinds in found["asked"].items()}
    assert asked == dict(artefact.table["part"].value_counts().iter_rows())
    monkeypatch.setattr("tastebench.build.questions.generate", None)
    again = build(capsys, *arguments)
    assert again.json == found
    assert "these questions are there already" in again.err


def test_other_words_of_the_spec_are_other_questions(
    shop: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = [
        build(capsys, *arguments, "--json").json["hash"]
        for arguments in ((), ("--seed", "1"), ("--language", "zh"), ("--attributes", "brand"))
    ]
    assert len(set(hashes)) == 4


def test_the_output_folder(
    shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "exam"
    first = build(capsys, "-o", str(out), "--json").json
    assert sorted(path.name for path in out.iterdir()) == [ABOUT, TABLE]
    assert first["folder"] == str(out)
    assert build(capsys, "-o", str(out), "--json").json == first
    other = build(capsys, "-o", str(out), "--seed", "1")
    assert other.code == 2
    assert "other questions are here, and it stays" in other.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    done = build(capsys, "-o", str(tmp_path / "mine"))
    assert done.code == 2
    assert "there is something else here" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "min_lenght=5"), "no setting 'min_lenght': did you mean min_length"),
        (("--set", "seed=5"), "seed has an option of its own"),
        (("--set", "min_length=0"), "min_length: Input should be greater"),
        (("--set", "max_length=4"), "max_length is less than min_length"),
        (("--attributes", "colour"), "the items of my-shop have no column 'colour'"),
        (("--set", "min_length=100"), "no test user of my-shop can be asked anything"),
    ],
)
def test_what_cannot_be_meant(
    arguments: tuple[str, ...],
    message: str,
    shop: Dataset,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = build(capsys, *arguments)
    assert done.code == 2
    assert message in done.err


# ----------------------------------------------------------------------------------------- inspect


def test_an_exam(made: Path, shop: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    found = Call(capsys, "inspect", str(made), "--kind", "li", "--number", "2", "--json").json
    assert len(found["questions"]) == 2
    taken = shop.tables.interactions
    assert taken is not None
    for question in found["questions"]:
        own = taken.filter(pl.col("user_id") == question["user_id"])["item_id"].to_list()
        assert [event["item_id"] for event in question["events"]] == own
        assert [event["place"] for event in question["events"]] == list(range(1, len(own) + 1))
        marked = [event["place"] for event in question["events"] if event["evidence"]]
        assert marked == question["evidence"]
        top = {event["value"] for event in question["events"] if event["evidence"]}
        assert top == set(question["gold_text"].split(" > "))
    qid = found["questions"][0]["qid"]
    done = Call(capsys, "inspect", str(made), "--question", qid)
    assert done.code == 0, done.err
    gold = found["questions"][0]
    assert f" * {gold['gold_label']}  {gold['gold_text']}" in done.out
    assert f"what {gold['user_id']} did" in done.out
    assert " next  " in done.out
    assert "\x1b" not in done.out and "\x07" not in done.out
    assert max(map(len, done.out.splitlines())) <= 100


def test_one_of_each_kind_follows_the_report(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Call(capsys, "inspect", str(made / ABOUT))
    assert done.out.startswith("Questions about users of my-shop")
    for kind in ("direct feature", "item prediction", "interest trace"):
        assert kind in done.out
    found = Call(capsys, "inspect", str(made), "--json").json["questions"]
    assert [question["subtask"] for question in found] == ["df", "mf", "ip", "ap", "li", "si", "it"]
    assert {question["part"] for question in found} == {"test"}


def test_of_one_user(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    user = str(load(made).table["user_id"][0])
    found = Call(capsys, "inspect", str(made), "--user", user, "--number", "9", "--json").json
    assert {question["user_id"] for question in found["questions"]} == {user}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--question", "test-9999"), "no question 'test-9999'"),
        (("--user", "nobody"), "no question is about the user 'nobody'"),
        (("--kind", "il"), "no kind of question 'il'"),
        (("--item", "i1"), "--item looks into codes, and these are none"),
    ],
)
def test_what_is_not_there(
    arguments: tuple[str, ...], message: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = Call(capsys, "inspect", str(made), *arguments)
    assert done.code == 2
    assert message in done.err


def test_without_the_dataset_there_are_questions_alone(
    made: Path, shop: Dataset, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shop.save(tmp_path / "elsewhere")
    dataset_folder("my-shop").rename(tmp_path / "gone")
    done = Call(capsys, "inspect", str(made), "--kind", "si")
    assert done.code == 0
    assert "no histories: the dataset my-shop is not here" in done.err
    assert "what u" not in done.out
    given = Call(capsys, "inspect", str(made), "--kind", "si", "-d", str(tmp_path / "elsewhere"))
    assert "what u" in given.out
    changed = Dataset.create(shop.card, Tables(items=shop.tables.items, interactions=_fewer(shop)))
    changed.save(dataset_folder("my-shop"))
    done = Call(capsys, "inspect", str(made), "--kind", "si")
    assert "the dataset my-shop here has other values" in done.err
    done = Call(capsys, "inspect", str(made), "-d", "my-shop")
    assert done.code == 4
    assert "these questions are not about my-shop as it is here" in done.err


def _fewer(shop: Dataset) -> pl.DataFrame:
    taken = shop.tables.interactions
    assert taken is not None
    return taken.head(900)


@pytest.mark.parametrize("name", [ABOUT, TABLE])
def test_a_damaged_folder_is_refused(
    name: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made / name
    path.write_bytes(path.read_bytes()[:-20])
    done = Call(capsys, "inspect", str(made))
    assert done.code == 4
    assert "the questions are damaged" in done.err
    assert "make them again with `tastebench build questions`" in done.err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (pl.col("gold_label").str.replace_all("[A-D]", "E"), "names an unknown option"),
        (pl.col("subtask").str.replace("df", "xx"), "names an unknown kind"),
        (pl.col("options").list.head(3), "does not have 4 options"),
        (pl.col("question").replace(pl.col("question").first(), None), "holds nulls"),
        (pl.col("qid").alias("more"), "its columns are"),
        (pl.col("qid").alias("\x1b[2Jmore"), "evidence,  [2Jmore"),
    ],
)
def test_a_table_of_somebody_else_is_not_believed(
    change: pl.Expr, message: str, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tastebench.data.questions.artefact import save

    artefact = load(made)
    save(made, artefact.about, artefact.table.with_columns(change))
    done = Call(capsys, "inspect", str(made))
    assert done.code == 4
    assert message in done.err


def test_nothing_of_somebody_else_moves_the_cursor(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from tastebench.data.questions.artefact import save

    artefact = load(made)
    save(made, artefact.about, artefact.table.with_columns(template=pl.lit("li\x1b[2J-1")))
    done = Call(capsys, "inspect", str(made), "--kind", "li")
    assert done.code == 0
    assert "(li [2J-1)" in done.out and "\x1b" not in done.out


def test_questions_about_no_attribute_are_damaged(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    about = json.loads((made / ABOUT).read_text(encoding="utf-8"))
    (made / ABOUT).write_text(json.dumps({**about, "attributes": []}), encoding="utf-8")
    done = Call(capsys, "inspect", str(made))
    assert done.code == 4
    assert "it is wrong at attributes" in done.err
