"""One run by several ranks: rank 0 has the run and leads, the others follow it step by step.

Rank 0 alone evaluates, saves and decides; before each step it tells the others which it is, and
first gives them its state where theirs is another. So what a run remembers lies in one place, and
one that is resumed, or goes back, needs no more of the others than to begin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..data.loader import Batch
from ..errors import TrainingError
from .finite import NotFinite
from .state import arrays_of, facts_of, take_facts
from .trainer import Trainer


@dataclass(frozen=True)
class Muster:
    """What rank 0 has read, to be read by the others: the digest of the training pictures."""

    digest: str


@dataclass(frozen=True)
class Order:
    """What rank 0 has the others do: a step, from a state if theirs is another.

    state  see `_state`; None if nothing but steps has changed the trainer
    """

    iteration: int
    state: dict[str, Any] | None


class Crew:
    """The ranks that follow, as rank 0 sees them. In a training by one process there are none.

    first   the iteration that the run began after
    is_new  the trainer is not what steps have made it: a state was read
    """

    def __init__(self, trainer: Trainer, first: int) -> None:
        self.trainer = trainer
        self.first = first
        self.ranks = trainer.ranks
        self.is_new = True

    def muster(self, digest: str) -> None:
        """Let the others read what they need; TrainingError if one of them cannot."""
        if self.ranks.size > 1:
            self.ranks.tell(Muster(digest))
            missing = [text for text in self.ranks.gather("") if text]
            if missing:
                raise TrainingError(missing[0])

    def step(self, batch: Batch) -> float:
        """Take a step together; return the loss, as `Trainer.step`."""
        if self.ranks.size > 1:
            state = _state(self.trainer, self.first) if self.is_new else None
            self.ranks.tell(Order(self.trainer.iteration, state))
            self.is_new = False
        return together(self.trainer, batch)


def together(trainer: Trainer, batch: Batch) -> float:
    """Take a step, as all ranks do at once; NotFinite names the pictures, whoever has them."""
    try:
        return trainer.step(batch.images, batch.truths)
    except NotFinite as error:
        own = trainer.own_slots(len(batch.images))
        mine = [batch.paths[slot] for slot in error.slots if slot in own]
        error.pictures = [path for paths in trainer.ranks.gather(mine) for path in paths]
        raise


def _state(trainer: Trainer, first: int) -> dict[str, Any]:
    """Return all that a trainer is: `facts_of` it, its arrays by name, and ``first``."""
    return {"facts": facts_of(trainer), "arrays": dict(arrays_of(trainer)), "first": first}


def take(trainer: Trainer, state: dict[str, Any]) -> int:
    """Let a trainer of the same network be as a `_state` says; return the state's ``first``."""
    trainer.average = None
    if state["facts"]["average"]:
        trainer.start_average()
    take_facts(trainer, state["facts"])
    arrays = dict(arrays_of(trainer))
    if arrays.keys() != state["arrays"].keys():
        raise TrainingError("has another .cfg than rank 0")
    for name, array in arrays.items():
        array[...] = state["arrays"][name]
    return int(state["first"])
