"""Sums of maps of different sizes, each with a weight or not."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .columns import THREADS, columns
from .device import Device, Launch, Map, Scratch, act, ends, over, struct

__all__ = ["shortcut", "shortcut_grad", "weighted_shortcut", "weighted_shortcut_grad"]

FILE = "shortcut.cu"
MOST = 3  # maps that a launch adds


def shortcut(
    device: Device, y: Map, x: Map, *adds: Map, activation: str = "linear"
) -> list[Launch]:
    """y = the activation of x with other maps added where they meet it, three in a launch.

    Of more the sum of the first ones is rounded to the type of y in between.
    """
    if len(adds) > MOST:
        rest = shortcut(device, y, y, *adds[MOST:], activation=activation)
        return shortcut(device, y, x, *adds[:MOST]) + rest
    given = (*adds, *[adds[0]] * (MOST - len(adds)))
    parts = [part for add in given for part in (*ends(add), _meeting(y, add))]
    kernel = f"shortcut<{y.name}, {act(activation)}, {len(adds)}>"
    count = y.pixels * y.pieces
    args = (*ends(x), *parts, *ends(y), np.int32(y.h), np.int32(y.w), *_sizes(y))
    return [Launch(FILE, kernel, *over(count), args)]


def shortcut_grad(
    device: Device, dxs: Map | tuple[Map, ...], dy: Map, *, shapes: Sequence[Sequence[int]]
) -> list[Launch]:
    """dxs = dy where it meets the maps of ``shapes``, and elsewhere 0."""
    found = (dxs,) if isinstance(dxs, Map) else dxs
    size = (np.int32(dy.h), np.int32(dy.w))
    launches = []
    for dx in found:
        args = (*ends(dy), *size, *ends(dx), _meeting(dy, dx), *_sizes(dx))
        launches.append(Launch(FILE, f"spread<{dx.name}>", *over(dx.pixels * dx.pieces), args))
    return launches


def weighted_shortcut(device: Device, y: Map, w: Any, x: Map, *adds: Map) -> list[Launch]:
    """y = x w[0] with the other maps times w[1], ... added where they meet it, one in a launch.

    w  (1, maps, c or 1, 1)
    """
    launches, weights = [], _weights(w)
    for i, add in enumerate(adds, 1):
        base = x if i == 1 else y
        size = (np.int32(y.h), np.int32(y.w))
        part = (*ends(add), _meeting(y, add), *weights, np.int32(i))
        args = (*ends(base), *part, *ends(y), *size, *_sizes(y))
        launches.append(Launch(FILE, f"add_weighted<{y.name}>", *over(y.pixels * y.pieces), args))
    return launches


def weighted_shortcut_grad(
    device: Device, y: tuple[Any, ...], dy: Map, w: Any, x: Map, *adds: Map
) -> list[Launch]:
    """y = the gradients of w, of x and of each map added."""
    dw, *dxs = y
    launches = []
    for i, (dx, add) in enumerate(zip(dxs, (x, *adds), strict=True)):
        launches += _weight_grad(device, dw.reshape(-1), dy, add, i, w.shape[2])
        size = (np.int32(dy.h), np.int32(dy.w))
        given = (*ends(dy), *size, *_weights(w), np.int32(i))
        args = (*given, *ends(dx), _meeting(dy, dx), *_sizes(dx))
        count = dx.pixels * dx.pieces
        launches.append(Launch(FILE, f"spread_weighted<{dx.name}>", *over(count), args))
    return launches


def _weight_grad(device: Device, dw: Any, dy: Map, add: Map, i: int, each: int) -> list[Launch]:
    """Return what makes the gradients of the weights of map i, of each channel or one of all."""
    meeting = _meeting(dy, add)
    pixels = dy.n * int(meeting["rows"]) * int(meeting["columns"])
    grid = columns(device, pixels, dy.pieces, dy.c, sums=True)
    partials, done = grid.partials(dy.piece)
    sums = Scratch(dy.c, offset=partials.end) if each == 1 else dw[i * each : (i + 1) * each]
    size = (np.int32(dy.h), np.int32(dy.w))
    args = (*ends(dy), *size, *ends(add), meeting, sums, partials, done, grid.sizes)
    launches = [Launch(FILE, f"sum_met<{dy.name}>", grid.grid, grid.block, args)]
    if each == 1:
        total = (sums, dw[i : i + 1], np.int32(dy.c))
        launches.append(Launch(FILE, "sum_vector", (1,), (1, THREADS), total))
    return launches


def _weights(w: Any) -> tuple[Any, np.int32]:
    """Return the weights as kernels take them: (maps, each) flat, and each."""
    return w.reshape(-1), np.int32(w.shape[2])


def _sizes(y: Map) -> tuple[np.int32, ...]:
    return np.int32(y.c), np.int32(y.pieces), np.int32(y.pixels * y.pieces)


def _meeting(onto: Map, add: Map) -> np.ndarray:
    """Return the struct of the cells in which a map meets the one that it is added onto.

    Channels, rows and columns count up to the fewer; a map that is twice as wide gives every second
    cell, one half as wide lands on every second cell.
    """
    return struct(
        channels=min(onto.c, add.c),
        height=add.h,
        width=add.w,
        rows=min(onto.h, add.h),
        columns=min(onto.w, add.w),
        stride=max(1, add.w // onto.w),
        sample=max(1, onto.w // add.w),
    )
