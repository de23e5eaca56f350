"""From what a person asks to a run that is ready to go: files read, checked and put together."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..cfg import Data, names_of, read_data
from ..data.augment import Augmentation
from ..data.dataset import read_list, read_truths
from ..data.loader import Loader
from ..data.training import Sampling, TrainingSet
from ..errors import DarkpyError, DataError, TrainingError
from ..files import keep_as, make_folder, remove_partials
from ..memory import physical_memory
from ..network import Network
from .advice import anchors_of, check
from .course import Course, Habits, Watch
from .crew import Crew
from .evaluation import Labelled, part_of
from .loop import Run
from .manifest import describe, read_manifest
from .memory import needed_memory, out_of_memory_advice
from .ranks import ALONE, Ranks, parts
from .record import Record
from .request import Request
from .schedule import batch_size, input_size, minibatch
from .state import load_state
from .trainer import Trainer

log = logging.getLogger(__name__)

SAMPLED = 128  # pictures whose statistics the weights are judged with
FEW = 10_000  # iterations of a run that numbers its weights by the thousand
TIGHT, HOPELESS = 0.9, 1.3  # of this machine's memory; what a training takes is an estimate


def begin(
    request: Request,
    watch: Watch,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
) -> Run:
    """Read and check all that a training needs; return the run, new or to be gone on with.

    watch  is told how it goes, and ``stop`` asked after each iteration whether to end
    ranks  among which this process is the first; the others `darkpy.train.follow.follow`

    Raises DarkpyError for what is wrong with a file, or with how the files fit each other.
    """
    data = read_data(request.data)
    network = Network.from_cfg(request.cfg, settings=request.settings)
    names = names_of(data)
    paths = _list(data)
    base = base_name(request.cfg)
    backup = Path(data.backup or "backup")
    folder = _folder(request, backup, base)
    augmentation = Augmentation.of(network)
    training = TrainingSet(paths, network.classes, _sampling(request))
    for line in training.summary():
        log.warning("%s", line)
    valid = _valid(request, data, network.classes)
    weights = None if request.resume else request.weights
    trainer = Trainer(
        network, weights, request.device, request.seed or 0, ranks, precision=request.precision
    )
    if not trainer.on_gpu:
        _require_memory(network, ranks)
    parts(trainer.batch, network.options.subdivisions, ranks.size)  # there are enough pictures
    record = Record(folder, trainer.head_names, names, base)
    digest = training.digest()
    course = None
    if request.resume:
        course = _resumed(request, trainer, folder)
        _note_changes(network, training, course, digest, folder)
    elif not request.clear:
        trainer.iteration = trainer.params.seen // trainer.batch
    _require_rest(request, trainer, folder)
    check(network, data, names, training, valid, trainer.iteration)
    first = course.first if course else trainer.iteration
    crew = Crew(trainer, first)
    crew.muster(digest)
    make_folder(backup)
    run = Run(
        trainer,
        loaders(request, trainer, training, augmentation, first),
        len(training),
        _habits(request, data, trainer, len(training)),
        record,
        backup,
        base,
        watch,
        names=names,
        valid=valid,
        part=_part(training, len(valid.paths), trainer.seed) if valid else None,
        course=course,
        samples=_samples(request, trainer, training, augmentation),
        anchors=anchors_of(network),
        sizes=training.sizes * np.array([network.image.w, network.image.h]),
        stop=stop,
        crew=crew,
    )
    run.course.data, run.course.sampling = digest, training.sampling
    try:
        if course is None:
            _start(request, trainer, record, data, names, training, digest)
        else:
            record.resume(course.offsets, request.arguments)
        _keep_weights(backup, base, folder, request.resume)
        training.write_lists(folder)
    except BaseException:
        record.close()
        raise
    return run


def training_set(request: Request, network: Network) -> TrainingSet:
    """Return the pictures that a request trains a network on."""
    paths = _list(read_data(request.data))
    return TrainingSet(paths, network.classes, _sampling(request))


def _list(data: Data) -> list[str]:
    if data.train is None:
        raise TrainingError(f"{data.path}: expected train = FILE, a list of pictures")
    return read_list(data.train)


def _sampling(request: Request) -> Sampling:
    return "darknet" if request.darknet_sampling else "epoch"


def base_name(cfg: str) -> str:
    """Return what darknet names weights after: the name of the .cfg up to its first dot."""
    return Path(cfg).name.partition(".")[0] or Path(cfg).name


def runs_of(backup: Path, base: str) -> list[Path]:
    """Return the folders of the runs of a .cfg that can be resumed, the newest last."""
    found = [one for one in _numbered(backup, base).values() if (one / "state.npz").is_file()]
    return sorted(found, key=lambda one: (one / "state.npz").stat().st_mtime_ns)


def _numbered(backup: Path, base: str) -> dict[int, Path]:
    """Return the folders of all runs of a .cfg by their numbers."""
    name = re.compile(re.escape(base) + r"-([0-9]+)")
    try:
        named = [(name.fullmatch(path.name), path) for path in (backup / "runs").iterdir()]
    except OSError:  # there is no such folder
        return {}
    return {int(found[1]): path for found, path in named if found}


def _folder(request: Request, backup: Path, base: str) -> Path:
    """Return the folder of the run: the one asked for, the newest to resume, or a new one."""
    if request.run is not None:
        has_state = (request.run / "state.npz").is_file()
        if request.resume and not has_state:
            raise TrainingError(f"{request.run}: holds no state.npz; expected the folder of a run")
        if has_state and not request.resume:
            raise TrainingError(f"{request.run}: holds a run; --resume goes on with it")
        if request.run.is_file():
            raise TrainingError(f"{request.run}: is a file; expected a folder for the run's record")
        return request.run
    if request.resume:
        found = runs_of(backup, base)
        if not found:
            raise TrainingError(
                f"{backup / 'runs'}: holds no run of {base}.cfg to resume; "
                "begin one without --resume, or name its folder with --run"
            )
        return found[-1]
    return backup / "runs" / f"{base}-{max(_numbered(backup, base), default=0) + 1}"


def _require_memory(network: Network, ranks: Ranks) -> None:
    """Raise TrainingError if the largest input cannot be trained on with this memory.

    Linux would kill the process, once it writes to what it was promised.
    """
    size = input_size(network, 0, 0)
    batch, parts = batch_size(network, size), network.options.subdivisions
    batch, parts = -(-batch // ranks.size), -(-parts // ranks.size)
    largest = network if size == network.image[1:] else network.resized(*size)
    available = physical_memory() // ranks.beside
    share = needed_memory(largest, batch, parts) / available
    if share > TIGHT:
        advice = out_of_memory_advice(largest, batch, parts, available)
        if share > HOPELESS:
            raise TrainingError(advice)
        log.warning("%s; it may just fit", advice)


def _valid(request: Request, data: Data, classes: int) -> Labelled | None:
    """Return the pictures to evaluate on; None if there shall be, or can be, no evaluation."""
    if request.patience and not (request.evaluate and data.valid):
        raise TrainingError(
            f"{data.path}: --patience {request.patience} counts evaluations, and there are none; "
            "expected valid = FILE here, and no --no-map"
        )
    if not request.evaluate:
        return None
    if data.valid is None:
        log.warning("%s: has no valid = FILE: over-fitting would pass unseen", data.path)
        return None
    try:
        paths = read_list(data.valid)
        if not any(map(os.path.isfile, paths)):
            raise DataError(f"{paths[0]}: no such file, nor any other of {data.valid}")
        return Labelled(paths, read_truths(paths, classes))
    except DarkpyError as error:
        raise TrainingError(f"valid: {error}; --no-map trains without evaluation") from None


def _part(training: TrainingSet, valid: int, seed: int) -> Labelled:
    """Return the training pictures to evaluate on too; those known to be bad are left out."""
    bad = training.bad_pictures
    chosen = [index for index, path in enumerate(training.paths) if path not in bad]
    truths = [training.labels(index) for index in chosen]
    return part_of(Labelled([training.paths[index] for index in chosen], truths), valid, seed)


def _resumed(request: Request, trainer: Trainer, folder: Path) -> Course:
    """Put the trainer where the run was saved; return what the run remembered."""
    remove_partials(folder)
    course = Course(**load_state(folder / "state.npz", trainer))
    if request.seed not in (None, trainer.seed):
        log.warning("--seed %s: the run goes on with its own, %s", request.seed, trainer.seed)
    return course


def _note_changes(
    network: Network, training: TrainingSet, course: Course, digest: str, folder: Path
) -> None:
    """Warn that a run goes on as another than it began."""
    if course.data != digest:
        log.warning("the training pictures or their labels have changed since the run began")
    if course.sampling != training.sampling:
        log.warning("the run began with --sampling %s", course.sampling)
    try:
        manifest = read_manifest(folder)
    except DarkpyError:  # which the record is going to say
        return
    _note_keys("[net]", network.options, manifest.net)
    for node in network.heads:
        began = manifest.heads.get(f"{node.layer.section}_{node.index}", {})
        _note_keys(f"layer {node.index} [{node.layer.section}]", node.layer, began)


def _note_keys(where: str, record: Any, began: dict[str, Any]) -> None:
    """Warn of each key that a manifest has with another value."""
    for name, value in asdict(record).items():
        value = list(value) if isinstance(value, tuple) else value
        if name in began and began[name] != value:
            log.warning("%s %s=%s now; the run began with %s", where, name, value, began[name])


def _require_rest(request: Request, trainer: Trainer, folder: Path) -> None:
    """Raise TrainingError for a run to be resumed that has come to its end."""
    most = trainer.network.options.max_batches
    if request.resume and trainer.iteration >= most:
        raise TrainingError(
            f"{folder}: is done with all max_batches={most} iterations; raise max_batches to go on "
            f"(--set net.max_batches={2 * most})"
        )


def _start(
    request: Request,
    trainer: Trainer,
    record: Record,
    data: Data,
    names: Sequence[str],
    training: TrainingSet,
    digest: str,
) -> None:
    """Begin the record of a new run."""
    data_set = {
        "list": data.train,
        "classes": training.classes,
        "digest": digest,
        "pictures": len(training),
        "objects": training.objects,
    }
    manifest = describe(
        request.arguments,
        trainer.network,
        data,
        request.weights,
        version=request.version,
        seed=trainer.seed,
        device=trainer.device,
        overrides=request.settings,
        names=names,
        data_set=data_set,
    )
    record.start(manifest)


def _keep_weights(backup: Path, base: str, folder: Path, resumes: bool) -> None:
    """Keep the weights that another run left in ``backup``, in the folder of the one that begins.

    One that is resumed finds another's only if that was saved later; it is then the newest itself.
    """
    name = re.escape(base) + r"_(\d+|last|best|final|ema)\.weights"
    remove_partials(backup, rf"{name}|chart_{re.escape(base)}\.png|chart\.png")
    into = folder / "replaced"
    if resumes:
        newest = (runs_of(backup, base) or [folder])[-1]
        if newest.samefile(folder):
            return
        into /= newest.name
    for path in backup.iterdir():
        if re.fullmatch(name, path.name) and path.is_file():
            keep_as(path, into / path.name)
    if resumes:
        os.utime(folder / "state.npz")


def loaders(
    request: Request,
    trainer: Trainer,
    training: TrainingSet,
    augmentation: Augmentation,
    first: int,
) -> Callable[[int], Loader]:
    """Return what makes a loader of the batches from an iteration on, of this rank's slots.

    first  the iteration that the run began after
    """
    network, seed = trainer.network, trainer.seed

    def size(done: int) -> tuple[int, int]:
        return input_size(network, done, seed, first)

    def batch(done: int) -> int:
        return batch_size(network, size(done))

    def loader(start: int) -> Loader:
        return Loader(
            training,
            augmentation,
            seed=seed,
            batch=batch if network.options.dynamic_minibatch else trainer.batch,
            size=size,
            start=start,
            stop=network.options.max_batches,
            own=trainer.own_slots,
            workers=request.workers or None,
        )

    return loader


def _samples(
    request: Request, trainer: Trainer, training: TrainingSet, augmentation: Augmentation
) -> Callable[[], Loader]:
    """Return what makes a loader of the same few mini-batches whenever it is asked."""
    o = trainer.network.options
    return lambda: Loader(
        training,
        augmentation,
        seed=trainer.seed,
        batch=minibatch(o),
        size=(o.height, o.width),
        stop=-(-SAMPLED // minibatch(o)),
        workers=request.workers or None,
    )


def _habits(request: Request, data: Data, trainer: Trainer, pictures: int) -> Habits:
    most = trainer.network.options.max_batches
    number = request.save_every or data.saveweights or (1000 if most < FEW else FEW)
    return Habits(
        evaluate_every=max(1, request.map_epochs * pictures // trainer.batch),
        number_every=number,
        save_every=min(number, data.savelast or number),
        keep=request.keep,
        patience=request.patience,
        max_hours=request.max_hours,
        thresh=request.thresh,
        iou_thresh=request.iou_thresh,
    )
