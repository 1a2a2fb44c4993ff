"""Amazon Video Games as DEALRec has it: numbered sequences in three parts, titles and shelves."""

from __future__ import annotations

from functools import partial

from tastebench.data.card import Counts, DatasetCard, RawFile, SplitSpec
from tastebench.data.schema import PARTS
from tastebench.data.sources import Source, dealrec

_SEQUENCES = tuple(
    RawFile(
        path=f"sequential_{part}.txt",
        also=(f"data/games/sequential_{part}.txt",),
        url=f"{dealrec.SITE}/data/games/sequential_{part}.txt",
        sha256=sha256,
    )
    for part, sha256 in zip(
        PARTS,
        (
            "2cf292f2098254781d312c98ba824af7c9e07748d05fe09ab6c1b443ace71c26",
            "43ffe2fea62b09b3ce00bd9821eecfd94fb924abd289ab017fabdd7282d25c9d",
            "f34272dc8a352f4f242c014835b3d65e6c0049bb1d1e35c8bc61cfbedc3dcbea",
        ),
        strict=True,
    )
)


GAMES = Source(
    DatasetCard(
        name="games",
        title="Amazon Video Games sequences",
        summary=(
            "What people reviewed in Video Games on Amazon, in order and without times, split into "
            "train, valid and test at two moments: the data of DEALRec."
        ),
        source="https://github.com/Linxyhaha/DEALRec",
        licence="no licence stated; offered by UCSD for research; do not redistribute",
        citation=(
            "Jianmo Ni, Jiacheng Li and Julian McAuley. 2019. Justifying Recommendations using "
            "Distantly-Labeled Reviews and Fine-Grained Aspects. EMNLP. Sequences as released with "
            "Xinyu Lin et al. 2024. Data-efficient Fine-tuning for LLM-based Recommendation. SIGIR."
        ),
        text_columns=("title", "categories"),
        splits={"seqrec": SplitSpec(kind="given"), "cf": SplitSpec(kind="given")},
        files=(
            *_SEQUENCES,
            dealrec.TITLES,
            dealrec.SHELVES,
            dealrec.ITEMS,
            dealrec.USERS,
        ),
        known=Counts(users=49_156, items=17_332, interactions=342_329),
        seen_on="real",
        notes=(
            "There is order only, no time: a row's position is its place in time.",
            "The maps were released as pickled arrays, not opened here: bring them as JSON.",
        ),
    ),
    partial(dealrec.read, sequences=_SEQUENCES),
)
