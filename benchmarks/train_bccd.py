"""Train on real pictures, BCCD's 292 of blood cells, and measure mAP on the other 72.

    python benchmarks/train_bccd.py [--seeds 1,2,3] [--folder FOLDER] [--json FILE] [-- FLAG...]

The backbone of Yolo-Fastest 1.1, trained on COCO, learns three classes in 300 iterations of 16
pictures (tests/bccd.py); FLAGs are those of `darkpy detector train`. Measured are the last weights,
not the best, so that nothing was chosen by the pictures it is measured on. The spread is the
largest figure less the smallest. Darknet's C program got to 61.1 % in one run: WBC 82, RBC 73,
Platelets 28. The data is looked for in shared/ beside the checkout. A seed takes minutes.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from tests.bccd import NAMES, write_bccd  # noqa: E402
from tests.conftest import SHARED  # noqa: E402

FILES = ["bccd.data", "bccd.cfg"]
FORM = "{:>8}" + "{:>11}" * (len(NAMES) + 1) + "{:>10}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="1,2,3", help="of which each makes a training")
    parser.add_argument("--folder", type=Path, help="keep the runs in this new folder")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument("flags", nargs="*", help="of darkpy detector train, after --")
    options = parser.parse_args()
    if not SHARED.is_dir():
        parser.error(f"{SHARED}: no such folder; it holds the pictures and the backbone")
    with tempfile.TemporaryDirectory() as passing:
        rows = []
        print(FORM.format("seed", *NAMES, "mAP@.5", "seconds"))
        for seed in options.seeds.split(","):
            folder = (options.folder or Path(passing)) / f"seed-{seed}"
            rows.append(measure(folder, seed, options.flags))
            print(line(seed, rows[-1]), flush=True)
    print(line("mean", [statistics.mean(column) for column in zip(*rows, strict=True)]))
    if len(rows) > 1:
        print(line("spread", [max(column) - min(column) for column in zip(*rows, strict=True)]))
    if options.json:
        options.json.write_text(json.dumps({"names": NAMES, "rows": rows}, indent=1), "utf-8")


def measure(folder: Path, seed: str, flags: list[str]) -> list[float]:
    """Train and measure in a new folder; return each class's AP, mAP (per cent) and the seconds."""
    write_bccd(SHARED, folder)
    start = time.monotonic()
    darkpy(folder, "train", *FILES, "bccd.weights", "--no-map", "--seed", seed, *flags)
    seconds = time.monotonic() - start
    table = darkpy(folder, "map", *FILES, "backup/bccd_final.weights")
    ap = [float(found) for found in re.findall(r"ap = ([0-9.]+)%", table)]
    (mean,) = re.findall(r"mAP@0\.50\) = ([0-9.]+)", table)
    return [*ap, 100 * float(mean), seconds]


def darkpy(folder: Path, *words: str) -> str:
    """Run `darkpy detector ...` in a folder and return what it printed; errors are shown."""
    command = [sys.executable, "-m", "darkpy", "detector", *words]
    here = {**os.environ, "PYTHONPATH": str(ROOT)}  # this checkout's darkpy, whatever is installed
    done = subprocess.run(command, cwd=folder, env=here, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"darkpy detector {' '.join(words)}: ended with {done.returncode}")
    return done.stdout


def line(name: str, row: list[float]) -> str:
    """Return a line of the table."""
    *shares, seconds = row
    return FORM.format(name, *(f"{share:.2f} %" for share in shares), f"{seconds:.0f}")


if __name__ == "__main__":
    main()
