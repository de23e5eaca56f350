"""Do with a .cfg what can be done with it: build it, run it on both devices, decode its heads."""

import math
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np

from darkpy import DarkpyError, Detector, Network

SECONDS = 20  # for one input; the slowest takes 1 s when the kernels are compiled
MOST_VALUES = 200_000  # of all layers' outputs and parameters
MOST_PRODUCTS = 20_000_000
DEVICES = ("cpu", "reference")


class TooSlow(Exception):
    """One input took longer than SECONDS."""


@contextmanager
def in_time(what, seconds=SECONDS):
    """Raise TooSlow if the body takes longer; where there are signals, in the middle of it."""

    def stop(*_):
        raise TooSlow(f"{seconds} s: {what!r:.500}")

    start = time.monotonic()
    has_alarm = hasattr(signal, "setitimer") and threading.current_thread().name == "MainThread"
    if has_alarm:
        before = signal.signal(signal.SIGALRM, stop)
        signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        if has_alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    if time.monotonic() - start > seconds:
        stop()


def is_small(network):
    """Tell whether a network is small enough to be run many times."""
    values = network.parameters + network.image.size + sum(one.shape.size for one in network.nodes)
    products = sum(
        one.shape.h * one.shape.w * sum(map(math.prod, network.nodes[one.owner].params.values()))
        for one in network.nodes
    )
    return values <= MOST_VALUES and products <= MOST_PRODUCTS


def build(path):
    """Return the network of a .cfg, or the error that says why there is none."""
    try:
        return Network.from_cfg(path)
    except DarkpyError as error:
        assert str(error)
        return error


def exercise(path):
    """Build, run and decode a .cfg: "refused", "built" (too large to run), "ran" or "stopped"."""
    network = build(path)
    if isinstance(network, DarkpyError):
        return "refused"
    if not is_small(network):
        return "built"
    params = network.initial_params(np.random.default_rng(0))
    outcomes = {run(network, params, device) for device in DEVICES}
    return "ran" if outcomes == {"ran"} else "stopped"


def run(network, params, device):
    """Run a network and decode its heads; "ran", or "stopped" if an error said why not."""
    detector = Detector(network, params, device=device)
    x = np.random.default_rng(1).random(network.image, np.float32)
    try:
        outputs = detector.activations(x)
    except DarkpyError as error:
        assert str(error)
        return "stopped"
    for node, y in zip(network.nodes, outputs, strict=True):
        if y is not None:
            assert y.dtype == np.float32, node.where
            shape = (node.shape.size,) if node.flat else tuple(node.shape)
            assert y.shape == shape, node.where
    image = np.random.default_rng(2).integers(0, 256, (9, 13, 3), np.uint8)
    if detector.detection_heads and network.image.c in (1, 3):
        try:
            found = detector.candidates(image, 0.3)
        except DarkpyError as error:
            assert str(error)
            return "stopped"
        assert np.isfinite(found.boxes).all()
    return "ran"
