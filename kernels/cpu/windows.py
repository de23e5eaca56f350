"""Windows of planar maps, cell by cell: laid in columns and back, or summed where they lie.

A channel is first copied within its zero border and apart by phases: with stride s, cells that are
s apart lie side by side, so that each weight meets unbroken runs of cells.
"""

import numpy as np

from .jit import inline, inline_sums, jit

NEAR = 2048  # values of a run that are summed together: they stay in the nearest cache


@jit
def lay_columns(x, columns, down, right, padding, dilation, top):
    """Fill columns (c, k, k, rows, cols) with the windows of x (c, h, w) from output row top on."""
    k, rows, cols = columns.shape[2:]
    reach = (k - 1) * dilation
    phases = np.zeros((down, right, rows + reach // down, cols + reach // right), np.float32)
    for c in range(len(x)):
        part_phases(x[c], phases, reach, padding, top * down)
        for i in range(k):
            for j in range(k):
                high, left = i * dilation // down, j * dilation // right
                phase = phases[i * dilation % down, j * dilation % right]
                lines = columns[c, i, j]
                for row in range(rows):
                    take(lines[row], phase[high + row][left:], 1)


@jit
def add_columns(x, columns, down, right, padding, dilation, top):
    """Add to x (c, h, w) the columns (c, k, k, rows, cols) of windows from output row top on."""
    height, width = x.shape[1:]
    k, rows, cols = columns.shape[2:]
    for c in range(len(x)):
        for i in range(k):
            for j in range(k):
                left = j * dilation - padding
                low = max(0, -(left // right))
                high = min(cols, (width - 1 - left) // right + 1)
                for row in range(rows):
                    at = (top + row) * down + i * dilation - padding
                    if 0 <= at < height and low < high:
                        cells = columns[c, i, j, row, low:high]
                        put(x[c, at, low * right + left :], cells, right)


@jit
def sum_groups(x, w, y, k, down, right, padding, dilation, first, end):
    """Fill the filters of groups first..end of y (n, f, h', w'), counted through all pictures.

    w is (groups, f / groups, c k k). A whole map is summed as one run, the ends of its rows in the
    border included: these hold sums of no use, which are left out when the rows are copied to
    their place.
    """
    groups, each = w.shape[:2]
    taps = k * k
    per = w.shape[2] // taps
    rows, cols = y.shape[2:]
    reach = (k - 1) * dilation
    deep, wide = rows + reach // down, cols + reach // right
    phases = np.zeros((per, down, right, deep, wide), np.float32)
    flat = phases.reshape(per, -1)
    sums = np.empty(rows * wide, np.float32)
    starts = window_starts(k, down, right, dilation, deep, wide)
    run = sums[: (rows - 1) * wide + cols]
    for at in range(first, end):
        image, group = at // groups, at % groups
        for c in range(per):
            part_phases(x[image, group * per + c], phases[c], reach, padding, 0)
        for filter_ in range(each):
            for start in range(0, len(run), NEAR):
                part = run[start : start + NEAR]
                part[:] = 0
                for c in range(per):
                    weights = w[group, filter_, c * taps : (c + 1) * taps]
                    add_runs(part, flat[c][start:], weights, starts)
            for row in range(rows):
                take(y[image, group * each + filter_, row], sums[row * wide :], 1)


@jit
def spread_groups(dy, w, dx, k, down, right, padding, dilation, first, end):
    """Fill the channels of groups first..end of dx (n, c, h, w), counted through all pictures.

    w is (groups, f / groups, c k k). Every phase of a channel is a sum over the weights that meet
    it of dy (n, f, h', w'), whose rows lie apart and among zeros, as in `sum_groups`.
    """
    groups, each = w.shape[:2]
    taps = k * k
    per = w.shape[2] // taps
    rows, cols = dy.shape[2:]
    reach = (k - 1) * dilation
    deep, wide = rows + reach // down, cols + reach // right
    size = deep * wide
    phases = np.zeros((down, right, deep, wide), np.float32)
    before = reach // down * wide + reach // right
    flat = phases.reshape(down * right, size)
    delta = np.zeros((each, before + size), np.float32)
    starts = window_starts(k, down, right, dilation, deep, wide)
    weights, places = np.empty(taps, np.float32), np.empty(taps, np.int64)
    for at in range(first, end):
        image, group = at // groups, at % groups
        for filter_ in range(each):
            for row in range(rows):
                place = before + row * wide
                line = delta[filter_, place : place + cols]
                take(line, dy[image, group * each + filter_, row], 1)
        for c in range(per):
            for phase in range(len(flat)):
                flat[phase] = 0
                for filter_ in range(each):
                    count = 0
                    for tap in range(taps):
                        if starts[tap] // size == phase:
                            weights[count] = w[group, filter_, c * taps + tap]
                            places[count] = before - starts[tap] % size
                            count += 1
                    for start in range(0, size, NEAR):
                        part = flat[phase][start : start + NEAR]
                        cells = delta[filter_][start:]
                        add_runs(part, cells, weights[:count], places)
            join_phases(dx[image, group * per + c], phases, padding)


@jit
def multiply_groups(dy, x, dw, k, down, right, padding, dilation, first, end):
    """Fill groups first..end of dw (groups, f / groups, c k k) with the sums of dy times windows.

    dy and x are (n, ...) of one group count; the ends of rows in the border meet zeros of dy.
    """
    each, taps = dw.shape[1], k * k
    per = dw.shape[2] // taps
    rows, cols = dy.shape[2:]
    reach = (k - 1) * dilation
    deep, wide = rows + reach // down, cols + reach // right
    phases = np.zeros((per, down, right, deep, wide), np.float32)
    flat = phases.reshape(per, -1)
    delta = np.zeros(rows * wide, np.float32)
    run = delta[: (rows - 1) * wide + cols]
    starts = window_starts(k, down, right, dilation, deep, wide)
    for group in range(first, end):
        sums = np.zeros((each, per * taps))
        for image in range(len(x)):
            for c in range(per):
                part_phases(x[image, group * per + c], phases[c], reach, padding, 0)
            for filter_ in range(each):
                for row in range(rows):
                    take(
                        delta[row * wide : row * wide + cols],
                        dy[image, group * each + filter_, row],
                        1,
                    )
                for c in range(per):
                    for tap in range(taps):
                        sums[filter_, c * taps + tap] += product(run, flat[c][starts[tap] :])
        dw[group] = sums


@inline_sums
def product(run, cells):
    """Return the sum of products, of which only those near each other are added as float32."""
    total = 0.0
    for start in range(0, len(run), NEAR):
        part, other = run[start : start + NEAR], cells[start:]
        near = np.float32(0)
        for i in range(len(part)):
            near += part[i] * other[i]
        total += near
    return total


@inline
def window_starts(k, down, right, dilation, deep, wide):
    """Return where the run of each of k x k weights begins in phases (down, right, deep, wide)."""
    starts = np.empty(k * k, np.int64)
    for i in range(k):
        for j in range(k):
            phase = i * dilation % down * right + j * dilation % right
            starts[i * k + j] = (phase * deep + i * dilation // down) * wide + j * dilation // right
    return starts


@inline
def part_phases(x, phases, reach, padding, top):
    """Copy x (h, w) apart: phases[a, b, i, j] is the cell (top + i down + a, j right + b).

    Cells count from the corner of the border, which is left as it is; so are phases that no window
    reaches.
    """
    down, right, deep, wide = phases.shape
    for row in range(max(0, top - padding), min(len(x), top - padding + deep * down)):
        cells = x[row]
        at = row + padding - top
        if at % down > reach:
            continue
        for b in range(min(right, reach + 1)):
            first = (b - padding) % right  # cell of this phase
            to = (first + padding) // right
            count = min((len(cells) - first + right - 1) // right, wide - to)
            line = phases[at % down, b, at // down]
            take(line[to : to + count], cells[first:], right)


@inline
def join_phases(x, phases, padding):
    """Fill x (h, w) from its phases; cells that no window reaches are 0."""
    down, right, deep, wide = phases.shape
    for row in range(len(x)):
        cells, at = x[row], row + padding
        for b in range(right):
            first = (b - padding) % right
            to = (first + padding) // right
            inside = at // down < deep
            count = min((len(cells) - first + right - 1) // right, wide - to if inside else 0)
            if count > 0:
                put(cells[first:], phases[at % down, b, at // down][to : to + count], right)


@inline
def take(line, cells, step):
    """Fill line with every ``step``-th of the cells."""
    if step == 1:
        for i in range(len(line)):
            line[i] = cells[i]
    elif step == 2:  # a constant: LLVM shuffles vectors for it
        for i in range(len(line)):
            line[i] = cells[2 * i]
    else:
        for i in range(len(line)):
            line[i] = cells[step * i]


@inline
def put(line, cells, step):
    """Add the cells to every ``step``-th of the line."""
    if step == 1:
        for i in range(len(cells)):
            line[i] += cells[i]
    else:
        for i in range(len(cells)):
            line[step * i] += cells[i]


@inline
def add_runs(run, cells, weights, starts):
    """Add to run each weight times the cells from its start on; three at a time."""
    taps = len(weights)
    for tap in range(0, taps - 2, 3):
        a, b, c = weights[tap], weights[tap + 1], weights[tap + 2]
        one, two, three = cells[starts[tap] :], cells[starts[tap + 1] :], cells[starts[tap + 2] :]
        for i in range(len(run)):
            run[i] += a * one[i] + b * two[i] + c * three[i]
    for tap in range(taps // 3 * 3, taps):
        a, one = weights[tap], cells[starts[tap] :]
        for i in range(len(run)):
            run[i] += a * one[i]
