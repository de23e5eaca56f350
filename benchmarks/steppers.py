"""One engine that trains, in a process of its own; it speaks as engines.py does.

The folder holds the network (subject.py). "outputs" writes what feeds each head, with the batch's
statistics and without dropout; a turn is steps of training: forward, back, and an update that
moves weights hardly.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import engines
import numpy as np
from engines import Array, Engine, Job

OBJECTS = 10  # a picture
SGD = {"lr": 1e-6, "momentum": 0.9, "weight_decay": 5e-4}


def read(job: Job):
    """Return the network for one mini-batch of the pictures, with a rate that changes little."""
    from darkpy.network import Network

    settings = {"batch": len(job.x), "subdivisions": 1, "learning_rate": SGD["lr"]}
    return Network.from_cfg(
        job.folder / "net.cfg", settings=[f"net.{name}={value}" for name, value in settings.items()]
    )


def darkpy(job: Job) -> Engine:
    """A trainer of this checkout, with its loss."""
    from darkpy.train.trainer import Trainer

    network = read(job)
    found = outputs(job, network)
    gc.collect()  # the memory of that is no training's
    trainer = Trainer(network, job.folder / "net.weights")
    truths = drawn(len(job.x), [node.layer.classes for node in trainer.losing])

    def step() -> None:
        trainer.step(job.x, truths)

    return Engine("", step, lambda: found, "loss included")


def outputs(job: Job, network) -> list[Array]:
    """Return what feeds the heads, as a trainer computes it; nothing is dropped out."""
    from subject import raw

    from darkpy import kernels
    from darkpy.inference import PLAN_FROM
    from darkpy.network import Network
    from darkpy.plan import flops
    from darkpy.plan.step import StepPlan
    from darkpy.run import Tape
    from darkpy.weights import read_weights

    params = read_weights(network, job.folder / "net.weights")
    layers = [without_dropout(node.layer) for node in raw(network).nodes]
    ends = Network.from_layers(layers, network.image, network.options, network.path)
    planned = flops(network) >= PLAN_FROM
    made = StepPlan(ends, params) if planned else Tape(ends, params, kernels.ops("cpu"), True)
    found = made.forward(job.x)
    return [found[node.index].copy() for node in ends.heads]


def without_dropout(layer):
    """Return a layer that drops out nothing."""
    return replace(layer, probability=0.0) if layer.section == "dropout" else layer


def drawn(pictures: int, classes: list[int]) -> list[Array]:
    """Return truths of pictures: class and box of each object."""
    rng = np.random.default_rng(0)
    truths = []
    for _ in range(pictures):
        sizes = rng.uniform(0.05, 0.4, (OBJECTS, 2))
        centres = rng.uniform(sizes / 2, 1 - sizes / 2)
        kinds = rng.integers(0, min(classes), (OBJECTS, 1))
        truths.append(np.hstack([kinds, centres, sizes]).astype(np.float32))
    return truths


def torch(job: Job, layout: str = "contiguous_format") -> Engine:
    """PyTorch eagerly, given gradients of the heads."""
    import torch
    from torch_graph import Learning

    from darkpy.weights import read_weights

    torch.set_num_threads(job.threads)
    network = read(job)
    shape = getattr(torch, layout)
    model = Learning(network, read_weights(network, job.folder / "net.weights"))
    model = model.to(memory_format=shape).train()
    x = torch.from_numpy(job.x).contiguous(memory_format=shape)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    deltas: list = []

    def step() -> None:
        found = model(x)
        if not deltas:
            torch.manual_seed(0)
            deltas.extend(1e-3 * torch.randn_like(one) for one in found)
        torch.autograd.backward(found, deltas)
        optimizer.step()
        optimizer.zero_grad()

    def outputs() -> list[Array]:
        model.drops = False
        with torch.no_grad():
            found = [one.contiguous().numpy() for one in model(x)]
        model.drops = True
        return found

    return Engine(torch.__version__.partition("+")[0], step, outputs, f"eager, {layout}, no loss")


STEPPERS: dict[str, Callable[[Job], Engine]] = {
    "darkpy": darkpy,
    "torch": torch,
    "torch_channels_last": partial(torch, layout="channels_last"),
}

if __name__ == "__main__":
    engines.main(STEPPERS)
