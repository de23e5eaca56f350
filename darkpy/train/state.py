"""All that a training is, in one file: to stop at any moment, and to go on as if it had not.

The file is NumPy's .npz. It holds the parameters, the optimizer's moments, the average of the
weights, and as JSON text the counters. What is drawn needs no place here: `darkpy.randomness`.
The file is on the disk itself when it is named: a power cut leaves the old one or the new.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..cfg import reason
from ..errors import TrainingError
from ..files import replacing
from ..loss import Rejection
from ..weights import Version
from .trainer import Trainer

FORMAT = 1
COUNTERS = "counters"
FILE_ERRORS = (OSError, KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile)


def save_state(path: str | Path, trainer: Trainer, counters: dict[str, Any]) -> None:
    """Write the state of a trainer, and the counters of its run, whole or not at all.

    counters  what JSON can hold

    Raises DarkpyError if the file cannot be written.
    """
    own = {"format": FORMAT, **facts_of(trainer)}
    text = json.dumps({"trainer": own, "run": counters}).encode()
    arrays = dict(arrays_of(trainer))
    arrays[COUNTERS] = np.frombuffer(text, np.uint8)
    with replacing(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def load_state(path: str | Path, trainer: Trainer) -> dict[str, Any]:
    """Put a trainer of the same network into the state of a file; return the run's counters.

    Raises TrainingError if the file is damaged, or is of another network.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as held:
            counters = json.loads(held[COUNTERS].tobytes())
            own = counters["trainer"]
            if own["format"] != FORMAT:
                raise TrainingError(f"{path}: of format {own['format']}; this version has {FORMAT}")
            trainer.average = None
            if own["average"]:
                trainer.start_average()
            _fill(path, trainer, held)
    except FILE_ERRORS as error:
        why = reason(error) if isinstance(error, OSError) else "is damaged, or no saved state"
        raise TrainingError(f"{path}: cannot be read: {why}") from None
    take_facts(trainer, own)
    run: dict[str, Any] = counters["run"]
    return run


def facts_of(trainer: Trainer) -> dict[str, Any]:
    """Return what a trainer is beside its arrays, as JSON can hold it."""
    return {
        "iteration": trainer.iteration,
        "seed": trainer.seed,
        "rate_scale": trainer.rate_scale,
        "settled": trainer.settled,
        "rejection": asdict(trainer.rejection),
        "average": trainer.average is not None,
        "version": trainer.params.version,
    }


def take_facts(trainer: Trainer, facts: dict[str, Any]) -> None:
    """Let a trainer be what `facts_of` another was; ``average`` is left to whom has arrays."""
    trainer.iteration = facts["iteration"]
    trainer.settled = facts["settled"]
    trainer.seed = facts["seed"]
    trainer.rate_scale = facts["rate_scale"]
    trainer.rejection = Rejection(**facts["rejection"])
    trainer.params.version = Version(*facts["version"])


def _fill(path: str | Path, trainer: Trainer, held: Any) -> None:
    wanted = dict(arrays_of(trainer))
    there = set(held.files) - {COUNTERS}
    if there != set(wanted):
        odd = min(there ^ set(wanted))
        raise TrainingError(
            f"{path}: is of another network or optimizer than {trainer.network.path}: "
            f"{odd} is in one alone"
        )
    for name, array in wanted.items():
        value = held[name]
        if value.shape != array.shape:
            raise TrainingError(
                f"{path}: {name} has shape {value.shape}; {trainer.network.path} needs "
                f"{array.shape}"
            )
        array[...] = value


def arrays_of(trainer: Trainer) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Yield name and array of all that a state holds."""
    for node in trainer.network.nodes:
        for name in node.params if node.owner == node.index else ():
            yield f"{node.index}/{name}", trainer.params[node.index][name]
        for name, moments in trainer.optimizer.moments[node.index].items():
            for k, moment in enumerate(moments):
                yield f"{node.index}/{name}/moment{k}", moment
        if trainer.average is not None:
            for name, mean in trainer.average[node.index].items():
                yield f"{node.index}/{name}/average", mean
