"""UQABench's Arrow files: small ones of their format, with a tokenizer of a few words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tokenizers import Tokenizer, decoders, models

from tastebench.data.catalog import load_dataset
from tastebench.data.questions import QuestionSpec, generate
from tastebench.data.questions.check import check
from tastebench.data.sources.uqabench import UQABENCH
from tastebench.errors import DataError

WORDS = ["红", "茶杯", "厨房", "乐", "店", "灯", "家", "<pad>", "绿", "蓝"]
RED_CUP, LAMP = [0, 1], [5]


def event(item: int, title: list[int], kind: int = 2, brand: int = 3) -> dict[str, Any]:
    """One event: names of the file's columns without their frame, ids and tokens."""
    return {
        "item_id": [item],
        "cate_id": [kind],
        "brand_id": [brand],
        "shop_id": [7],
        "seller_id": [8],
        "title_bpe_token_ids": title,
        "cate_bpe_token_ids": [kind],
        "brand_bpe_token_ids": [brand] if brand else [],
        "shop_bpe_token_ids": [3, 4],
        "seller_bpe_token_ids": [6],
    }


def users(*sequences: list[dict[str, Any]]) -> pl.DataFrame:
    names = list(event(0, []))
    return pl.DataFrame(
        {f"uni_seq_{name}": [[e[name] for e in own] for own in sequences] for name in names},
        schema={f"uni_seq_{name}": pl.List(pl.List(pl.Int64)) for name in names},
    )


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    folder = tmp_path / "datas"
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, "<pad>"))
    tokenizer.decoder = decoders.Fuse()
    tokenizer.save(str(folder / "tokenizer.json"))
    train = users(
        [event(11, RED_CUP), event(12, LAMP, kind=6, brand=0), event(11, RED_CUP)],
        [],
        [event(12, [], kind=6)],
    )
    train.write_ipc(folder / "pretrain_data_train.arrow")
    users([event(13, [8, 1])]).write_ipc_stream(folder / "pretrain_data_eval.arrow")
    return tmp_path


def test_a_row_is_a_user_and_numbers_are_words(raw: Path) -> None:
    tables = UQABENCH.read(raw)
    assert tables.interactions is not None
    assert tables.interactions.select("user_id", "item_id", "row").rows() == [
        ("train-0", "11", 0),
        ("train-0", "12", 1),
        ("train-0", "11", 2),
        ("train-2", "12", 3),
        ("eval-0", "13", 4),
    ]
    assert tables.items.drop("category_id", "seller_id").rows() == [
        ("11", "红茶杯", "厨房", "乐", "乐店", "家", 3, 7),
        ("12", "灯", "家", None, "乐店", "家", 0, 7),
        ("13", "绿茶杯", "厨房", "乐", "乐店", "家", 3, 7),
    ]


def test_without_the_eval_file_there_are_fewer_users(raw: Path) -> None:
    (raw / "datas" / "pretrain_data_eval.arrow").unlink()
    tables = UQABENCH.read(raw)
    assert tables.interactions is not None
    assert set(tables.interactions["user_id"]) == {"train-0", "train-2"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"uni_seq_brand_id": [[[3]], [], [[3]]]}, "no user whose columns are equally long"),
        ({"uni_seq_item_id": [[[1], [], [1]], [], [[2]]]}, "whose events have one id a column"),
        ({"uni_seq_title_bpe_token_ids": [[[99]] * 3, [], [[1]]]}, "has the token 99, and the"),
        ({"uni_seq_shop_id": [[1.5], [], [2.5]]}, "not lists of lists of numbers"),
    ],
)
def test_rows_that_cannot_be_meant(raw: Path, change: dict[str, Any], message: str) -> None:
    path = raw / "datas" / "pretrain_data_train.arrow"
    frame = pl.read_ipc(path.read_bytes())
    frame.with_columns(**{name: pl.Series(value) for name, value in change.items()}).write_ipc(path)
    with pytest.raises(DataError, match=message) as caught:
        UQABENCH.read(raw)
    assert "datas" in str(caught.value.where) or caught.value.where == str(raw)


def test_files_that_are_not_those(raw: Path) -> None:
    path = raw / "datas" / "pretrain_data_train.arrow"
    path.write_bytes(b"no arrow")
    with pytest.raises(DataError, match="the file cannot be read"):
        UQABENCH.read(raw)
    pl.DataFrame({"text": ["a"]}).write_ipc(path)
    with pytest.raises(DataError, match="columns are missing: uni_seq_item_id, "):
        UQABENCH.read(raw)
    (raw / "datas" / "tokenizer.json").write_text(json.dumps({"a": 1}))
    with pytest.raises(DataError, match="this is no tokenizer"):
        UQABENCH.read(raw)


def test_questions_can_be_asked_of_it(raw: Path) -> None:
    tokens = [[i, j] for i in (0, 8, 9) for j in (1, 5, 6)]
    sequences = [
        [
            event(e, tokens[e], kind=(0, 8, 9, 6)[e % 4], brand=(3, 4, 5, 6)[e % 4])
            for e in ((u * 7 + i * (u % 4 + 1)) % len(tokens) for i in range(14 + u % 9))
        ]
        for u in range(40)
    ]
    users(*sequences).write_ipc(raw / "datas" / "pretrain_data_train.arrow")
    dataset = load_dataset("uqabench", raw=raw)
    spec = QuestionSpec(
        language="zh", questions=60, train_questions=60, ratios=(0.5, 0.0, 0.5), options=2
    )
    made = generate(dataset, spec)
    assert [rule.name for rule in made.attributes] == ["title", "category", "brand"]
    assert made.counts["attributes_with_too_few_values"] == {"shop": 1}
    assert len(made.parts["test"]) >= 40
    assert check(dataset, made.table, spec, made.attributes) == []
