"""Use plans for long, and roughly: sizes that change, many threads, a cache that is taken away.

    python benchmarks/soak.py [--inferences 20000] [--steps 2000] [--cfg cfg/yolo-fastest-1.1.cfg]

Says what it finds and ends with 1 if memory grew, an output changed, or a call failed.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from darkpy import Detector, Network, Trainer  # noqa: E402
from darkpy.kernels.cpu.engine import store  # noqa: E402
from darkpy.plan import compile  # noqa: E402

SIZES = (64, 96, 128, 160)
EACH = 50  # inferences before the size changes
MOST = 3.0  # MB that memory may grow by, once every size was met twice


def resident() -> float:
    """Return the memory of this process now, in MB; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def sizes(cfg: Path, inferences: int, threads: int = 2) -> list[float]:
    """Run plans of changing sizes; return the memory, in MB, after each round of all of them."""
    network = Network.from_cfg(cfg)
    params = network.initial_params(np.random.default_rng(0))
    first: dict[int, bytes] = {}
    found = []
    for _ in range(max(3, inferences // (EACH * len(SIZES)))):
        for side in SIZES:
            plan = compile(network.resized(side, side), params, threads=threads)
            x = np.random.default_rng(side).random((1, 3, side, side), np.float32)
            for _ in range(EACH):
                outputs = plan(x)
            said = b"".join(y.tobytes() for y in outputs.values())
            assert first.setdefault(side, said) == said, f"other bytes at {side}"
            del plan, outputs
        gc.collect()
        found.append(resident())
    return found


def steps(cfg: Path, count: int) -> list[float]:
    """Train with sizes and numbers of pictures that change; return the memory of each tenth."""
    trainer = Trainer(cfg)
    rng = np.random.default_rng(0)
    found = []
    for k in range(count):
        side = SIZES[k // 5 % len(SIZES)]
        pictures = 3 if k % 7 == 0 else 4
        truths = [np.array([[0, 0.5, 0.5, 0.3, 0.4]], np.float32)] * pictures
        shape = (pictures, trainer.network.image.c, side, side)
        loss = trainer.step(rng.random(shape, np.float32), truths)
        assert np.isfinite(loss), f"step {k}: a loss of {loss}"
        if (k + 1) % max(1, count // 10) == 0:
            gc.collect()
            found.append(resident())
    return found


def apart(measure: Callable[..., list[float]], *given: object) -> list[float]:
    """Return what `sizes` or `steps` measure in a process that has nothing else in its memory."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(measure, *given).result()


def grown(memory: Sequence[float]) -> float:
    """Return by how many MB memory grew from the second round to the last rounds."""
    return float(np.median(memory[-3:]) - np.median(memory[1:3]))


def crowd(cfgs: Sequence[Path], callers: int, calls: int) -> int:
    """Call a detector of each cfg from many threads; return how many answers were not as alone."""
    detectors, pictures, alone = [], [], []
    for k, cfg in enumerate(cfgs):
        network = Network.from_cfg(cfg)
        params = network.initial_params(np.random.default_rng(k))
        detectors.append(Detector(network, params, threads=k + 1))
        pictures.append(np.random.default_rng(k).integers(0, 256, (4, 90, 120, 3), np.uint8))
        alone.append([said(detectors[-1], one) for one in pictures[-1]])
    wrong: list[object] = []

    def call(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(calls):
            k, i = int(rng.integers(len(cfgs))), int(rng.integers(4))
            try:
                if said(detectors[k], pictures[k][i]) != alone[k][i]:
                    wrong.append((k, i))
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(callers)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return len(wrong)


def said(detector: Detector, picture: np.ndarray) -> bytes:
    outputs = detector.forward(detector.prepare(picture))
    return b"".join(y.tobytes() for y in outputs.values())


def without_cache(cfg: Path, damage: str) -> None:
    """Run a plan, damage the folder of compiled code, and run one that needs other code."""
    network = Network.from_cfg(cfg)
    params = network.initial_params(np.random.default_rng(0))
    plan = compile(network, params, threads=2)
    x = np.random.default_rng(0).random((1, *network.image), np.float32)
    before = {index: y.tobytes() for index, y in plan(x).items()}
    folder = store.folder()
    if damage == "delete":
        shutil.rmtree(folder)
    else:
        for file in folder.iterdir():
            file.write_bytes(b"nothing" if damage == "corrupt" else b"")
    for one in (plan, compile(network, params, threads=2)):
        assert {index: y.tobytes() for index, y in one(x).items()} == before
    batch = compile(network, params, batch=3, threads=2)(np.repeat(x, 3, 0))
    assert all(np.isfinite(y).all() for y in batch.values())


def in_a_fresh_cache(cfg: Path, damage: str) -> int:
    """Do `without_cache` in a process whose caches are its own; return its exit status."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, __file__, "--cfg", str(cfg), "--damage", damage]
        return subprocess.run(command, env=os.environ | {"XDG_CACHE_HOME": home}).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cfg", type=Path, default=ROOT / "cfg" / "yolo-fastest-1.1.cfg")
    parser.add_argument("--inferences", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=2000, help="of training; 100 at least")
    parser.add_argument("--damage", choices=("delete", "corrupt", "empty"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.damage:
        without_cache(options.cfg, options.damage)
        return 0
    start = time.monotonic()
    memory = sizes(options.cfg, options.inferences)
    growth = grown(memory)
    print(
        f"{len(memory) * EACH * len(SIZES)} inferences at {len(SIZES)} sizes, "
        f"{len(memory) * len(SIZES)} plans: {memory[1]:.1f} MB, at the end {memory[-1]:.1f} MB, "
        f"grown by {growth:.1f} MB ({time.monotonic() - start:.0f} s)"
    )
    cfgs = [ROOT / "cfg" / "shapes.cfg", options.cfg]
    memory = steps(cfgs[0], options.steps)
    learning = grown(memory)
    print(
        f"{options.steps} steps of training at {len(SIZES)} sizes: {memory[1]:.1f} MB, at the end "
        f"{memory[-1]:.1f} MB, grown by {learning:.1f} MB"
    )
    wrong = crowd(cfgs, callers=8, calls=max(1, options.inferences // 80))
    print(f"8 threads, two detectors: {wrong} answers that were not as alone")
    failed = [how for how in ("delete", "corrupt", "empty") if in_a_fresh_cache(cfgs[0], how)]
    print(f"cache folder deleted, corrupted, emptied: {len(failed)} failed {failed or ''}".rstrip())
    return int(max(growth, learning) > MOST or wrong > 0 or bool(failed))


if __name__ == "__main__":
    sys.exit(main())
