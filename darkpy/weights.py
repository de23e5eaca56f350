"""Read and write darknet's .weights: a header, then each layer's parameters as float32.

parser.c:load_weights_upto and save_weights_upto. Little-endian; int32 major, minor, revision; the
number of pictures seen, uint64 from version 0.2 on and uint32 before; then for every layer its
arrays in the order that the layer names them.
"""

from __future__ import annotations

import logging
import math
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .cfg import expand, reason
from .errors import WeightsError
from .files import replacing
from .network import Network, Node

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.float32]]
NORM = ("scales", "rolling_mean", "rolling_variance")


class Version(NamedTuple):
    """The version of a .weights file; darknet writes 0.2.5."""

    major: int = 0
    minor: int = 2
    revision: int = 5

    @property
    def transposed(self) -> bool:
        """Whether matrices of [connected] are stored with rows and columns exchanged."""
        return self.major > 1000 or self.minor > 1000

    @property
    def seen_type(self) -> str:
        """The type of the number of pictures seen (pjreddie/darknet's rule, a superset)."""
        recent = self.major * 10 + self.minor >= 2 and not self.transposed
        return "<u8" if recent else "<u4"


class Params(list[Arrays]):
    """Parameters of a network, one dict of float32 arrays a node, and what the header said.

    seen     pictures the network was trained on
    version  of the file
    loaded   how many layers, from the first, the file held: all, or those of a backbone
    """

    def __init__(
        self,
        arrays: Sequence[Arrays],
        seen: int = 0,
        version: Version | None = None,
        loaded: int = 0,
    ) -> None:
        super().__init__(arrays)
        self.seen = seen
        self.version = version or Version()
        self.loaded = loaded


class Values(NamedTuple):
    """The values of a .weights file, read when they are asked for: not one of them twice in memory.

    start  of the first, in bytes
    """

    path: str | Path
    start: int
    size: int

    def take(self, at: int, count: int) -> NDArray[np.float32]:
        """Return ``count`` values from number ``at`` on, (count,) float32."""
        try:
            found = np.fromfile(expand(self.path), "<f4", count, offset=self.start + 4 * at)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{self.path}: cannot be read: {reason(error)}") from None
        if len(found) < count:
            raise WeightsError(
                f"{self.path}: ends {count - len(found):,} values early; is it being written?"
            )
        return found.astype(np.float32, copy=False)


def read_weights(
    network: Network,
    path: str | Path,
    *,
    upto: int | None = None,
    whole: bool = False,
    rng: np.random.Generator | None = None,
) -> Params:
    """Read the parameters of a network from a .weights file of any version.

    upto   read the first so many layers only; what follows in the file is left alone
    whole  refuse a file that does not hold every layer
    rng    draws the layers that the file does not hold (default: seed 0)

    A file may end between two layers (a backbone such as yolov4.conv.137): the rest is drawn as for
    a new network, `Params.loaded` says how many were read, and a warning is logged. Raises
    WeightsError if it ends within an array (with both counts), holds more than the network needs,
    or holds a value that is not finite.
    """
    nodes = network.nodes[: None if upto is None else max(0, upto)]
    version, seen, values = _open(path)
    wanted = [[shape for _, shape in _stored(node)] for node in nodes]
    cutoff = _cutoff(path, nodes, wanted, values)
    needed = sum(math.prod(shape) for shapes in wanted for shape in shapes)
    if values.size > needed and upto is None:
        extra = values.size - needed
        raise WeightsError(
            f"{path}: holds {extra:,} values ({4 * extra:,} bytes) more than the {needed:,} of "
            f"{network.path or 'the network'}; is it of another network?"
        )
    if whole and cutoff < len(nodes):
        raise WeightsError(
            f"{path}: holds {_held(cutoff)} of {len(nodes)}: a backbone to train from, "
            "not a network to run"
        )
    params, at = Params([], seen, version, cutoff), 0
    rng = rng or np.random.default_rng(0)
    network.require_memory()
    for node in network.nodes:
        if node.owner != node.index:
            params.append(params[node.owner])
            continue
        held = _stored(node) if node.index < cutoff else []
        own = {
            name: node.layer.initial(name, shape, rng)
            for name, shape in node.params.items()
            if (name, shape) not in held
        }
        params.append(own)
        at = _take(path, node, held, own, values, at, version)
    if cutoff < len(nodes) and upto is None:
        log.warning("%s: holds %s; the others are random", path, _held(cutoff))
    return params


def _held(cutoff: int) -> str:
    return f"only layers 0..{cutoff - 1}" if cutoff else "no layer"


def _open(path: str | Path) -> tuple[Version, int, Values]:
    """Return version, seen and the values of a .weights file; nothing is read into memory yet."""
    name = expand(path)
    try:
        status = name.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise WeightsError(f"{path}: expected a regular file; a pipe or a device is none")
        length = status.st_size
        with open(name, "rb") as file:
            head = file.read(20)
        if len(head) < 16:
            raise WeightsError(f"{path}: {length} bytes long; not a .weights file")
        version = Version(*np.frombuffer(head, "<i4", 3).tolist())
        kind = np.dtype(version.seen_type)
        start = 12 + kind.itemsize
        if len(head) < start:
            raise WeightsError(f"{path}: {length} bytes long; its header needs {start}")
        seen = int(np.frombuffer(head, kind, 1, 12)[0])
        if (length - start) % 4:
            left = (length - start) % 4
            raise WeightsError(f"{path}: {left} bytes left over after the last whole float32")
        return version, seen, Values(path, start, (length - start) // 4)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: cannot be read: {reason(error)}") from None


def _stored(node: Node) -> list[tuple[str, tuple[int, ...]]]:
    """Return name and shape of each array that a file holds for this node."""
    if node.layer.dontload:
        return []
    skip = NORM if node.layer.dontloadscales else ()
    return [(name, shape) for name, shape in node.params.items() if name not in skip]


def _cutoff(
    path: str | Path,
    nodes: Sequence[Node],
    wanted: list[list[tuple[int, ...]]],
    values: Values,
) -> int:
    """Return how many layers the file holds; WeightsError if it ends within one."""
    at = 0
    for node, shapes in zip(nodes, wanted, strict=True):
        if shapes and at == values.size:
            return node.index
        for (name, _), shape in zip(_stored(node), shapes, strict=True):
            count = math.prod(shape)
            if at + count > values.size:
                raise WeightsError(
                    f"{path}: ends within {name} of layer {node.index} [{node.layer.section}]: "
                    f"{count:,} values needed, {values.size - at:,} there"
                )
            at += count
    return len(nodes)


def _take(
    path: str | Path,
    node: Node,
    held: Sequence[tuple[str, tuple[int, ...]]],
    into: Arrays,
    values: Values,
    at: int,
    version: Version,
) -> int:
    """Copy the arrays of one node out of the file's values; return where the next begin."""
    for name, shape in held:
        count = math.prod(shape)
        flat = values.take(at, count)
        wrong = count - int(np.isfinite(flat).sum())
        if wrong:
            raise WeightsError(
                f"{path}: {wrong:,} of {count:,} values in {name} of layer {node.index} "
                f"[{node.layer.section}] are not finite numbers; was the training that wrote it "
                "going well?"
            )
        if _exchanged(node, name, version):
            flat = flat.reshape(-1, shape[0]).T
        into[name] = np.ascontiguousarray(flat.reshape(shape))
        at += count
    return at


def _exchanged(node: Node, name: str, version: Version) -> bool:
    """Tell whether the file holds this matrix with rows and columns exchanged."""
    by_flag = version.transposed and node.layer.follows_flag and name == "weights"
    return by_flag != (name in node.layer.transposed)


def write_weights(
    network: Network,
    params: Sequence[Mapping[str, NDArray[np.float32]]],
    path: str | Path,
    seen: int = 0,
    *,
    upto: int | None = None,
    version: Version | None = None,
) -> None:
    """Write the parameters of a network, or of its first ``upto`` layers, as a .weights file.

    seen     pictures the network was trained on
    version  of the file; by default that of the file the parameters came from, else 0.2.5

    The file appears whole or not at all. Raises DarkpyError if it cannot be written.
    """
    if version is None:
        version = params.version if isinstance(params, Params) else Version()
    if not 0 <= seen < 2 ** (8 * np.dtype(version.seen_type).itemsize):
        raise WeightsError(f"{path}: seen = {seen} does not fit a header of version {version[:2]}")
    with replacing(path) as file:
        _write(file, network.nodes[:upto], params, seen, version)


def _write(
    file: BinaryIO,
    nodes: Sequence[Node],
    params: Sequence[Mapping[str, NDArray[np.float32]]],
    seen: int,
    version: Version,
) -> None:
    file.write(np.array(version, "<i4").tobytes())
    file.write(np.array([seen], version.seen_type).tobytes())
    for node in nodes:
        for name, shape in _stored(node):
            array = _checked(node, name, shape, params)
            if _exchanged(node, name, version):
                array = array.reshape(shape[0], -1).T
            file.write(np.ascontiguousarray(array).data)


def _checked(
    node: Node,
    name: str,
    shape: tuple[int, ...],
    params: Sequence[Mapping[str, NDArray[np.float32]]],
) -> NDArray[np.float32]:
    """Return a parameter as it is stored; WeightsError unless it is one, and finite."""
    where = f"layer {node.index} [{node.layer.section}]: {name}"
    try:
        array = np.asarray(params[node.index][name], "<f4")
    except (IndexError, KeyError, TypeError, ValueError):
        raise WeightsError(f"{where}: expected an array of {shape} float32") from None
    if array.shape != shape:
        raise WeightsError(f"{where} has shape {array.shape}; expected {shape}")
    if not np.isfinite(array).all():
        raise WeightsError(f"{where} has values that are not finite numbers")
    return array


def file_size(network: Network) -> int:
    """Return the bytes of a .weights file of this network, version 0.2 or later."""
    floats = sum(math.prod(shape) for node in network.nodes for _, shape in _stored(node))
    return 20 + 4 * floats
