"""A plan on a GPU: all memory placed before, launches bound, and captured as one graph."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import DeviceError, NetworkError, OutOfMemory
from ...kernels.cuda.device import TYPES, Device, Launch, Map, TooLarge, room
from ...kernels.cuda.dropout import Draws
from ...kernels.cuda.packing import PRECISIONS, pack, padded
from ...network import Network
from .. import memory
from ..passes import Pass
from ..plan import Progress
from ..trace import Op, Program, Value, trace
from ..turn import Turn
from . import lower
from .packs import Packs
from .passes import inference_passes

Floats = NDArray[np.float32]
Result = TypeVar("Result")
ALIGNMENT = 256  # bytes


class Masters:
    """Arrays of the host that a device has copies of: parameters, and what is made of them.

    flat  float32 on the device: what copies that are adopted are parts of
    """

    def __init__(self, device: Device, flat: Any = None) -> None:
        self.device = device
        self.flat = flat
        self._starts: dict[int, int] = {}
        self._known: dict[int, tuple[Any, Any]] = {}  # the host's array is kept, and so its id
        self.bytes = 0  # of all copies

    def adopt(self, array: Any, copy: Any, start: int) -> None:
        """Let a part of the flat array, and where it begins, be the copy of one of the host."""
        self._known[id(array)] = (array, copy)
        self._starts[id(array)] = start

    def adopted(self, array: Any) -> bool:
        """Return whether the copy of an array is one that was adopted."""
        return id(array) in self._starts

    def beside(self) -> Masters:
        """Return one that knows the same copies, and forgets by itself those that it makes."""
        other = Masters(self.device, self.flat)
        other._known, other._starts = dict(self._known), dict(self._starts)
        return other

    def start(self, array: Any) -> int:
        """Return where the copy of an array begins that was adopted."""
        return self._starts[id(array)]

    def of(self, array: Any) -> Any:
        """Return the copy of an array, made once; that of another shape is the same memory."""
        known = self._known.get(id(array))
        if known is None and array.base is not None and id(array.base) in self._known:
            whole = self.of(array.base)
            assert array.size == whole.size and array.flags.c_contiguous, "a part of a parameter"
            return whole.reshape(array.shape)
        if known is None:
            self._known[id(array)] = known = (array, self.once(array))
        return known[1]

    def once(self, array: Any) -> Any:
        """Return a copy of an array: float32 where it is of floating point, unless it is half."""
        plain = np.ascontiguousarray(array)
        copy = self.device.upload(plain.astype(np.float32) if plain.dtype == np.float64 else plain)
        self.bytes += copy.nbytes
        return copy


class CudaPlan:
    """A program bound to a device's memory and kernels; `darkpy.plan.Plan` is its elder.

    masters  copies of parameters that change from run to run; without them none does
    arrays   of the device, in which Values lie that are not to lie in the arena
    randomness  the device's state that what is drawn follows from (`kernels.cuda.dropout`)
    place    the memory to use; plans that share it run one at a time

    A run relies on nothing that the arena held before.

    Attributes: ``program``, ``launches`` (of each op), ``forward`` and ``backward`` (these as
    calls), ``outputs`` (arrays of the device by name), ``arena`` (bytes of all maps together),
    ``weights`` (bytes of what was uploaded). Several threads may call one plan; they take turns.
    """

    def __init__(
        self,
        program: Program,
        device: Device,
        precision: str,
        progress: Progress | None = None,
        masters: Masters | None = None,
        arrays: Mapping[Value, Any] | None = None,
        randomness: Any = None,
        place: memory.Room | None = None,
    ) -> None:
        self.program = program
        self.device = device = device.choosing(device.choices)  # all ops of a plan take the same
        self.precision = precision
        self.type = PRECISIONS[precision]
        self.learns = masters is not None
        self._masters = masters or Masters(device)
        self._arrays = dict(arrays or {})
        self._randomness = randomness
        self._turn = Turn()
        self._place = place or memory.Room(lambda size: device.empty(size, np.uint8))
        lives = memory.lifetimes(program)
        given = {id(value) for value in (*program.inputs.values(), *self._arrays)}
        self._sizes = {root: _bytes(root) for root in lives if id(root) not in given}
        self._offsets, self.arena = memory.offset(self._sizes, lives)
        self._arena = self._reserve("arena", self.arena)
        self._inputs = {
            name: device.zeros(value.size, np.float32).reshape(value.shape)
            for name, value in program.inputs.items()
        }
        take = partial(self._reserve, "packed weights")
        self._packs = Packs(device, program, self.type, take) if self.learns else None
        self.launches = [(op, self._launches(op)) for op in program.ops]
        forward = self._packs.launches(self._masters.flat) if self._packs else []
        forward += [one for op, found in self.launches if not op.back for one in found]
        backward = [one for op, found in self.launches if op.back for one in found]
        scratch = self._reserve("scratch", room([*forward, *backward]))
        build(device, [*forward, *backward], progress)
        self.forward, self.backward = (device.bind(part, scratch) for part in (forward, backward))
        self.outputs = {name: self.at(value) for name, value in program.outputs.items()}
        self._graphs: dict[bool, Callable[[], None]] = {}

    @property
    def weights(self) -> int:
        """Bytes of what was uploaded, weights and biases."""
        return self._masters.bytes

    def __call__(self, images: Floats) -> dict[Any, Floats]:
        """Return the outputs, by the index of each head, for images (batch, c, h, w) float32."""
        return self.run({"image": images}, dict)

    def run(
        self, inputs: Mapping[Any, Floats], use: Callable[[dict[Any, Floats]], Result]
    ) -> Result:
        """Compute, and return what ``use`` makes of the outputs."""
        with self._turn:
            return use(self.advance(inputs))

    def advance(self, inputs: Mapping[Any, Floats], back: bool = False) -> dict[Any, Floats]:
        """Take inputs and run the way forward, whose outputs are returned on the host, or back."""
        for name, array in inputs.items():
            shape = self.program.inputs[name].shape
            if array.shape != shape:
                raise NetworkError(f"expected an input of shape {shape}; got {array.shape}")
        with self.device.scope():
            for name, array in inputs.items():
                self.device.write(self._inputs[name], np.ascontiguousarray(array, np.float32))
            self.replay(back)
            return {
                name: self.device.download(array)
                for name, array in self.outputs.items()
                if not back and not isinstance(name, tuple)
            }

    def replay(self, back: bool = False) -> None:
        """Run the way forward, or back, on what the inputs hold."""
        if back not in self._graphs:
            self._graphs[back] = self.device.capture(self.backward if back else self.forward)
        self._graphs[back]()

    @property
    def turn(self) -> Turn:
        """What threads that use one plan take turns by."""
        return self._turn

    def reached(self, names: Collection[Any]) -> int:
        """Return how many calls of ``backward`` it takes to have some of its outputs, by name."""
        outputs = self.program.outputs
        roots = {outputs[name].root for name in names if name in outputs}
        calls = found = 0
        for op, launches in self.launches:
            calls += len(launches) if op.back else 0
            found = calls if any(value.root in roots for value in op.outputs) else found
        return found

    def at(self, value: Value) -> Any:
        """Return the Map, or the float32 array, that a Value is."""
        if value in self._arrays:
            return self._arrays[value]
        root = value.root
        start = self._offsets[root]
        memory_ = self._arena[start : start + self._sizes[root]]
        if not root.stored:
            return memory_.view(np.float32)[: value.size].reshape(value.shape)
        n, c, h, w = value.shape
        flat = memory_.view(TYPES[root.stored])[value.channel :]
        return Map(flat, n, c, h, w, padded(root.shape[1], root.stored), root.stored)

    def given(self, array: Any) -> Any:
        """Return the device's copy of an array of the host, made once."""
        return self._masters.of(array)

    def once(self, array: Any) -> Any:
        """Return a copy on the device of an array that nobody else asks for; it is not kept."""
        return self._masters.once(array)

    def packed(self, w: Any, groups: int, turned: bool) -> Any:
        """Return where weights lie packed: those that learn are packed anew in every run."""
        assert self._packs is not None, "weights of an inference do not learn"
        if not self._masters.adopted(w):  # those of a blur
            return self.once(pack(w, self.type, groups, turned))
        return self._packs.of(self._masters.start(w), w.shape, groups, turned)

    def draws(self, op: Op) -> Draws:
        """Return what an op draws its random numbers from."""
        assert self._randomness is not None, "nothing is drawn in inference"
        return Draws(self._randomness, self.program.ops.index(op))

    def input(self, name: Any) -> Any:
        """Return the array that an input is written to."""
        return self._inputs[name]

    def _launches(self, op: Op) -> list[Launch]:
        try:
            return lower.launches(self, op)
        except TooLarge as error:
            where = self.program.network.nodes[op.node].where if op.node >= 0 else "the input"
            raise NetworkError(f"{where}: {error}: take fewer or smaller pictures") from None

    def _reserve(self, use: str, size: int) -> Any:
        try:
            return self._place.take(use, size)
        except MemoryError as error:
            raise OutOfMemory(
                f"{self.program.network.path}: maps take {self.arena / 1e9:.1f} GB on the device "
                f"at once: take fewer or smaller pictures ({error})"
            ) from None


def build(device: Device, launches: Sequence[Launch], progress: Progress | None = None) -> None:
    """Compile what launches name; DeviceError if that cannot be."""
    try:
        device.build(launches, progress)
    except Exception as error:
        if type(error).__name__ != "CompileException":  # CuPy's
            raise
        raise DeviceError(f"a CUDA kernel does not compile here: {error}") from None


def _bytes(root: Value) -> int:
    """Return what a root Value takes, rounded up."""
    size: int
    if root.stored:
        n, c, h, w = root.shape
        size = n * h * w * padded(c, root.stored) * np.dtype(TYPES[root.stored]).itemsize
    else:
        size = 4 * root.size
    return -(-size // ALIGNMENT) * ALIGNMENT


def compile(
    network: Network,
    params: Sequence[dict[str, Any]],
    device: Device,
    *,
    batch: int = 1,
    precision: str = "fp16",
    passes: Sequence[Pass] | None = None,
    release: bool = False,
    progress: Progress | None = None,
) -> CudaPlan:
    """Return a plan of a network's inference on a device.

    params     one dict of float32 arrays a node; the plan uploads packed copies
    precision  "fp32"; "tf32" (operands of products with 10 bits of fraction); "fp16" or "bf16",
               maps and weights of 16 bits, sums and heads of float32
    release    empty ``params``
    """
    program = trace(network, params, batch)
    for one in inference_passes(PRECISIONS[precision]) if passes is None else passes:
        one(program)
    with device.scope():
        plan = CudaPlan(program, device, precision, progress)
    if release:
        for own in params:
            own.clear()
    return plan
