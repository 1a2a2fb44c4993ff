"""What keeping item vectors saves when NRMS and NAML are evaluated on MicroLens.

    python benchmarks/click_caching.py [--raw FOLDER] [--pages 500] [--quick]

Needs RecBench's view of MicroLens (`tastebench data get recbench/microlens`, or its raw files in
`--raw`). A page is what one user was shown, asked as a request of its own, one thread; pages are
taken evenly from all of the test part. Networks are as they were made: weights change no time. That
the scores are the same to 1e-5 is checked before a time is printed. What a page saves is paid for
once, by the vectors of all items; an evaluation (`score_all`) also reads many users at once.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from tastebench.contracts import FitReport, Items
from tastebench.data.catalog import load_dataset
from tastebench.data.dataset import Dataset
from tastebench.recommenders import get_recommender
from tastebench.recommenders.ctr.click_model import ClickModel, Keep
from tastebench.tasks import NO_FORMS, TASKS
from tastebench.tasks.shown import Shown, limited, score, score_all

KEPT: tuple[Keep, ...] = ("nothing", "items", "users")
MODELS = {"nrms": "NRMS", "naml": "NAML"}


def main() -> None:
    """Prints Markdown tables."""
    options = arguments()
    torch.set_num_threads(1)
    dataset = load_dataset("recbench/microlens", raw=options.raw)
    task = TASKS.get("ctr")
    protocol = task.protocol(dataset)
    problem = task.problem(dataset, protocol)
    shown: Any = task.ask(problem, protocol, "test", NO_FORMS)
    pages = limited(shown, options.pages)
    print(
        f"{len(shown.candidates):,} pages of {len(shown) / len(shown.candidates):.1f} candidates, "
        f"{dataset.n_items:,} items; {len(pages.candidates):,} pages timed\n"
    )
    print("| model | way | ms a page | seconds for all pages | times |\n|---|---|---|---|---|")
    latencies = {}
    for name, label in MODELS.items():
        made = untrained(name, problem, texts(dataset))
        whole(label, made, pages, shown, options)
        latencies[label] = alone(made, pages, options)
    print("\n| one candidate, ms | nothing kept | items kept | items and users kept |")
    print("|---|---|---|---|")
    for label, found in latencies.items():
        print(f"| {label} | " + " | ".join(f"{found[what]:.3f}" for what in KEPT) + " |")


def texts(dataset: Dataset) -> Items:
    """Items as their titles."""
    titles = dataset.tables.items["title"].fill_null("").to_list()
    return Items(dataset.n_items, text=titles, columns={"title": titles}, forms=("text",))


class Untrained:
    """A trainer that leaves a network as it was made."""

    seed = 0
    directory: Path | None = None
    validate: Callable[[], float] | None = None

    def rng(self, name: str) -> np.random.Generator:
        """Any generator will do."""
        return np.random.default_rng(0)

    def fit(self, module: Any, *rest: Any) -> FitReport:
        """Only says that training is over."""
        module.eval()
        return FitReport(parameters=0, seconds=0.0)


def untrained(name: str, problem: Any, items: Items) -> ClickModel:
    """A model with the vocabulary of all training items."""
    card = get_recommender(name)
    made = card.build(card.config())
    assert isinstance(made, ClickModel)
    made.fit(problem, items, Untrained())
    return made


def whole(
    label: str, made: ClickModel, pages: Shown, shown: Shown, options: argparse.Namespace
) -> None:
    """Prints what all pages take with nothing and with items kept, in turns.

    Raises:
        AssertionError: What is kept changes a score.
    """
    times: dict[Keep, list[float]] = {"nothing": [], "items": []}
    tables, evaluations, scores = [], [], {}
    for _ in range(options.repeats):
        for what, spent in times.items():
            made.keep(what)
            if what == "items":
                # The first request makes the vectors of all items.
                tables.append(timed(lambda: score(made, pages.candidates[:1]))[0])
                evaluations.append(timed(lambda: score_all(made, shown.candidates))[0])
            taken, scores[what] = timed(lambda: page_by_page(made, pages))
            spent.append(taken)
    assert scores["items"].std() > 0, "all candidates score alike"
    np.testing.assert_allclose(scores["items"], scores["nothing"], rtol=0, atol=1e-5)

    each = {what: median(spent) / len(pages.candidates) for what, spent in times.items()}
    nothing, items = (len(shown.candidates) * each[what] for what in KEPT[:2])
    table = median(tables)
    for way, page, seconds in (
        ("nothing kept, page by page", f"{1e3 * each['nothing']:.2f}", nothing),
        ("**items kept, page by page** (to reach: 10)", f"{1e3 * each['items']:.2f}", items),
        ("the same, and making the vectors of all items", "", items + table),
        ("an evaluation, and making the vectors", "", median(evaluations) + table),
    ):
        print(f"| {label} | {way} | {page} | {seconds:.1f} | {nothing / seconds:.1f} |")


def page_by_page(made: ClickModel, pages: Shown) -> np.ndarray:
    """The scores of all pages, a request each."""
    candidates = pages.candidates
    return np.concatenate([score(made, candidates[i : i + 1]) for i in range(len(candidates))])


def alone(made: ClickModel, pages: Shown, options: argparse.Namespace) -> dict[Keep, float]:
    """Median milliseconds of a request with one candidate; users were asked about before."""
    rows = np.arange(options.requests) * len(pages) // options.requests
    found: dict[Keep, float] = {}
    for what in KEPT:
        made.keep(what)
        if what == "users":
            for row in rows:
                pages.request(made, row)
        pages.request(made, 0)
        times = []
        for row in rows:
            began = time.perf_counter()
            pages.request(made, row)
            times.append(time.perf_counter() - began)
        found[what] = 1e3 * median(times)
    return found


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what it made."""
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made


def arguments() -> argparse.Namespace:
    """Command-line options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--raw", type=Path, help="folder with the raw files of MicroLens-50k")
    parser.add_argument("--pages", type=int, default=500, help="users whose page is timed")
    parser.add_argument("--requests", type=int, default=500, help="candidates asked alone")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a first look: few pages, once")
    options = parser.parse_args()
    if options.quick:
        options.pages, options.requests = min(options.pages, 50), min(options.requests, 50)
        options.repeats = 1
    return options


if __name__ == "__main__":
    main()
