"""A network's layers as a PyTorch module, for comparison: what feeds each [yolo] comes out."""

import torch
from torch import nn
from torch.nn import functional

ACTIVATIONS = {
    "leaky": lambda x: functional.leaky_relu(x, 0.1, inplace=True),
    "linear": lambda x: x,
    "logistic": torch.sigmoid,
    "mish": functional.mish,
    "relu": functional.relu_,
    "swish": functional.silu,
}


class Graph(nn.Module):
    """The nodes of a darkpy network; other sections than its methods name are refused.

    drops  whether [dropout] drops out in training
    """

    drops = True

    def __init__(self, network):
        super().__init__()
        self.nodes = network.nodes
        shapes = {-1: network.image} | {node.index: node.shape for node in network.nodes}
        self.layers = nn.ModuleDict()
        for node in network.nodes:
            section = node.layer.section
            if not hasattr(self, section):
                raise SystemExit(f"{node.where}: no comparison with PyTorch is made of it")
            if section == "convolutional":
                self.layers[str(node.index)] = made(node.layer, shapes[node.inputs[0]].c)

    def forward(self, x):
        outputs, heads = {-1: x}, []
        for node in self.nodes:
            inputs = [outputs[one] for one in node.inputs]
            outputs[node.index] = getattr(self, node.layer.section)(node, *inputs)
            if node.layer.section == "yolo":
                heads.append(inputs[0])
        return heads

    def convolutional(self, node, x):
        return ACTIVATIONS[node.layer.activation](self.layers[str(node.index)](x))

    def maxpool(self, node, x):
        layer, (down, right) = node.layer, node.layer.strides
        before = layer.border // 2
        after = layer.border - before
        if layer.border % 2 == 0:
            return functional.max_pool2d(x, layer.window, (down, right), before)
        if layer.window == down == right == 2 and not (x.shape[2] % 2 or x.shape[3] % 2):
            return functional.max_pool2d(x, 2)  # nothing of the border is reached
        x = functional.pad(x, (before, after, before, after), value=-1e30)
        return functional.max_pool2d(x, layer.window, (down, right))

    def upsample(self, node, x):
        return functional.interpolate(x, scale_factor=node.layer.stride, mode="nearest")

    def route(self, node, *xs):
        layer = node.layer
        parts = [x.chunk(layer.groups, 1)[layer.group_id] for x in xs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, 1)

    def shortcut(self, node, *xs):
        return ACTIVATIONS[node.layer.activation](sum(xs[1:], xs[0]))

    def dropout(self, node, x):
        return functional.dropout(x, node.layer.probability, self.training and self.drops)

    def yolo(self, node, x):
        return x


def made(layer, channels):
    """Return the convolution of a layer, and its normalisation."""
    convolution = nn.Conv2d(
        channels,
        layer.filters,
        layer.size,
        layer.strides,
        layer.border,
        layer.spacing,
        layer.split,
        bias=not layer.normalizes,
    )
    if not layer.normalizes:
        return convolution
    return nn.Sequential(convolution, nn.BatchNorm2d(layer.filters))


class Folded(Graph):
    """The same for inference, batch norm folded; arrays as `subject.write` names them."""

    def __init__(self, network, arrays):
        super().__init__(network)
        for name in self.layers:
            layer = network.nodes[int(name)].layer
            w, b = (torch.from_numpy(arrays[f"{name}.{what}"]) for what in ("weights", "biases"))
            made = nn.utils.skip_init(
                nn.Conv2d, w.shape[1] * layer.split, layer.filters, layer.size, layer.strides,
                layer.border, layer.spacing, layer.split,
            )  # fmt: skip
            made.weight, made.bias = nn.Parameter(w), nn.Parameter(b)
            self.layers[name] = made


class Learning(Graph):
    """The same for training, with the parameters of darkpy."""

    def __init__(self, network, params):
        super().__init__(network)
        with torch.no_grad():
            for name, layer in self.layers.items():
                own = {key: torch.from_numpy(value) for key, value in params[int(name)].items()}
                convolution, *norm = layer if isinstance(layer, nn.Sequential) else [layer]
                convolution.weight.copy_(own["weights"])
                for one in norm:
                    one.weight.copy_(own["scales"])
                (norm or [convolution])[0].bias.copy_(own["biases"])
