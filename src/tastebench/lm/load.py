"""Where a model lies and what it runs on.

A model is a folder: one the user names, or the snapshot of a hub repository at one commit. Weights
are read from safetensors only (other formats can run code while they are read), and a folder's own
Python code stays untouched unless the caller says that it is trusted.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from tastebench.data.offline import is_offline, refuse_if_offline
from tastebench.errors import DataError, UsageError
from tastebench.files import hash_file, hash_json, read_json

if TYPE_CHECKING:
    from torch import nn

Model = TypeVar("Model", bound="nn.Module")
Precision = Literal["auto", "float32"]

MIN_COSINE = 0.9999
"""What a faster way to compute must keep of every vector: its cosine to the untouched model's."""

HUB_NAME = re.compile(r"(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
# What a model is made of. Not its documentation, not its weights in formats that are not read here.
_PARTS = ("*.safetensors", "*.json", "*.txt", "*.model")
_CODE = "*.py"
_SETTINGS = ("config.json", "modules.json")
_NO_PARTS = ("onnx", "openvino", ".git", ".cache")
_COMPLETE = "check that the folder holds config.json, model.safetensors and tokenizer.json"
TRUST = "read the model's code; if you trust it, get_encoder(name, trust_remote_code=True)"


@dataclass(frozen=True)
class ModelFolder:
    """A model on this machine.

    Attributes:
        name: The hub name, or the folder's own name; never a path, so that results do not depend
            on where somebody keeps it.
        path: The folder.
        revision: The commit for a hub model, else the hash of what the folder holds.
        source: The hub name; None for a folder of the user's.
        trusted: The folder's own code may run.
    """

    name: str
    path: Path
    revision: str
    source: str | None = None
    trusted: bool = False

    def read_json(self, file: str) -> Any:
        """A JSON file of the folder, None if it is not there.

        Raises:
            DataError: It is there and is not JSON.
        """
        path = self.path / file
        if not path.is_file():
            return None
        try:
            return read_json(path)
        except (OSError, ValueError) as error:
            raise DataError(
                f"model {self.name!r} has a broken {file}: {error}",
                where=str(path),
                fix="fetch the model again",
            ) from error


def find_model(name: str, *, trust_remote_code: bool = False) -> ModelFolder:
    """The model called `name`: a folder, or `organisation/model` on the hub, `@commit` pins it.

    Raises:
        DataError: No such folder, or the hub cannot be reached and has no copy here.
        OfflineError: It would have to be fetched, and the network is not to be used.
        UsageError: `name` is neither.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        path = path.resolve()
        if not any((path / file).is_file() for file in _SETTINGS):
            raise DataError(
                f"the folder {name} holds no model: it has neither {' nor '.join(_SETTINGS)}",
                where=str(path),
                fix="name the folder that model.save_pretrained(folder) wrote",
            )
        return ModelFolder(path.name, path, folder_revision(path), None, trust_remote_code)
    match = HUB_NAME.fullmatch(name)
    if name.startswith((".", "~", "/")) or path.is_file():
        what = "is a file, not a folder" if path.is_file() else "does not exist"
        raise DataError(
            f"the model folder {name} {what}",
            where=str(path.absolute()),
            fix="name the folder that holds config.json and model.safetensors",
        )
    if match is None:
        raise UsageError(
            f"{name!r} is neither a folder nor a hub name",
            fix="give the path of a model folder, or organisation/model[@commit]",
        )
    return _from_hub(name, match["repository"], match["revision"], trust_remote_code)


def is_downloaded(name: str) -> bool:
    """Whether the weights of `organisation/model[@revision]` lie here whole; asks no server."""
    from huggingface_hub.constants import HF_HUB_CACHE

    repository, _, revision = name.partition("@")
    folder = Path(HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    branch = folder / "refs" / (revision or "main")
    commit = branch.read_text(encoding="utf-8").strip() if branch.is_file() else revision
    snapshot = folder / "snapshots" / (commit or "main")
    index = snapshot / "model.safetensors.index.json"
    if not index.is_file():
        return any(path.is_file() for path in snapshot.glob("*.safetensors"))
    # An interrupted download leaves some of the parts, or a list of them that cannot be read.
    try:
        parts = set(read_json(index)["weight_map"].values())
        return all((snapshot / part).is_file() for part in parts)
    except (ValueError, TypeError, KeyError, AttributeError, OSError):
        return False


def would_download(name: str) -> bool:
    """Whether `find_model(name)` would fetch weights from the hub; asks no server."""
    is_folder = Path(name).expanduser().is_dir() or name.startswith((".", "~", "/"))
    return not is_folder and HUB_NAME.fullmatch(name) is not None and not is_downloaded(name)


def _from_hub(name: str, repository: str, revision: str | None, trusted: bool) -> ModelFolder:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    parts = [*_PARTS, _CODE] if trusted else list(_PARTS)
    offline = is_offline()
    if offline and not is_downloaded(name):
        refuse_if_offline(
            f"the model {name} is not on this machine and would be downloaded",
            where=repository if revision is None else f"{repository} at {revision}",
            fix=f"hf download {repository}{f' --revision {revision}' if revision else ''} where "
            "there is a network, or give the path of its folder",
        )
    try:
        path = snapshot_download(
            repository,
            revision=revision,
            allow_patterns=parts,
            ignore_patterns=[f"{folder}/*" for folder in _NO_PARTS],
            local_files_only=offline,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, HFValidationError, OSError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise DataError(
            f"no folder {name!r} here, and no such model from the hub: {reason}",
            where=repository if revision is None else f"{repository} at {revision}",
            fix="download it where there is a network and give the path of its folder instead of "
            "its name, e.g. -e ./models/my-model",
        ) from error
    commit = Path(path).name
    if not _COMMIT.fullmatch(commit):
        commit = folder_revision(Path(path))
    return ModelFolder(repository, Path(path), commit, repository, trusted)


def folder_revision(folder: Path) -> str:
    """What identifies the content of a model folder: a hash of its weights, settings and words.

    Raises:
        DataError: The folder holds no weights that can be read.
    """
    hashes = file_hashes(folder)
    if not any(name.endswith(".safetensors") for name in hashes):
        raise DataError(
            "no weights in the safetensors format",
            where=str(folder),
            fix="save the model with save_pretrained(folder, safe_serialization=True)",
        )
    return hash_json([[name, digest] for name, digest in hashes.items()])


def file_hashes(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file that a model consists of, by its path below `folder`."""
    patterns = (*_PARTS, _CODE)
    files = sorted(
        path
        for pattern in patterns
        for path in folder.rglob(pattern)
        if path.is_file() and not set(path.relative_to(folder).parts[:-1]) & set(_NO_PARTS)
    )
    return {path.relative_to(folder).as_posix(): _file_hash(path) for path in files}


def _file_hash(path: Path) -> str:
    status = path.stat()
    return _hash_of(path.resolve(), status.st_size, status.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _hash_of(path: Path, size: int, modified: int) -> str:
    # Size and time are part of the memo's key only: a file that changed is hashed again.
    return hash_file(path)


def choose_device(asked: str = "auto") -> str:
    """`auto` is the best there is: CUDA, then Apple's MPS, then the CPU.

    Raises:
        UsageError: The device asked for is not on this machine.
    """
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked == "auto":
        return next(device for device, found in there.items() if found)
    if not there.get(asked.partition(":")[0], False):
        found = ", ".join(device for device, yes in there.items() if yes)
        raise UsageError(f"there is no device {asked!r} here", fix=f"use auto or one of: {found}")
    return asked


def native_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 itself, so that it is faster and not emulated."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if kind == "cpu":
        # An older PyTorch cannot tell; float32 is right everywhere.
        able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16") or able.get("bf16"))
    return False


def allowed_precision(wanted: Precision, device: str) -> str:
    """What vectors may be computed in, as a part of the key that they are cached under."""
    lower = wanted == "auto" and native_bf16(device)
    return f"bfloat16>={MIN_COSINE}" if lower else "float32"


@contextmanager
def loading(folder: ModelFolder) -> Iterator[None]:
    """Around the loading of a model: nothing is printed, and one error for all that goes wrong.

    Raises:
        DataError: The folder holds no model that can be loaded.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"cannot load the model {folder.name!r}: {error}",
            where=str(folder.path),
            fix=TRUST if "trust_remote_code" in str(error) else _COMPLETE,
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """In the block transformers prints nothing but errors.

    A bar or a report for every model loaded would tear a table that is drawn meanwhile.
    """
    from transformers.utils import logging

    shown, told = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(told)
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def model_dtype(model: nn.Module) -> str:
    """What a model's weights are stored in, e.g. `float32`."""
    first = next(model.parameters(), None)
    return "float32" if first is None else str(first.dtype).removeprefix("torch.")


def ready(model: Model, device: str, *, stored: bool) -> Model:
    """A model on its device, for inference.

    Args:
        model: As it was loaded.
        device: Where it is to run.
        stored: Keep half precision where it is stored so and the device computes in it; otherwise
            everything is float32.
    """
    # A device that does not multiply half precision itself emulates it, slowly.
    native = native_bf16(device) and (device != "cpu" or model_dtype(model) != "float16")
    return (model if stored and native else model.float()).to(device).eval()
