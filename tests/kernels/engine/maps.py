"""Maps to try the engine's ops on: made of arrays, filled, run, read, and checked for stray
writes."""

import numpy as np

from darkpy.kernels.cpu.engine import store, team
from darkpy.kernels.cpu.engine.records import LANES, Kernel, Map, Packed, Shared

GUARD = 64  # float32 on both sides of each buffer
MARK = np.float32(-7777)


class Held:
    """A Map with the memory it lies in.

    array  (n, blocks, h + top + bottom, w + left + right, 16) float32 if blocked, (n, c, h', w')
    if not
    """

    def __init__(self, array, memory, map):
        self.array, self.memory, self.map = array, memory, map

    def put(self, x):
        """Fill the map with x (n, c, h, w)."""
        self._inner()[...] = split(x, self.map.block)
        return self

    def get(self):
        """Return the map as (n, c, h, w)."""
        inner, m = self._inner(), self.map
        if m.block == 1:
            return inner.copy()
        return inner.transpose(0, 1, 4, 2, 3).reshape(m.n, -1, m.h, m.w)[:, : m.c].copy()

    def range(self, start, count):
        """Return the Map of ``count`` channels from ``start``, a whole number of blocks."""
        m = self.map
        part = start // m.block
        array = self.array[:, part : part + -(-count // m.block)]
        moved = {**m.__dict__, "address": m.address + part * m.plane, "c": count}
        return Held(array, self.memory, Map(**moved))

    def check(self):
        """Assert that the border is zero and nothing beside the buffer was written."""
        m = self.map
        top, left, _, _ = m.border
        frame = self.array.copy()
        frame[:, :, top : top + m.h, left : left + m.w] = 0
        assert not frame.any(), "the border was written"
        assert (self.memory[0] == MARK).all() and (self.memory[1] == MARK).all(), "stray write"

    def _inner(self):
        top, left, _, _ = self.map.border
        return self.array[:, :, top : top + self.map.h, left : left + self.map.w]


def split(x, block):
    """Return x (n, c, h, w) as (n, blocks, h, w, block), or as it is for planar maps."""
    if block == 1:
        return x
    n, c, h, w = x.shape
    whole = np.zeros((n, -(-c // block) * block, h, w), np.float32)
    whole[:, :c] = x
    return whole.reshape(n, -1, block, h, w).transpose(0, 1, 3, 4, 2)


def blocked(n, c, h, w, border=0, fill=0):
    """Return a Held blocked map; border is a number or (top, left, bottom, right)."""
    sides = (border,) * 4 if isinstance(border, int) else tuple(border)
    return _held(n, c, h, w, LANES, sides, fill)


def planar(n, c, h, w, border=0, fill=0):
    """Return a Held planar map (n, c, h, w)."""
    sides = (border,) * 4 if isinstance(border, int) else tuple(border)
    return _held(n, c, h, w, 1, sides, fill)


def _held(n, c, h, w, block, border, fill):
    top, left, bottom, right = border
    blocks = -(-c // block)
    shape = (n, blocks, h + top + bottom, w + left + right) + ((block,) if block > 1 else ())
    size = int(np.prod(shape))
    raw = np.full(size + 2 * GUARD + 16, MARK, np.float32)
    skip = -(raw.ctypes.data // 4) % 16
    array = raw[skip + GUARD : skip + GUARD + size].reshape(shape)
    array[...] = 0
    image, plane, row = array.strides[:3]
    address = array.ctypes.data + top * row + left * block * 4
    held = Held(
        array,
        (raw[: skip + GUARD], raw[skip + GUARD + size :]),
        Map(address, n, c, h, w, block, image, plane, row, border),
    )
    held._inner()[...] = fill
    return held


def bind(rows, threads=2):
    """Return rows as a table that runs; it keeps the arrays they use."""
    kernels = [one for row in rows for one in row.args if isinstance(one, Kernel)]
    known = store.addresses(kernels)
    shared = np.zeros(max([row.shared for row in rows], default=0) // 4 + 32, np.float32)
    base = shared.ctypes.data + -shared.ctypes.data % 64

    def resolve(one):
        if isinstance(one, Kernel):
            return known[one]
        if isinstance(one, Packed):
            return one.array.ctypes.data
        if isinstance(one, Shared):
            return base + one.offset
        return int(one)

    table = team.Table(rows, threads, resolve)
    table.kept = (rows, shared)
    return table


def execute(rows, threads=2):
    """Run rows once."""
    team.team(threads).run(bind(rows, threads))
