from __future__ import annotations

import numpy as np
import pytest

from tastebench.board.borda import final_ranks, overall_average, task_average
from tastebench.board.published import get_published, names
from tastebench.errors import UsageError

BLAIR = get_published("blair")
PARTS = ("seqrec", "cf", "search:short", "search:complex")
DATASETS = (5, 6, 1, 2)

# Sequences and collaborative filtering, with PCA whitening and with truncated vectors.
ADAPTORS = {
    "Qwen/Qwen3-Embedding-8B": ((0.0415, 0.0362), (0.0359, 0.0392)),
    "gemini-embedding-001": ((0.0434, 0.0355), (0.0384, 0.0313)),
    "text-embedding-3-large": ((0.0440, 0.0366), (0.0383, 0.0379)),
}


def score(model: str, part: str) -> float:
    return next(row.scores[part] for row in BLAIR.rows if row.model == model)


def test_the_counts_add_up_and_contradict_two_printed_ranks() -> None:
    """T2."""
    counts = np.array([row.borda for row in BLAIR.rows])
    assert len(counts) == 11
    assert counts.sum() == 14 * 55 == 770
    ranks = dict(zip((r.model for r in BLAIR.rows), final_ranks(counts).tolist(), strict=True))
    printed = {row.model: row.rank for row in BLAIR.rows}
    assert {m: (printed[m], ranks[m]) for m in ranks if printed[m] != ranks[m]} == {
        "Qwen/Qwen3-Embedding-4B": (7, 6),
        "Qwen/Qwen3-Embedding-8B": (6, 7),
    }


def test_the_averages_follow_from_the_task_means() -> None:
    """T2: over 14 datasets weighted 5, 6, 1, 2, and over the four tasks."""
    tasks = np.repeat(PARTS, DATASETS).tolist()
    scores = np.array([[row.scores[part] for part in tasks] for row in BLAIR.rows])
    overall = [row.average_overall for row in BLAIR.rows]
    task = [row.average_task for row in BLAIR.rows]
    np.testing.assert_allclose(overall_average(scores), overall, atol=1.01e-4)
    np.testing.assert_allclose(task_average(scores, tasks), task, atol=1.01e-4)


def test_the_ablation_starts_from_the_table_and_truncation_wins_two_of_three_on_cf() -> None:
    for model, (pca, _) in ADAPTORS.items():
        assert pca == (score(model, "seqrec"), score(model, "cf")), model
    better = {model for model, (pca, mrl) in ADAPTORS.items() if mrl[1] > pca[1]}
    assert better == set(ADAPTORS) - {"gemini-embedding-001"}
    assert all(mrl[0] < pca[0] for pca, mrl in ADAPTORS.values())


def test_the_larger_of_a_family_is_better_at_cf_and_not_at_sequences() -> None:
    family = [f"Qwen/Qwen3-Embedding-{size}" for size in ("0.6B", "4B", "8B")]
    cf, seqrec = ([score(model, part) for model in family] for part in ("cf", "seqrec"))
    assert cf == sorted(cf) == [0.0274, 0.0350, 0.0362]
    assert seqrec[0] == seqrec[2] == 0.0415


def test_a_printed_board_names_its_source_and_an_unknown_one_the_known() -> None:
    assert names() == [
        "blair", "recbench", "recbench-next-item", "recbench-zero-shot", "uqabench",
        "uqabench-ablation", "uqabench-scaling",
    ]  # fmt: skip
    assert "Table 6" in BLAIR.source
    assert "nDCG@10" in BLAIR.protocol
    assert "4B is 6th" in BLAIR.note
    with pytest.raises(UsageError, match="no published board is called 'blir': did you mean blair"):
        get_published("blir")


# ------------------------------------------------------------------------------- RecBench's tables

RECBENCH = ("recbench", "recbench-zero-shot", "recbench-next-item")
FIVE = ("mind", "microlens", "goodreads", "cds", "hm")


@pytest.mark.parametrize(("name", "rows"), list(zip(RECBENCH, (27, 17, 18), strict=True)))
def test_the_overall_score_is_the_mean_of_five_data_sets(name: str, rows: int) -> None:
    """T13: five numbers and their mean are each rounded by at most 0.5e-4."""
    table = get_published(name)
    assert len(table.rows) == len({row.model for row in table.rows}) == rows
    task = "seqrec" if name.endswith("next-item") else "ctr"
    assert table.places == (*(f"{task}/recbench/{one}" for one in FIVE), "overall")
    for row in table.rows:
        *scores, overall = row.scores.values()
        assert overall == pytest.approx(np.mean(scores), abs=1.0001e-4), row.model
        assert (row.rank, row.borda, row.average_task) == (None, None, None)


def test_words_are_above_ids_and_vectors_above_words_overall() -> None:
    overall = {row.model: row.scores["overall"] for row in get_published("recbench").rows}
    for model in ("DNN", "DCNv2", "AutoInt", "GDCN"):
        assert overall[model] < overall[f"{model} text"] < overall[f"{model} emb"]
    # The paper's claims: over 5 % better than the best conventional model, which keeps 95 %.
    assert max(overall.values()) / overall["DNN emb"] - 1 == pytest.approx(0.057, abs=5e-4)


def test_what_is_odd_about_the_tables_is_said() -> None:
    table = get_published("recbench")
    assert table.metrics == ("gauc",)
    assert "captions say AUC" in table.note
    opt = next(row for row in table.rows if row.model == "OPT 1B")
    low = min(score for place, score in opt.scores.items() if place != "overall")
    assert low == opt.scores["ctr/recbench/hm"] == 0.5121
    assert "OPT 1B on H&M (0.5121, where BERT base has 0.8635)" in table.note


def test_printed_latencies_are_milliseconds_and_may_be_missing() -> None:
    fast, slow = (
        {row.model: row.latency_ms for row in get_published(name).rows} for name in RECBENCH[:2]
    )
    assert (fast["DNN"], fast["DNN emb"], fast["Mistral-2 7B"]) == (0.43, 1.32, 7680)
    assert fast["Mistral-2 7B"] / fast["DNN emb"] == pytest.approx(5818, abs=1)  # as the paper says
    assert (slow["Qwen-2 0.5B"], slow["GPT-3.5"]) == (543.73, None)
    assert all(row.latency_ms is None for row in BLAIR.rows)
