"""Write a network as ONNX, batch norm folded; what feeds each head is an output.

    python to_onnx.py FOLDER

reads net.cfg, folded.npz and x.npy of the folder (subject.py) and writes net.onnx. Needs onnx.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from subject import margins, refuse, sources  # noqa: E402

from darkpy.network import Network, Node  # noqa: E402

OPSET = 18  # the first with Mish


class Writer:
    """The nodes of a graph, made one layer after the other; x<i> is what layer i puts out."""

    def __init__(self, network: Network, arrays: dict[str, np.ndarray]) -> None:
        self.arrays = arrays
        self.shapes = {-1: network.image} | {node.index: node.shape for node in network.nodes}
        self.names = {-1: "x"}
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        for node in network.nodes:
            section = node.layer.section
            if not hasattr(self, section):
                raise ValueError(f"{node.where}: no comparison by ONNX is made of it")
            inputs = [self.names[one] for one in node.inputs]
            self.names[node.index] = getattr(self, section)(node, f"x{node.index}", *inputs)

    def add(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Append an operator; return the name of its output."""
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        """Append a constant; return its name."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def activate(self, kind: str, x: str, y: str) -> str:
        """Append the activation of x."""
        if kind == "linear":
            return x
        if kind == "leaky":
            return self.add("LeakyRelu", [x], y, alpha=0.1)
        if kind == "swish":
            return self.add("Mul", [x, self.add("Sigmoid", [x], y + "_sigmoid")], y)
        if kind == "relu6":
            limits = [self.constant(f"{y}_{n}", np.float32(n)) for n in (0, 6)]
            return self.add("Clip", [x, *limits], y)
        known = {"logistic": "Sigmoid", "mish": "Mish", "relu": "Relu", "tanh": "Tanh"}
        if kind not in known:
            raise ValueError(f"activation={kind}: no comparison by ONNX is made of it")
        return self.add(known[kind], [x], y)

    def activated(self, node: Node, y: str) -> str:
        """Return the name for what the layer computes before its activation."""
        return y if node.layer.activation == "linear" else y + "_before"

    def convolutional(self, node: Node, y: str, x: str) -> str:
        layer, index = node.layer, node.index
        refuse(node, layer.antialiasing or layer.xnor or layer.binary)
        weights = self.constant(f"{y}_weights", self.arrays[f"{node.owner}.weights"])
        biases = self.constant(f"{y}_biases", self.arrays[f"{node.owner}.biases"])
        before = self.add(
            "Conv", [x, weights, biases], self.activated(node, f"x{index}"),
            kernel_shape=[layer.size] * 2, strides=list(layer.strides), pads=[layer.border] * 4,
            dilations=[layer.spacing] * 2, group=layer.split,
        )  # fmt: skip
        return self.activate(layer.activation, before, y)

    def maxpool(self, node: Node, y: str, x: str) -> str:
        layer = node.layer
        refuse(node, layer.antialiasing or layer.maxpool_depth or layer.maxpool_zero_nonmax)
        before, (bottom, right) = margins(node, self.shapes[node.inputs[0]])
        return self.add(
            "MaxPool", [x], y, kernel_shape=[layer.window] * 2, strides=list(layer.strides),
            pads=[before, before, bottom, right],
        )  # fmt: skip

    def upsample(self, node: Node, y: str, x: str) -> str:
        refuse(node, node.layer.stride < 1 or node.layer.scale != 1)
        side = float(node.layer.stride)
        scales = self.constant(f"{y}_scales", np.array([1, 1, side, side], np.float32))
        return self.add(
            "Resize", [x, "", scales], y, mode="nearest", nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )  # fmt: skip

    def route(self, node: Node, y: str, *xs: str) -> str:
        layer, parts = node.layer, list(xs)
        if layer.groups > 1:
            for k, (x, index) in enumerate(zip(xs, node.inputs, strict=True)):
                count = self.shapes[index].c // layer.groups
                ends = [count * layer.group_id, count * (layer.group_id + 1)]
                limits = [
                    self.constant(f"{y}_{k}_{what}", np.array([value], np.int64))
                    for what, value in zip(("from", "to", "axis"), (*ends, 1), strict=True)
                ]
                parts[k] = self.add("Slice", [x, *limits], f"{y}_{k}")
        return parts[0] if len(parts) == 1 else self.add("Concat", parts, y, axis=1)

    def shortcut(self, node: Node, y: str, *xs: str) -> str:
        shapes = {self.shapes[one] for one in node.inputs}
        refuse(node, node.layer.weights_type != "none" or len(shapes) > 1)
        total = xs[0]
        for k, x in enumerate(xs[1:], 2):
            last = self.activated(node, y)
            total = self.add("Add", [total, x], last if k == len(xs) else f"{y}_{k}")
        return self.activate(node.layer.activation, total, y)

    def scale_channels(self, node: Node, y: str, *xs: str) -> str:
        before = self.add("Mul", list(xs), self.activated(node, y))
        return self.activate(node.layer.activation, before, y)

    sam = scale_channels

    def avgpool(self, node: Node, y: str, x: str) -> str:
        return self.add("GlobalAveragePool", [x], y)

    def activation(self, node: Node, y: str, x: str) -> str:
        return self.activate(node.layer.activation, x, y)

    def dropout(self, node: Node, y: str, x: str) -> str:
        return x

    empty = yolo = region = Gaussian_yolo = dropout


def model(network: Network, arrays: dict[str, np.ndarray], batch: int) -> onnx.ModelProto:
    """Return the network as ONNX for ``batch`` pictures; arrays as `subject.write` names them."""
    writer = Writer(network, arrays)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, *network.image])
    outputs = [
        helper.make_tensor_value_info(
            writer.names[index], TensorProto.FLOAT, [batch, *network.nodes[index].shape]
        )
        for index in sources(network)
    ]
    graph = helper.make_graph(writer.nodes, "darkpy", [x], outputs, writer.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    made.ir_version = 9
    onnx.checker.check_model(made)
    return made


def main() -> None:
    folder = Path(sys.argv[1])
    network = Network.from_cfg(folder / "net.cfg")
    with np.load(folder / "folded.npz") as arrays:
        made = model(network, dict(arrays), len(np.load(folder / "x.npy", "r")))
    onnx.save(made, folder / "net.onnx")


if __name__ == "__main__":
    main()
