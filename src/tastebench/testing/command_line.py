"""The command line as somebody types it: a process of its own, in a folder, with a home there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What `tastebench ARGUMENTS` printed in a folder; it has to succeed."""
    done = subprocess.run(  # noqa: S603 - this very program
        [sys.executable, "-m", "tastebench.cli", *arguments],
        cwd=folder,
        env={**os.environ, "TASTEBENCH_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
