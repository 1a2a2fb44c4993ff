"""How long it takes to compare two models user by user, beside SciPy's own functions.

    python benchmarks/significance.py [--users 22363] [--resamples 10000] [--scipy]

Seconds of the processor, so that other work on the machine does not count. 22,363 users are
Amazon's Beauty 2014; above 20,000 draws are normal, so 20,000 users are shown too: the longest that
everything is drawn. SciPy's takes all resamples at a time or in batches, and is run where asked.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import stats

from tastebench.board.significance import paired, sign_flip
from tastebench.metrics.resample import resampled_means


def seconds(work: Callable[[], object]) -> float:
    """Processor time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def values(users: int, seeds: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two models whose users differ much, and they little."""
    base = rng.random((users, 1))
    return tuple(base + rng.normal(0, 0.1, (users, seeds)) for _ in range(2))  # type: ignore[return-value]


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=22_363)
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--scipy", action="store_true", help="SciPy's bootstrap and permutations")
    options = parser.parse_args()
    rng, n = np.random.default_rng(0), options.resamples
    print(f"{n:,} resamples, seconds of one core\n\n| what | users | seconds |\n|---|---|---|")
    for users in dict.fromkeys([options.users, 20_000, 2_000]):
        a, b = values(users, 1, rng)
        d = (a - b)[:, 0]
        work: dict[str, Callable[[], object]] = {
            "everything, one seed": lambda a=a, b=b: paired(a, b, resamples=n),
            "everything, three seeds each": lambda u=users: paired(*values(u, 3, rng), resamples=n),
            "of it the interval": lambda d=d: resampled_means(d[:, None], None, rng, n),
            "of it the sign-flip test": lambda d=d: sign_flip(d, rng, n),
        }
        if options.scipy:
            work["scipy bootstrap, percentile"] = lambda d=d: stats.bootstrap(
                (d,), np.mean, n_resamples=n, batch=100, method="percentile", rng=rng
            )
            work["scipy permutation_test, samples"] = lambda d=d: stats.permutation_test(
                (d,),
                lambda x, axis: x.sum(axis=axis),
                permutation_type="samples",
                n_resamples=n,
                batch=100,
                vectorized=True,
                rng=rng,
            )
        for what, one in work.items():
            print(f"| {what} | {users:,} | {seconds(one):.2f} |", flush=True)


if __name__ == "__main__":
    main()
