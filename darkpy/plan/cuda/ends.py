"""What is before and behind a network on a device: pictures of bytes, and the boxes in them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...boxes import frame, letterboxed, placed
from ...decode import Candidates
from ...kernels import launchers
from ...kernels.cuda.decode import Head
from ...layers.base import Shape
from ...loss.base import LOSSES, SETTLED, Moment
from ...loss.device import DeviceLosses
from ...network import Node
from ..trace import Op
from .plan import CudaPlan, Floats

MOST = 512  # boxes of a picture, each of one class, that are brought to the host: 16 kB
MANY = 4096  # of a low threshold, with which one measures: 128 kB
LOW = 0.1  # below this a threshold is low
RAW = ("yolo", "gaussian_yolo")  # ops that boxes are found without
Found = Candidates | dict[int, Floats]
KEYS = ("new_coords", "scale_x_y", "yolo_point", "classfix", "side", "num", "sqrt")


def picture(device: Any, y: Any, image: NDArray[np.uint8], letter_box: bool) -> list[Any]:
    """Return what makes a network's input of a picture: `darkpy.data.image.prepare`.

    y      a Map of one picture, or planes (c, h, w) float32 of the device
    image  (h, w, 3) uint8 blue-green-red, or (h, w, 1) grey, of the host
    """
    net_h, net_w = y.shape[-2:]
    left, top, w, h = placed(image.shape[1], image.shape[0], net_w, net_h, letter_box)
    held = device.upload(np.ascontiguousarray(image))
    launches: list[Any] = launchers().resize_picture(device, y, held, h=h, w=w, top=top, left=left)
    return launches


class DeviceBoxes:
    """The boxes that the outputs of detection heads mean: `Detector.decode`, on a device.

    device    a `kernels.cuda.device.Device`
    nodes     the heads
    image     shape of the network's input
    outputs   of each head by index, of some pictures: Maps of float32 or arrays (n, c, h, w), as
              the device's ops give them
    raw       indices of [yolo]s and [Gaussian_yolo]s whose outputs are what their ops would be
              given, which need not run then
    thresh, nms, kind, beta   as in `Detector.decode`
    most      boxes, each of one class, that are brought to the host of each picture

    For some pictures: `prepare`, run ``launches``, which can be captured, and `read`. One of them
    reads a head's output, in the order of nodes, and the last suppresses.
    """

    def __init__(
        self,
        device: Any,
        nodes: Sequence[Node],
        image: Shape,
        outputs: Mapping[int, Any],
        *,
        raw: Collection[int] = (),
        thresh: float,
        nms: float = 0.45,
        kind: str = "default",
        beta: float = 0.6,
        most: int = MOST,
    ) -> None:
        self.device = device
        self.image = image
        heads = [_head(device, node, outputs[node.index], node.index in raw) for node in nodes]
        self.classes = 1 if kind == "objectness" else heads[0].classes
        batch = heads[0].y.shape[0]
        self._sizes = np.zeros((batch, 3, 2))  # as the device has them
        self._frames = device.upload(self._sizes)
        self._rows = device.zeros(batch * (1 + most) * 8, np.float32).reshape(batch, -1, 8)
        self.launches = launchers().decode(
            device,
            self._rows,
            heads,
            width=image.w,
            height=image.h,
            thresh=thresh,
            nms=nms,
            kind=kind,
            beta=beta,
            frames=self._frames,
        )

    def prepare(
        self, sizes: Sequence[tuple[int, int]], letter_box: bool, relative: bool = True
    ) -> None:
        """Say how large the pictures are: (width, height) of each."""
        net = self.image.w, self.image.h
        frames = np.stack([frame(*net, *size, letter_box, relative) for size in sizes])
        if not np.array_equal(frames, self._sizes):
            self.device.write(self._frames, frames)
        self._sizes = frames

    def read(self) -> list[Candidates | None]:
        """Return the boxes of each picture after suppression; it waits for the device.

        They are in the order of `Candidates.of_rows`. None stands for more boxes than ``most``,
        which the host finds in the outputs.
        """
        found = self.device.download(self._rows)
        counts = found[:, 0, 0].astype(int)
        return [
            None if count >= len(rows) else Candidates.of_rows(rows[1 : 1 + count], self.classes)
            for rows, count in zip(found, counts, strict=True)
        ]


class CudaFinder:
    """The boxes in pictures, by a plan for so many of them: pictures go over, and boxes come back.

    nodes  the detection heads of the plan's network
    The others are as in `DeviceBoxes`.

    What feeds a [yolo] is read in the place of its op, which runs for the host's sake alone.
    """

    def __init__(
        self, plan: CudaPlan, nodes: Sequence[Node], *, thresh: float, **suppression: Any
    ) -> None:
        self.plan = plan
        self.nodes = nodes
        device, image = plan.device, plan.program.network.image
        self._size = image.w, image.h
        ops = self._raw()
        outputs = plan.outputs | {index: plan.at(op.inputs[0]) for index, op in ops.items()}
        most = MANY if thresh < LOW else MOST
        with device.scope():
            self._boxes = DeviceBoxes(
                device, nodes, image, outputs, raw=ops, thresh=thresh, most=most, **suppression
            )
            self._find = device.capture(self._calls(ops))  # one graph

    def _raw(self) -> dict[int, Op]:
        """Return the ops of heads in whose place their inputs are read."""
        return {node.index: op for node in self.nodes if (op := _raw(self.plan, node))}

    def _calls(self, ops: Mapping[int, Op]) -> list[Callable[[], None]]:
        """Return the plan's calls, with those of boxes in the place of ops of heads, or after all.

        Later ops may write where what feeds a head lies.
        """
        *finds, suppress = self.plan.device.bind(self._boxes.launches)
        boxes = {node.index: find for node, find in zip(self.nodes, finds, strict=True)}
        heads = {id(op): index for index, op in ops.items()}
        count = sum(len(launches) for _, launches in self.plan.launches)
        packing = len(self.plan.forward) - count  # of weights that learn
        forward, calls = iter(self.plan.forward[packing:]), [*self.plan.forward[:packing]]
        for op, launches in self.plan.launches:
            own = [next(forward) for _ in launches]
            calls += [boxes.pop(heads[id(op)])] if id(op) in heads else own
        return [*calls, *boxes.values(), suppress]

    def __call__(
        self, images: Sequence[NDArray[np.uint8]], letter_box: bool, relative: bool = True
    ) -> list[Found]:
        """Return the boxes of each picture after suppression; see `picture` and `DeviceBoxes`.

        images  as many as the plan is for, or fewer

        Of a picture with more boxes than `MOST`, or `MANY`, it is the outputs of the heads that are
        returned, by index.
        """
        with self.plan.turn, self.plan.device.scope():
            return self._run(images, letter_box, relative)

    def _run(
        self, images: Sequence[NDArray[np.uint8]], letter_box: bool, relative: bool
    ) -> list[Found]:
        plan, device = self.plan, self.plan.device
        places = plan.input("image")
        for place, image in zip(places, images, strict=False):
            for one in picture(device, place, image, letter_box):
                device.launch(one)
        sizes = [(image.shape[1], image.shape[0]) for image in images]
        others = [self._size] * (len(places) - len(images))
        self._boxes.prepare([*sizes, *others], letter_box, relative)
        self._find()
        found = self._boxes.read()[: len(images)]
        if None in found:
            plan.replay()
        return [self._outputs(i) if one is None else one for i, one in enumerate(found)]

    def _outputs(self, picture: int) -> dict[int, Floats]:
        outputs, device = self.plan.outputs, self.plan.device
        return {node.index: device.download(outputs[node.index][picture]) for node in self.nodes}


class CudaJudge(CudaFinder):
    """What is in pictures, and the loss of each alone, of which the truths go over too."""

    def __init__(
        self, plan: CudaPlan, nodes: Sequence[Node], *, thresh: float, **suppression: Any
    ) -> None:
        network, device = plan.program.network, plan.device
        heads = [node for node in network.heads if node.layer.section in LOSSES]
        self._moment = Moment(network.image, network.options, SETTLED)
        with device.scope():
            gradients = {
                node.index: device.upload(np.zeros((1, *plan.outputs[node.index].shape[1:]), "f"))
                for node in heads
            }  # of all pictures in turn, which nobody reads
            self._losses = [
                DeviceLosses(
                    device,
                    heads,
                    network.image,
                    {node.index: plan.outputs[node.index][i : i + 1] for node in heads},
                    gradients,
                )
                for i in range(len(plan.input("image")))
            ]
        super().__init__(plan, nodes, thresh=thresh, **suppression)

    def _raw(self) -> dict[int, Op]:
        return {}  # losses are of what heads put out

    def _calls(self, ops: Mapping[int, Op]) -> list[Callable[[], None]]:
        losses = [one for own in self._losses for one in own.launches]
        return [*super()._calls(ops), *self.plan.device.bind(losses)]

    def judge(
        self,
        images: Sequence[NDArray[np.uint8]],
        truths: Sequence[NDArray[np.float32]],
        letter_box: bool,
    ) -> tuple[list[Found], list[float]]:
        """Return what a call does, and darknet's loss of each picture: of the heads the mean.

        truths  (k, 5) float32 of each picture: class, x, y, w, h in 0..1
        """
        width, height = self._size
        with self.plan.turn, self.plan.device.scope():
            for own, rows, image in zip(self._losses, truths, images, strict=False):
                high, wide = image.shape[:2]
                moved = letterboxed(rows, wide, high, width, height) if letter_box else rows
                own.prepare([moved], self._moment)
            found = self._run(images, letter_box, relative=True)
            return found, [_mean(own) for own in self._losses[: len(images)]]


def _mean(losses: DeviceLosses) -> float:
    """Return the loss of a picture; nan if no head has one."""
    costs = [one.cost for one in losses.read().values()]
    return sum(costs) / len(costs) if costs else math.nan


def _raw(plan: CudaPlan, node: Node) -> Op | None:
    """Return the op of a [yolo] whose output nothing but boxes is made of, if it is one."""
    program = plan.program
    output = program.outputs[node.index]
    op = program.writer(output)
    if op is None or op.kind not in RAW or program.readers(output):
        return None
    return op if op.inputs[0].root.stored == "float" else None


def _head(device: Any, node: Node, y: Any, is_raw: bool) -> Head:
    layer: Any = node.layer
    keys = {key: getattr(layer, key) for key in KEYS if hasattr(layer, key)}
    if layer.section == "region" and layer.hierarchy is not None:
        keys["parents"] = device.upload(np.array(layer.hierarchy.parents, np.int32))
    if layer.section != "detection":
        keys["anchors"] = device.upload(np.array(layer.priors, np.float32))
    return Head(kind=layer.section, y=y, classes=layer.classes, is_raw=is_raw, **keys)
