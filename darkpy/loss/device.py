"""The losses of a network's heads on a device, from where outputs are to where gradients go.

What the losses of this package prepare and report is the same; what is between them are the ops of
`kernels.cuda`. Nothing that changes from step to step is in the launches, so they can be captured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, fields
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import NetworkError
from ..kernels import launchers
from ..layers.base import Shape
from ..net import NetOptions
from ..network import Node
from . import detection, gaussian_yolo, region, yolo
from .base import HeadLoss, Moment, Truths
from .rejection import Rejection, Rule, may_reject
from .truths import rows, vectors

FIGURES = 6  # of a head at most, float32


class DeviceLosses:
    """The losses of some heads, for mini-batches of one size.

    device     a `kernels.cuda.device.Device`
    nodes      the heads
    image      shape of the network's input
    outputs    of each head by index, as the device's ops give them: Maps of float32, or arrays
               (n, c, h, w) float32, which of a [region] are in its own order
    gradients  of each head by index, in the form of its output; they will be written
    factor     (1,) float32 of the device, by which gradients are multiplied: what float16 needs
    options    the keys of [net], which may reject gradients

    For a mini-batch: `prepare`, run ``launches``, and `read`.
    """

    def __init__(
        self,
        device: Any,
        nodes: Sequence[Node],
        image: Shape,
        outputs: Mapping[int, Any],
        gradients: Mapping[int, Any],
        factor: Any = None,
        options: NetOptions | None = None,
    ) -> None:
        self.device = device
        self._rejection = _Rejection(device) if options and may_reject(options) else None
        self._figures = device.zeros(max(1, len(nodes)) * FIGURES, np.float32)
        self.heads: dict[int, DeviceHead] = {}
        for at, node in enumerate(nodes):
            figures = self._figures[at * FIGURES :][:FIGURES]
            out = gradients[node.index], figures
            made = HEADS[node.layer.section]
            more = {}
            if self._rejection and node.layer.section == "yolo":
                more["rejection"] = self._rejection.numbers
            self.heads[node.index] = made(
                device, node.layer, image, out, outputs[node.index], factor, **more
            )
        self.launches = [one for head in self.heads.values() for one in head.launches]

    def prepare(self, truths: Truths, moment: Moment) -> None:
        """Write to the device what is true of the next mini-batch."""
        for head in self.heads.values():
            head.prepare(truths, moment)
        if self._rejection:
            self._rejection.prepare(moment)

    def read(self) -> dict[int, HeadLoss]:
        """Return the losses of the mini-batch that has run, by index; it waits for the device.

        Their gradients are the device's. The moment's ``rejection`` remembers them.
        """
        if self._rejection:
            self._rejection.read()
        figures = self.device.download(self._figures).reshape(-1, FIGURES)
        pairs = zip(self.heads.items(), figures, strict=False)
        return {index: head.read(own.astype(np.float64)) for (index, head), own in pairs}


class _Rejection:
    """What is remembered of the heads' deltas, in the device's memory from head to head."""

    def __init__(self, device: Any) -> None:
        from ..kernels.cuda.rejection import NUMBERS  # which imports all kernels

        self.device = device
        self.numbers = device.zeros(NUMBERS, np.float64)
        self._own: Rejection | None = None  # the host's, while they move

    def prepare(self, moment: Moment) -> None:
        """Write what the host remembers, and what is rejected now."""
        rule = Rule.of(moment.options, moment.iteration)
        self._own = moment.rejection if rule.acts else None
        known = np.array([*astuple(moment.rejection), *astuple(rule)], np.float64)
        self.device.write(self.numbers[: len(known)], known)

    def read(self) -> None:
        """Let the host remember what there is to remember of the mini-batch that has run."""
        if self._own is not None:
            names = [one.name for one in fields(self._own)]
            known = self.device.download(self.numbers[: len(names)])
            for name, value in zip(names, known.tolist(), strict=True):
                setattr(self._own, name, value)


class DeviceHead(Protocol):
    """The loss of one head."""

    launches: list[Any]

    def prepare(self, truths: Truths, moment: Moment) -> None:
        """Write what is true."""

    def read(self, figures: NDArray[np.float64]) -> HeadLoss:
        """Return the loss of its figures."""


class _Rows:
    """Truths in the device's memory, and how many there are."""

    def __init__(self, device: Any, room: int) -> None:
        self.device = device
        self.rows = device.zeros(room * 6, np.float32).reshape(room, 6)
        self.count = device.zeros(1, np.int32)

    def write(self, found: NDArray[np.float32]) -> None:
        self.device.write(self.count, np.array([len(found)], np.int32))
        if len(found):
            self.device.write(self.rows[: len(found)], np.ascontiguousarray(found))


class _Yolo:
    """Of a [yolo], of which gradients may be rejected, or a [Gaussian_yolo]."""

    def __init__(
        self,
        device: Any,
        layer: Any,
        image: Shape,
        out: tuple[Any, Any],
        y: Any,
        factor: Any,
        **rejection: Any,
    ) -> None:
        self.layer, self.gradient = layer, out[0]
        self._rows = _Rows(device, y.shape[0] * layer.max)
        _, anchors, weights = yolo.arrays(layer, [np.zeros((0, 5), np.float32)])
        op, keys = launchers().yolo_loss, yolo.KEYS
        if layer.section == "Gaussian_yolo":
            op, keys = launchers().gaussian_yolo_loss, gaussian_yolo.KEYS
        self.launches = op(
            device,
            out,
            y,
            self._rows.rows,
            device.upload(anchors),
            None if weights is None else device.upload(weights),
            count=self._rows.count,
            factor=factor,
            delta_normalizer=layer.delta_normalizer,
            **rejection,
            **yolo.numbers(layer, Moment(image), *keys),
        )

    def prepare(self, truths: Truths, moment: Moment) -> None:
        self._rows.write(yolo.arrays(self.layer, truths)[0])

    def read(self, figures: NDArray[np.float64]) -> HeadLoss:
        count, iou, overlap, box, objectness, classes = figures.tolist()
        parts = (box, objectness, classes)
        return yolo.told(self.layer, self.gradient, (count, iou, overlap), parts)


class _Region:
    def __init__(
        self, device: Any, layer: Any, image: Shape, out: tuple[Any, Any], y: Any, factor: Any
    ) -> None:
        self.layer, self.gradient = layer, out[0]
        self._rows = _Rows(device, y.shape[0] * layer.max)
        self._device, self._warm_up = device, device.zeros(1, np.int32)
        tree = layer.hierarchy
        self.launches = launchers().region_loss(
            device,
            (out[0], out[1][:5]),
            y,
            self._rows.rows,
            device.upload(np.array(layer.priors, np.float32)),
            None if tree is None else device.upload(region.family(tree).astype(np.int32)),
            count=self._rows.count,
            warm_up=self._warm_up,
            factor=factor,
            **{name: getattr(layer, name) for name in region.RULES},
        )

    def prepare(self, truths: Truths, moment: Moment) -> None:
        self._rows.write(region.known(self.layer, rows(truths, self.layer.max)))
        warms = moment.seen < region.WARM_UP
        self._device.write(self._warm_up, np.array([warms], np.int32))

    def read(self, figures: NDArray[np.float64]) -> HeadLoss:
        return HeadLoss.of_squares(self.gradient, figures[:5])


class _Detection:
    def __init__(
        self, device: Any, layer: Any, image: Shape, out: tuple[Any, Any], y: Any, factor: Any
    ) -> None:
        detection.require_boxes(layer)
        self.layer, self.gradient = layer, out[0]
        room = y.shape[0] * min(layer.max, layer.side**2)
        self._rows = _Rows(device, room)
        self._device, self._chosen = device, device.zeros(room, np.int32)
        self.launches = launchers().detection_loss(
            device,
            (out[0], out[1][:5]),
            y,
            self._rows.rows,
            self._chosen,
            count=self._rows.count,
            factor=factor,
            **{name: getattr(layer, name) for name in detection.RULES},
        )

    def prepare(self, truths: Truths, moment: Moment) -> None:
        found = detection.first_of_cells(self.layer, rows(truths, self.layer.max))
        self._rows.write(found)
        chosen = np.full(len(self._chosen), -1, np.int32)  # what overlaps most
        drawn = detection.draw_boxes(self.layer, moment, len(found))
        if drawn is not None:
            chosen[: len(drawn)] = drawn
        self._device.write(self._chosen, chosen)

    def read(self, figures: NDArray[np.float64]) -> HeadLoss:
        return HeadLoss.of_squares(self.gradient, figures[:5])


class _Vector:
    """Of a [softmax] or a [cost]."""

    def __init__(
        self, device: Any, layer: Any, image: Shape, out: tuple[Any, Any], y: Any, factor: Any
    ) -> None:
        if getattr(layer, "noloss", False):
            raise NetworkError("a [softmax] with noloss has none")
        self.layer, self.gradient = layer, out[0]
        self._device, self._like = device, np.empty(y.shape, np.float32)
        self._truth = device.zeros(self._like.size, np.float32).reshape(y.shape)
        out, ops = (out[0], out[1][:1]), launchers()
        if layer.section == "softmax":
            self.launches = ops.softmax_loss(device, out, y, self._truth, factor=factor)
        else:
            keys = {"kind": layer.type, "scale": layer.scale, "factor": factor}
            self.launches = ops.cost_loss(device, out, y, self._truth, **keys)

    def prepare(self, truths: Truths, moment: Moment) -> None:
        self._device.write(self._truth, vectors(truths, self._like))

    def read(self, figures: NDArray[np.float64]) -> HeadLoss:
        cost = float(figures[0])
        is_class = self.layer.section == "softmax"
        return HeadLoss(self.gradient, cost, classification=cost if is_class else 0.0)


HEADS: dict[str, Any] = {
    "yolo": _Yolo,
    "Gaussian_yolo": _Yolo,
    "region": _Region,
    "detection": _Detection,
    "softmax": _Vector,
    "cost": _Vector,
}
