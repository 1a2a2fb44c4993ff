"""UQABench: clicks on Taobao, as its pre-training files have them.

A row of a file is a user, oldest event first, and every column a list as long as the user's
sequence, of lists: an id alone, or the tokens of a text. Texts are numbers of Qwen2.5's tokenizer,
so its `tokenizer.json` belongs to the files. There are no times. The files for alignment bring
sequences of their own, a row a question, and say of nobody who it is: they are not read, and
questions are made (`tastebench build questions`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from tastebench.data.card import Counts, DatasetCard, RawFile
from tastebench.data.schema import Tables
from tastebench.data.sources import Source
from tastebench.data.sources.reading import bad_rows, catalogue, find, need
from tastebench.errors import DataError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH = 20_000
"""Users that are unfolded at a time."""

_ITEM = "uni_seq_item_id"
_IDS = {
    "category_id": "uni_seq_cate_id",
    "brand_id": "uni_seq_brand_id",
    "shop_id": "uni_seq_shop_id",
    "seller_id": "uni_seq_seller_id",
}
_TEXTS = {
    "title": "uni_seq_title_bpe_token_ids",
    "category": "uni_seq_cate_bpe_token_ids",
    "brand": "uni_seq_brand_bpe_token_ids",
    "shop": "uni_seq_shop_bpe_token_ids",
    "seller": "uni_seq_seller_bpe_token_ids",
}
_COLUMNS = [_ITEM, *_IDS.values(), *_TEXTS.values()]
_NESTED = pl.List(pl.List(pl.Int64()))


def read(raw: Path) -> Tables:
    """Users of both parts, who are not the same people, and their items in words."""
    tokenizer = _tokenizer(need(raw, _TOKENIZER))
    interactions, items = [], []
    for name, path in (("train", need(raw, _TRAIN)), ("eval", find(raw, _EVAL))):
        if path is None:
            continue
        first = 0
        for users in _users(path):
            _check(users, path, first)
            events = users.with_row_index("user", offset=first).explode(_COLUMNS)
            events = events.drop_nulls(_ITEM)  # of users without an event
            _check_ids(events, path)
            events = events.with_columns(pl.col(_ITEM).list.first().alias("item_id"))
            interactions.append(
                events.select(
                    pl.format("{}-{}", pl.lit(name), "user").alias("user_id"),
                    pl.col("item_id").cast(pl.String),
                )
            )
            items.append(events.unique("item_id", keep="first", maintain_order=True).drop("user"))
            first += len(users)
    taken = pl.concat(interactions).with_row_index("row")
    known = pl.concat(items).unique("item_id", keep="first", maintain_order=True)
    return Tables(items=catalogue(taken, _in_words(known, tokenizer, raw)), interactions=taken)


def _users(path: Path) -> Iterator[pl.DataFrame]:
    """The rows of an Arrow file or stream, some at a time, with our columns as nested lists."""
    try:
        with path.open("rb") as file:
            is_file = file.read(6) == b"ARROW1"
        whole = pl.scan_ipc(path) if is_file else pl.read_ipc_stream(path).lazy()
        schema = whole.collect_schema()
        rows = int(whole.select(pl.len()).collect().item())
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"the file cannot be read: {str(error).splitlines()[0]}",
            where=str(path),
            fix="get the original file again: it is Arrow IPC",
        ) from error
    lacking = [name for name in _COLUMNS if name not in schema]
    if lacking:
        raise DataError(
            f"columns are missing: {', '.join(lacking)}",
            where=str(path),
            fix="give the folder with UQABench's pretrain_data_train.arrow",
        )
    other = [name for name in _COLUMNS if not _is_nested(schema[name])]
    if other:
        raise DataError(
            f"column {other[0]} holds {schema[other[0]]}, not lists of lists of numbers",
            where=str(path),
        )
    for start in range(0, rows, _BATCH):
        yield whole.slice(start, _BATCH).select(pl.col(_COLUMNS).cast(_NESTED)).collect()


def _is_nested(dtype: pl.DataType) -> bool:
    inner = getattr(getattr(dtype, "inner", None), "inner", None)
    return inner is not None and inner.is_integer()


def _check(users: pl.DataFrame, path: Path, first: int) -> None:
    """Refuses rows whose columns are not equally long."""
    n = pl.col(_ITEM).list.len()
    same = pl.all_horizontal(pl.col(name).list.len() == n for name in _COLUMNS[1:])
    bad = users.select(~same.fill_null(False)).to_series().arg_true()
    if len(bad):
        rows = [first + int(row) + 1 for row in bad]
        raise bad_rows(path, rows, "no user whose columns are equally long")


def _check_ids(events: pl.DataFrame, path: Path) -> None:
    """Refuses events that are not of exactly one item, category, brand and so on."""
    one = pl.all_horizontal(pl.col(name).list.len() == 1 for name in (_ITEM, *_IDS.values()))
    bad = events.filter(~one.fill_null(False))["user"].unique(maintain_order=True)
    if len(bad):
        raise bad_rows(path, (bad + 1).to_list(), "no user whose events have one id a column")


# -------------------------------------------------------------------------------------- in words


def _tokenizer(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise DataError(
            f"this is no tokenizer: {str(error).splitlines()[0]}",
            where=str(path),
            fix="give the tokenizer.json of any Qwen2.5 model",
        ) from error


def _in_words(items: pl.DataFrame, tokenizer: Tokenizer, raw: Path) -> pl.DataFrame:
    """item_id, the texts, and the ids of what they name."""
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    columns = [items["item_id"].cast(pl.String)]
    for name, column in _TEXTS.items():
        tokens = items[column].fill_null([])
        highest = tokens.list.max().max()
        if isinstance(highest, int) and highest >= size:
            raise DataError(
                f"a {name} has the token {highest:,}, and the tokenizer has {size:,}",
                where=str(raw),
                fix="give the tokenizer.json of any Qwen2.5 model",
            )
        texts = tokenizer.decode_batch(tokens.to_list(), skip_special_tokens=True)
        stripped = pl.Series(name, texts, dtype=pl.String).str.strip_chars()
        columns.append(stripped.replace("", None))
    columns += [items[column].list.first().alias(name) for name, column in _IDS.items()]
    return pl.DataFrame(columns)


def _arrow(name: str, required: bool = True) -> RawFile:
    path = f"pretrain_data_{name}.arrow"
    return RawFile(path=path, also=(f"datas/{path}",), required=required)


_TRAIN, _EVAL = _arrow("train"), _arrow("eval", required=False)
_TOKENIZER = RawFile(path="tokenizer.json", also=("datas/tokenizer.json",))

UQABENCH = Source(
    DatasetCard(
        name="uqabench",
        title="UQABench (Taobao)",
        summary="Clicks on Taobao with titles, categories, brands and shops in Chinese.",
        source="https://github.com/OpenStellarTeam/UQABench",
        licence="no licence stated for the data",
        citation=(
            "Langming Liu, Shilei Liu, Yujin Yuan, Yizhen Zhang, Bencheng Yan, Zhiyuan Zeng, "
            "Zihao Wang, Jiaqi Liu, Di Wang, Wenbo Su, Pengjie Wang, Jian Xu and Bo Zheng. 2025. "
            "UQABench: Evaluating User Embedding for Prompting LLMs in Personalized Question "
            "Answering. KDD. https://arxiv.org/abs/2502.19178"
        ),
        language="zh",
        text_columns=("title", "category", "brand", "shop"),
        files=(_TRAIN, _EVAL, _TOKENIZER),
        about=Counts(items=994_447, interactions=31_317_087),
        seen_on="format",
        notes=(
            "tokenizer.json is that of any Qwen2.5 model: texts are numbers of its tokens.",
            "There are no times, and what a user is called is the row of the file.",
            "The questions of the release (align_data_*.arrow) are not read.",
        ),
    ),
    read,
)
