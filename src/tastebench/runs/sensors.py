"""What reads the machine's energy: CodeCarbon, offline, told everything it would else look up.

CodeCarbon fills what it is not told from files in the home and working folders and from environment
variables, and its carbon from the country it takes the machine to be in. So it is told everything,
and asked for kilowatt-hours only.
"""

from __future__ import annotations

import importlib
import logging
import os
import platform
import tempfile
from functools import cache
from typing import TYPE_CHECKING, Any

from tastebench.errors import DependencyError, UsageError
from tastebench.runs import environment

if TYPE_CHECKING:
    from codecarbon import OfflineEmissionsTracker

INTERVAL = 10.0
"""Seconds between two readings that are kept; the most that is not known of a killed process."""

ESTIMATED = "estimated"
"""What the way of a part begins with where no counter is read."""

_COUNTERS = {
    "intel_rapl": "rapl, of the whole machine",
    "windows_emi": "Windows EMI, of the whole machine",
    "intel_power_gadget": "Intel Power Gadget, of the whole machine",
}


def require() -> Any:
    """The package `codecarbon`.

    Raises:
        DependencyError: It is not installed, or what it needs is not.
    """
    try:
        module = importlib.import_module("codecarbon")
    except ImportError as error:
        raise DependencyError(
            f"energy is measured through CodeCarbon, which cannot be loaded: {error}",
            fix="pip install 'tastebench[energy]'",
        ) from error
    # Its own level comes from the environment and is set when it is loaded: it tells every reading.
    logging.getLogger("codecarbon").setLevel(logging.ERROR)
    return module


@cache
def sensors() -> dict[str, str]:
    """How the energy of `cpu`, `gpu` and `ram` is found on this machine.

    Takes seconds the first time in a process, for finding out; trackers made later start at once.
    """
    probe = tracker(None)
    gpu_model = probe.get_detected_hardware()["gpu_model"]
    probe.start()  # what it loads late is loaded now, in nobody's measurement
    probe.stop()
    found = {"cpu": "not measured", "gpu": _no_gpu(), "ram": "not measured"}
    # CodeCarbon has no public word for how it measures; a test holds that it still is as here.
    for part in probe._hardware:
        kind = type(part).__name__
        if kind == "CPU":
            found["cpu"] = _processor(part)
        elif kind == "GPU":
            found["gpu"] = _gpu(part, gpu_model)
        elif kind == "RAM":
            found["ram"] = f"{ESTIMATED} from the memory of this process"
        else:  # Apple's and Raspberry's chips name the part they stand for
            found[part.chip_part.lower()] = f"{kind}, of the whole machine"
    return found


def tracker(output: Any) -> OfflineEmissionsTracker:
    """A tracker that has not been started.

    Args:
        output: Given every reading, as CodeCarbon's output handlers are; None for none.
    """
    nowhere = tempfile.gettempdir()  # for the logs of two tools on Apple's machines
    made: OfflineEmissionsTracker = require().OfflineEmissionsTracker(
        project_name="tastebench",
        tracking_mode="process",
        measure_power_secs=INTERVAL,
        api_call_interval=1,
        allow_multiple_runs=True,
        force_carbon_intensity_g_co2e_kwh=0.0,
        pue=1.0,
        wue=0.0,
        force_cpu_power=None,
        force_ram_power=None,
        force_mode_cpu_load=False,
        rapl_include_dram=False,
        rapl_prefer_psys=False,
        gpu_ids=visible_gpus(),
        country_iso_code=None,
        country_2letter_iso_code=None,
        region=None,
        cloud_provider=None,
        cloud_region=None,
        emissions_endpoint=None,
        electricitymaps_api_token="",
        api_endpoint="",
        api_key="",
        experiment_id="",
        experiment_name="",
        output_methods=[],
        output_handlers=[] if output is None else [output],
        output_dir=nowhere,
        output_file="",
        on_csv_write="append",
        logging_logger=None,
        prometheus_url="",
        metadata=None,
        logger_preamble="",
        log_level="error",
    )
    return made


def visible_gpus() -> list[int] | None:
    """Indices of the NVIDIA GPUs that this process may use; None for all there are.

    CodeCarbon reads `CUDA_VISIBLE_DEVICES` itself, but takes the empty one for all GPUs and does
    not find those that are named by their UUID.

    Raises:
        UsageError: It names a GPU that has no counter of its own.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return None
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if "-1" in names:  # as CUDA reads it: nothing from here on
        names = names[: names.index("-1")]
    return [int(name) if name.isdigit() else _index_of(name) for name in names]


def _index_of(uuid: str) -> int:
    import pynvml

    pynvml.nvmlInit()
    for index in range(pynvml.nvmlDeviceGetCount()):
        if pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(index)).startswith(uuid):
            return index
    raise UsageError(
        f"the energy of GPU {uuid!r} cannot be read apart from others",
        where="CUDA_VISIBLE_DEVICES",
        fix="name whole GPUs, or set energy: off",
    )


def _processor(part: Any) -> str:
    if part._mode in _COUNTERS:
        return _COUNTERS[part._mode]
    if part._mode == "cpu_load":
        return (
            f"{ESTIMATED} from the processor time of this process, "
            f"at {part._tdp:g} W with all {part._cpu_count} cores busy"
        )
    return f"{ESTIMATED} at half of {part._tdp:g} W throughout"


def _gpu(part: Any, model: str) -> str:
    devices = part.devices.devices
    if not devices:
        return "not measured: its driver cannot be read"
    if not part.gpu_ids:
        return "none"
    name = "nvml" if type(devices[0]).__name__.startswith("Nvidia") else "amdsmi"
    return f"{name}, of whole devices ({model})"


def _no_gpu() -> str:
    """What is to be said where CodeCarbon finds no GPU."""
    apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    there = apple or (environment.has_accelerator() and visible_gpus() != [])
    return "not measured: no tool reads it here" if there else "none"
