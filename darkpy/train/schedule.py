"""What changes from iteration to iteration by rule: the learning rate and the size of the input.

darknet's network.c:get_current_rate and detector.c:train_detector. Iterations are counted by their
updates: the first is 1.
"""

from __future__ import annotations

import math
from itertools import takewhile

from ..net import NetOptions
from ..network import Network
from ..randomness import generator

RESIZED_EVERY = 10  # iterations
LAST_AT_FULL_SIZE = 100  # iterations, for the rolling averages of batch normalisation


def learning_rate(options: NetOptions, iteration: int, seed: int = 0) -> float:
    """Return the learning rate of an iteration, 1 for the first, before the layers' own factors.

    seed  of the policy "random", which draws anew for every iteration
    """
    o, b = options, iteration
    if b < o.burn_in:
        return float(o.learning_rate * (b / o.burn_in) ** o.power)
    if o.policy == "step":
        return float(o.learning_rate * o.scale ** (b // max(1, o.step)))
    if o.policy == "steps":
        pairs = takewhile(lambda pair: pair[0] <= b, zip(o.steps, o.scales, strict=False))
        return o.learning_rate * math.prod(scale for _, scale in pairs)
    if o.policy == "exp":
        return float(o.learning_rate * o.gamma**b)
    if o.policy == "poly":
        left = max(0.0, 1 - b / max(1, o.max_batches))
        return float(o.learning_rate * left**o.power)
    if o.policy == "random":
        return float(o.learning_rate * generator(seed, "rate", b).random() ** o.power)
    if o.policy == "sigmoid":
        return o.learning_rate / (1 + _exp(o.gamma * (b - o.step)))
    if o.policy == "sgdr":
        return _sgdr(o, b)
    return o.learning_rate


def _exp(x: float) -> float:
    return math.exp(min(x, 700.0))  # e^700 is near the largest float64


def _sgdr(options: NetOptions, b: int) -> float:
    """Cosine with restarts (Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983)."""
    start, cycle = 0, max(1, options.sgdr_cycle or options.max_batches)
    while start + cycle < b:
        start += cycle
        cycle *= max(1, options.sgdr_mult)
    span = options.learning_rate - options.learning_rate_min
    return options.learning_rate_min + 0.5 * span * (1 + math.cos((b - start) * math.pi / cycle))


def minibatch(options: NetOptions) -> int:
    """Return how many pictures go through the network at once."""
    return max(1, options.batch // options.subdivisions) * options.time_steps


def coefficient(network: Network) -> float:
    """Return how far the input's size may be multiplied or divided; 0 if it stays."""
    random = float(getattr(network.heads[-1].layer, "random", 0.0))
    return 1.4 if random == 1 else random


def input_size(network: Network, done: int, seed: int, first: int = 0) -> tuple[int, int]:
    """Return height and width of the network's input after ``done`` iterations.

    first  the iteration, by the same count, that the training began with; those before it, which
           the weights it began from have behind them, count as its first

    With ``random`` in the last head the size is drawn anew every ten iterations. The first ten
    and the last hundred run at the largest: the memory that it takes shows at once, and the rolling
    averages end where detection will use them.
    """
    o, coef = network.options, coefficient(network)
    if not coef:
        return o.height, o.width
    coef = max(coef, 1 / coef)
    period = max(0, done - first) // RESIZED_EVERY
    rng = generator(seed, "size", period)
    value = rng.uniform(1, coef)
    value = value if rng.integers(2) else 1 / value
    at_largest = period == 0 or done > o.max_batches - LAST_AT_FULL_SIZE
    sides = []
    for side in (o.height, o.width):
        drawn = _multiple(value * side, o.resize_step)
        drawn = side if value < 1 and drawn > side else drawn
        drawn = _multiple(coef * side, o.resize_step) if at_largest else drawn
        sides.append(max(drawn, o.resize_step))
    return sides[0], sides[1]


def _multiple(side: float, step: int) -> int:
    """Return darknet's multiple of ``step`` for a side: the nearest to it, and one more."""
    return math.floor(side / step + 1 + 0.5) * step


def batch_size(network: Network, size: tuple[int, int]) -> int:
    """Return how many pictures an iteration at this size (height, width) takes.

    With ``dynamic_minibatch`` smaller inputs leave room for more pictures, as detector.c has it.
    """
    o, coef = network.options, coefficient(network)
    one = minibatch(o)
    if o.dynamic_minibatch and coef:
        coef = max(coef, 1 / coef)
        largest = math.prod(_multiple(coef * side, o.resize_step) for side in (o.height, o.width))
        room = one * largest // math.prod(size)
        careful = int(room * 0.8)
        one = careful if careful > one else room
    return one * o.subdivisions
