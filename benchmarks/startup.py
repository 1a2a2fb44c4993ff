"""How long does `tastebench --help` take, as a whole process?

    python benchmarks/startup.py

The peer is the interpreter itself: what no Python program can be faster than.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 21
TOOL = str(Path(sys.executable).parent / "tastebench")
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "tastebench --help": [TOOL, "--help"],
    "tastebench run --help": [TOOL, "run", "--help"],
    "tastebench data --help": [TOOL, "data", "--help"],
}


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Prints the table."""
    for command in COMMANDS.values():
        seconds(command)  # byte code is compiled once
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(REPEATS):  # in turn, so that a slow moment hits all alike
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    print(f"median of {REPEATS} runs, to reach: 0.3 s\n")
    print("| command | seconds |\n|---|---|")
    for name, times in taken.items():
        print(f"| `{name}` | {statistics.median(times):.3f} |")


if __name__ == "__main__":
    main()
