"""manifest.json: what a run was made of, so that it can be judged later, and repeated."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..cfg import Data, read_text, reason
from ..data.dataset import read_list
from ..data.training import TrainingSet
from ..errors import CfgError, DarkpyError
from ..files import replacing, write_text
from ..memory import physical_memory
from ..network import Network

NAME = "manifest.json"
LARGEST_COPY = 1 << 20  # bytes of an input that is kept beside the manifest
TOLD = ("CUDA_", "CUPY_", "MKL_", "NUMBA_", "OMP_", "OPENBLAS_")  # variables that change numbers


@dataclass(frozen=True)
class Manifest:
    """What a run was made of.

    argv       the words after ``darkpy``, to be run again in the folder ``cwd``
    version    of darkpy
    inputs     path as given -> SHA-256 of the .cfg, .data, .names and .weights files
    overrides  what --set changed, as "net.batch=8"
    net        every key of [net], and ``heads`` of each head, with defaults filled in
    data_set   the train list, the number of classes, and what they came to: a digest, pictures
               and objects
    commits    git's name of what was checked out in cwd, and of darkpy's own checkout
    resumed    for each resumption: after which iteration, when, and by which words
    """

    argv: tuple[str, ...]
    cwd: str
    version: str
    seed: int
    device: str
    started: str
    inputs: dict[str, str] = field(default_factory=dict)
    overrides: tuple[str, ...] = ()
    net: dict[str, Any] = field(default_factory=dict)
    heads: dict[str, dict[str, Any]] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    data_set: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)
    resumed: tuple[dict[str, Any], ...] = ()

    def write(self, folder: str | Path) -> None:
        """Write manifest.json into a folder. Raises DarkpyError if it cannot be."""
        text = json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False, default=str)
        write_text(Path(folder) / NAME, text + "\n")

    def copy_inputs(self, folder: str | Path) -> None:
        """Copy the inputs that are text, as they are now, beside the manifest."""
        for path in self.inputs:
            there = os.path.join(self.cwd, path)
            if os.path.getsize(there) <= LARGEST_COPY and not path.endswith(".weights"):
                with replacing(Path(folder) / Path(path).name) as file:
                    file.write(Path(there).read_bytes())

    def changed(self) -> list[str]:
        """Return a sentence for each input that is gone, or no longer what it was.

        The pictures to train on are looked for from the working folder, which should be ``cwd``.
        """
        found = []
        for path, digest in self.inputs.items():
            there = os.path.join(self.cwd, path)
            if not os.path.isfile(there):
                found.append(f"{path}: is gone")
            elif sha256(there) != digest:
                found.append(f"{path}: has changed since the run")
        if self._has_other_pictures():
            found.append("the training pictures or their labels have changed since the run")
        return found

    def _has_other_pictures(self) -> bool:
        """Tell whether there are others; what cannot be read the training is going to name."""
        own = self.data_set
        try:
            now = TrainingSet(read_list(own["list"]), own["classes"]).digest()
        except (DarkpyError, KeyError):
            return False
        return bool(now != own["digest"])

    def after(self, iteration: int, argv: Sequence[str]) -> Manifest:
        """Return the manifest of the run as resumed after an iteration."""
        again = {"iteration": iteration, "at": _now(), "argv": list(argv)}
        return dataclasses.replace(self, resumed=(*self.resumed, again))


def describe(
    argv: Sequence[str],
    network: Network,
    data: Data | None = None,
    weights: str | None = None,
    *,
    version: str,
    seed: int,
    device: str = "cpu",
    overrides: Sequence[str] = (),
    names: Sequence[str] = (),
    data_set: Mapping[str, Any] | None = None,
) -> Manifest:
    """Return the manifest of a run that begins now, on this machine.

    Raises DarkpyError if an input cannot be read.
    """
    given = (network.path, data and data.path, data and data.names, weights)
    return Manifest(
        argv=tuple(argv),
        cwd=os.getcwd(),
        version=version,
        seed=seed,
        device=device,
        started=_now(),
        inputs={path: sha256(path) for path in given if path},
        overrides=tuple(overrides),
        net=dataclasses.asdict(network.options),
        heads={
            f"{node.layer.section}_{node.index}": dataclasses.asdict(node.layer)
            for node in network.heads
        },
        names=tuple(names),
        data_set=dict(data_set or {}),
        libraries=_libraries(),
        machine=_machine(),
        commits=_commits(),
    )


def read_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a run. Raises DarkpyError if there is none, or it is damaged."""
    path = Path(folder) / NAME
    if not path.is_file():
        raise DarkpyError(f"{folder}: holds no {NAME}; expected the folder of a run")
    kinds = {one.name: one for one in dataclasses.fields(Manifest)}
    try:
        values = json.loads(read_text(path))
        known = {name: value for name, value in values.items() if name in kinds}
        for name in ("argv", "overrides", "names", "resumed"):
            known[name] = tuple(known.get(name, ()))
        manifest = Manifest(**known)
    except CfgError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise DarkpyError(f"{path}: is not the manifest of a run: {error}") from None
    if not manifest.argv or not all(isinstance(word, str) for word in manifest.argv):
        raise DarkpyError(f"{path}: argv: expected the words of a command, got {manifest.argv!r}")
    return manifest


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file. Raises DarkpyError if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DarkpyError(f"{path}: cannot be read: {reason(error)}") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _libraries() -> dict[str, str]:
    """Return the versions of what the numbers come from."""
    import cv2
    import numba
    import numpy

    found = {"numpy": numpy.__version__, "numba": numba.__version__, "opencv": cv2.__version__}
    return {"python": platform.python_version(), **found}


def _machine() -> dict[str, Any]:
    """Return processor, cores, memory and system, and the variables that set thread counts."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory": physical_memory(),
        "system": platform.platform(),
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(TOLD)},
    }


def _processor() -> str:
    """Return the processor's name; Linux tells it in a file only."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        return next(one.partition(":")[2].strip() for one in lines if one.startswith("model name"))
    except (OSError, StopIteration, UnicodeDecodeError):
        return platform.processor() or platform.machine()


def _commits() -> dict[str, str]:
    """Return git's names of what is checked out, where git and a checkout are there."""
    own = Path(__file__).resolve().parents[2]
    folders = {"cwd": Path.cwd(), **({"darkpy": own} if (own / ".git").exists() else {})}
    found = {name: _commit(folder) for name, folder in folders.items()}
    return {name: commit for name, commit in found.items() if commit}


def _commit(folder: Path) -> str:
    """Return the commit, with "-dirty" if files differ from it; an empty string if unknown."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
