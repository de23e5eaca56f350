"""How a run is to go, what it remembers of how it went, and who is told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..data.loader import Batch
from ..evaluate.report import Report
from .figures import Evaluation, Progress


@dataclass(frozen=True)
class Habits:
    """When a run evaluates and saves, and when it ends of itself.

    evaluate_every   iterations; ``burn_in`` is waited for. 0 never
    number_every     iterations from one NAME_1000.weights to the next
    save_every       iterations from one NAME_last.weights, and state, to the next
    keep, patience, max_hours   see `darkpy.train.request.Request`
    """

    evaluate_every: int
    number_every: int
    save_every: int
    keep: int = 0
    patience: int = 0
    max_hours: float = 0.0
    thresh: float = 0.25
    iou_thresh: float = 0.5


@dataclass
class Course:
    """What a run remembers beside its trainer; it is saved with the state.

    first      iteration that it began after
    pictures   seen in this run
    best       highest map50 so far, -1 before the first evaluation; ``best_at`` its iteration
    stale      evaluations since
    evaluated, numbered   iterations of the last evaluation and the last numbered weights
    rollbacks  losses that were not finite
    settled    iteration of the last save that was due
    data, sampling   digest of the training pictures, and how they are drawn
    """

    first: int = 0
    pictures: int = 0
    avg_loss: float = -1.0
    hours_left: float = -1.0
    best: float = -1.0
    best_at: int = 0
    last_map: float = -1.0
    stale: int = 0
    evaluated: int = 0
    numbered: int = 0
    rollbacks: int = 0
    settled: int = 0
    data: str = ""
    sampling: str = "epoch"
    offsets: dict[str, int] = field(default_factory=dict)


class Watch(Protocol):
    """Who is told how a run goes; the command line prints it."""

    def iteration(self, progress: Progress, hours_left: float, course: Course) -> None: ...

    def evaluated(self, evaluation: Evaluation, report: Report, verdict: Sequence[str]) -> None: ...

    def pictures(self, items: Iterable[Any], count: int, what: str) -> Iterable[Any]: ...

    def fed(self, batch: Batch) -> None: ...

    def saved(self, path: Path) -> None: ...


@dataclass(frozen=True)
class Ending:
    """How a run ended: "finished", "stopped", "patience" or "hours", and what it came to."""

    how: str
    iteration: int
    best: float
    best_weights: Path | None
    verdict: tuple[str, ...]
