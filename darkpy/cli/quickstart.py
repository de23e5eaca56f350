"""darkpy quickstart: a training from the first picture to the last number, in a minute or two."""

from __future__ import annotations

import shlex
from contextlib import chdir
from pathlib import Path

import click

from ..errors import DarkpyError
from .options import Command

FOLDER = "darkpy-quickstart"
FEWEST = 16  # pictures: the batch of cfg/shapes.cfg
WEIGHTS = "backup/shapes_best.weights"
END = """
All of it is in {folder}:
  predictions.jpg             the objects found in {picture}
  backup/chart.png            loss and mAP, iteration by iteration
  backup/runs/                a record of each run: figures, worst pictures, how to repeat it
  {weights}  what was learned
  images/train/               the pictures, and a label file beside each: class x y width height

To detect your own objects:
  1. label your pictures like those in images/train (labelImg and others write this format)
  2. list the pictures in train.txt and valid.txt, name the classes in a file .names, and say
     where these are in a file like shapes.data
  3. copy a .cfg, say {cfg};
     set classes= in each [yolo], and filters= (classes + 5) * 3 in the [convolutional] before it
  4. darkpy detector train my.data my.cfg"""


@click.command(cls=Command)
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=FOLDER)
@click.option("--seed", type=click.IntRange(0), default=0, help="Of all that is drawn.")
@click.option(
    "--pictures",
    type=click.IntRange(FEWEST),
    default=200,
    show_default=True,
    help="To train on; a quarter as many more are drawn to validate with.",
)
def quickstart(folder: Path, seed: int, pictures: int) -> int:
    """Draw pictures of shapes into FOLDER, train a small network on them, measure it and use it.

    Each command is printed before it is run. FOLDER (by default darkpy-quickstart) is made; it must
    be empty, or of an earlier quickstart, whose files are written over. Exit status: that of the
    first command that fails.
    """
    from ..data.dataset import read_labels
    from ..data.sources import label_path
    from ..files import write_text
    from ..prepare.shapes import NAMES, write_shapes
    from ..zoo import cfg_path

    if folder.is_dir() and any(folder.iterdir()) and not (folder / "shapes.data").is_file():
        raise DarkpyError(f"{folder}: is not empty; name a new folder: darkpy quickstart FOLDER")
    valid = write_shapes(folder, pictures, pictures // 4, seed)
    picture = max(valid, key=lambda path: len(read_labels(label_path(folder / path))))
    write_text(folder / "shapes.cfg", cfg_path("shapes.cfg").read_text("utf-8"))
    click.echo(
        f"drew {pictures} pictures to train on and {len(valid)} to validate with: "
        f"{', '.join(NAMES)} among things that are none"
    )
    click.echo(f"$ cd {shlex.quote(str(folder))}")
    files = ["shapes.data", "shapes.cfg"]
    with chdir(folder):
        for words in (
            ["train", *files, "-map", *(["--seed", str(seed)] if seed else [])],
            ["map", *files, WEIGHTS],
            ["test", *files, WEIGHTS, picture, "-dont_show"],
        ):
            if code := _run(["detector", *words]):
                return code
    zoo = cfg_path("yolov4-tiny.cfg")
    click.echo(END.format(folder=folder, picture=picture, weights=WEIGHTS, cfg=zoo))
    return 0


def _run(words: list[str]) -> int:
    """Print a command line, run it, and return its exit status."""
    click.echo(f"$ darkpy {shlex.join(words)}")
    root = click.get_current_context().find_root().command
    code = root.main(words, prog_name="darkpy", standalone_mode=False, obj=tuple(words))
    return code if isinstance(code, int) else 0
