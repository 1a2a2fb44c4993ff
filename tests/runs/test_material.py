"""What the encode step knows of vectors reaches who reads them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tastebench.contracts import FORMS, EncoderCard, Role
from tastebench.data.dataset import Dataset
from tastebench.errors import UsageError
from tastebench.runs.encode import EncodeJob, encode
from tastebench.runs.job import Surroundings
from tastebench.runs.material import MADE, Vectors, items_for
from tastebench.runs.spec import RunSpec


class Constant:
    """Vectors of one direction."""

    def __init__(self, nested: bool) -> None:
        self.card = EncoderCard("constant", revision="1", dimensions=3, nested=nested)

    def encode(self, texts: Sequence[str], role: Role = "item") -> np.ndarray:
        return np.ones((len(texts), 3), dtype=np.float32)


@pytest.mark.parametrize("nested", [True, False])
def test_items_know_whether_their_vectors_are_nested(
    tiny: Dataset, tmp_path: Path, nested: bool
) -> None:
    """T9: the encoder's card says it, and the vectors are read in another process."""
    job = EncodeJob(tmp_path, "tiny", "f", "constant", "constant", "1", "title", (), 0.0, 1)
    encode(job, Constant(nested), Surroundings())
    spec = RunSpec(
        task="cf",
        dataset="tiny",
        recommender="alpharec",
        representation="vector",
        encoder="constant",
        text_recipe="title",
    )
    items = items_for(spec, tiny, Vectors.read(job.result))
    assert items.nested is nested
    assert items.vector is not None and items.vector.shape == (tiny.n_items, 3)


@pytest.mark.parametrize("form", sorted(MADE - {"vector", "code", "truth"}))
def test_forms_that_are_made(tiny: Dataset, form: str) -> None:
    spec = RunSpec(task="ctr", dataset="tiny", recommender="dnn", representation=form)
    assert items_for(spec, tiny, None).forms == (form,)


def test_codes_reach_who_reads_them(tiny: Dataset) -> None:
    codes = np.zeros((tiny.n_items, 2), dtype=np.int64)
    spec = RunSpec(task="ctr", dataset="tiny", recommender="dnn", representation="id+code")
    assert items_for(spec, tiny, None, codes).code is codes


def test_every_form_is_made_and_others_are_refused(tiny: Dataset) -> None:
    """Plans are refused before: this is for who builds a run by hand."""
    assert set(FORMS) == MADE
    spec = RunSpec(task="ctr", dataset="tiny", recommender="dnn", representation="scent")
    with pytest.raises(UsageError, match="items have no form 'scent' here"):
        items_for(spec, tiny, None)
