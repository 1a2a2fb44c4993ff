"""The fingerprint of files against that of the same tables in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tastebench.data import fingerprint as module
from tastebench.data.fingerprint import file_fingerprint, fingerprint
from tastebench.data.schema import Tables

TEXT = st.none() | st.text(st.sampled_from("aü€𝄞\0 "), max_size=4)
ROW = st.fixed_dictionaries(
    {
        "item_id": st.text(st.sampled_from("ab€"), max_size=3),
        "title": TEXT,
        "tags": st.none() | st.lists(TEXT, max_size=3),
        "price": st.none() | st.sampled_from([0.0, -0.0, 1.5, float("inf"), float("nan")]),
        "stock": st.none() | st.integers(-(2**63), 2**63 - 1),
        "sold": st.none() | st.booleans(),
    }
)
TYPES: dict[str, Any] = {
    "item_id": pl.String,
    "title": pl.String,
    "tags": pl.List(pl.String),
    "price": pl.Float64,
    "stock": pl.Int64,
    "sold": pl.Boolean,
}


@settings(max_examples=60, deadline=None)
@given(st.lists(ROW, max_size=40), st.integers(1, 11), st.integers(1, 9))
def test_files_have_the_fingerprint_of_their_tables(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], read: int, group: int
) -> None:
    """However the file is cut into row groups, and whatever is read at a time."""
    frame = pl.DataFrame(rows, schema=TYPES)
    path = tmp_path_factory.mktemp("files") / "items.parquet"
    frame.write_parquet(path, row_group_size=group)
    arrays = {"truth": np.arange(3)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_READ", read)
        found = file_fingerprint({"items": path}, arrays)
    assert found == fingerprint(Tables(frame, arrays=arrays))


def test_a_value_less_is_another_fingerprint(tmp_path: Path) -> None:
    frame = pl.DataFrame({"item_id": ["a", "b"], "title": ["x", None]})
    path = tmp_path / "items.parquet"
    frame.write_parquet(path)
    assert file_fingerprint({"items": path}, {}) == fingerprint(Tables(frame))
    assert file_fingerprint({"items": path}, {}) != fingerprint(Tables(frame.head(1)))
    # The empty text and none are two things.
    assert fingerprint(Tables(frame)) != fingerprint(Tables(frame.fill_null("")))
