"""What a rank does that is not the first: its part of each step that rank 0 leads."""

from __future__ import annotations

import logging
import signal
from contextlib import suppress

from ..data.augment import Augmentation
from ..data.loader import Loader
from ..errors import DarkpyError, TrainingError
from ..network import Network
from .begin import loaders, training_set
from .crew import Muster, Order, take, together
from .ranks import Ranks
from .request import Request
from .trainer import Trainer

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # rank 0 heeds them, and tells


def follow(request: Request, ranks: Ranks) -> None:
    """Read what rank 0 has read, and take each step with it, until it says that there are no more.

    What is wrong, rank 0 says, but for pictures that this rank alone finds cannot be read: those
    are warnings here, and in no list. What nobody foresaw ends all.
    """
    try:
        _follow(request, ranks)
    except BaseException as error:
        ranks.abort(error)
        raise


def _follow(request: Request, ranks: Ranks) -> None:
    for name in SIGNALS:
        with suppress(AttributeError, ValueError):  # not known here, or not in the main thread
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    order = ranks.tell()
    if not isinstance(order, Muster):
        return
    log = logging.getLogger("darkpy")
    level = log.level
    log.setLevel(logging.CRITICAL)  # rank 0 reads the same, and warns of it
    try:
        follower = Follower(request, ranks, order)
        missing = ""
    except (DarkpyError, MemoryError, OSError) as error:
        missing = f"rank {ranks.rank}: {str(error) or 'not enough memory'}"
    log.setLevel(level)
    if any(ranks.gather(missing)):
        ranks.tell()  # the end
        return
    try:
        while (order := ranks.tell()) is not None:
            follower.obey(order)
    finally:
        follower.close()


class Follower:
    """A trainer with batches of its own.

    Raises DarkpyError if what it reads is not what rank 0 has read.
    """

    def __init__(self, request: Request, ranks: Ranks, muster: Muster) -> None:
        network = Network.from_cfg(request.cfg, settings=request.settings)
        self.request = request
        self.training = training_set(request, network)
        if self.training.digest() != muster.digest:
            raise TrainingError(f"{request.data}: has other pictures or labels here than at rank 0")
        self.augmentation = Augmentation.of(network)
        self.trainer = Trainer(
            network, device=request.device, ranks=ranks, precision=request.precision
        )
        self._loader: Loader | None = None

    def obey(self, order: Order) -> None:
        """Take a step; what goes wrong all ranks agree on, and rank 0 decides what follows."""
        trainer = self.trainer
        try:
            if order.state is not None:
                self._begin(order)
            assert self._loader is not None, "a state comes first"
            batch = next(self._loader)
            assert batch.iteration == trainer.iteration == order.iteration
        except Exception as error:
            with suppress(DarkpyError):
                trainer.fail(error)
            return
        with suppress(DarkpyError):
            together(trainer, batch)

    def _begin(self, order: Order) -> None:
        """Be what rank 0 is, and load from there on."""
        assert order.state is not None
        self.close()
        first = take(self.trainer, order.state)
        make = loaders(self.request, self.trainer, self.training, self.augmentation, first)
        self._loader = make(order.iteration)

    def close(self) -> None:
        """End the threads that load."""
        if self._loader is not None:
            self._loader.close()
