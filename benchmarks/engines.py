"""One engine in a process of its own: it loads a network, computes when told to, and tells times.

    python engines.py ENGINE FOLDER --threads 2 --precision fp32

The folder holds the network (subject.py). Lines come in, one JSON object goes out for each, the
first when the network is loaded: {"engine", "version", "precision", "load"}, or {"absent": why}.
A line "outputs" writes FOLDER/ENGINE.npz, what feeds each head for x.npy; a number of seconds runs
inferences for so long, two at least after one that does not count, and answers {"seconds": [...]};
before that, "warm" runs a few that do not count, and answers {"note"}; "end" answers {"peak": MB}.

Every engine is given its threads and its precision in so many words, float32 comes in and float32
goes out, and only the inference is timed. After its turn an engine waits until its threads have
stopped spinning, which they do for up to a fifth of a second, and only then answers: so its waiting
is as its makers set it, and takes nothing from the others.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

LOOK = 0.02  # seconds between two looks at the time that this process has computed
QUIET = 0.05  # of one processor that an engine may still take when its turn is over
TRIALS = 4  # of each way to run an engine
PATIENCE = 3.0  # seconds that it has to come to rest

Array = np.ndarray


class Absent(Exception):
    """Says why an engine does not take part."""


class Job(NamedTuple):
    """What an engine is to run: the network in ``folder``, x (n, c, h, w) float32."""

    folder: Path
    x: Array
    threads: int
    precision: str  # fp32 or bf16
    program: Path | None = None  # darknet's

    @property
    def bf16(self) -> bool:
        return self.precision == "bf16"


class Engine(NamedTuple):
    """A loaded network: ``run`` computes, ``outputs`` gives what the last run found, head by head.

    run   returns its seconds, as a float, if it measures itself
    note  how it was set, where there was a choice
    pid   of the process that computes, if it is another
    ways  more than one to run it, by name: the fastest is found out when it warms up
    """

    version: str
    run: Callable[[], object]
    outputs: Callable[[], list[Array]]
    note: str = ""
    pid: int | None = None
    ways: Mapping[str, Callable[[], object]] = MappingProxyType({})


def only_fp32(job: Job) -> None:
    if job.bf16:
        raise Absent("computes in fp32 alone")


def darkpy(job: Job) -> Engine:
    """Run a plan of this checkout."""
    from subject import raw

    from darkpy.network import Network
    from darkpy.plan import compile
    from darkpy.weights import read_weights

    read = Network.from_cfg(job.folder / "net.cfg")
    network, params = raw(read), read_weights(read, job.folder / "net.weights")
    found: dict[int, Array] = {}
    options = {"batch": len(job.x), "threads": job.threads}
    if "precision" in inspect.signature(compile).parameters:
        options["precision"] = job.precision
    else:
        only_fp32(job)
    run = compile(network, params, **options)
    heads = [node.index for node in network.heads]
    return Engine(
        "",
        lambda: run.run({"image": job.x}, found.update),  # as peers, without a copy of outputs
        lambda: [found[index] for index in heads],
    )


def openvino(job: Job) -> Engine:
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(
        str(job.folder / "net.onnx"),
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": str(job.threads),
            "INFERENCE_PRECISION_HINT": "bf16" if job.bf16 else "f32",
        },
    )
    request = compiled.create_infer_request()
    request.set_input_tensor(openvino.Tensor(job.x, shared_memory=True))
    count = len(compiled.outputs)
    kind = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    return Engine(
        openvino.__version__.partition("-")[0],
        request.infer,
        lambda: [request.get_output_tensor(k).data for k in range(count)],
        f"latency hint, one stream, precision hint {kind}",
    )


def onnxruntime(job: Job) -> Engine:
    import onnxruntime

    only_fp32(job)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        job.folder / "net.onnx", options, providers=["CPUExecutionProvider"]
    )
    found: list[Array] = []

    def run() -> None:
        found[:] = session.run(None, {"x": job.x})

    return Engine(onnxruntime.__version__, run, lambda: found, "all optimisations")


def ncnn(job: Job) -> Engine:
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = job.threads
    net.opt.use_vulkan_compute = False
    for name in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "int8_inference"):
        setattr(net.opt, f"use_{name}", False)
    net.opt.use_bf16_storage = net.opt.use_bf16_packed = job.bf16
    net.opt.lightmode = True
    if net.load_param(str(job.folder / "net.param")) or net.load_model(str(job.folder / "net.bin")):
        raise Absent("does not read the network")
    names = (job.folder / "net.outputs").read_text("utf-8").split()
    pictures = [ncnn.Mat(picture) for picture in job.x]
    found: list[list] = []

    def run() -> None:
        found.clear()
        for picture in pictures:
            extractor = net.create_extractor()
            extractor.input("x", picture)
            found.append([extractor.extract(name)[1] for name in names])

    return Engine(
        ncnn.__version__,
        run,
        lambda: [np.stack([np.array(one) for one in mats]) for mats in zip(*found, strict=True)],
        "Winograd, packing, light mode; a batch is picture after picture",
    )


def opencv(job: Job) -> Engine:
    import cv2
    from subject import sources

    from darkpy.network import Network

    only_fp32(job)
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        raise Absent(f"OpenCV {cv2.__version__} reads no .cfg; 4.x does")
    cv2.setNumThreads(job.threads)
    files = (str(job.folder / name) for name in ("net.cfg", "net.weights"))
    net = cv2.dnn.readNetFromDarknet(*files)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    network = Network.from_cfg(job.folder / "net.cfg")
    names = [layer_name(network.nodes[index].layer, index) for index in sources(network)]
    found: list[Array] = []

    def run() -> None:
        net.setInput(job.x)
        found[:] = net.forward(names)

    return Engine(cv2.__version__, run, lambda: found, "its reader of .cfg and .weights")


def layer_name(layer: object, index: int) -> str:
    """Return OpenCV's name of what a convolution puts out at the end."""
    if layer.activation != "linear":
        return f"{layer.activation}_{index + 1}"
    return f"{'bn' if layer.normalizes else 'conv'}_{index}"


def torch(job: Job) -> Engine:
    """PyTorch eagerly, in either of its layouts, convolutions with batch norm folded."""
    import torch
    from torch_graph import Folded

    from darkpy.network import Network

    torch.set_num_threads(job.threads)
    network = Network.from_cfg(job.folder / "net.cfg")
    kind = torch.bfloat16 if job.bf16 else torch.float32
    found: list = []

    def made(layout: str) -> Callable[[], None]:
        shape = getattr(torch, layout)
        with np.load(job.folder / "folded.npz") as arrays:
            graph = Folded(network, arrays).to(kind).to(memory_format=shape).eval()
        x = torch.from_numpy(job.x).to(memory_format=shape)

        def run() -> None:
            with torch.inference_mode():
                found[:] = [y.float() for y in graph(x.to(kind))]

        return run

    layouts = {layout: made(layout) for layout in ("contiguous_format", "channels_last")}
    return Engine(
        torch.__version__.partition("+")[0],
        layouts["channels_last"],
        lambda: [y.contiguous().numpy() for y in found],
        "eager",
        ways=layouts,
    )


def darknet(job: Job) -> Engine:
    """The C program, which says itself how long a picture took; its heads are in that time."""
    only_fp32(job)
    if len(job.x) > 1:
        raise Absent("takes one picture at a time")
    picture = (255 * job.x[0]).astype(np.uint8).transpose(1, 2, 0)
    head = f"P6 {picture.shape[1]} {picture.shape[0]} 255\n".encode()
    (job.folder / "x.ppm").write_bytes(head + picture.tobytes())
    (job.folder / "net.names").write_text("\n".join(map(str, range(1000))), "utf-8")
    (job.folder / "net.data").write_text("classes=1000\nnames=net.names\n", "utf-8")
    words = ["detector", "test", "net.data", "net.cfg", "net.weights", "-dont_show"]
    process = subprocess.Popen(
        [str(job.program), *words, "-thresh", "0.999"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, errors="replace", cwd=job.folder,
    )  # fmt: skip

    def run() -> float:
        print("x.ppm", file=process.stdin, flush=True)
        for line in process.stdout:
            found = re.search(r"Predicted in ([0-9.]+) milli-seconds", line)
            if found:
                return 1e-3 * float(found[1])
        raise Absent(f"{job.program} ended")

    return Engine("", run, list, "its own time, with the heads", process.pid)


ENGINES = {
    one.__name__: one for one in (darkpy, openvino, onnxruntime, ncnn, opencv, torch, darknet)
}


def timed(run: Callable[[], object]) -> float:
    """Return the seconds that an inference takes."""
    start = time.perf_counter()
    own = run()
    return own if isinstance(own, float) else time.perf_counter() - start


def turn(run: Callable[[], object], seconds: float) -> list[float]:
    """Return the times of inferences for about so many seconds, two at least; then come to rest.

    One runs before them that does not count: it finds the caches as another engine left them.
    """
    run()
    times: list[float] = []
    while len(times) < 2 or sum(times) < seconds:
        times.append(timed(run))
    rest()
    return times


def warm(engine: Engine) -> Engine:
    """Run inferences that nobody counts; return the engine as it runs fastest."""
    if not engine.ways:
        turn(engine.run, 0)
        return engine
    times: dict[str, list[float]] = {name: [] for name in engine.ways}
    for _ in range(TRIALS + 1):  # the first is left out
        for name, run in engine.ways.items():
            times[name].append(timed(run))
    best = min(times, key=lambda name: min(times[name][1:]))
    rest()
    return engine._replace(run=engine.ways[best], note=f"{engine.note}, {best}", ways={})


def rest() -> None:
    """Wait until the threads of this process compute no more, or patience is at its end."""
    end = time.perf_counter() + PATIENCE
    while time.perf_counter() < end:
        before = time.process_time()
        time.sleep(LOOK)
        if time.process_time() - before < QUIET * LOOK:
            return


def peak_memory(pid: int | None) -> float:
    """Return the most memory a process has had, in MB; NaN where the system does not say.

    pid  None for this one
    """
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_text("ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6
    except OSError:
        pass
    try:
        import resource
    except ImportError:  # Windows
        return math.nan
    if pid:
        return math.nan
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def load(name: str, job: Job, known: Mapping | None = None) -> tuple[Engine | None, dict]:
    """Return the engine and the first line to say; no engine if it is absent."""
    start = time.perf_counter()
    try:
        engine = (known or ENGINES)[name](job)
    except ImportError as error:
        return None, {"absent": f"not installed ({error})"}
    except Absent as error:
        return None, {"absent": str(error)}
    engine.run()
    seconds = time.perf_counter() - start
    said = {"version": engine.version, "precision": job.precision, "note": engine.note}
    return engine, {"engine": name, **said, "load": seconds}


def main(known: Mapping[str, Callable[[Job], Engine]]) -> None:
    """Be one of the engines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("engine", choices=known)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--program", type=Path)
    options = parser.parse_args()
    say = os.fdopen(os.dup(1), "w")  # what libraries print goes elsewhere
    os.dup2(2, 1)
    x = np.load(options.folder / "x.npy")
    job = Job(options.folder, x, options.threads, options.precision, options.program)
    engine, first = load(options.engine, job, known)
    print(json.dumps(first), file=say, flush=True)
    for line in sys.stdin if engine else ():
        word = line.strip()
        if word == "end":
            answer: dict = {"peak": peak_memory(engine.pid)}
        elif word == "warm":
            engine = warm(engine)
            answer = {"note": engine.note}
        elif word == "outputs":
            arrays = {str(k): y for k, y in enumerate(engine.outputs())}
            np.savez(options.folder / f"{options.engine}.npz", **arrays)
            answer = {"written": True}
        else:
            answer = {"seconds": turn(engine.run, float(word))}
        print(json.dumps(answer), file=say, flush=True)


if __name__ == "__main__":
    main(ENGINES)
