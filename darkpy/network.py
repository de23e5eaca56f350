"""The model: a list of layers with their inputs and shapes. No array, no device, no mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .cfg import Section, read_cfg
from .errors import CfgError, NetworkError, nearest
from .layers import LAYERS, Layer, Shape
from .layers.base import MOST
from .memory import physical_memory
from .net import NetOptions


@dataclass(frozen=True)
class Node:
    """A layer in its place.

    inputs  indices of the nodes that feed it; -1 is the picture
    owner   index of the node whose parameters it uses: its own unless they are shared
    params  shape of each parameter of its own, in the order of a .weights file
    where   "yolov4.cfg:127: layer 12 [route]", for messages
    flat    its output is a vector: the layer makes one, or is fed by nothing else
    """

    index: int
    layer: Layer
    inputs: tuple[int, ...]
    shape: Shape
    owner: int
    params: dict[str, tuple[int, ...]]
    where: str
    flat: bool


@dataclass(frozen=True)
class Network:
    """A network ready to be given parameters and run.

    image    shape of one input picture
    nodes    the layers in the order of the .cfg
    options  the keys of [net]
    path     the .cfg it came from, or an empty string
    """

    image: Shape
    nodes: tuple[Node, ...]
    options: NetOptions
    path: str = ""

    @classmethod
    def from_cfg(
        cls,
        path: str | Path,
        size: tuple[int, int] | None = None,
        strict: bool = False,
        settings: Sequence[str] = (),
    ) -> Network:
        """Read a .cfg and connect its layers.

        size      (height, width) of the input instead of the file's own
        strict    make an error of what darknet only warns about, such as an unknown key
        settings  "section.key=value", to count instead of what the file says

        Raises CfgError (file:line) for what cannot be read, NetworkError for what does not fit.
        """
        net, *sections = read_cfg(path, strict, settings)
        if net.name not in ("net", "network"):
            raise net.error("expected [net] or [network] as the first section")
        if not sections:
            raise net.error("no layer follows")
        options = net.build(NetOptions)
        if size is not None:
            sides = size if isinstance(size, (tuple, list)) else ()
            if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
                raise NetworkError(f"{path}: size {size!r}: expected (height, width)")
            options = replace(options, height=size[0], width=size[1])
        layers = [_build(section) for section in sections]
        wheres = [f"{section.path}:{section.line}: " for section in sections]
        return cls.from_layers(layers, _image(net, options), options, str(path), wheres)

    @classmethod
    def from_layers(
        cls,
        layers: Sequence[Layer],
        image: Shape,
        options: NetOptions | None = None,
        path: str = "",
        wheres: Sequence[str] = (),
    ) -> Network:
        """Find what feeds each layer, and its shape. Raises NetworkError that names the layer."""
        options = options or NetOptions(channels=image.c, height=image.h, width=image.w)
        nodes: list[Node] = []
        shapes = {-1: image}
        for index, layer in enumerate(layers):
            where = f"{wheres[index] if wheres else ''}layer {index} [{layer.section}]"
            try:
                node = _connect(index, layer, nodes, shapes, where)
            except NetworkError as error:
                raise NetworkError(f"{where}: {error}") from None
            nodes.append(node)
            shapes[index] = node.shape
        return cls(image, tuple(nodes), options, path)

    def resized(self, height: int, width: int) -> Network:
        """Return the same layers for another size of picture; parameters fit both."""
        options = replace(self.options, height=height, width=width)
        wheres = [node.where.rpartition("layer ")[0] for node in self.nodes]
        layers = [node.layer for node in self.nodes]
        return self.from_layers(
            layers, Shape(self.image.c, height, width), options, self.path, wheres
        )

    @property
    def heads(self) -> tuple[Node, ...]:
        """The nodes whose outputs are asked for: the heads, or the last node if there is none."""
        return tuple(node for node in self.nodes if node.layer.is_head) or self.nodes[-1:]

    @property
    def classes(self) -> int:
        """The most classes that a head tells apart; 0 if the network detects nothing."""
        return max((int(getattr(node.layer, "classes", 0)) for node in self.heads), default=0)

    def initial_params(self, rng: np.random.Generator) -> list[dict[str, NDArray[np.float32]]]:
        """Draw parameters to train from: one dict a node; sharing nodes hold their owner's."""
        self.require_memory()
        params: list[dict[str, NDArray[np.float32]]] = []
        for node in self.nodes:
            own = {name: node.layer.initial(name, s, rng) for name, s in node.params.items()}
            params.append(own if node.owner == node.index else params[node.owner])
        return params

    @property
    def parameters(self) -> int:
        """The number of parameters."""
        return sum(math.prod(shape) for node in self.nodes for shape in node.params.values())

    def require_memory(self) -> None:
        """Raise NetworkError if the parameters and one picture cannot fit this machine's memory."""
        largest = max(self.nodes, key=lambda node: node.shape.size)
        needed = 4 * (self.parameters + 2 * largest.shape.size)
        there = physical_memory()
        if needed > there:
            where = f"{self.path}: " if self.path else ""
            raise NetworkError(
                f"{where}needs at least {needed / 2**30:,.1f} GiB for {self.parameters:,} "
                f"parameters and the {largest.shape.size:,} values of layer {largest.index} "
                f"[{largest.layer.section}]; this machine has {there / 2**30:,.1f} GiB"
            )


def _build(section: Section) -> Layer:
    if section.name in ("net", "network"):
        raise section.error("a second [net]; expected a layer")
    if section.name not in LAYERS:
        known = nearest(section.name, LAYERS) or f"; known: {', '.join(sorted(LAYERS))}"
        raise CfgError(f"{section.where()} is not a known section{known}")
    return section.build(LAYERS[section.name])


def _image(net: Section, options: NetOptions) -> Shape:
    image = Shape(options.channels, options.height, options.width)
    if not image.size and options.inputs:
        image = Shape(options.inputs, 1, 1)
    if not image.size:
        got = f"channels={options.channels}, height={options.height}, width={options.width}"
        raise net.error(f"expected an input: channels, height and width of at least 1; got {got}")
    if image.size > MOST:
        raise net.error(f"{image.size:,} values a picture; expected at most {MOST:,}")
    return image


def _connect(
    index: int, layer: Layer, nodes: Sequence[Node], shapes: dict[int, Shape], where: str
) -> Node:
    inputs = layer.inputs(index)
    owner = layer.share(index)
    for one in inputs:
        if one not in shapes:
            raise NetworkError(f"refers to layer {one}; expected an earlier one")
    xs = [shapes[one] for one in inputs]
    shape = layer.shape(*xs)
    if min(shape) < 1:
        sizes = ", ".join("x".join(map(str, x)) for x in xs)
        got = "x".join(map(str, shape))
        raise NetworkError(f"puts out nothing ({got}) for an input of {sizes} (c x h x w)")
    params = layer.params(*xs)
    counts = [shape.size, *(math.prod(one) for one in params.values())]
    if max(counts) > MOST:
        raise NetworkError(f"needs an array of {max(counts):,} values; expected at most {MOST:,}")
    if owner != index:
        owner = nodes[owner].owner  # which may share in its turn
        theirs = nodes[owner].params
        if theirs != params:
            raise NetworkError(f"shares parameters {theirs} of layer {owner}; it needs {params}")
        params = {}
    flat = layer.is_vector or all(one >= 0 and nodes[one].flat for one in inputs)
    return Node(index, layer, inputs, shape, owner, params, where, flat)
