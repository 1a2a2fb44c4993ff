"""What `make audit` does: dangerous calls, licences of what is installed with us, known weaknesses.

    python tools/audit.py            all three; the last says where it had no network
    python tools/audit.py --write    writes docs/licences.json anew, after a look at what changed

Bandit reports from medium severity on: what is below is what ruff's S rules hold the source to.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.markers import UndefinedEnvironmentName
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "licences.json"
PROJECT = "tastebench"

NOT_ASKED = {
    "B608": "the one query is made of parameter names; ruff's S608 is lifted beside it",
    "B615": "models are opened from folders with local_files_only, which tests/security holds",
}
"""Checks of bandit that say nothing here, and why."""

ALLOWED = re.compile(
    r"(?i)\b(MIT(-0|-CMU)?|BSD|BSD-[23]-Clause|0BSD|Apache|ISC|PSF|Python Software "
    r"Foundation|Zlib|CC0|BSL-1\.0|CNRI-Python|Unlicense|HPND|MPL|Mozilla Public License)"
)
"""Families that may be installed beside us; the Mozilla licence binds its own files alone."""
REFUSED = re.compile(r"(?i)\b(A?GPL|LGPL|GNU|SSPL|BUSL|Commons Clause|proprietary|CC-BY-NC)")
KNOWN = {
    "pycountry": "LGPL-2.1: comes with codecarbon (extra energy), unchanged and as a library of "
    "its own, which is what that licence asks for",
}
"""Reasoned exceptions, by package."""


def runtime() -> dict[str, metadata.Distribution]:
    """Everything that an installation with all extras brings, by name; not what only tests need."""
    found: dict[str, metadata.Distribution] = {}
    left = [(PROJECT, frozenset(metadata.metadata(PROJECT).get_all("Provides-Extra") or ()))]
    seen = set()
    while left:
        name, extras = left.pop()
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            one = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue  # for another platform, or an extra that is not installed
        found[re.sub(r"[-_.]+", "-", name).lower()] = one
        for text in one.requires or ():
            needed = Requirement(text)
            if _applies(needed, extras):
                left.append((needed.name, frozenset(needed.extras)))
    found.pop(PROJECT)
    return dict(sorted(found.items()))


def _applies(needed: Requirement, extras: frozenset[str]) -> bool:
    if needed.marker is None:
        return True
    try:
        return any(needed.marker.evaluate({"extra": extra}) for extra in (*extras, ""))
    except UndefinedEnvironmentName:
        return False


def licence(one: metadata.Distribution) -> str:
    """What a package says of its licence, in a line."""
    about = one.metadata
    said = about.get("License-Expression")
    classes = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or ()
        if text.startswith("License :: ") and not text.endswith("OSI Approved")
    ]
    text = said or "; ".join(classes) or (about.get("License") or "").strip().splitlines()[:1]
    return (text if isinstance(text, str) else next(iter(text), "")) or "unknown"


def check_licences(*, write: bool) -> list[str]:
    """What is wrong with the licences; compares with the table that is kept."""
    now = {name: licence(one) for name, one in runtime().items()}
    faults = [
        f"{name}: licence {text!r} is none of those allowed"
        for name, text in now.items()
        if (REFUSED.search(text) or not ALLOWED.search(text)) and name not in KNOWN
    ]
    if write:
        TABLE.write_text(json.dumps(now, indent=2) + "\n", encoding="utf-8")
    kept = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else {}
    told = "look at it, then python tools/audit.py --write"
    faults += [f"{name}: new, {now[name]}: {told}" for name in now.keys() - kept.keys()]
    faults += [
        f"{name}: was {kept[name]}, is {now[name]}: {told}"
        for name in now.keys() & kept.keys()
        if now[name] != kept[name]
    ]
    _say(f"licences: {len(now)} packages, {len(faults)} faults")
    return faults


def check_calls() -> list[str]:
    """What bandit finds from medium severity on."""
    command = [sys.executable, "-m", "bandit", "-q", "-ll", "-r", "src"]
    done = subprocess.run(  # noqa: S603 - fixed arguments
        [*command, "--skip", ",".join(NOT_ASKED)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    _say(f"bandit: {'nothing' if done.returncode == 0 else 'found something'}")
    return [] if done.returncode == 0 else [done.stdout + done.stderr]


def check_weaknesses() -> list[str]:
    """Known weaknesses of what is locked; where the service is out of reach that is said aloud."""
    lock = ROOT / "requirements-dev.lock"
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "-f", "json"]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments
            [*command, "--progress-spinner", "off", "-r", str(lock)],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        rows = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError, subprocess.TimeoutExpired):
        rows = []
    asked = [row for row in rows if "vulns" in row]
    if len(asked) < len(rows) or not rows:
        _say(
            f"!!! pip-audit: NOT DONE for {len(rows) - len(asked) or 'all'} packages: the advisory "
            "service does not answer here. Run make audit where there is a network"
        )
    else:
        _say(f"pip-audit: {len(asked)} packages asked for")
    return [
        f"{row['name']} {row['version']}: {one['id']}, mended in {one['fix_versions'] or 'nothing'}"
        for row in asked
        for one in row["vulns"]
    ]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Runs the checks; 1 where one found something."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--write", action="store_true", help="write docs/licences.json anew")
    faults = [
        *check_calls(),
        *check_licences(write=options.parse_args().write),
        *check_weaknesses(),
    ]
    for fault in faults:
        _say(f"  {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
