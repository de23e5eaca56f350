"""Time a step of training by several processes of a thread or more each, beside one of all threads.

    scripts/bench ranks [CFG] [--ranks 2] [--batch 16] [--size 416] [--steps 5] [--rounds 3]

The two take turns, each time as new processes, and the least of each round's steps counts: what
else runs on the machine makes steps longer, never shorter. No pictures are loaded.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from darkpy.network import Network  # noqa: E402
from darkpy.train.ranks import connect, launcher  # noqa: E402
from darkpy.train.trainer import Trainer  # noqa: E402

OBJECTS = 10  # of a picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("cfg", nargs="?", default=str(ROOT / "cfg" / "yolov4-tiny.cfg"))
    add("--ranks", type=int, default=2)
    add("--batch", type=int, default=16, help="pictures of a step, in a mini-batch for each rank")
    add("--size", type=int, default=416)
    add("--steps", type=int, default=5)
    add("--rounds", type=int, default=3)
    add("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options)
        return
    start = launcher()
    if start is None:
        print("there is no mpiexec: pip install mpi4py mpich")
        return
    own = [sys.executable, __file__, *sys.argv[1:], "--work"]
    ways = {"one process": own, f"{options.ranks} ranks": [start, "-n", str(options.ranks), *own]}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.rounds):
        for name, command in ways.items():
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            times[name].append(min(json.loads(done.stdout)))
    for name, least in times.items():
        print(f"{name:12} {min(least):.3f} s a step; of each round {[round(x, 3) for x in least]}")
    one, several = times.values()
    median = statistics.median(b / a for a, b in zip(one, several, strict=True))
    print(f"ratio        {min(several) / min(one):.2f}; median of rounds {median:.2f}")


def work(options: argparse.Namespace) -> None:
    """Take steps as one of the ranks; the first prints what each took."""
    settings = (f"net.batch={options.batch}", f"net.subdivisions={options.ranks}")
    size = (options.size, options.size)
    ranks = connect()
    trainer = Trainer(Network.from_cfg(options.cfg, size, settings=settings), ranks=ranks)
    rng = np.random.default_rng(0)
    images = rng.random((options.batch, trainer.network.image.c, *size), np.float32)
    truths = [
        np.column_stack([np.zeros(OBJECTS), rng.uniform(0.2, 0.8, (OBJECTS, 4))])
        for _ in range(options.batch)
    ]
    times = []
    for _ in range(1 + options.steps):
        began = time.perf_counter()
        trainer.step(images, truths)
        times.append(time.perf_counter() - began)
    if ranks.rank == 0:
        print(json.dumps(times[1:]))


if __name__ == "__main__":
    main()
