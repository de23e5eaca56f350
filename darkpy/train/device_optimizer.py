"""The optimizer of a network whose parameters are in the memory of a device."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.cuda import optimizer as kernel
from ..layers.base import Array
from ..network import Network, Node
from .layout import layout
from .optimizer import Arrays, Optimizer, averaged, learned

STATE = kernel.STATE


class DeviceOptimizer:
    """What an `Optimizer` does, by kernels of a device over flat arrays.

    optimizer  whose parameters and moments it takes over; `download` gives them back, so that what
               is saved of a training does not depend on where it runs
    patience   iterations in a row with finite gradients after which the loss is scaled by twice as
               much, for float16; 0 does not scale it
    scale      of the loss in the first iteration

    Attributes: ``layout``; ``params``, ``grads``, ``moments`` (one flat array, or two) and
    ``means`` (of the moving average, or None), float32 on the device; ``numbers`` and ``state``,
    `kernels.cuda.optimizer.NUMBERS` and `STATE`.

    An iteration is: `clear` the gradients; `begin` it; write the gradients of the loss times
    ``state[0]``, summed over the batch; run `launches`. They are the same in every iteration, so
    they can be recorded. One whose gradients are not finite leaves parameters, moments and averages
    as they were: `report` tells.
    """

    def __init__(
        self, device: Any, optimizer: Optimizer, *, patience: int = 0, scale: float = 1.0
    ) -> None:
        self.device = device
        self.optimizer = optimizer
        self.network: Network = optimizer.network
        self.patience = patience
        self.layout = layout(self.network)
        own, zeros = self.layout, device.zeros
        count = 2 if self.network.options.adam else 1
        self.params = zeros(own.size, np.float32)
        self.grads = zeros(own.graded, np.float32)
        self.moments = [zeros(own.learned, np.float32) for _ in range(count)]
        self.means: Any = None
        self.numbers = zeros(len(kernel.NUMBERS), np.float32)
        self.state = device.upload(kernel.state(scale))
        self._moving = kernel.table(device, self._rows())
        self._averaged = kernel.table(device, self._averaged_rows())
        self._filters = device.upload(self._filter_places())
        self.upload()

    def start(self, node: Node, name: str) -> int:
        """Return where a parameter begins in ``params``."""
        return self.layout.places[node.owner, name].start

    def parameter(self, node: Node, name: str) -> Any:
        """Return where a parameter lies, in its shape."""
        return self.view(self.params, node, name)

    def gradient(self, node: Node, name: str) -> Any:
        """Return where the gradient of a parameter is to be written, in its shape."""
        return self.view(self.grads, node, name)

    def view(self, flat: Any, node: Node, name: str) -> Any:
        """Return where what belongs to a parameter lies in a flat array, in its shape."""
        place = self.layout.places[node.owner, name]
        return flat[place.part].reshape(place.shape)

    def clear(self) -> None:
        """Make all gradients 0: what has none in an iteration only decays."""
        self.grads.fill(0)

    def begin(self, rate: float, batch: int, iteration: int) -> None:
        """Say at what rate the next step is, of how many pictures, and its number from 1 on."""
        o = self.network.options
        numbers = kernel.ema_numbers(o.ema_alpha)
        if o.adam:
            numbers |= kernel.adam_numbers(
                rate=rate, B1=o.B1, B2=o.B2, eps=o.eps, decay=o.decay, batch=batch, t=iteration
            )
        else:
            numbers |= kernel.sgd_numbers(
                rate=rate, momentum=o.momentum, decay=o.decay, batch=batch, iteration=iteration
            )
        self.numbers[...] = self.device.upload(kernel.numbers(numbers))

    def launches(self) -> list[Any]:
        """Return what moves the parameters, once their gradients are there."""
        grads = self.grads[: self.layout.learned]
        mends = self.network.options.try_fix_nan
        return [
            *kernel.finite(self.device, self.state, grads, patience=self.patience, mends=mends),
            *kernel.centre(self._filters, grads, mends=mends),
            *kernel.step(
                self._moving,
                self.numbers,
                self.state,
                grads,
                self.params,
                self.moments,
                mends=mends,
            ),
        ]

    def report(self) -> dict[str, float]:
        """Return `STATE` by name, and take "left" back; waits for the device."""
        values = dict(zip(STATE, self.device.download(self.state).tolist(), strict=True))
        if values["left"]:
            self.state[STATE.index("left")] = 0
        return values

    def start_average(self) -> None:
        """Let the moving average be the weights as they are."""
        if self.means is None:
            self.means = self.device.zeros(self.layout.learned, np.float32)
        self.means[...] = self.params[: self.layout.learned]

    def average_launches(self) -> list[Any]:
        """Return what lets the average follow the weights; `start_average` comes before."""
        assert self.means is not None, "the average was not begun"
        rows = self._averaged
        return [*kernel.average(rows, self.numbers, self.state, self.means, self.params)]

    def apply_average(self) -> None:
        """Let the weights be the average."""
        assert self.means is not None, "the average was not begun"
        for row in self._averaged_rows():
            part = slice(row.start, row.start + row.count)
            self.params[part] = self.means[part]

    def upload(self, average: Sequence[Arrays] | None = None) -> None:
        """Copy the host's parameters and moments, and the average if there is one."""
        places = self.layout.places
        own = self.optimizer
        params = ((key, own.params[key[0]][key[1]]) for key in places)
        self._fill(self.params, params)
        for k, flat in enumerate(self.moments):
            self._fill(flat, ((key, moments[k]) for key, moments in self._host_moments()))
        self.means = None
        if average is not None:
            self.start_average()
            self._fill(self.means, _items(average))

    def download(self, average: Sequence[Arrays] | None = None) -> None:
        """Copy parameters, moments and average into the arrays of the host."""
        params = self.device.download(self.params)
        for (index, name), place in self.layout.places.items():
            self.optimizer.params[index][name][...] = params[place.part].reshape(place.shape)
        for k, flat in enumerate(map(self.device.download, self.moments)):
            for key, moments in self._host_moments():
                place = self.layout.places[key]
                moments[k][...] = flat[place.part].reshape(place.shape)
        if average is not None and self.means is not None:
            means = self.device.download(self.means)
            for key, array in _items(average):
                place = self.layout.places[key]
                array[...] = means[place.part].reshape(place.shape)

    def _fill(self, flat: Any, arrays: Iterable[tuple[tuple[int, str], Array]]) -> None:
        host = self.device.download(flat)
        for key, array in arrays:
            host[self.layout.places[key].part] = array.reshape(-1)
        flat[...] = self.device.upload(host)

    def _host_moments(self) -> Iterator[tuple[tuple[int, str], list[Array]]]:
        for index, own in enumerate(self.optimizer.moments):
            yield from (((index, name), moments) for name, moments in own.items())

    def _rows(self) -> Iterator[kernel.Row]:
        """Yield the arrays that move, ever, and from when on."""
        o = self.network.options
        for node in self.network.nodes:
            if not self.optimizer.moves(node):
                continue
            for name in learned(node, o):
                place = self.layout.places[node.index, name]
                is_weights = name == "weights"
                yield kernel.Row(
                    place.start,
                    math.prod(place.shape),
                    self.optimizer.first(node),
                    node.layer.learning_rate,
                    float(o.adam or is_weights),
                    node.layer.clip if is_weights else 0.0,
                )

    def _averaged_rows(self) -> Iterator[kernel.Row]:
        for node in self.network.nodes:
            for name in averaged(node, self.network.options):
                place = self.layout.places[node.index, name]
                yield kernel.Row(place.start, math.prod(place.shape))

    def _filter_places(self) -> NDArray[np.int32]:
        """Return start and count of each filter whose gradients are centred, (2 * filters,)."""
        places = []
        for node in self.network.nodes:
            if getattr(node.layer, "grad_centr", False) and self.optimizer.moves(node):
                place = self.layout.places[node.index, "weights"]
                count = math.prod(place.shape[1:])
                places += [(place.start + k * count, count) for k in range(place.shape[0])]
        return np.array(places, np.int32).reshape(-1)


def _items(arrays: Sequence[Arrays]) -> Iterator[tuple[tuple[int, str], Array]]:
    for index, own in enumerate(arrays):
        yield from (((index, name), array) for name, array in own.items())
