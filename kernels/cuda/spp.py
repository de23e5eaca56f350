"""Spatial pyramid pooling: several pools of stride 1 of one map, which is read once."""

from collections.abc import Sequence

from .device import Device, Launch, Map, ends, struct
from .pool import maxpool

__all__ = ["spp"]

MOST = 3  # pools of a launch
LANES = (4, 2, 1)  # pieces side by side of a block: the more, the fewer sectors are read in part


def spp(device: Device, ys: Sequence[Map], x: Map, *, sizes: Sequence[int]) -> list[Launch]:
    """ys = the `maxpool` of x of each size, of stride 1 and with a padding of size - 1.

    One launch where a picture's pieces fit into shared memory twice, and else one for each size.
    """
    bytes_ = 2 * 16 * x.h * x.w
    fits = [lanes for lanes in LANES if lanes * bytes_ <= device.most_shared]
    if not fits or len(ys) > MOST:
        pools = zip(ys, sizes, strict=True)
        keys = {"stride": (1, 1)}
        return [
            one
            for y, size in pools
            for one in maxpool(device, y, x, size=size, padding=size - 1, **keys)
        ]
    busy = [lanes for lanes in fits if x.n * -(-x.pieces // lanes) >= device.processors]
    lanes = busy[0] if busy else fits[-1]
    pairs = sorted(zip(sizes, ys, strict=True), key=lambda pair: pair[0])
    pairs += [pairs[-1]] * (MOST - len(pairs))
    pyramid = struct(
        height=x.h,
        width=x.w,
        pieces=x.pieces,
        lanes=lanes,
        **{f"size{i}": size for i, (size, _) in enumerate(pairs)},
    )
    args = (*ends(x, *(y for _, y in pairs)), pyramid)
    grid = (-(-x.pieces // lanes), x.n)
    return [Launch("spp.cu", f"spp<{x.name}, {len(ys)}>", grid, (256,), args, lanes * bytes_)]
