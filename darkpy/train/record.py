"""The record of a run: a folder that says what it was, how it went, and what it came to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..errors import DarkpyError
from ..files import make_folder, replacing, write_text
from .chart import draw_chart
from .evaluation import Judged
from .figures import Evaluation, Progress
from .gallery import draw_worst
from .manifest import Manifest, read_manifest
from .metrics import MetricsFile
from .tensorboard import Events

log = logging.getLogger(__name__)

SHOWN = 4  # of the worst pictures, in TensorBoard


class Record:
    """The folder of a run.

    manifest.json      what it was made of, with copies of .cfg, .data and .names
    metrics.csv        a row an iteration
    events.out.*       the same for TensorBoard
    chart.png          losses, accuracies and learning rate
    worst/ITERATION/   pictures that an evaluation was worst at
    verdict.txt        what to make of it all

    heads  names of the heads, as in `HeadFigures`, and ``names`` those of the classes
    title  of the chart

    Begin it with `start` or `resume`, which raise DarkpyError where the folder cannot be written;
    from then on what cannot be written is a warning, given once, and the training goes on.
    """

    def __init__(
        self, folder: str | Path, heads: Sequence[str], names: Sequence[str], title: str = ""
    ) -> None:
        self.folder = Path(folder)
        self.title = title
        self.metrics = MetricsFile(self.folder / "metrics.csv", heads, names)
        self._events = Events(self.folder)
        self._iteration = 0
        self._failed: set[str] = set()

    def start(self, manifest: Manifest) -> None:
        """Begin a new run. Raises DarkpyError if the folder holds one already."""
        make_folder(self.folder)
        self.metrics.create()
        manifest.write(self.folder)
        manifest.copy_inputs(self.folder)

    def resume(self, offsets: Mapping[str, int], argv: Sequence[str] = ()) -> None:
        """Go on where `offsets` was asked: what was written after that is undone.

        argv  the words of the command that resumes, for the manifest
        """
        self._iteration = offsets["iteration"]
        self.metrics.resume(offsets["metrics.csv"])
        self._events = Events(self.folder, self._iteration + 1)
        with self._spared("manifest.json"):
            read_manifest(self.folder).after(self._iteration, argv).write(self.folder)

    def offsets(self) -> dict[str, int]:
        """Return what a saved state must remember to `resume`: how far the record has come."""
        self.metrics.flush()
        return {"iteration": self._iteration, "metrics.csv": self.metrics.size}

    def add(self, progress: Progress, evaluation: Evaluation | None = None) -> None:
        """Write down an iteration, and the evaluation that followed it."""
        self._iteration = progress.iteration
        self.metrics.add(progress, evaluation)
        self._events.add(progress, evaluation)

    def add_worst(self, iteration: int, items: Sequence[Judged]) -> None:
        """Draw the pictures that the evaluation of an iteration was worst at."""
        with self._spared("worst"):
            images = draw_worst(self.folder / "worst", iteration, items)
            self._events.add_images(iteration, images[:SHOWN])

    def draw_chart(
        self, *others: str | Path, max_loss: float = 20.0, iterations: int | None = None
    ) -> None:
        """Draw chart.png, and write the same to other paths; see `chart.draw_chart`."""
        with self._spared("chart"):
            source = self.metrics.path
            png = draw_chart(source, self.title, max_loss=max_loss, iterations=iterations)
            for path in (self.folder / "chart.png", *others):
                with self._spared(str(path)), replacing(path) as file:
                    file.write(png)

    def write_verdict(self, sentences: Sequence[str]) -> None:
        """Write verdict.txt, a sentence a line."""
        with self._spared("verdict.txt"):
            write_text(self.folder / "verdict.txt", "".join(f"{one}\n" for one in sentences))

    def close(self) -> None:
        """Close the files."""
        self.metrics.close()
        self._events.close()

    @contextmanager
    def _spared(self, what: str) -> Iterator[None]:
        """Turn an error into a warning, the first time."""
        try:
            yield
        except DarkpyError as error:
            if what not in self._failed:
                log.warning("%s; the training goes on without", error)
            self._failed.add(what)
