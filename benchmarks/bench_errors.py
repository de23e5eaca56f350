"""How far each algorithm, and each network as a whole, is from float64.

    scripts/bench errors [CFG...] [--weights FILE] [--picture FILE] [--threads 2]
    scripts/bench errors --cuda [CFG...] [--weights FILE] [--picture FILE]

A difference is the largest one, by the largest value of what float64 gives. Convolutions are fed
numbers of N(0, 1), one by one; networks get a picture, of noise if none is given, and what feeds
their heads is compared. Weights, if none are given, are drawn so that activations keep their size
(subject.py). Nothing is timed.

With --cuda it is the GPU's kernels that are measured, each precision. They run on the processor, by
tests/hostcuda: it needs g++ and no GPU, and takes minutes. Of boxes of more than 10 % that are no
larger than the input it says, before any is suppressed, by how many pixels of the network's input
their centres and sizes differ at most, and by how much a probability.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import subject  # noqa: E402

from darkpy.data.image import prepare, read_image  # noqa: E402
from darkpy.decode import DECODE, Candidates  # noqa: E402
from darkpy.errors import DeviceError  # noqa: E402
from darkpy.kernels import ops  # noqa: E402
from darkpy.kernels.cpu.threads import CORES  # noqa: E402
from darkpy.network import Network  # noqa: E402
from darkpy.plan import compile, ways  # noqa: E402
from darkpy.plan.cuda import compile as compile_on_gpu  # noqa: E402
from darkpy.run import Context, Tape  # noqa: E402
from darkpy.weights import read_weights  # noqa: E402

DEFAULT = ("yolov3-tiny", "yolov4-tiny", "yolo-fastest-1.1-xl")
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
LEAST = 0.1  # probability of the boxes that are compared
MODES = {"default": {}, "strict": {"strict": True}, "bf16": {"precision": "bf16"}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cfg", nargs="*", help=f"default: {' '.join(DEFAULT)} of cfg/")
    parser.add_argument("--weights", type=Path, help="of the one CFG, instead of drawn ones")
    parser.add_argument("--picture", type=Path, help="to send through networks")
    parser.add_argument("--cuda", action="store_true", help="measure the GPU's kernels")
    parser.add_argument("--threads", type=int, default=CORES)
    options = parser.parse_args()
    if options.weights and len(options.cfg) != 1:
        parser.error("--weights: expected one CFG")
    networks = [
        Network.from_cfg(path) for path in options.cfg or [ROOT / f"cfg/{x}.cfg" for x in DEFAULT]
    ]
    weights = [
        read_weights(network, options.weights) if options.weights else subject.drawn(network)
        for network in networks
    ]
    inputs = [input_of(network, options.picture) for network in networks]
    given = list(zip(networks, weights, inputs, strict=True))
    if options.cuda:
        show_cuda(given)
    else:
        show(given, options.threads)


def input_of(network: Network, picture: Path | None) -> np.ndarray:
    """Return what a network is given (1, c, h, w): a picture from a file, or noise."""
    if picture is None:
        return np.random.default_rng(0).random((1, *network.image), np.float32)
    image = read_image(picture, network.image.c)
    return prepare(image, network.image, network.options.letter_box, ops("cpu"))[None]


def show(given: list, threads: int) -> None:
    """Print the tables of the processor's algorithms, and of networks."""
    found: dict[str, list[float]] = defaultdict(list)
    wholes = []
    for network, params, x in given:
        for name, error in of_convolutions(network, params, threads):
            found[name].append(error)
        wholes.append((Path(network.path).stem, of_whole(network, params, x, threads)))
    print("| algorithm | least | median | largest | convolutions |\n|---|---|---|---|---|")
    for name, errors in sorted(found.items()):
        least, middle, most = np.quantile(errors, (0, 0.5, 1))
        print(f"| {name} | {least:.1e} | {middle:.1e} | {most:.1e} | {len(errors)} |")
    print(f"\n| network | {' | '.join(['float32 by numpy', *MODES])} |\n|{'---|' * 5}")
    for name, errors in wholes:
        print(f"| {name} | {' | '.join(errors)} |")


def of_convolutions(network: Network, params: list, threads: int):
    """Yield (algorithm, error) for each way of each convolution."""
    program = ways.separate(network, params, 1, threads)
    for layer in ways.layers(program):
        choices = ways.of_each_kind(layer.geometry, threads)
        bound = ways.bind(program, layer.ops[0], choices, threads)
        for way, error in zip(choices, ways.errors(layer.ops[0], bound), strict=True):
            m = dict(way.options).get("m")
            yield f"Winograd F({m} x {m}, 3 x 3)" if m else way.name, error


def of_whole(network: Network, params: list, x: np.ndarray, threads: int) -> list[str]:
    """Return the error of what feeds the heads: of the reference in float32, and of each mode."""
    raw = subject.raw(network)
    truth = in_float64(raw, params, x)
    outputs = [Tape(raw, params, ops("reference")).forward(x)]
    for mode in MODES.values():
        try:
            outputs.append(compile(raw, params, threads=threads, **mode)(x))
        except DeviceError:
            outputs.append({})
    return [f"{difference(one, truth):.1e}" if one else "not here" for one in outputs]


def in_float64(raw: Network, params: list, x: np.ndarray) -> dict:
    """Return the outputs of the reference in float64."""
    wide = [{name: one.astype(np.float64) for name, one in own.items()} for own in params]
    return Tape(raw, wide, ops("reference")).forward(x.astype(np.float64))


def show_cuda(given: list) -> None:
    """Print the table of the GPU's kernels: one row for a network and a precision."""
    from tests.hostcuda import missing
    from tests.hostcuda.device import host_device

    if missing():
        sys.exit(missing())
    head = ("network", "arithmetic", "largest", "rms", "boxes", "pixels", "probability")
    print(f"| {' | '.join(head)} |\n|{'---|' * len(head)}")
    for network, params, x in given:
        raw = subject.raw(network)
        truth = in_float64(raw, params, x)
        runs = {"float32 by numpy": Tape(raw, params, ops("reference")).forward}
        for precision in PRECISIONS:
            runs[precision] = compile_on_gpu(raw, params, host_device(), precision=precision)
        for name, run in runs.items():
            found = run(x)
            errors = f"{difference(found, truth):.1e} | {spread(found, truth):.1e}"
            boxes = " | ".join(of_boxes(network, found, truth))
            print(f"| {Path(network.path).stem} | {name} | {errors} | {boxes} |", flush=True)


def spread(found: dict, truth: dict) -> float:
    """Return the root of the mean square of all differences, by that of the numbers themselves."""
    differences = np.concatenate([(found[i] - y).reshape(-1) for i, y in truth.items()])
    numbers = np.concatenate([y.reshape(-1) for y in truth.values()])
    return float(np.sqrt(np.square(differences).mean() / np.square(numbers).mean()))


def of_boxes(network: Network, found: dict, truth: dict) -> list[str]:
    """Return how many boxes there are, and the largest differences of places and probabilities."""
    ours, theirs = decoded(network, found), decoded(network, truth)
    some = (theirs.probs.max(1) > LEAST) & (theirs.boxes[:, 2:] <= 1).all(1)
    pixels = abs(ours.boxes - theirs.boxes)[some] * np.tile(network.image[:0:-1], 2)
    sure = abs(ours.probs - theirs.probs)[some]
    return [str(some.sum()), f"{pixels.max(initial=0):.1e}", f"{sure.max(initial=0):.1e}"]


def decoded(network: Network, outputs: dict) -> Candidates:
    """Return all boxes that mean what feeds the heads, however improbable, in their order."""
    parts = []
    for node in network.heads:
        y = node.layer.forward(Context(ops("reference"), {}), outputs[node.index])
        y = np.asarray(y, np.float32).reshape(node.shape)
        _, h, w = network.image
        parts.append(DECODE[node.layer.section](y, node.layer, h, w, -1))
    return Candidates.join(parts)


def difference(found: dict, truth: dict) -> float:
    return max(float(abs(found[i] - y).max() / abs(y).max()) for i, y in truth.items())


if __name__ == "__main__":
    main()
