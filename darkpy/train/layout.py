"""Where the parameters of a network lie, when all are in one flat array.

Gradients, moments and averages lie at the same places in arrays of their own. First come the
parameters that a gradient moves, layer by layer: only these have moments and averages, and only
their gradients are added up over several GPUs. Then those that have a gradient and stay, at last
the rolling averages, which have none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

from ..network import Network
from .optimizer import STATISTICS, learned

APART = 64  # numbers: 256 bytes, so that every array begins at a multiple of them


@dataclass(frozen=True)
class Place:
    """An array among the flat ones."""

    start: int
    shape: tuple[int, ...]

    @property
    def part(self) -> slice:
        """Where it lies."""
        return slice(self.start, self.start + math.prod(self.shape))


@dataclass(frozen=True)
class Layout:
    """The places of a network's parameters, by index of the owner and name.

    learned  numbers of a gradient that moves something, of a moment and of an average
    graded   numbers of all gradients
    size     numbers of all parameters
    """

    places: dict[tuple[int, str], Place]
    learned: int
    graded: int
    size: int


def layout(network: Network) -> Layout:
    """Return the places of a network's parameters."""
    kinds: tuple[list[tuple[int, str]], ...] = ([], [], [])
    shapes = {}
    for node in network.nodes:
        moves = learned(node, network.options)
        for name, shape in node.params.items() if node.owner == node.index else ():
            kinds[0 if name in moves else 2 if name in STATISTICS else 1].append((node.index, name))
            shapes[node.index, name] = shape
    places, ends, at = {}, [], 0
    for keys in kinds:
        for key in keys:
            places[key] = Place(at, shapes[key])
            at += -(-math.prod(shapes[key]) // APART) * APART
        ends.append(at)
    return Layout(places, *ends)


@dataclass(frozen=True)
class Bucket:
    """Gradients that are added up over several GPUs at once.

    start, end  in the flat array of gradients
    layer       they are there when the way back has left this layer behind
    """

    start: int
    end: int
    layer: int


def buckets(network: Network, count: int) -> list[Bucket]:
    """Cut the gradients that move something into runs of ``count`` numbers or a layer's more.

    They come in the order of the way back: the last layers' first.
    """
    own = layout(network)
    starts: dict[int, int] = {}
    for (index, _), place in own.places.items():
        if place.start < own.learned:
            starts.setdefault(index, place.start)
    cuts: list[tuple[int, int]] = []
    end = own.learned
    for index, start in reversed(starts.items()):
        if end - start >= count or start == 0:
            cuts.append((start, index))
            end = start
    ends = [own.learned, *(start for start, _ in cuts)]
    return [Bucket(b, a, cut[1]) for (a, b), cut in zip(pairwise(ends), cuts, strict=True)]
