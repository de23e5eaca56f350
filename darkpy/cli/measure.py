"""darkpy detector map, valid, recall, calc_anchors: measure, with darknet's words (detector.c)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ..cfg import Data, names_of, read_data
from ..errors import CfgError, DataError, NetworkError
from .detect import LAYER_TYPES
from .options import Command, Share, dont_show, flag, gpu_index, precision, strict
from .progress import building, progress

if TYPE_CHECKING:
    from ..data.dataset import Labels
    from ..detect import Detector
    from ..evaluate.pictures import Pictures, Seen

PIXELS = click.IntRange(1, 1_000_000)  # the side of a network's input


def network_arguments(command: Callable[..., int]) -> Callable[..., int]:
    """Declare DATA CFG WEIGHTS, and the flags that darknet accepts everywhere."""
    for one in (
        gpu_index,
        dont_show,
        precision,
        strict,
        flag("-ext_output", is_flag=True, hidden=True),
    ):
        command = one(command)
    for name in ("weights", "cfg", "data"):
        command = click.argument(name)(command)
    return command


letter_box_flag = flag(
    "-letter_box",
    is_flag=True,
    help="Keep proportions; pad with grey (or letter_box=1 in [net]). Darknet ignores this here.",
)


def _points(context: click.Context, option: click.Parameter, value: int) -> int:
    if value != 0 and not 2 <= value <= 100_000:
        raise click.BadParameter(f"{value}: expected 0, or a number of recalls such as 11 or 101")
    return value


@click.command("map", cls=Command)
@network_arguments
@flag("-points", type=int, default=0, callback=_points, help="0 (area), 11 (VOC2007), 101 (COCO).")
@flag("-thresh", type=Share(), default=0.25, help="For TP, FP, FN, F1, average IoU.")
@flag("-iou_thresh", type=Share(), default=0.5, help="IoU that makes a match.")
@click.option("--coco", is_flag=True, help="Print COCO's twelve numbers instead (pycocotools).")
@letter_box_flag
def map_(
    data: str,
    cfg: str,
    weights: str,
    coco: bool,
    letter_box: bool,
    strict: bool,
    precision: str | None,
    i: str,
    **settings: Any,
) -> int:
    """Measure the mean average precision on the pictures that `valid =` in DATA lists.

    Exit status: 0, or 1 if a picture could not be read (it and its objects are then left out),
    or 2 for other bad input.
    """
    from ..data.dataset import read_difficult, read_list, read_truths
    from ..evaluate import coco as judge
    from ..evaluate import report

    options = read_data(data, strict)
    if coco:
        judge.require()
    paths = read_list(_list_of(options, "valid"))
    detector = _load(options, cfg, weights, device=i, strict=strict, precision=precision)
    truths = read_truths(paths, detector.classes)
    how = judge if coco else report
    pictures = _pictures(detector, paths, letter_box, (how.THRESH, how.NMS))
    if coco:
        if options.difficult:
            click.echo("warning: COCO's numbers take no account of difficult objects", err=True)
        _map_coco(pictures, truths)
        return _failed(pictures)
    difficult = None
    if options.difficult:
        difficult = read_difficult(options.difficult, len(paths), detector.classes)
    _map_darknet(
        pictures, truths, difficult, settings["points"], settings["thresh"], settings["iou_thresh"]
    )
    return _failed(pictures)


def _map_darknet(
    pictures: Pictures,
    truths: list[Labels],
    difficult: list[Labels] | None,
    points: int,
    thresh: float,
    iou_thresh: float,
) -> None:
    """Measure and print as darknet does."""
    from ..evaluate.match import match
    from ..evaluate.report import HINT, NMS, THRESH, evaluate, table

    click.echo("\n calculation mAP (mean average precision)...")
    _show_heads(pictures)
    matches = []
    for seen in _run(pictures, "map"):
        found = pictures.boxes(seen, THRESH, NMS)
        excused = difficult[seen.index] if difficult else None
        matches.append(match(found.boxes, found.probs, truths[seen.index], excused))
    detector = pictures.detector
    report = evaluate(
        matches, detector.classes, thresh=thresh, iou_thresh=iou_thresh, points=points
    )
    for line in (*table(report, detector.names), *HINT):
        click.echo(line)


def _map_coco(pictures: Pictures, truths: list[Labels]) -> None:
    """Measure with COCO's own tool, and print its twelve lines."""
    from ..evaluate.coco import NMS, THRESH, Measured, best, evaluate_coco

    measured = []
    for seen in _run(pictures, "map"):
        found = pictures.boxes(seen, THRESH, NMS)
        rows = best(found.boxes, found.probs)
        measured.append(Measured(seen.width, seen.height, truths[seen.index], rows))
    click.echo(evaluate_coco(measured, pictures.detector.classes).text, nl=False)


@click.command(cls=Command)
@network_arguments
@flag("-out", help="Name of the result file, or what the names of the files begin with.")
@letter_box_flag
def valid(
    data: str,
    cfg: str,
    weights: str,
    out: str | None,
    letter_box: bool,
    strict: bool,
    precision: str | None,
    i: str,
    **ignored: Any,
) -> int:
    """Write detections for a judge: `eval =` in DATA says which (voc, coco, imagenet, bdd, kitti).

    The files go into the folder `results =` of DATA. Exit status: 0, or 1 if a picture could not be
    read, or 2 for other bad input.
    """
    from ..data.dataset import read_list
    from ..evaluate.valid import NMS, THRESH, result_files

    options = read_data(data, strict)
    paths = read_list(_list_of(options, "valid"))
    detector = _load(options, cfg, weights, device=i, strict=strict, precision=precision)
    pictures = _pictures(detector, paths, letter_box, (THRESH, NMS))
    folder = options.results or "results"
    _show_heads(pictures)
    with result_files(options.eval, folder, out, detector.names) as add:
        for seen in _run(pictures, "valid"):
            add(seen, pictures.boxes(seen, THRESH, NMS))
    return _failed(pictures)


@click.command(cls=Command)
@network_arguments
def recall(
    data: str,
    cfg: str,
    weights: str,
    strict: bool,
    precision: str | None,
    i: str,
    **ignored: Any,
) -> int:
    """Measure how many objects any box covers, whatever its class; the last line is the result.

    As in darknet, each picture's line goes to standard error, and pictures are never letterboxed.
    Exit status: 0, or 1 if a picture could not be read, or 2 for other bad input.
    """
    from ..data.dataset import read_list, read_truths
    from ..detect import load
    from ..evaluate.pictures import Pictures
    from ..evaluate.recall import KIND, NMS, THRESH, Recall

    paths = read_list(_list_of(read_data(data, strict), "valid"))
    truths = read_truths(paths)
    how: dict[str, Any] = {"device": i, "strict": strict, "precision": precision}
    detector = load(cfg, weights, **how, progress=building())
    pictures = Pictures(detector, paths, letter_box=False, asked=(THRESH, NMS), kind=KIND)
    counts = Recall()
    for seen in pictures:
        counts.add(pictures.boxes(seen, THRESH, NMS).boxes, truths[seen.index])
        click.echo(counts.line(seen.index), err=True)
    return _failed(pictures)


@click.command("calc_anchors", cls=Command)
@click.argument("data")
@flag("-num_of_clusters", type=click.IntRange(1, 1000), default=5, help="How many anchors.")
@flag("-width", type=PIXELS, required=True, help="Of the network, as in its [net].")
@flag("-height", type=PIXELS, required=True, help="Of the network, as in its [net].")
@flag("--seed", type=click.IntRange(0), default=0, help="Of the draw of the first anchors.")
@flag("-show", is_flag=True, help="Accepted; no chart is drawn.")
@dont_show
@gpu_index
def calc_anchors(
    data: str, num_of_clusters: int, width: int, height: int, seed: int, show: bool, **ignored: Any
) -> None:
    """Find anchors for the boxes of the pictures that `train =` in DATA lists.

    Writes anchors.txt and counters_per_class.txt into the working directory.
    """
    import numpy as np

    from ..anchors import find_anchors
    from ..data.dataset import read_list, read_truths
    from ..files import write_text

    click.echo(f"\n num_of_clusters = {num_of_clusters}, width = {width}, height = {height} ")
    options = read_data(data)
    paths = read_list(_list_of(options, "train"))
    click.echo(f" read labels from {len(paths)} images ")
    truths = read_truths(progress(paths, len(paths), "calc_anchors"))
    boxes = np.concatenate(truths)
    _wrong_labels(paths, truths)
    click.echo(f" loaded \t image: {len(paths)} \t box: {len(boxes)}\n all loaded. ")
    click.echo("\n calculating k-means++ ...")
    sizes = boxes[(boxes[:, 3:] > 0).all(axis=1), 3:].astype(np.float64) * (width, height)
    anchors = find_anchors(sizes, num_of_clusters, np.random.default_rng(seed))
    click.echo(f"\n iterations = {anchors.iterations} \n")

    counters = np.bincount(boxes[:, 0].astype(np.int64), minlength=options.classes or 1)
    counted = f"counters_per_class = {', '.join(map(str, counters))}"
    form = "3.0f" if width > 32 else "2.4f"
    found = ", ".join(f"{w:{form}},{h:{form}}" for w, h in anchors.sizes)
    click.echo(f"\n{counted}\n\n avg IoU = {100 * anchors.avg_iou:2.2f} % ")
    click.echo(f"\nSaving anchors to the file: anchors.txt \nanchors = {found}")
    write_text("counters_per_class.txt", counted)
    write_text("anchors.txt", found)
    if show:
        click.echo("-show: this version draws no chart of the anchors", err=True)


def _wrong_labels(paths: list[str], truths: list[Labels]) -> None:
    """Print darknet's line about each label that is not inside its picture."""
    import numpy as np

    from ..data.sources import label_path

    for path, rows in zip(paths, truths, strict=True):
        inside = ((rows[:, 1:] > 0) & (rows[:, 1:] <= 1)).all(axis=1)
        for j in np.flatnonzero(~inside).tolist():
            x, y, w, h = rows[j, 1:].tolist()
            click.echo(
                f"\n\nWrong label: {label_path(path)} - j = {j}, x = {x:f}, y = {y:f}, "
                f"width = {w:f}, height = {h:f} "
            )


def _list_of(options: Data, key: str) -> str:
    """Return the list of pictures that a .data file gives under ``key``."""
    path: str | None = getattr(options, key)
    if path is None:
        raise CfgError(f"{options.path}: expected {key} = FILE, a list of pictures")
    return path


def _load(options: Data, cfg: str, weights: str, **how: Any) -> Detector:
    """Load the network, whose classes must be as many as the names."""
    from ..detect import load

    names = names_of(options)
    detector = load(cfg, weights, names, **how, progress=building())
    if not detector.classes:
        raise NetworkError(f"{cfg}: has no detection head; there is nothing to measure")
    if options.map:
        click.echo(f"warning: {options.path}: map is not applied in this version", err=True)
    if options.classes not in (None, detector.classes):
        click.echo(
            f"warning: {options.path}: classes = {options.classes}, but {cfg} has "
            f"classes={detector.classes}",
            err=True,
        )
    if detector.classes != len(names):
        raise DataError(
            f"{options.names or options.labels}: {len(names)} names, but {cfg} has "
            f"classes={detector.classes}; expected as many names as classes"
        )
    return detector


def _pictures(
    detector: Detector, paths: list[str], letter_box: bool, asked: tuple[float, float]
) -> Pictures:
    from ..evaluate.pictures import Pictures

    return Pictures(detector, paths, letter_box or detector.letter_box, asked=asked)


def _show_heads(pictures: Pictures) -> None:
    """Print darknet's line about each head."""
    for node in pictures.detector.network.nodes:
        if node.layer.section in LAYER_TYPES:
            kind = LAYER_TYPES[node.layer.section]
            click.echo(f" Detection layer: {node.index} - type = {kind} ")


def _run(pictures: Pictures, what: str) -> Iterator[Seen]:
    """Yield the pictures that went through the network; show how far it is."""
    start = time.monotonic()
    yield from progress(pictures, len(pictures), what)
    click.echo(f"Total Detection Time: {time.monotonic() - start:.0f} Seconds", err=True)


def _failed(pictures: Pictures) -> int:
    """Say how many pictures could not be read; return the exit status."""
    if not pictures.failed:
        return 0
    many = f"{len(pictures.failed)} of {len(pictures)} pictures"
    click.echo(f"{many} could not be read and are left out", err=True)
    return 1
