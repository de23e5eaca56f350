"""darkpy detector train, and rerun: darknet's flags and iteration line (detector.c), and more."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

import darkpy

from ..errors import DarkpyError, DeviceError, TrainingError
from .options import Command, Share, dont_show, flag
from .progress import building, progress

if TYPE_CHECKING:
    from ..data.loader import Batch
    from ..evaluate.report import Report
    from ..train.course import Course, Ending
    from ..train.figures import Evaluation, Progress
    from ..train.loop import Run
    from ..train.page import Page
    from ..train.ranks import Ranks
    from ..train.request import Request

COUNT = click.IntRange(0)
STEP = 30.0  # seconds between two progress lines in a pipe
SAMPLES = 10.0  # seconds between two looks at what the network is fed with
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # that ask a process to end, where known
SLOW_LOADING = 0.1  # seconds a step may wait for its pictures, as in darknet


def _gpus(ctx: click.Context, option: click.Parameter, value: str | None) -> tuple[str, ...]:
    """Return the devices that darknet's numbers of GPUs stand for; none if nothing was asked for.

    Raises DeviceError for one that does not compute here.
    """
    if value is None:
        return ()
    numbers = [one.strip() for one in value.split(",")]
    asked = [one for one in numbers if one not in ("", "-1")]
    if not all(re.fullmatch("[0-9]{1,4}", one) for one in asked):
        raise DeviceError(f"{option.opts[0]} {value}: expected numbers of GPUs such as 0,1, or -1")
    if len(set(asked)) < len(asked):
        raise DeviceError(f"{option.opts[0]} {value}: names a GPU twice")
    from ..cuda import refusal

    for one in asked:
        if missing := refusal(f"cuda:{one}"):
            raise DeviceError(f"{option.opts[0]} {value}: {missing}")
    return tuple(f"cuda:{one}" for one in asked) or ("cpu",)


@click.command(cls=Command)
@click.argument("data")
@click.argument("cfg")
@click.argument("weights", required=False)
@flag("-map", is_flag=True, help="Print darknet's mAP table at each evaluation.")
@click.option("--no-map", is_flag=True, help="Do not evaluate at all.")
@flag("-mAP_epochs", type=click.IntRange(1), default=4, help="Epochs between evaluations.")
@flag("-thresh", type=Share(), default=0.25, help="For precision, recall and F1.")
@flag("-iou_thresh", type=Share(), default=0.5, help="IoU that makes a match.")
@flag("-clear", is_flag=True, help="Count iterations from 0 whatever the weights say.")
@flag("-chart", help="Ignored: the chart of a run that is resumed goes on by itself.")
@flag("-letter_box", is_flag=True, help="Keep the aspect ratio of pictures; as in CFG's [net].")
@flag("-show_imgs", is_flag=True, help="Save augmented pictures in the run's folder.")
@flag("-mjpeg_port", type=click.IntRange(-1, 65535), help="Serve chart and samples on this port.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Whom that page answers.")
@flag("-gpus", callback=_gpus, help="GPUs such as 0,1, which share each batch.")
@flag("-i", type=str, callback=_gpus, help="One GPU, or -1 for the processor.")
@click.option(
    "--precision",
    type=click.Choice(("fp32", "tf32", "fp16", "bf16")),
    help="Of products and maps; parameters are float32 always. Default: tf32 on a GPU; on the "
    "processor there is fp32 alone.",
)
@flag("-benchmark_layers", is_flag=True, expose_value=False, help="Ignored.")
@dont_show
@click.option("--seed", type=COUNT, show_default="0", help="Of all that is drawn.")
@click.option("--resume", is_flag=True, help="Go on with the newest run of CFG, bit for bit.")
@click.option("--run", type=click.Path(path_type=Path), help="Folder of the run's record.")
@click.option("--set", "settings", multiple=True, metavar="SECTION.KEY=VALUE", help="Override CFG.")
@click.option("--save-every", type=COUNT, default=0, help="Iterations between numbered weights.")
@click.option("--keep", type=COUNT, default=0, help="Numbered weights to keep; 0 keeps all.")
@click.option("--patience", type=COUNT, default=0, help="Stop after N evaluations without gain.")
@click.option("--max-hours", type=click.FloatRange(0), default=0, help="Stop, to be resumed.")
@click.option("--workers", type=COUNT, default=0, help="Threads that load; 0: one a core.")
@click.option(
    "--sampling",
    type=click.Choice(["epoch", "darknet"]),
    default="epoch",
    show_default=True,
    help="Each picture once an epoch, or drawn with replacement.",
)
def train(
    data: str,
    cfg: str,
    weights: str | None,
    map: bool,
    no_map: bool,
    letter_box: bool,
    sampling: str,
    mjpeg_port: int | None,
    host: str,
    gpus: tuple[str, ...],
    i: tuple[str, ...],
    **settings: Any,
) -> int:
    """Train the network of CFG on the pictures that `train =` in DATA lists.

    It begins from WEIGHTS, whole or of the first layers, or from drawn ones. Weights are written
    to `backup =` of DATA as darknet names them; all else is recorded in a folder in backup/runs.
    Ctrl+C saves and ends; --resume goes on. Exit status: 0, 2 for bad input, 130 if stopped.
    """
    from ..train.ranks import become, chosen, connect, launched
    from ..train.request import Request

    if map and no_map:
        raise click.UsageError("-map and --no-map: expected one of them")
    words = click.get_current_context().find_root().obj
    devices = gpus or i
    if len(devices) > 1 and launched() == 1:
        become(len(devices), words)
    ranks = connect()
    for name in ("dont_show", "chart"):
        settings.pop(name)
    if letter_box:
        settings["settings"] += ("net.letter_box=1",)
    request = Request(
        data,
        cfg,
        weights,
        evaluate=not no_map,
        darknet_sampling=sampling == "darknet",
        map_epochs=settings.pop("map_epochs"),
        arguments=words,
        version=darkpy.__version__,
        device=chosen(devices, ranks),
        **settings,
    )
    with _page(None if ranks.rank else mjpeg_port, host, cfg) as page:
        return run(request, table=map, page=page, ranks=ranks)


@click.command(cls=Command)
@click.argument("folder", metavar="RUN")
@click.option("--to", type=click.Path(path_type=Path), help="Folder of the new run's record.")
def rerun(folder: str, to: Path | None) -> int:
    """Repeat the training whose record RUN is: the same files, flags and seed, in a new run."""
    from ..train.manifest import read_manifest

    manifest = read_manifest(folder)
    words = _without(manifest.argv, ("--resume", "--run"))
    if to is not None:
        words += ["--run", str(to.absolute())]
    click.echo(f"darkpy {shlex.join(words)}", err=True)
    if not os.path.isdir(manifest.cwd):
        raise TrainingError(
            f"{folder}: was run in {manifest.cwd}, which is gone; give the command above in the "
            "folder where its files are now"
        )
    os.chdir(manifest.cwd)
    for sentence in manifest.changed():
        click.echo(f"warning: {sentence}", err=True)
    root = click.get_current_context().find_root().command
    code = root.main(words, prog_name="darkpy", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _without(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """Return the words of a command without some flags, and the value of --run with it."""
    kept, drop = [], False
    for word in words:
        name = word.partition("=")[0]
        if not drop and name not in flags:
            kept.append(word)
        drop = not drop and name == "--run" and "=" not in word
    return kept


def run(
    request: Request,
    table: bool = False,
    page: Page | None = None,
    ranks: Ranks | None = None,
) -> int:
    """Train as a request says, and print how it goes; return the exit status.

    table  print darknet's table at each evaluation
    page   is shown the chart and the samples
    ranks  that train together, of which this is one; the first prints
    """
    from ..train.ranks import ALONE

    ranks = ranks or ALONE
    if ranks.rank:
        from ..train.follow import follow

        follow(request, ranks)
        return 0
    try:
        return _lead(request, table, page, ranks)
    finally:
        ranks.tell(None)  # there are no more steps


def _lead(request: Request, table: bool, page: Page | None, ranks: Ranks) -> int:
    from ..train.begin import begin

    with _stopping() as stop:
        watch = Printer(request, table, page, stop)
        training = begin(request, watch, stop, ranks)
        try:
            watch.start(training)
            ending = training.go()
        except KeyboardInterrupt:
            watch.close()
            words = _to_go_on(training.backup.saved, request, training)
            click.echo(f"stopped at once; {words}", err=True)
            return 130
        finally:
            watch.close()
            training.record.close()
    return _say_end(ending, request, training, watch.told)


class Stop:
    """Whether somebody has asked to stop: the first signal asks, the second ends at once."""

    def __init__(self) -> None:
        self.asked = False

    def __call__(self) -> bool:
        return self.asked

    def handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        with suppress(OSError):  # not through sys.stderr, which may be in the midst of a line
            os.write(2, b"\nstopping after this iteration; once more stops now\n")


@contextmanager
def _stopping() -> Iterator[Stop]:
    """Take signals to end as requests to stop, for a while, unless they are ignored (nohup)."""
    stop = Stop()
    old: dict[int, Any] = {}
    known = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
    try:
        for number in known:
            if signal.getsignal(number) != signal.SIG_IGN:
                old[number] = signal.signal(number, stop.handle)
    except ValueError:  # not in the main thread: nobody can press Ctrl+C there
        pass
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


@contextmanager
def _page(port: int | None, host: str, cfg: str) -> Iterator[Page | None]:
    if port is None or port < 0:
        yield None
        return
    from ..train.page import Page

    page = Page(port, host, Path(cfg).stem)
    try:
        yield page
    finally:
        page.close()


class Printer:
    """Print a training: darknet's lines on stdout, one progress line on stderr."""

    def __init__(self, request: Request, table: bool, page: Page | None, stop: Stop) -> None:
        self.request = request
        self.stop = stop
        self.table = table
        self.page = page
        self.training: Run | None = None
        self.bar: Any = None
        self.said = time.monotonic()
        self.sampled = 0.0
        self.has_waited = False
        self.images: list[Any] = []
        self.saves_images = request.show_imgs
        self.told: tuple[str, ...] = ()  # the verdict of the last evaluation

    def start(self, training: Run) -> None:
        """Print what darknet prints before the first iteration."""
        self.training = training
        o, trainer = training.trainer.network.options, training.trainer
        click.echo(f"Learning Rate: {o.learning_rate:g}, Momentum: {o.momentum:g}, ", nl=False)
        click.echo(f"Decay: {o.decay:g}")
        click.echo(f"run: {training.record.folder}", err=True)
        if self.page is not None:
            click.echo(f"page: {self.page.url}", err=True)
        if trainer.ranks.size > 1:
            click.echo(f"ranks: {trainer.ranks.size} processes share each batch", err=True)
        if trainer.iteration:
            click.echo(f"from iteration {trainer.iteration}", err=True)
        trainer.show_building(building())
        if sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(
                total=o.max_batches, initial=trainer.iteration, file=sys.stderr, leave=False
            )

    def close(self) -> None:
        """Remove the progress line."""
        if self.bar is not None:
            self.bar.close()

    def echo(self, text: str, err: bool = False) -> None:
        """Print a line, above the progress line where there is one.

        Where nobody reads on, a closed terminal or pipe, it is as if a stop were asked for.
        """
        try:
            if self.bar is None:
                click.echo(text, err=err)
            else:
                self.bar.write(text, file=sys.stderr if err else sys.stdout)
        except OSError:
            self.stop.asked = True

    def fed(self, batch: Batch) -> None:
        """Save or show what the network is fed with."""
        from ..train.gallery import draw_batch, save_augmented

        training = self.training
        assert training is not None
        if self.saves_images:
            try:
                save_augmented(training.record.folder / "augmented", batch, training.names)
            except DarkpyError as error:
                self.saves_images = False
                self.echo(f"warning: {error}; no more augmented pictures are saved", err=True)
        if self.page is not None and time.monotonic() - self.sampled > SAMPLES:
            self.sampled = time.monotonic()
            self.images = draw_batch(batch, training.names)

    def iteration(self, now: Progress, hours_left: float, course: Course) -> None:
        """Print an iteration as darknet does; tools read these lines."""
        training = self.training
        assert training is not None
        line = (
            f"\n {now.iteration}: {now.loss:f}, {now.avg_loss:f} avg loss, {now.rate:f} rate, "
            f"{now.seconds:f} seconds, {now.iteration * now.batch} images, "
            f"{hours_left:f} hours left"
        )
        if self.table:
            line = f"{self._next_map(training, course)}{line}"
        self.echo(line)
        self._warn_of_waiting(now)
        self._show_progress(now, hours_left, training.max_batches)
        if self.page is not None:
            chart = training.record.folder / "chart.png"
            self.page.update(chart, line.strip(), self.images)

    def _next_map(self, training: Run, course: Course) -> str:
        text = f"\n (next mAP calculation at {training.next_evaluation} iterations) "
        if course.last_map >= 0:
            at = training.habits.iou_thresh
            text += (
                f"\n Last accuracy mAP@{at:.2f} = {100 * course.last_map:2.2f} %, "
                f"best = {100 * course.best:2.2f} % "
            )
        return text

    def _warn_of_waiting(self, now: Progress) -> None:
        if now.waited > SLOW_LOADING and now.waited > now.seconds and not self.has_waited:
            if now.iteration > 10:
                self.has_waited = True
                self.echo(
                    f"warning: loading takes longer than training ({now.waited:.2f} s waited); "
                    "a faster disk, smaller pictures or more --workers would help",
                    err=True,
                )

    def _show_progress(self, now: Progress, hours_left: float, most: int) -> None:
        if self.bar is not None:
            self.bar.set_postfix_str(f"loss {now.avg_loss:.3f}", refresh=False)
            self.bar.update(now.iteration - self.bar.n)  # back, after a loss that was not finite
        elif time.monotonic() - self.said > STEP:
            self.said = time.monotonic()
            left = f"{60 * hours_left:.0f} min" if hours_left < 2 else f"{hours_left:.1f} h"
            self.echo(f"train: {now.iteration} of {most}, {left} left", err=True)

    def evaluated(self, evaluation: Evaluation, report: Report, verdict: Sequence[str]) -> None:
        """Print what an evaluation came to."""
        from ..evaluate.report import table

        training = self.training
        assert training is not None
        if self.table:
            self.echo("\n calculation mAP (mean average precision)...")
            for line in table(report, training.names):
                self.echo(line)
        line = (
            f"iteration {evaluation.iteration}: validation loss {evaluation.loss:.3f}, "
            f"mAP@{report.iou_thresh:g} {100 * evaluation.map50:.2f} %, "
            f"mAP@.5:.95 {100 * evaluation.map50_95:.2f} %, "
            f"train mAP {100 * evaluation.train_map50:.2f} %"
        )
        self.told = tuple(verdict)
        for text in (line, *verdict):
            self.echo(text, err=True)

    def pictures(self, items: Iterable[Any], count: int, what: str) -> Iterable[Any]:
        """Show how far an evaluation is."""
        return progress(items, count, what)

    def saved(self, path: Path) -> None:
        """Say that weights were written, as darknet does, but for those of every moment."""
        if not path.name.endswith("_last.weights"):
            self.echo(f"Saving weights to {path}", err=True)


def _say_end(ending: Ending, request: Request, training: Run, told: Sequence[str]) -> int:
    """Print what a run came to, but for the sentences just told; return the exit status."""
    for sentence in ending.verdict if tuple(ending.verdict) != tuple(told) else ():
        click.echo(sentence, err=True)
    if ending.how == "patience":
        gain = f"no better mAP in {request.patience} evaluations"
        click.echo(f"ended at iteration {ending.iteration}: {gain}", err=True)
    if ending.best_weights and str(ending.best_weights) not in "".join(ending.verdict):
        click.echo(f"best: mAP {100 * ending.best:.2f} %, {ending.best_weights}", err=True)
    click.echo(f"chart: {training.record.folder / 'chart.png'}", err=True)
    if ending.how in ("finished", "patience"):
        return 0
    click.echo(_to_go_on(ending.iteration, request, training), err=True)
    return 130 if ending.how == "stopped" else 0


def _to_go_on(iteration: int, request: Request, training: Run) -> str:
    """Return the command that resumes a run, as it can be pasted."""
    if iteration < 0:
        return "nothing was saved yet"
    words = ["darkpy", *_without(request.arguments, ("--resume", "--run"))]
    words += ["--resume", "--run", str(training.record.folder)]
    again = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
    return f"saved at iteration {iteration}; to go on: {again}"
