"""darkpy detector test: detect objects in pictures (darknet's detector.c:test_detector)."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from ..cfg import names_of, read_data
from ..errors import ImageError
from ..files import make_folder, replacing, write_text
from .options import Command, Share, dont_show, flag, gpu_index, precision, strict
from .progress import building

if TYPE_CHECKING:
    from ..decode import Candidates
    from ..detect import Detector, Image
    from ..evaluate.pictures import Pictures, Seen

LAYER_TYPES = {"region": 27, "yolo": 28, "Gaussian_yolo": 29}  # darknet.h's LAYER_TYPE
PROMPT = "Enter Image Path: "
NMS = 0.45
LEAST_WRITTEN = 0.005  # detection_to_json leaves out what is less probable


@click.command(cls=Command)
@click.argument("data")
@click.argument("cfg")
@click.argument("weights")
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@flag("-thresh", type=Share(), default=0.25, help="Least confidence to report.")
@flag("-hier", type=float, default=0.5, help="Read by darknet for class trees, used nowhere.")
@flag("-ext_output", is_flag=True, help="Print each box: left_x, top_y, width, height in pixels.")
@flag("-out", type=click.Path(dir_okay=False), help="Write all detections to this JSON file.")
@flag("-save_labels", is_flag=True, help="Write each picture's boxes beside it as a label file.")
@flag(
    "-letter_box", is_flag=True, help="Keep proportions; pad with grey (or letter_box=1 in [net])."
)
@flag("-save", type=click.Path(file_okay=False), help="Save every drawn picture into this folder.")
@strict
@precision
@dont_show
@gpu_index
def test(
    data: str,
    cfg: str,
    weights: str,
    images: tuple[str, ...],
    thresh: float,
    hier: float,
    ext_output: bool,
    out: str | None,
    save_labels: bool,
    letter_box: bool,
    save: str | None,
    strict: bool,
    precision: str | None,
    dont_show: bool,
    i: str,
) -> int:
    """Detect objects in pictures: files, folders, globs, or lists of paths (.txt).

    Without IMAGE, names are read from standard input, one a line. The last picture is drawn into
    predictions.jpg. Exit status: 0, or 1 if a picture could not be read, or 2 for other bad input.
    """
    from ..detect import load

    names = names_of(read_data(data, strict))
    detector = load(cfg, weights, names, i, strict=strict, precision=precision, progress=building())
    check_names(detector, names, data)
    boxed = letter_box or detector.letter_box
    drawings = Drawings(save, window=not dont_show)
    failed = 0
    with json_file(out) as records:
        for pictures in groups(detector, images, boxed, thresh, keep=drawings.all):
            for seen in pictures:
                found = pictures.boxes(seen, thresh, NMS)
                show(detector, seen, found, thresh, ext_output)
                if records:
                    records.add(seen.path, found, names)
                if save_labels:
                    _write_labels(seen.path, found, thresh)
                drawings.add(pictures, seen, found, thresh)
            drawings.finish()
            failed += len(pictures.failed)
    failed += drawings.failed
    if failed:
        click.echo(f"{failed} of the pictures could not be read or drawn", err=True)
    return 1 if failed else 0


def check_names(detector: Detector, names: tuple[str, ...], data: str) -> None:
    """Warn if there are not as many names as classes; darknet's test prints so and goes on."""
    if detector.classes and detector.classes != len(names):
        click.echo(
            f"warning: {data}: {len(names)} names for the {detector.classes} classes of "
            f"{detector.network.path}; classes without a name are numbered",
            err=True,
        )


def groups(
    detector: Detector, arguments: tuple[str, ...], letter_box: bool, thresh: float, keep: bool
) -> Iterator[Pictures]:
    """Yield the pictures that the arguments name, all together.

    Without arguments, those named on standard input: each alone, since somebody may wait for what
    is found in one before naming the next.
    """
    from ..data.sources import from_stream, lines_of, sources
    from ..evaluate.pictures import Pictures

    asked = thresh, NMS
    if arguments and arguments != ("-",):
        yield Pictures(detector, list(map(str, sources(arguments))), letter_box, keep, asked)
        return
    click.echo(PROMPT, nl=False)
    for line in lines_of(sys.stdin):
        for path in from_stream([line]):
            yield Pictures(detector, [path], letter_box, keep, asked)
        click.echo(PROMPT, nl=False)


def show(
    detector: Detector, seen: Seen, found: Candidates, thresh: float, ext_output: bool
) -> None:
    """Print what darknet prints about a picture."""
    lines = [
        f" Detection layer: {node.index} - type = {LAYER_TYPES[node.layer.section]} "
        for node in detector.detection_heads
        if node.layer.section in LAYER_TYPES
    ]
    lines.append(f"{seen.path}: Predicted in {1000 * seen.seconds:f} milli-seconds.")
    lines += _lines(found, detector, thresh, seen.width, seen.height, ext_output)
    click.echo("\n".join(lines))


def _lines(
    found: Candidates, detector: Detector, thresh: float, width: int, height: int, ext_output: bool
) -> Iterator[str]:
    """Yield draw_detections_v3's lines: boxes from left to right, each class on a line."""
    hidden = [hides(detector.names, k) for k in range(found.probs.shape[1])]
    rows = []
    for box, probs in zip(found.boxes, found.probs, strict=True):
        classes = [k for k in (probs > thresh).nonzero()[0].tolist() if not hidden[k]]
        if classes:
            best = max(classes, key=lambda k: probs[k])
            others = [k for k in classes if k != best]
            rows.append((float(box[0] - box[2] / 2), box, probs, [best, *others]))
    for _, (x, y, w, h), probs, classes in sorted(rows, key=lambda row: row[0]):
        place = ""
        if ext_output:
            left, top = round_half((x - w / 2) * width), round_half((y - h / 2) * height)
            wide, high = round_half(w * width), round_half(h * height)
            place = (
                f"\t(left_x: {left:4.0f}   top_y: {top:4.0f}"
                f"   width: {wide:4.0f}   height: {high:4.0f})"
            )
        for k in classes:
            yield f"{name_of(detector.names, k)}: {float(probs[k]) * 100:.0f}%{place}"


def hides(names: tuple[str, ...], k: int) -> bool:
    """Tell whether a class is not to be shown: darknet's names that begin with dont_show."""
    return k < len(names) and names[k].startswith("dont_show")


def name_of(names: tuple[str, ...], k: int) -> str:
    """Return the name of a class, or its number."""
    return names[k] if k < len(names) else str(k)


def round_half(value: float) -> float:
    """Round as C's round does: halves away from zero."""
    import math

    return math.copysign(math.floor(abs(value) + 0.5), value)


class JsonFile:
    """Detections of all pictures as darknet's -out writes them, but with the names escaped."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.count = 0

    def add(self, path: str, found: Candidates, names: tuple[str, ...]) -> None:
        """Write the objects of one picture."""
        self.count += 1
        objects = [
            _object(k, name_of(names, k), box, float(probs[k]))
            for box, probs in zip(found.boxes.tolist(), found.probs, strict=True)
            for k in (probs > LEAST_WRITTEN).nonzero()[0].tolist()
            if not hides(names, k)
        ]
        head = f' "frame_id":{self.count}, \n "filename":{quoted(path)}, \n "objects": [ \n'
        before = ", \n" if self.count > 1 else ""
        listed = ", \n".join(objects)
        self.file.write(f"{before}{{\n{head}{listed}\n ] \n}}".encode())


@contextmanager
def json_file(path: str | None) -> Iterator[JsonFile | None]:
    """Open the file of -out, if there is to be one; it appears when all pictures are done."""
    if not path:
        yield None
        return
    with replacing(path) as file:
        file.write(b"[\n")
        yield JsonFile(file)
        file.write(b"\n]")


def quoted(text: str) -> str:
    """Return text as JSON; bytes of a path that are not UTF-8 are escaped."""
    readable = text.encode("utf-8", "backslashreplace").decode()
    return json.dumps(readable, ensure_ascii=False)


def _object(k: int, name: str, box: Sequence[float], confidence: float) -> str:
    x, y, w, h = box
    return (
        f'  {{"class_id":{k}, "name":{quoted(name)}, '
        f'"relative_coordinates":{{"center_x":{x:f}, "center_y":{y:f}, '
        f'"width":{w:f}, "height":{h:f}}}, "confidence":{confidence:f}}}'
    )


def _write_labels(path: str, found: Candidates, thresh: float) -> None:
    """Write a picture's boxes, each with its best class, as darknet's -save_labels does."""
    from ..data.sources import label_path

    lines = []
    for box, probs in zip(found.boxes, found.probs, strict=True):
        best = int(probs.argmax())
        if probs[best] > thresh:
            lines.append(f"{best} " + " ".join(f"{float(v):2.4f}" for v in box) + "\n")
    write_text(label_path(path), "".join(lines))


class Drawings:
    """Where drawings go: predictions.jpg, the folder of -save, and a window if there is a screen.

    In the folder, pictures of one name in several places are numbered: dog.jpg, dog-2.jpg. Without
    folder and window only the last picture is drawn.
    """

    def __init__(self, folder: str | None, window: bool) -> None:
        self.folder = folder
        self.window = window and has_screen()
        self.names: Counter[str] = Counter()
        self.failed = 0
        self.last: Callable[[], None] | None = None
        if folder:
            make_folder(folder)

    @property
    def all(self) -> bool:
        """Whether every picture is drawn."""
        return bool(self.folder) or self.window

    def add(self, pictures: Pictures, seen: Seen, found: Candidates, thresh: float) -> None:
        """Draw a picture, or keep it in mind where only the last one is drawn."""
        self.last = partial(self._draw, pictures, seen, found, thresh)
        if self.all:
            self.finish()

    def finish(self) -> None:
        """Draw what is left to draw, and count it if that fails."""
        draw, self.last = self.last, None
        try:
            if draw:
                draw()
        except ImageError as error:
            click.echo(f"error: {error}", err=True)
            self.failed += 1

    def _draw(self, pictures: Pictures, seen: Seen, found: Candidates, thresh: float) -> None:
        """Draw and save a picture, and show it until a key is pressed."""
        from ..decode import to_detections
        from ..draw import draw, save_image

        detector = pictures.detector
        shown = to_detections(found, detector.names, thresh, seen.width, seen.height)
        drawn = draw(pictures.image(seen), shown, detector.classes)
        save_image("predictions.jpg", drawn)
        if self.folder:
            stem = Path(seen.path).stem
            self.names[stem] += 1
            number = f"-{self.names[stem]}" if self.names[stem] > 1 else ""
            save_image(Path(self.folder) / f"{stem}{number}.jpg", drawn)
        if self.window:
            _show(drawn)


def _show(drawn: Image) -> None:
    import cv2

    try:
        cv2.imshow("predictions", drawn)
        cv2.waitKey(0)
    except cv2.error:  # OpenCV's headless wheels have no windows
        click.echo("no window: this OpenCV is built without them; see predictions.jpg", err=True)


def has_screen() -> bool:
    """Tell whether a window can be opened; OpenCV ends the process where Qt finds no display."""
    if sys.platform in ("win32", "darwin"):
        return sys.stdout.isatty()
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
