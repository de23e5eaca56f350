"""What a person asks of a training: the arguments of ``darkpy detector train``, as a record."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """The files of a training, and how it shall run.

    data, cfg, weights   darknet's three files; no weights: all are drawn
    seed                 of all that is drawn; None is 0, or that of the run to be resumed
    clear                count iterations from 0 whatever the weights say
    settings             "section.key=value", to count instead of what the .cfg says
    resume               go on with the newest run in ``run``, or of this .cfg
    run                  the folder of the run; None makes a new one in backup/runs
    evaluate             measure mAP on the valid list as the training goes
    map_epochs           epochs from one evaluation to the next, but at least 100 iterations
    thresh, iou_thresh   of precision, recall and F1; of a match
    save_every           iterations from one numbered weights file to the next; 0 as darknet does
    keep                 how many of the numbered files to keep; 0 keeps all
    patience             stop after so many evaluations without a better mAP; 0 never
    max_hours            stop, to be resumed, after so many hours of this process; 0 never
    workers              threads that load pictures; 0 as many as there are cores
    darknet_sampling     draw pictures with replacement, as darknet does
    show_imgs            save augmented pictures in the run's folder
    device, precision    where this process computes, and how: see `darkpy.train.trainer.Trainer`
    arguments, version   the command line and darkpy's version, for the record
    """

    data: str
    cfg: str
    weights: str | None = None
    seed: int | None = None
    clear: bool = False
    settings: tuple[str, ...] = ()
    resume: bool = False
    run: Path | None = None
    evaluate: bool = True
    map_epochs: int = 4
    thresh: float = 0.25
    iou_thresh: float = 0.5
    save_every: int = 0
    keep: int = 0
    patience: int = 0
    max_hours: float = 0.0
    workers: int = 0
    darknet_sampling: bool = False
    show_imgs: bool = False
    device: str = "cpu"
    precision: str | None = None
    arguments: tuple[str, ...] = ()
    version: str = ""
