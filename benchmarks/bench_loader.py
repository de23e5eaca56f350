"""Time the loader: pictures a second that its threads make for training.

    scripts/bench loader [--size 416] [--pictures 96] [--json FILE] [FOLDER]

Without a folder of pictures, 32 of 640 x 480 are made. Each row of augmentation, and each number of
threads, is run three times in turns; the best counts, since whatever else runs only slows. Beside
it, `busy` has the rate while a thread of numpy keeps one processor at work, as training does.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from machine import report  # noqa: E402

from darkpy.data.augment import Augmentation  # noqa: E402
from darkpy.data.loader import Loader  # noqa: E402
from darkpy.data.sources import pictures_in  # noqa: E402
from darkpy.data.training import TrainingSet  # noqa: E402

USUAL = {"flip": True, "jitter": 0.3, "hue": 0.1, "saturation": 1.5, "exposure": 1.5}
ROWS = {
    "none": Augmentation(),
    "usual": Augmentation(**USUAL),
    "usual, mixup": Augmentation(**USUAL, mix="mixup"),
    "usual, mosaic": Augmentation(**USUAL, mix="mosaic"),
    "usual, mosaic, blur, noise": Augmentation(**USUAL, mix="mosaic", blur=9, gaussian_noise=20),
}
WORKERS = (1, 2, 4)
ROUNDS = 3
BATCH = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of pictures, their labels beside")
    parser.add_argument("--size", type=int, default=416, help="side of the network's input")
    parser.add_argument("--pictures", type=int, default=96, help="of each run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = pictures_in(options.folder or made(Path(folder)))
        dataset = TrainingSet(paths, 1_000_000)
        report(
            lambda: measure(dataset, options.size, options.pictures),
            f"{'pictures a second':28}{'workers':>8}{'alone':>9}{'busy':>9}",
            lambda row: (
                f"{row['augmentation']:28}{row['workers']:8}{row['alone']:9.1f}{row['busy']:9.1f}"
            ),
            options.json,
        )


def measure(dataset: TrainingSet, side: int, pictures: int) -> list[dict]:
    """Return a row per augmentation and number of threads: pictures a second, alone and beside."""
    rows = [
        {"augmentation": name, "workers": workers, "alone": 0.0, "busy": 0.0}
        for name in ROWS
        for workers in WORKERS
    ]
    for _ in range(ROUNDS):
        for row in rows:
            for beside in ("alone", "busy"):
                found = rate(dataset, row, (side, side), pictures, beside == "busy")
                row[beside] = max(row[beside], found)
    return rows


def rate(
    dataset: TrainingSet, row: dict, size: tuple[int, int], pictures: int, busy: bool
) -> float:
    """Return how many pictures a second a loader makes."""
    stop = threading.Event()
    worker = threading.Thread(target=work, args=(stop,))
    if busy:
        worker.start()
    with Loader(
        dataset, ROWS[row["augmentation"]], seed=0, batch=BATCH, size=size,
        workers=row["workers"], stop=pictures // BATCH,
    ) as loader:  # fmt: skip
        start = time.perf_counter()
        count = sum(len(batch.images) for batch in loader)
        seconds = time.perf_counter() - start
    stop.set()
    if busy:
        worker.join()
    return count / seconds


def work(stop: threading.Event) -> None:
    """Compute, without Python's lock for the most part, until told to stop."""
    x = np.ones(1 << 16, np.float32)
    while not stop.is_set():
        np.sin(x, x)


def made(folder: Path, count: int = 32, size: tuple[int, int] = (480, 640)) -> Path:
    """Write JPEGs of smooth and of noisy parts, with five objects each; return the folder."""
    rng = np.random.default_rng(0)
    for k in range(count):
        coarse = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)
        image = cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)
        image = cv2.add(image, rng.integers(0, 24, image.shape).astype(np.uint8))
        (folder / f"{k}.jpg").write_bytes(cv2.imencode(".jpg", image)[1].tobytes())
        boxes = np.column_stack([rng.uniform(0.3, 0.7, (5, 2)), rng.uniform(0.1, 0.4, (5, 2))])
        rows = [" ".join(map(str, row)) for row in boxes.round(4)]
        (folder / f"{k}.txt").write_text("".join(f"{n} {row}\n" for n, row in enumerate(rows)))
    return folder


if __name__ == "__main__":
    main()
