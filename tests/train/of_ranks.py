"""What one of several ranks runs: mpiexec -n 2 python -m tests.train.of_ranks ACTION ...

steps CFG OUT    six steps of a trainer, whose parameters then go into OUT-RANK.npz
ITERATION:WHAT:RANK detector train ...   the command line; in the midst of that iteration something
                 happens to that rank: "kill", "memory", "nan", or "int" (a signal)
gpus detector train ...   the command line, on GPUs that the processor stands for
"""

import ctypes
import os
import signal
import sys

import numpy as np

PICTURES, SIDE, STEPS = 7, 16, 6


def batches():
    """Yield pictures and truths, the same for all."""
    rng = np.random.default_rng(5)
    for _ in range(STEPS):
        images = rng.random((PICTURES, 2, SIDE, SIDE), np.float32)
        places = rng.uniform(0.3, 0.7, (PICTURES, 2))
        truths = [np.array([[k % 2, *places[k], 0.4, 0.3]], np.float32) for k in range(PICTURES)]
        yield images, truths


def arrays(trainer):
    """Return all arrays of a trainer by name, and what it says of its last step."""
    from darkpy.train.state import arrays_of

    found = {name.replace("/", "_"): array for name, array in arrays_of(trainer)}
    heads = [(h.box, h.objectness, h.classification, h.count, h.iou) for h in trainer.heads]
    return {**found, "heads": np.array(heads), "truths": trainer.truths}


def steps(cfg, out):
    """Train, and save what came of it."""
    from darkpy.train import on_host
    from darkpy.train.ranks import connect
    from darkpy.train.trainer import Trainer

    if "planned" in out:
        on_host.PLAN_FROM = 0
    trainer = Trainer(cfg, ranks=connect())
    losses = []
    for images, truths in batches():
        for slot in set(range(PICTURES)) - set(trainer.own_slots(PICTURES)):
            images[slot] = np.nan  # of others: not looked at
        losses.append(trainer.step(images, truths))
    np.savez(f"{out}-{trainer.ranks.rank}.npz", losses=losses, **arrays(trainer))


def happening(iteration, what, rank):
    """Let something happen in the midst of an iteration, once, to one rank."""
    from darkpy.train.finite import NotFinite
    from darkpy.train.trainer import Trainer

    forward = Trainer._pass

    def passing(self, *args):
        is_now = self.iteration + 1 == int(iteration) and self.ranks.rank == int(rank)
        if is_now and self.rate_scale == 1:
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "int":
                os.kill(os.getpid(), signal.SIGINT)
            if what == "memory":
                raise MemoryError
            if what == "nan":
                raise NotFinite("here", range(2, 4), "is no number")
        return forward(self, *args)

    Trainer._pass = passing


def stand_for_gpus():
    """Put the tests' device into CuPy's place, and MPI into NCCL's."""
    from types import SimpleNamespace

    from mpi4py import MPI

    from darkpy import cuda
    from darkpy.train import on_device
    from tests.hostcuda import Settings
    from tests.hostcuda import cupy as host

    class NcclCommunicator:
        def __init__(self, size, name, rank):
            assert (size, name, rank) == (MPI.COMM_WORLD.size, b"name", MPI.COMM_WORLD.rank)

        def allReduce(self, source, target, count, kind, op, stream):
            assert source == target and (kind, op, stream) == (7, 0, 0)
            assert count < 800, "a layer of the tiny network has less"
            array = np.ctypeslib.as_array((ctypes.c_float * count).from_address(source))
            MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, array)

    module = host.cupy(Settings(check=False))
    sys.modules["cupy.cuda.nccl"] = SimpleNamespace(
        NcclCommunicator=NcclCommunicator,
        get_unique_id=lambda: b"name",
        NCCL_FLOAT32=7,
        NCCL_SUM=0,
        NcclError=RuntimeError,
        available=True,
    )
    sys.modules["cupy"] = module
    on_device.BUCKET = 50
    cuda.refusal = lambda device: ""


if __name__ == "__main__":
    if sys.argv[1] == "steps":
        steps(*sys.argv[2:])
    else:
        if sys.argv[1] == "gpus":
            stand_for_gpus()
        else:
            happening(*sys.argv[1].split(":"))
        from darkpy.cli import main

        main(sys.argv[2:])
