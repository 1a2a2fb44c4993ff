"""BM25 over 100,000 texts for 1,000 queries: exact ranks of the answers, and the top 100.

    python benchmarks/bm25.py [--texts 100000] [--queries 1000] [--k 100] [--repeats 5]

Texts and queries are drawn from a Zipf vocabulary of 50,000 words; a query is six words of a text,
its answer. Times are warm: the index is made and what compiles is compiled. bm25s and tantivy give
the best k; rank_bm25 gives all scores and runs on fifty queries, scaled up. Ours is timed for both:
the exact rank of each answer among all texts (what a task needs), and the best k.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median

import numpy as np

from tastebench.contracts import Items, Queries
from tastebench.ragged import Ragged
from tastebench.recommenders.baselines.bm25 import BM25, BM25Config
from tastebench.tasks.rank import rank_targets, top_k

VOCABULARY = 50_000


def corpus(n: int) -> list[list[str]]:
    """Texts of 5 to 24 words."""
    rng = np.random.default_rng(0)
    chance = 1 / np.arange(1, VOCABULARY + 1)
    lengths = rng.integers(5, 25, n)
    words = rng.choice(VOCABULARY, lengths.sum(), p=chance / chance.sum())
    return [[f"w{word}" for word in text] for text in np.split(words, np.cumsum(lengths)[:-1])]


def ours(
    texts: list[list[str]], queries: list[list[str]], answers: np.ndarray, k: int
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Both of our questions."""
    recommender = BM25(BM25Config())
    items = Items(n=len(texts), text=[" ".join(text) for text in texts])
    recommender.fit(None, items, None)  # type: ignore[arg-type]
    asked = Queries(len(queries), text=[" ".join(query) for query in queries])
    relevant = Ragged(answers, np.arange(len(answers) + 1))
    yield "ours, exact ranks", lambda: rank_targets(recommender, asked, relevant, len(texts))
    yield f"ours, top {k}", lambda: top_k(recommender, asked, k, len(texts))


def bm25s_numba(
    texts: list[list[str]], queries: list[list[str]], k: int
) -> tuple[str, Callable[[], object]]:
    """The library's own retrieval, on as many threads as it is given by default (one)."""
    import bm25s

    engine = bm25s.BM25(method="lucene", backend="numba")
    engine.index(texts, show_progress=False)
    return f"bm25s numba, top {k}", lambda: engine.retrieve(queries, k=k, show_progress=False)


def rank_bm25_scaled(
    texts: list[list[str]], queries: list[list[str]]
) -> tuple[str, Callable[[], object], float]:
    """Fifty queries; the factor makes them all."""
    from rank_bm25 import BM25Okapi

    engine = BM25Okapi(texts)
    some = queries[:50]
    factor = len(queries) / len(some)
    return "rank_bm25 (scaled)", lambda: [engine.get_scores(query) for query in some], factor


def tantivy_search(
    texts: list[list[str]], queries: list[list[str]], k: int
) -> tuple[str, Callable[[], object]]:
    """One search a query."""
    import tantivy

    schema = tantivy.SchemaBuilder().add_text_field("text", stored=False).build()
    index = tantivy.Index(schema)
    writer = index.writer()
    for text in texts:
        writer.add_document(tantivy.Document(text=" ".join(text)))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    searcher = index.searcher()
    parsed = [index.parse_query(" ".join(query), ["text"]) for query in queries]
    return f"tantivy, top {k}", lambda: [searcher.search(query, k) for query in parsed]


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median wall time after one call that does not count."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return median(times)


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    texts = corpus(options.texts)
    rng = np.random.default_rng(1)
    answers = rng.choice(options.texts, options.queries, replace=False)
    queries = [list(rng.choice(texts[answer], 6)) for answer in answers]

    print(f"{options.texts:,} texts, {options.queries:,} queries, warm")
    print("\n| what | seconds |\n|---|---|")
    for name, work in ours(texts, queries, answers, options.k):
        print(f"| {name} | {seconds(work, options.repeats):.3f} |")
    name, work = bm25s_numba(texts, queries, options.k)
    print(f"| {name} | {seconds(work, options.repeats):.3f} |")
    if find_spec("tantivy"):
        name, work = tantivy_search(texts, queries, options.k)
        print(f"| {name} | {seconds(work, options.repeats):.3f} |")
    else:
        print("| tantivy | not installed |")
    if find_spec("rank_bm25"):
        name, work, factor = rank_bm25_scaled(texts, queries)
        print(f"| {name} | {factor * seconds(work, 1):.1f} |")
    else:
        print("| rank_bm25 | not installed |")


if __name__ == "__main__":
    main()
