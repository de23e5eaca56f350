"""Randomness that is counted, not remembered: what is drawn depends on where it is drawn alone.

A generator is made anew for every use from the seed, the purpose and counters such as iteration
and slot. So batches are the same whatever the number of workers, and a training that goes on after
a stop has nothing to restore.
"""

from __future__ import annotations

import zlib

import numpy as np


def generator(seed: int, purpose: str, *counters: int) -> np.random.Generator:
    """Return a generator whose numbers depend on seed, purpose and counters (all at least 0)."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *counters])
