"""Inference: inputs of a network in, outputs of its heads out, on any device."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import cuda, kernels
from .errors import DeviceError, NetworkError, WeightsError
from .network import Network, Node
from .plan import Plan, Progress, compile, default_precision, flops, require
from .plan.turn import Turn
from .run import Tape

if TYPE_CHECKING:
    from .plan.cuda import CudaPlan
    from .plan.tune import Result

AnyPlan: TypeAlias = "Plan | CudaPlan"
PLAN_FROM = 50_000_000  # floating point operations of convolutions
MOST_AT_ONCE = 8  # pictures; twice as many gain nothing
MAPS_AT_ONCE = 256 << 20  # bytes that the two largest maps of so many pictures may take


class Inference:
    """A network with its parameters on a device; the arguments are those of `darkpy.load`.

    again  returns the parameters anew. Where a plan runs, which has packed copies, they are let go
           then until somebody asks for them; from then on they are kept
    plans  makes the plan for so many pictures; None makes it of ``params``

    Attributes: ``network``, ``params`` (one dict of arrays a node), ``device``, ``precision``,
    ``ops`` (kernels of the processor).
    """

    def __init__(
        self,
        network: Network,
        params: Sequence[dict[str, NDArray[np.float32]]],
        device: str = "auto",
        *,
        strict: bool = False,
        threads: int | None = None,
        precision: str | None = None,
        again: Callable[[], Sequence[dict[str, NDArray[np.float32]]]] | None = None,
        progress: Progress | None = None,
        plans: Callable[[int], AnyPlan] | None = None,
    ) -> None:
        if len(params) != len(network.nodes):
            raise WeightsError(
                f"{network.path}: parameters of {len(params)} layers; expected {len(network.nodes)}"
            )
        self.network = network
        self._params = params
        self._again = again
        self._asked = again is None  # for the parameters, by others than a plan
        if device == "auto":
            device = "cuda:0" if cuda.usable() else "cpu"
        self.device = device
        self._gpu: Any = None if device in ("cpu", "reference") else kernels.gpu(device)
        self.ops: Any = kernels.ops("cpu" if self._gpu else device)
        self.precision = precision or default_precision(device, strict)
        require(self.precision, strict, device)
        self._tape = Tape(network, params, self.ops)
        if threads is not None and threads < 1:
            raise DeviceError(f"threads = {threads}: expected 1 or more, or None for all there are")
        self.threads = threads
        self.strict = strict
        self.progress = progress
        self._given_plans = plans
        self._plans: dict[int, AnyPlan] = {}
        self._turn = Turn()

    def forward(self, x: NDArray[np.float32]) -> dict[int, NDArray[np.float32]]:
        """Return the output of each head, by its layer's index, for one network input.

        x  (c, h, w) float32, as `Detector.prepare` gives it

        Outputs are planar (c, h, w) where they are maps and flat where they are vectors.
        """
        return self.forward_all(self._input(x))[0]

    def forward_all(self, x: NDArray[np.float32]) -> list[dict[int, NDArray[np.float32]]]:
        """Return what `forward` does for each of some inputs at once.

        x  (n, c, h, w) float32; `at_once` is a good n, and a plan is kept for 1 and for one other

        They may differ from those of a picture alone, where maps are computed in another way, by
        what float32 rounds.
        """
        outputs = self.plan_of(len(x))(x) if self.planned else self.tape.forward(x)
        nodes = self.network.nodes
        return [
            {index: self._planar(nodes[index], y[i : i + 1]) for index, y in outputs.items()}
            for i in range(len(x))
        ]

    @property
    def at_once(self) -> int:
        """How many pictures `forward_all` takes the least time for, each; 1 without a plan."""
        if not self.planned:
            return 1
        sizes = [4 * math.prod(self.network.image), *(4 * n.shape.size for n in self.network.nodes)]
        return max(1, min(MOST_AT_ONCE, MAPS_AT_ONCE // sum(sorted(sizes)[-2:])))

    def ready(self, batch: int = 1) -> None:
        """Make the plan for so many inputs at once, if plans run; with it all code is built."""
        if self.planned:
            self.plan_of(batch)

    @property
    def planned(self) -> bool:
        """Whether `forward` runs a plan.

        A network of less than `PLAN_FROM` operations a picture does not: making the code of a plan,
        once a machine, would take longer than a great many of its pictures. There is bf16 in plans
        alone, and on a GPU there is nothing else.
        """
        large = self.precision != "fp32" or flops(self.network) >= PLAN_FROM
        return self._gpu is not None or (self.device == "cpu" and large)

    @property
    def plan(self) -> AnyPlan:
        """The plan of this network for one picture; made when it is first asked for."""
        return self.plan_of(1)

    def plan_of(self, batch: int) -> AnyPlan:
        """Return the plan for so many pictures at once."""
        with self._turn:
            if batch not in self._plans:
                for other in {*self._plans} - {1} if batch > 1 else ():
                    del self._plans[other]
                self._read_again()
                self._plans[batch] = self._compile(batch)
            return self._plans[batch]

    def _compile(self, batch: int) -> AnyPlan:
        if self._given_plans is not None:
            return self._given_plans(batch)
        how: dict[str, Any] = {
            "batch": batch,
            "precision": self.precision,
            "release": not self._asked,
            "progress": self.progress,
        }
        if self._gpu is None:
            how |= {"threads": self.threads, "strict": self.strict}
            return compile(self.network, self._params, **how)
        from .plan.cuda import compile as compile_on_gpu

        return compile_on_gpu(self.network, self._params, self._gpu, **how)

    def tune(self, batch: int = 1, rounds: int = 9, progress: Progress | None = None) -> Result:
        """Measure the algorithms of each convolution, and take the fastest from now on.

        batch     pictures at once, for which they are measured; `at_once` for `forward_all`
        rounds    how often each runs; its median counts
        progress  called with (how many layers are measured, of how many)

        What is found is kept for this machine: see `darkpy tune`, of which this is the same. On a
        GPU these are tiles and splits. Raises DeviceError for a network that runs on the processor
        but not by a plan in float32.
        """
        self._check_tunable()
        with self._turn:
            self._read_again()
            params = [dict(own) for own in self._params]
        how: dict[str, Any] = {"batch": batch, "rounds": rounds, "progress": progress}
        if self._gpu is None:
            from .plan.tune import tune

            found = tune(self.network, params, threads=self.threads, strict=self.strict, **how)
        else:
            from .plan.cuda.tune import tune as tune_gpu

            found = tune_gpu(self.network, params, self._gpu, precision=self.precision, **how)
        with self._turn:
            self._plans.pop(batch, None)
        return found

    def tune_aside(self, batch: int = 1, rounds: int = 9) -> threading.Thread:
        """Do what `tune` does in a thread, which is returned; detect meanwhile as before.

        Pictures and measuring take turns, so both are slower until it ends, after some seconds.
        """
        self._check_tunable()
        if self._gpu is not None:
            raise DeviceError(
                f"{self.network.path}: a GPU that detects meanwhile cannot be measured: expected "
                "`tune`, or device 'cpu'"
            )
        thread = threading.Thread(
            target=self.tune, args=(batch, rounds), name="darkpy-tune", daemon=True
        )
        thread.start()
        return thread

    def _check_tunable(self) -> None:
        if self._gpu is not None:
            return
        if not self.planned or self.device != "cpu" or self.precision != "fp32":
            raise DeviceError(
                f"{self.network.path}: nothing to tune: expected device 'cpu', precision 'fp32' "
                f"and {PLAN_FROM / 1e6:.0f} MFLOP or more a picture"
            )

    @property
    def params(self) -> Sequence[dict[str, NDArray[np.float32]]]:
        """The parameters, one dict of float32 arrays a node."""
        with self._turn:
            self._asked = True
            self._read_again()
            return self._params

    def _read_again(self) -> None:
        if self._again is not None and not any(self._params):
            for own, found in zip(self._params, self._again(), strict=True):
                own.update(found)

    @property
    def tape(self) -> Tape:
        """The eager run of this network."""
        assert self.params is self._params
        return self._tape

    def activations(self, x: NDArray[np.float32]) -> list[NDArray[np.float32] | None]:
        """Return the output of every layer for one input: to compare where numbers differ.

        x  (c, h, w) float32

        Each is planar (c, h, w) where it is a map, flat where it is a vector, and None where a
        layer puts out nothing of its own.
        """
        outputs = self.tape.activations(self._input(x))
        pairs = zip(self.network.nodes, outputs, strict=True)
        return [None if y is None else self._planar(node, y) for node, y in pairs]

    def _input(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        if (
            not isinstance(x, np.ndarray)
            or x.shape != self.network.image
            or x.dtype.kind not in "fiub"
        ):
            raise NetworkError(
                f"expected an input of shape {tuple(self.network.image)} (c, h, w), float32; "
                f"got {getattr(x, 'shape', type(x).__name__)} {getattr(x, 'dtype', '')}"
            )
        return np.ascontiguousarray(x, np.float32)[None]

    @staticmethod
    def _planar(node: Node, y: NDArray[np.float32]) -> NDArray[np.float32]:
        return y.reshape(-1) if node.flat else y[0]
