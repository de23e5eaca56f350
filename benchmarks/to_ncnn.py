"""Write a network as ncnn reads it: net.param, a line a layer, and net.bin, the weights.

ncnn gives each output to one layer: a Split stands where several want it. Numbers of parameters
are those of ncnn's layers (docs/developer-guide/operators.md there).
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from subject import margins, refuse, sources

from darkpy.network import Network, Node

MAGIC = 7767517
FLOAT32 = np.zeros(1, "<i4")  # the mark before weights that are stored as they are
FUSED = {"linear": "", "leaky": "9=2 -23310=1,0.1", "relu": "9=1", "logistic": "9=4", "mish": "9=5"}
ALONE = {"leaky": "ReLU 0.1", "swish": "Swish", "mish": "Mish", "logistic": "Sigmoid"}
ADD, MULTIPLY = 0, 2  # of BinaryOp


class Writer:
    """Lines and weights, made one layer after the other."""

    def __init__(self, network: Network, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.shapes = {-1: network.image} | {node.index: node.shape for node in network.nodes}
        self.lines: list[tuple[str, list[str], str, str]] = []
        self.weights: list[np.ndarray] = []
        c, h, w = network.image
        self.names = {-1: self.add("Input", [], "x", f"0={w} 1={h} 2={c}")}
        for node in network.nodes:
            section = node.layer.section
            if not hasattr(self, section):
                raise ValueError(f"{node.where}: no comparison with ncnn is made of it")
            inputs = [self.names[one] for one in node.inputs]
            self.names[node.index] = getattr(self, section)(node, f"x{node.index}", *inputs)

    def add(self, kind: str, inputs: list[str], output: str, params: str = "") -> str:
        """Append a layer; return the name of its output."""
        self.lines.append((kind, inputs, output, params))
        return output

    def activate(self, kind: str, x: str, y: str) -> str:
        """Append the activation of x as a layer."""
        if kind == "linear":
            return x
        if kind not in ALONE:
            raise ValueError(f"activation={kind}: no comparison with ncnn is made of it")
        name, _, slope = ALONE[kind].partition(" ")
        return self.add(name, [x], y, f"0={slope}" if slope else "")

    def convolutional(self, node: Node, y: str, x: str) -> str:
        layer = node.layer
        refuse(node, layer.antialiasing or layer.xnor or layer.binary)
        w, b = (self.arrays[f"{node.owner}.{name}"] for name in ("weights", "biases"))
        self.weights += [FLOAT32, w, b]
        down, right = layer.strides
        params = (
            f"0={layer.filters} 1={layer.size} 2={layer.spacing} 3={right} 13={down} "
            f"4={layer.border} 5=1 6={w.size}"
        )
        kind = "Convolution"
        if layer.split > 1:
            kind, params = "ConvolutionDepthWise", f"{params} 7={layer.split}"
        if layer.activation in FUSED:
            return self.add(kind, [x], y, f"{params} {FUSED[layer.activation]}".strip())
        return self.activate(layer.activation, self.add(kind, [x], f"{y}_before", params), y)

    def maxpool(self, node: Node, y: str, x: str) -> str:
        layer = node.layer
        refuse(node, layer.antialiasing or layer.maxpool_depth or layer.maxpool_zero_nonmax)
        down, right = layer.strides
        before, (bottom, after) = margins(node, self.shapes[node.inputs[0]])
        params = f"0=0 1={layer.window} 2={right} 12={down} 3={before} 13={before}"
        return self.add("Pooling", [x], y, f"{params} 14={after} 15={bottom} 5=1")

    def upsample(self, node: Node, y: str, x: str) -> str:
        side = node.layer.stride
        refuse(node, side < 1 or node.layer.scale != 1)
        return self.add("Interp", [x], y, f"0=1 1={side}.0 2={side}.0")

    def route(self, node: Node, y: str, *xs: str) -> str:
        layer, parts = node.layer, list(xs)
        if layer.groups > 1:
            for k, (x, index) in enumerate(zip(xs, node.inputs, strict=True)):
                count = self.shapes[index].c // layer.groups
                start, end = count * layer.group_id, count * (layer.group_id + 1)
                params = f"-23309=1,{start} -23310=1,{end} -23311=1,0"
                parts[k] = self.add("Crop", [x], f"{y}_{k}", params)
        return parts[0] if len(parts) == 1 else self.add("Concat", parts, y, "0=0")

    def combine(self, node: Node, y: str, xs: tuple[str, ...], kind: int) -> str:
        """Append the sums or products of the inputs, from left to right, and the activation."""
        total = xs[0]
        for k, x in enumerate(xs[1:]):
            total = self.add("BinaryOp", [total, x], f"{y}_{k}", f"0={kind}")
        return self.activate(node.layer.activation, total, y)

    def shortcut(self, node: Node, y: str, *xs: str) -> str:
        shapes = {self.shapes[one] for one in node.inputs}
        refuse(node, node.layer.weights_type != "none" or len(shapes) > 1)
        return self.combine(node, y, xs, ADD)

    def scale_channels(self, node: Node, y: str, *xs: str) -> str:
        return self.combine(node, y, xs[::-1], MULTIPLY)

    sam = scale_channels

    def avgpool(self, node: Node, y: str, x: str) -> str:
        return self.add("Pooling", [x], y, "0=1 4=1")

    def activation(self, node: Node, y: str, x: str) -> str:
        return self.activate(node.layer.activation, x, y)

    def dropout(self, node: Node, y: str, x: str) -> str:
        return x

    empty = yolo = region = Gaussian_yolo = dropout


def split(lines: list[tuple[str, list[str], str, str]], kept: list[str]) -> list[str]:
    """Return the lines of a .param file, with a Split after each output that several want.

    kept  outputs that are asked for, beside those that feed layers
    """
    wanted = Counter(name for _, inputs, _, _ in lines for name in inputs)
    wanted.update(name for name in kept if wanted[name])
    taken: Counter[str] = Counter()
    result = []

    def take(name: str) -> str:
        taken[name] += 1
        return name if wanted[name] < 2 else f"{name}_for_{taken[name]}"

    for kind, inputs, output, params in lines:
        names = [*map(take, inputs), output]
        result.append(f"{kind} {output} {len(inputs)} 1 {' '.join(names)} {params}".strip())
        if wanted[output] > 1:
            parts = [f"{output}_for_{k + 1}" for k in range(wanted[output])]
            result.append(f"Split split_{output} 1 {len(parts)} {output} {' '.join(parts)}")
    return result


def write(folder: Path, network: Network, arrays: dict[str, np.ndarray]) -> None:
    """Write net.param, net.bin and net.outputs, the names of the outputs, into a folder."""
    writer = Writer(network, arrays)
    names = [writer.names[index] for index in sources(network)]
    lines = split(writer.lines, names)
    taken = Counter(name for _, inputs, _, _ in writer.lines for name in inputs)
    blobs = {name for line in lines for name in outputs_of(line)}
    text = "\n".join([str(MAGIC), f"{len(lines)} {len(blobs)}", *lines, ""])
    (folder / "net.param").write_text(text, "utf-8")
    with open(folder / "net.bin", "wb") as file:
        for array in writer.weights:
            file.write(np.ascontiguousarray(array).data)
    ends = [f"{name}_for_{taken[name] + 1}" if taken[name] else name for name in names]
    (folder / "net.outputs").write_text("\n".join(ends), "utf-8")


def outputs_of(line: str) -> list[str]:
    """Return the outputs that a line of a .param file names."""
    words = line.split()
    inputs, outputs = int(words[2]), int(words[3])
    return words[4 + inputs : 4 + inputs + outputs]
