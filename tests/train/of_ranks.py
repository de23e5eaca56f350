"""What one of several ranks runs: mpiexec -n 2 python -m tests.train.of_ranks ACTION ...

steps CFG OUT    six steps of a trainer, whose parameters then go into OUT-RANK.npz
ITERATION:WHAT:RANK detector train ...   the command line; in the midst of that iteration something
                 happens to that rank: "kill", "memory", "nan", or "int" (a signal)
"""

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
    from darkpy.train import trainer as module
    from darkpy.train.ranks import connect

    if "planned" in out:
        module.PLAN_FROM = 0
    trainer = module.Trainer(cfg, ranks=connect())
    losses = []
    for images, truths in batches():
        for slot in set(range(PICTURES)) - set(trainer.own_slots(PICTURES)):
            images[slot] = np.nan  # of others: not looked at
        losses.append(trainer.step(images, truths))
    np.savez(f"{out}-{trainer.ranks.rank}.npz", losses=losses, **arrays(trainer))


def happening(iteration, what, rank):
    """Let something happen in the midst of an iteration, once, to one rank."""
    from darkpy.train.trainer import NotFinite, Trainer

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


if __name__ == "__main__":
    if sys.argv[1] == "steps":
        steps(*sys.argv[2:])
    else:
        happening(*sys.argv[1].split(":"))
        from darkpy.cli import main

        main(sys.argv[2:])
