"""What a run showed one user, with histories and right answers worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tastebench.board.load import Entry
from tastebench.board.look import Wanted, find_entry, look_at
from tastebench.board.look.asked import Item
from tastebench.board.look.quiz import questions_about
from tastebench.board.tables import LISTS
from tastebench.data.catalog import dataset_folder
from tastebench.data.dataset import Dataset
from tastebench.data.schema import Tables
from tastebench.errors import DataError, UsageError
from tastebench.files import read_sealed
from tastebench.lm.calls import Call
from tastebench.lm.transcript import Transcript, write_transcript

Ran = Callable[..., Path]
LAST_OUT = {"split": {"kind": "last_out"}}


def titles(items: object) -> list[str]:
    return [item.title for item in items]  # type: ignore[attr-defined]


def test_history_truth_and_ranks_of_a_next_item(ran: Ran) -> None:
    # anna took 0 1 2 3: the last is asked for, and what she had before is its history.
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    ran("seqrec", "second", "3210456", protocol=LAST_OUT)
    ran("seqrec", "third", "5640123", protocol=LAST_OUT)
    look = look_at(find_entry(folder), Wanted("anna"))
    (one,) = look.asked
    assert titles(one.case.history) == ["Red scarf", "Blue scarf", "Tea"]
    assert one.case.right == (Item("i3", "Kettle"),)
    # ndcg@10 of all: second has 3 4 2 at ranks 1, 5, 5; third at 7, 3, 3.
    assert [model.name for model in look.models] == ["first", "second", "third"]
    (target,) = one.targets or ()
    # Lists hold four items; the seventh place of the third model is what its mrr says.
    assert target.ranks == (4, 1, 7)
    assert titles(slot.item for slot in one.lists[0]) == TITLES_OF_FIRST
    assert [slot.right for slot in one.lists[0]] == [False, False, False, True]
    assert look.values[1] is not None and look.values[1]["mrr"] == 1.0
    assert look.notes == () and look.more == 0


TITLES_OF_FIRST = ["Red scarf", "Blue scarf", "Tea", "Kettle"]


def test_others_are_the_best_first_and_as_many_as_wanted(ran: Ran) -> None:
    folder = ran("seqrec", "own", "0123456", protocol=LAST_OUT)
    ran("seqrec", "bad", "0156234", protocol=LAST_OUT)
    ran("seqrec", "good", "4301256", protocol=LAST_OUT)
    ran("seqrec", "oracle", "4301256", protocol=LAST_OUT, kind="ceiling")
    ran("seqrec", "good", "0156234", protocol=LAST_OUT, seed=1)
    ran("seqrec", "other-question", "0123456", protocol={**LAST_OUT, "min_history": 2})
    entry = find_entry(folder)
    names = [model.name for model in look_at(entry, Wanted("anna", others=9)).models]
    assert names == ["own", "good", "bad", "oracle"]
    look = look_at(entry, Wanted("anna", others=1))
    assert [model.name for model in look.models] == ["own", "good"] and look.more == 2
    assert look.models[1].entry.record.spec.seed == 0
    assert len(look_at(entry, Wanted("anna", others=0)).asked[0].lists) == 1


def test_runs_that_settings_do_not_tell_apart_stand_side_by_side(ran: Ran) -> None:
    folder = ran("seqrec", "own", "0123456", protocol=LAST_OUT)
    twin = ran("seqrec", "good", "4301256", protocol=LAST_OUT)
    ran("seqrec", "good", "0156234", protocol=LAST_OUT, seed=1)
    path = twin / "record.json"
    record = read_sealed(path)
    path.write_text(json.dumps({**record, "given": {**record["given"], "more": 1}}))
    look = look_at(find_entry(folder), Wanted("anna"))
    assert [model.name for model in look.models] == ["own", "good", "good"]


def test_a_user_with_several_questions_has_each(ran: Ran) -> None:
    # By each user's last three fifths: cleo, who took 5 0 1 2 4, is asked for 2 and for 4.
    ratio = {"split": {"kind": "ratio", "ratios": (0.5, 0.1, 0.4)}}
    folder = ran("seqrec", "first", "0123456", protocol=ratio)
    look = look_at(find_entry(folder), Wanted("cleo"))
    assert [one.case.right for one in look.asked] == [
        (Item("i2", "Tea"),),
        (Item("i4", "Cup [2J"),),
    ]
    assert titles(look.asked[0].case.history) == ["Atlas", "Red scarf", "Blue scarf"]
    # mrr is of both questions together, so it says nothing of the one that is not in the list.
    assert [one.targets[0].ranks for one in look.asked if one.targets] == [(3,), (None,)]
    (second,) = look_at(find_entry(folder), Wanted("cleo", question=2)).asked
    assert second.number == 2 and second.case.right == (Item("i4", "Cup [2J"),)
    with pytest.raises(UsageError, match="cleo has 2 questions, and none of the number 3"):
        look_at(find_entry(folder), Wanted("cleo", question=3))


def test_a_query_with_its_graded_answers(ran: Ran) -> None:
    folder = ran("search", "first", "0123456")
    look = look_at(find_entry(folder), Wanted("q1"))
    (one,) = look.asked
    assert look.what == "query" and one.case.query == "warm [1m wool"
    assert one.case.history is None
    # The better graded first.
    assert one.case.right == (Item("i1", "Blue scarf"), Item("i0", "Red scarf"))
    assert [target.ranks for target in one.targets or ()] == [(2,), (1,)]


def test_candidates_that_were_shown_by_impression(ran: Ran) -> None:
    protocol = {
        "split": {"kind": "time", "ratios": (0.4, 0.2, 0.4)},
        "rows": "impressions",
        "group": "impression",
        "history_length": 2,
    }
    folder = ran("ctr", "first", "6543210", protocol=protocol)
    look = look_at(find_entry(folder), Wanted("anna"))
    assert look.unit.values.keys() >= {"gauc", "ndcg@5"} and "auc" not in look.unit.values
    first, second = look.asked
    # 6 is scored best; 5 was clicked, and Kettle was the last that anna took before.
    assert titles(slot.item for slot in first.lists[0]) == ["", "Atlas", "Cup [2J"]
    assert [slot.right for slot in first.lists[0]] == [False, True, False]
    assert [target.ranks for target in first.targets or ()] == [(2,)]
    assert titles(first.case.history) == ["Tea", "Kettle"]
    assert [slot.item.id for slot in second.lists[0]] == ["i5", "i4"]


def test_known_items_of_a_set(ran: Ran) -> None:
    folder = ran("cf", "first", "0123456", protocol={"split": {"kind": "last_out"}})
    (one,) = look_at(find_entry(folder), Wanted("anna")).asked
    # Training: 0 1, valid 2, test 3; what is known has left the list.
    assert [item.id for item in one.case.history or ()] == ["i0", "i1"]
    assert one.case.right == (Item("i3", "Kettle"),)
    assert [slot.item.id for slot in one.lists[0]] == ["i3", "i4", "i5", "i6"]


def test_without_the_dataset_there_are_ids(ran: Ran, shop: Dataset, tmp_path: Path) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    dataset_folder("shop").rename(tmp_path / "elsewhere")
    look = look_at(find_entry(folder), Wanted("anna"))
    (one,) = look.asked
    assert [slot.item for slot in one.lists[0]] == [Item(f"i{n}") for n in range(4)]
    assert one.case.history is None and one.targets is None
    assert "the dataset shop is not here" in look.notes[0]
    given = look_at(find_entry(folder), Wanted("anna", dataset=str(tmp_path / "elsewhere")))
    assert given.asked[0].targets is not None and given.notes == ()
    _changed(shop).save(dataset_folder("shop"))
    look = look_at(find_entry(folder), Wanted("anna"))
    assert "the dataset shop here has other values" in look.notes[0]
    with pytest.raises(DataError, match="the run did not see shop as it is here"):
        look_at(find_entry(folder), Wanted("anna", dataset="shop"))


def _changed(shop: Dataset) -> Dataset:
    taken = shop.tables.interactions
    assert taken is not None
    return Dataset.create(shop.card, Tables(shop.tables.items, taken.head(11)))


def test_a_protocol_that_asks_otherwise_today_makes_nothing_up(ran: Ran) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    entry = find_entry(folder)
    older = Entry(entry.record.model_copy(update={"protocol_id": "0" * 12}), folder)
    look = look_at(older, Wanted("anna"))
    assert look.asked[0].targets is None
    assert "would ask other questions than the record's protocol" in look.notes[0]
    # Titles are those of the catalogue all the same.
    assert titles(slot.item for slot in look.asked[0].lists[0]) == TITLES_OF_FIRST


def test_without_lists_it_says_how_to_get_them(ran: Ran) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    (folder / "predictions.parquet").unlink()
    look = look_at(find_entry(folder), Wanted("anna"))
    (one,) = look.asked
    assert one.lists == ((),)
    assert [target.ranks for target in one.targets or ()] == [(4,)]  # by its mrr of 1/4
    assert "--limit 1000" in look.notes[0]


def test_who_was_not_asked_and_runs_that_failed(ran: Ran) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    entry = find_entry(folder)
    with pytest.raises(UsageError, match="no user 'ana' was asked about: did you mean anna"):
        look_at(entry, Wanted("ana"))
    with pytest.raises(UsageError, match="seqrec has no kinds of questions"):
        look_at(entry, Wanted("anna", kind="df"))
    failed = Entry(entry.record.model_copy(update={"status": "failed"}), folder)
    with pytest.raises(UsageError, match="this run failed, so it showed nobody anything"):
        look_at(failed, Wanted("anna"))
    (folder / "predictions.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="unreadable table"):
        look_at(entry, Wanted("anna"))
    (folder / "per_user.parquet").unlink()
    with pytest.raises(UsageError, match="table of values per unit is gone"):
        look_at(entry, Wanted("anna"))


def test_broken_records_beside_it_do_not_hide_it(ran: Ran) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    other = ran("seqrec", "second", "0123456", protocol=LAST_OUT)
    (other / "record.json").write_text("{")
    look = look_at(find_entry(folder), Wanted("anna"))
    assert len(look.models) == 1
    assert look.notes == ("1 record beside it cannot be read",)


def test_a_record_taken_out_of_its_results_stands_alone(ran: Ran, tmp_path: Path) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    ran("seqrec", "second", "0123456", protocol=LAST_OUT)
    apart = folder.rename(tmp_path / "apart")
    look = look_at(find_entry(apart), Wanted("anna"))
    assert len(look.models) == 1 and "lies apart from its plan's results" in look.notes[0]


def call(text: str) -> Call:
    return Call("k", "p", text, "stop", None, 20, 3, 0.25)


def test_what_a_language_model_was_asked_and_said(ran: Ran, shop: Dataset) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    kept = Transcript()
    anna, ben = (shop.user_ids.to_list().index(name) for name in ("anna", "ben"))
    asked = [{"role": "user", "content": "Took:\n(1) Tea\x1b[2J"}]
    # A server may cut an answer in the middle of a character.
    kept.add(anna, [3], asked, call("The Kettle\x07\ud83d"), "nearest")
    kept.add(ben, [3], asked, call("Tea"), "nearest")
    # Item 6 is not in what the test part has of anna: it was asked for validation.
    kept.add(anna, [6], asked, call("Atlas"), "nearest")
    path = folder / "calls.jsonl.zst"
    ids = shop.item_ids
    write_transcript(
        path, kept, lambda r: shop.everyone.gather(r).to_list(), lambda r: ids.gather(r).to_list()
    )
    calls = look_at(find_entry(folder), Wanted("anna")).calls
    assert calls is not None
    (one,) = calls.lines
    assert one.prompt == (("user", "Took:\n(1) Tea [2J"),)
    assert (one.answer, one.status, one.items) == ("The Kettle ?", "nearest", ("i3",))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="kept answers are damaged"):
        look_at(find_entry(folder), Wanted("anna"))


def test_a_model_that_wrote_nothing_says_so(ran: Ran) -> None:
    folder = ran("seqrec", "first", "0123456", protocol=LAST_OUT)
    path = folder / "record.json"
    record = read_sealed(path)
    record["spec"]["params"] = {"model": "gpt2"}
    path.write_text(json.dumps(record), encoding="utf-8")
    (note, other) = look_at(find_entry(folder), Wanted("anna")).notes
    assert "lies apart" in note  # its folder is not called as its spec now says
    assert "what the language model read is not kept" in other and "--dry-run" in other


def test_questions_with_what_each_model_answered(ran: Ran, shop: Dataset) -> None:
    def table(answers: list[str | None]) -> pl.DataFrame:
        status = ["answered" if one else "unparsed" for one in answers]
        return pl.DataFrame(
            {
                "user_id": ["anna", "anna", "ben"],
                "kind": ["df", "li", "df"],
                "question": ["Which was first?", "What does anna like?", "And ben?"],
                "options": [["Tea", "Cup\x1b[2J"], ["Tea", "Cup"], ["Tea", "Cup"]],
                "gold": ["Cup\x1b[2J", "Tea", "Tea"],
                "answer": answers,
                "status": status,
            }
        )

    folders = [ran("seqrec", name, "0123456", protocol=LAST_OUT) for name in ("one", "two")]
    for folder, answers in zip(folders, (["Tea", "Tea", "Tea"], [None, "Cup", "Tea"]), strict=True):
        table(answers).write_parquet(folder / "predictions.parquet")  # type: ignore[arg-type]
    tables = [find_entry(folder).table(LISTS, ["anna"]) for folder in folders]
    first, second = questions_about([*tables, None])
    assert (first.number, first.kind, first.gold) == (1, "df", 1)
    assert first.options == ("Tea", "Cup [2J")
    assert first.answers == (0, None, None)
    assert first.status == ("answered", "unparsed", "not asked")
    assert second.answers == (0, 1, None)
