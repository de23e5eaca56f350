"""THE table of cases of the kernels: op, arrays, numbers, and how near two answers must be.

Three things use it: agreement of the processor's kernels with the reference (test_agreement.py),
gradients against finite differences (test_gradient.py), and speed (benchmarks/bench_kernels.py).
A new op has rows here, and with them all three.
"""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from darkpy.kernels.common.activations import ACTIVATIONS
from tests.kernels.case import (
    Case,
    Draw,
    activation,
    activation_grad,
    conv,
    conv_grads,
    deepest,
    distinct,
    equal,
    norm,
    norm_grad,
    normal,
    pool,
    pool_grad,
    resizing,
    statistics,
    steps,
    suppression,
    table,
)

CONVOLUTIONS = [
    # kernel x stride x padding x size of the map, of one channel to one filter
    *(
        conv(1, size, 1, k, stride, padding)
        for k, stride, padding, size in product((1, 2, 3, 5, 7), (1, 2, 3), (0, 1, 3), (7, 12))
    ),
    *(conv(3, (9, 14), 5, k, (2, 1), 1) for k in (1, 2, 3)),
    *(conv(3, (9, 14), 5, k, (1, 3), k // 2) for k in (1, 3, 5)),
    *(conv(4, 11, 6, 3, s, 2 * d, d) for s, d in product((1, 2), (2, 3, 5))),
    conv(8, 1, 5, 1),
    conv(8, 1, 5, 3, padding=1),
    conv(8, (1, 9), 5, 3, padding=1),
    conv(8, (9, 1), 5, 3, 2, padding=1),
    conv(2, 2, 3, 7, padding=3),
    conv(16, 5, 48, 3, padding=1),  # more filters than places
    conv(300, 6, 40, 3, padding=1),
    conv(6, 10, 4, 1, groups=2),
    conv(6, 10, 4, 3, padding=1, groups=2),  # few channels a group: summed without a product
    conv(24, 9, 36, 3, padding=1, groups=2),  # many
    conv(6, 9, 12, 5, 2, padding=2, groups=6),  # two filters a channel
    *(conv(8, (9, 12), 8, k, s, k // 2, groups=8) for k, s in product((1, 2, 3, 5, 7), (1, 2, 3))),
    conv(5, 13, 5, 3, (2, 1), 4, 4, groups=5),
    conv(4, 8, 4, 3, 2, 1, groups=4),  # the blur of antialiasing=1
    conv(4, 8, 4, 2, 2, 0, groups=4),  # the blur of antialiasing=2
    conv(3, (11, 8), 4, 3, 2, 1, n=3),
    conv(4, 9, 4, 3, 1, 1, groups=4, n=3),
    conv(4, 9, 6, 1, n=3),
    conv(32, 140, 8, 3, padding=1),  # columns in several bands
    conv(40, (5, 3000), 4, 3, padding=1),  # a row of them is a band
    conv(16, (31, 34), 18, 3, padding=1),  # tiles of Winograd's, whole and cut
    conv(17, (12, 9), 16, 3, padding=0, n=7),
    conv(16, (20, 23), 16, 3, padding=2, n=2),
]

POOLS = [
    *(
        pool(op, (2, 3, 9, 12), size, (down, right), padding)
        for op, (size, down, right, padding) in product(
            ("maxpool", "local_avgpool"),
            (
                *((2, 2, 2, 1), (2, 1, 1, 1), (3, 2, 2, 2), (3, 1, 1, 0), (3, 1, 2, 2)),
                *((3, 3, 3, 1), (5, 1, 1, 4), (9, 1, 1, 8), (13, 1, 1, 12), (2, 2, 1, 0)),
                *((4, 3, 5, 7), (1, 1, 1, 0), (1, 2, 2, 0)),
            ),
        )
    ),
    *(pool(op, (1, 2, 1, 1), 5, (1, 1), 4) for op in ("maxpool", "local_avgpool")),
    *(pool(op, (1, 2, 3, 1), 40, (3, 3), 39) for op in ("maxpool", "local_avgpool")),
]

ACTIVATES = [activation(name, 2, 3, 5, 7) for name in ACTIVATIONS]

NORMS = [norm(1, 1, 1, 1), norm(1, 5, 3, 7), norm(3, 4, 6, 2), norm(2, 3, 1, 1)]

SUPPRESSIONS = [
    suppression(n, kind, thresh)
    for n, kind, thresh in product(
        (0, 1, 2, 60), ("default", "cornersnms", "greedynms", "diounms"), (0.0, 0.45, 1.0)
    )
]

TRAINING = [
    *(grad for case in CONVOLUTIONS for grad in conv_grads(case)),
    *(pool_grad(case) for case in POOLS if case.op == "maxpool"),
    *(activation_grad(case) for case in ACTIVATES),
    *(made(case) for case in NORMS for made in (norm_grad, statistics)),
    *(made(norm(2, 3, 31, 29)) for made in (norm_grad, statistics)),  # several sums a channel
    Case("add", "two", (normal(2, 3, 4, 5), normal(2, 3, 4, 5))),
    Case("add", "three", (normal(2, 3, 4, 5),) * 3),
    *(
        Case("upsample_grad", f"{k}", (normal(2, 3, 2 * k, 5 * k),), {"stride": k, "scale": 0.5})
        for k in (1, 2, 3)
    ),
    *(
        Case("yolo", f"{name}", (normal(2, 16, 3, 4),), {"classes": 3, **numbers})
        for name, numbers in {
            "plain": {},
            "scaled": {"scale_x_y": 1.05},
            "new": {"scale_x_y": 2.0, "new_coords": True},
        }.items()
    ),
    *steps("vector", 7),
    *steps("matrix", 5, 3, 3, 3),
]

# The rows of ops without a gradient's row above are here for `test_gradient.py`.
OTHERS = [
    *(
        resizing(old, new, c)
        for old, new, c in product(
            ((1, 1), (9, 40), (70, 33)), ((1, 16), (20, 37), (9, 40)), (1, 3)
        )
    ),
    Case("bias", "channels", (normal(2, 3, 4, 5), normal(3))),
    Case("concat", "three", (normal(2, 1, 4, 3), normal(2, 3, 4, 3), normal(2, 2, 4, 3))),
    Case("channels", "middle", (normal(2, 6, 3, 4),), {"start": 2, "count": 3}),
    Case(
        "crop",
        "mirrored",
        (normal(2, 3, 6, 7), table((1, 2, 0), (0, 3, 1))),
        {"height": 4, "width": 3, "scale": 2, "offset": -1},
    ),
    Case("linear", "vectors", (normal(3, 2, 3, 4), normal(5, 24))),
    *(
        Case(
            "local",
            f"s{stride}-p{padding}",
            (normal(2, 3, 6, 5), normal(*places, 4, 3, 3, 3), normal(4, *places)),
            {"stride": stride, "padding": padding},
        )
        for stride, padding, places in ((1, 0, (4, 3)), (1, 1, (6, 5)), (2, 1, (3, 3)))
    ),
    *(
        Case(
            "lrn",
            f"size{size}",
            (normal(2, 7, 3, 2),),
            {"size": size, "alpha": 0.3, "beta": 0.75, "kappa": 1.0},
        )
        for size in (1, 3, 4, 5)
    ),
    *(
        Case("multiply", "x".join(map(str, shape)), (normal(2, 3, 4, 5), normal(*shape)))
        for shape in ((2, 3, 4, 5), (2, 3, 1, 1), (2, 1, 4, 5))
    ),
    Case("maxpool_depth", "even", (distinct(2, 6, 3, 4),), {"channels": 2}),
    Case("maxpool_depth", "odd", (distinct(2, 7, 3, 4),), {"channels": 3}),
    Case("avgpool", "whole", (normal(2, 3, 4, 5),)),
    Case("zero_nonmax", "size3", (distinct(2, 3, 5, 6),)),
    Case("repeat", "four", (normal(3, 4, 5), normal(4, 1, 1, 1))),
    *(
        Case("shortcut", "x".join(map(str, shape)), (normal(2, 4, 6, 6), normal(*shape)))
        for shape in ((2, 4, 6, 6), (2, 2, 6, 6), (2, 5, 6, 6), (2, 4, 3, 3), (2, 3, 12, 12))
    ),
    Case("shortcut", "two", (normal(2, 4, 6, 6), normal(2, 4, 6, 6), normal(2, 3, 6, 6))),
    *(
        Case(
            "weighted_shortcut",
            f"weights{c}",
            (normal(1, 3, c, 1), normal(2, 4, 6, 6), normal(2, 4, 6, 6), normal(2, 3, 3, 3)),
        )
        for c in (1, 4)
    ),
    Case("softmax", "channels", (normal(2, 5, 3, 2),), {"temperature": 2.0}),
    Case("softmax", "runs", (normal(2, 12, 1, 1),), {"counts": (3, 5, 1)}),
    *(
        Case("upsample", f"{stride}", (normal(2, 3, 4, 5),), {"stride": stride, "scale": 0.5})
        for stride in (1, 2, 3)
    ),
    *(
        Case(op, f"{stride}", (normal(2, stride**4, 2 * stride, 3 * stride),), {"stride": stride})
        for op, stride in product(
            ("reorg", "reorg_inverse", "space_to_depth", "depth_to_space"), (1, 2, 3)
        )
    ),
]

# Gradients that follow from the rows above, and maps whose channels fill no piece of 16 bytes.
MAPS = [
    Case("add", "five", (normal(1, 11, 2, 3),) * 5),
    Case("concat", "pieces", (normal(2, 16, 3, 2), normal(2, 8, 3, 2), normal(2, 5, 3, 2))),
    Case("concat_grad", "three", (normal(2, 6, 4, 3),), {"counts": (1, 3, 2)}),
    Case("concat_grad", "pieces", (normal(2, 29, 3, 2),), {"counts": (16, 8, 5)}),
    Case("channels", "piece", (normal(2, 21, 3, 4),), {"start": 8, "count": 11}),
    Case("channels_grad", "middle", (normal(2, 3, 3, 4),), {"start": 2, "channels": 6}),
    Case("channels_grad", "piece", (normal(2, 11, 3, 4),), {"start": 8, "channels": 37}),
    norm(2, 19, 17, 18),
    norm_grad(norm(2, 19, 17, 18)),
    statistics(norm(2, 19, 17, 18)),
    statistics(norm(1, 300, 2, 3)),  # more channels than a block has
    norm_grad(norm(1, 300, 2, 3)),
    *(
        replace(
            pool_grad(case),
            op="local_avgpool_grad",
            arrays=(pool_grad(case).arrays[0],),
            numbers={**case.numbers, "shape": case.draw()[0].shape},
            given=list,
        )
        for case in POOLS
        if case.op == "local_avgpool"
    ),
    pool("maxpool", (2, 21, 6, 8), 2, (2, 2), 1),
    pool_grad(pool("maxpool", (2, 21, 6, 8), 2, (2, 2), 1)),
    Case("avgpool", "pixels", (normal(2, 21, 19, 18),)),
    Case("avgpool_grad", "whole", (normal(2, 3, 1, 1),), {"shape": (2, 3, 4, 5)}),
    Case("maxpool_depth_grad", "odd", (normal(2, 3, 3, 4), equal(2, 7, 3, 4)), given=deepest),
    Case("zero_nonmax_grad", "size3", (normal(2, 3, 5, 6), equal(2, 3, 5, 6), equal(2, 3, 5, 6))),
    Case("signs", "map", (normal(2, 3, 4, 5),)),
    Case("zeros_like", "map", (normal(2, 3, 4, 5),)),
    Case("bias", "pixels", (normal(2, 21, 19, 18), normal(21))),
    Case("bias_grad", "pixels", (normal(2, 21, 19, 18),), tolerance=1e-5),
    Case("repeat_grad", "four", (normal(4, 3, 4, 5),)),
    Case("multiply", "2x1x4x5-2x21x4x5", (normal(2, 1, 4, 5), normal(2, 21, 4, 5))),
    *(
        Case("multiply_grad", f"{name}", (normal(2, 21, 6, 5), normal(*a), normal(*b)))
        for name, a, b in (
            ("same", (2, 21, 6, 5), (2, 21, 6, 5)),
            ("cells", (2, 21, 6, 5), (2, 21, 1, 1)),
            ("channels", (2, 1, 6, 5), (2, 21, 6, 5)),
        )
    ),
    *(
        Case(
            "shortcut_grad",
            "x".join(map(str, shape)),
            (normal(2, 4, 6, 6),),
            {"shapes": (shape,)},
        )
        for shape in ((2, 2, 6, 6), (2, 5, 6, 6), (2, 4, 3, 3), (2, 3, 12, 12))
    ),
    Case("shortcut", "smaller", (normal(2, 4, 7, 9), normal(2, 3, 3, 4))),
    Case("shortcut", "larger", (normal(2, 4, 3, 4), normal(2, 5, 7, 9))),
    *(
        Case("shortcut_grad", name, (normal(2, 4, *size),), {"shapes": (shape,)})
        for name, size, shape in (
            ("smaller", (7, 9), (2, 3, 3, 4)),
            ("larger", (3, 4), (2, 5, 7, 9)),
        )
    ),
    Case(
        "shortcut",
        "five",
        (normal(2, 11, 6, 6), *(normal(2, c, 6, 6) for c in (11, 3, 21, 11, 8))),
    ),
    *(
        Case(
            "weighted_shortcut_grad",
            f"weights{c}",
            (
                normal(2, 11, 6, 6),
                normal(1, 3, c, 1),
                normal(2, 11, 6, 6),
                normal(2, 21, 12, 12),
                normal(2, 3, 3, 3),
            ),
            tolerance=1e-5,
        )
        for c in (1, 11)
    ),
    Case(
        "crop_grad",
        "mirrored",
        (normal(2, 3, 4, 3), table((1, 2, 0), (0, 3, 1))),
        {"shape": (2, 3, 6, 7), "scale": 2},
    ),
    Case("space_to_depth", "pieces", (normal(1, 8, 4, 6),), {"stride": 2}),
    Case("depth_to_space", "pieces", (normal(1, 32, 2, 3),), {"stride": 2}),
    *(
        Case(
            "lrn_grad",
            f"size{size}",
            (normal(2, 11, 3, 2), normal(2, 11, 3, 2)),
            {"size": size, "alpha": 0.3, "beta": 0.75, "kappa": 1.0},
        )
        for size in (1, 4, 5)
    ),
    *(
        made(activation(name, 2, 300, 2, 3))
        for name in ("normalize_channels", "normalize_channels_softmax_maxval")
        for made in (lambda case: case, activation_grad)
    ),
    Case("softmax", "wide", (normal(2, 300, 2, 3),)),
    Case("softmax", "runs-of-cells", (normal(2, 5, 2, 3),), {"counts": (7, 1, 20)}),
    Case("softmax_grad", "channels", (normal(2, 5, 3, 2),) * 2, {"temperature": 2.0}),
    Case("softmax_grad", "wide", (normal(2, 300, 2, 3),) * 2),
    Case("softmax_grad", "runs", (normal(2, 12, 1, 1),) * 2, {"counts": (3, 5, 1)}),
    Case("softmax_grad", "runs-of-cells", (normal(2, 5, 2, 3),) * 2, {"counts": (7, 1, 20)}),
    Case("roll_average", "vector", (normal(7), normal(7)), changes=(0,)),
]

TIMED = [
    conv(3, 416, 32, 3, padding=1, timed=True),
    conv(32, 416, 64, 3, 2, 1, timed=True),
    conv(64, 104, 128, 3, padding=1, timed=True),
    conv(256, 26, 512, 3, padding=1, timed=True),
    conv(512, 13, 1024, 3, padding=1, timed=True),
    conv(256, 52, 128, 1, timed=True),
    conv(1024, 13, 512, 1, timed=True),
    conv(192, 40, 192, 3, padding=1, groups=192, timed=True),
    conv(448, 10, 448, 3, padding=1, groups=448, timed=True),
    conv(64, 80, 64, 3, 2, 1, groups=64, timed=True),
    conv(256, 28, 256, 3, 1, 1, groups=32, timed=True),
    *(activation(name, 1, 64, 208, 208, timed=True) for name in ("leaky", "mish", "swish", "relu")),
    norm(1, 64, 208, 208, timed=True),
    pool("maxpool", (1, 16, 416, 416), 2, (2, 2), 1, timed=True),
    *(pool("maxpool", (1, 512, 13, 13), k, (1, 1), k - 1, timed=True) for k in (5, 9, 13)),
    suppression(1000, "default", timed=True),
    suppression(1000, "greedynms", timed=True),
    resizing((480, 640), (416, 416), timed=True),
]
TIMED += [
    *(
        grad
        for case in (
            conv(32, 104, 64, 3, padding=1, n=4, timed=True),
            conv(256, 13, 512, 3, padding=1, n=8, timed=True),
            conv(32, 104, 64, 3, 2, 1, n=4, timed=True),
            conv(256, 26, 256, 1, n=8, timed=True),
            conv(96, 40, 96, 3, padding=1, groups=96, n=8, timed=True),
            conv(96, 40, 96, 3, 2, 1, groups=96, n=8, timed=True),
        )
        for grad in conv_grads(case)
    ),
    *(
        activation_grad(activation(name, 8, 64, 104, 104, timed=True))
        for name in ("leaky", "mish", "swish", "relu")
    ),
    *(made(norm(8, 64, 104, 104, timed=True)) for made in (norm_grad, statistics)),
    pool_grad(pool("maxpool", (8, 16, 208, 208), 2, (2, 2), 1, timed=True)),
    pool_grad(pool("maxpool", (8, 128, 13, 13), 5, (1, 1), 4, timed=True)),
    Case("add", "timed", (normal(8, 64, 104, 104),) * 2, timed=True),
    Case("bias", "timed", (normal(8, 255, 26, 26), normal(255)), timed=True),
    Case("concat", "timed", (normal(8, 128, 52, 52),) * 2, timed=True),
    Case("upsample", "timed", (normal(8, 128, 26, 26),), {"stride": 2, "scale": 1.0}, timed=True),
    Case(
        "upsample_grad", "timed", (normal(8, 128, 52, 52),), {"stride": 2, "scale": 1.0}, timed=True
    ),
    Case("yolo", "timed", (normal(8, 255, 26, 26),), {"classes": 80}, timed=True),
    *steps("timed", 512, 256, 3, 3, timed=True),
]

CASES = [
    *CONVOLUTIONS,
    *POOLS,
    *ACTIVATES,
    *NORMS,
    *SUPPRESSIONS,
    *TRAINING,
    *OTHERS,
    *MAPS,
    *TIMED,
]


def found(n: int, a: int, m: int) -> Draw:
    """Boxes x, y, w, h (n, a, 4, m) of which some are empty, some infinite."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        x = np.maximum(rng.uniform(-0.02, 0.6, (n, a, 4, m)), 0)
        x[..., ::11] = np.inf
        return x.astype(dtype)

    return draw


def truths(n: int, count: int) -> Draw:
    """Rows of picture, class (of 3), x, y, w, h: ``count`` of each of n pictures but the first."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        pictures = np.repeat(np.arange(1, n), count)
        classes = rng.integers(0, 3, len(pictures))
        places = rng.uniform(0.02, 0.98, (len(pictures), 2))
        sizes = rng.uniform(0.05, 0.5, (len(pictures), 2))
        return np.column_stack([pictures, classes, places, sizes]).astype(dtype)

    return draw


def head_loss(op: str, entries: int, n: int, cells: int, timed: bool = False, **keys: Any) -> Case:
    """The loss of a head of 3 anchors of 4 and of ``entries`` - 3 numbers a box and 3 classes."""
    anchors = np.array([[8, 10], [20, 14], [16, 30], [40, 44]])
    arrays = (
        lambda rng, dtype: rng.uniform(0.05, 0.9, (n, 3 * entries, cells, cells)).astype(dtype),
        truths(n, 9),
        lambda rng, dtype: anchors.astype(dtype),
        lambda rng, dtype: np.array([1, 4, 2], dtype),
    )
    numbers = {"mask": (0, 2, 3), "width": 96, "height": 96, **keys}
    name = "-".join([str(n), str(cells), *map(str, keys.values())])
    return Case(op, name, arrays, numbers, timed=timed)


# The search for the best truth rounds otherwise, where a multiplication and an addition are one.
CASES += [
    Case("best_overlap", "none", (found(2, 2, 7), truths(2, 0))),
    Case("best_overlap", "few", (found(3, 2, 50), truths(3, 4))),
    Case("best_overlap", "blocks", (found(2, 1, 2100), truths(2, 5))),
    Case("best_overlap", "timed", (found(8, 3, 5776), truths(8, 30)), timed=True),
    *(
        head_loss(op, entries, 3, 5, iou_thresh=0.3, truth_thresh=0.5, iou_loss=kind)
        for op, entries in (("yolo_loss", 8), ("gaussian_yolo_loss", 12))
        for kind in ("mse", "ciou")
    ),
    *(
        head_loss(op, entries, 2, 6, iou_loss="giou", truth_thresh=0.3, **{key: value})
        for op, entries in (("yolo_loss", 8), ("gaussian_yolo_loss", 12))
        for key, value in (
            ("objectness_smooth", True),
            ("focal_loss", True),
            ("label_smooth_eps", 0.1),
            ("max_delta", 0.01),
        )
    ),
    head_loss("yolo_loss", 8, 4, 3, new_coords=True, ignore_thresh=0.2),
    head_loss("yolo_loss", 8, 4, 4, new_coords=True, iou_loss="diou", iou_thresh_kind="ciou"),
    *(
        head_loss("gaussian_yolo_loss", 12, 4, 1, yolo_point=point, iou_loss="iou")
        for point in ("left_top", "right_bottom")
    ),
    head_loss("yolo_loss", 8, 8, 76, timed=True, iou_loss="ciou"),
    head_loss("gaussian_yolo_loss", 12, 8, 76, timed=True),
]

CASES += [
    Case("yolo", "pixel", (normal(3, 18, 1, 1),), {"classes": 1, "scale_x_y": 1.2}),
    Case("gaussian_yolo", "plain", (normal(2, 36, 3, 4),), {"classes": 3}),
    Case("gaussian_yolo", "scaled", (normal(2, 11, 3, 4),), {"classes": 2, "scale_x_y": 1.1}),
    Case("region", "raw", (normal(2, 16, 3, 4),), {"classes": 3}),
    Case("region", "softmax", (normal(2, 45, 3, 5),), {"classes": 40, "counts": (40,)}),
    Case("region", "tree", (normal(3, 33, 2, 2),), {"classes": 6, "counts": (1, 3)}),
    Case("region_inverse", "two", (normal(2, 16, 3, 4),), {"classes": 3}),
    Case("region_inverse", "pixel", (normal(2, 33, 1, 1),), {"classes": 6}),
]


def wished(*shape: int) -> Draw:
    """Numbers of 0, 1 and between, and -1234, where nothing is to be learned."""
    return lambda rng, dtype: rng.choice([0, 1, 0.3, -1234], shape).astype(dtype)


def shares(*shape: int) -> Draw:
    """Numbers in 0.01 .. 1, as a softmax gives them."""
    return lambda rng, dtype: rng.uniform(0.01, 1, shape).astype(dtype)


CASES += [
    *(
        Case("softmax_loss", "x".join(map(str, shape)), (shares(*shape), wished(*shape)))
        for shape in ((1, 1), (3, 10), (2, 301), (2, 9, 1, 1), (2, 3, 4, 5))
    ),
    *(
        Case(
            "cost_loss",
            kind,
            (normal(2, 10, 3, 2), wished(2, 10, 3, 2)),
            {"kind": kind, "scale": 0.5},
        )
        for kind in ("sse", "masked", "smooth")
    ),
    Case("cost_loss", "vectors", (normal(3, 400), normal(3, 400)), {"kind": "smooth"}),
]


def nameless(n: int, count: int, named: int = -1) -> Draw:
    """Truths as those of `truths`, of which the second of the picture ``named`` has no place."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        rows = truths(n, count)(rng, dtype)
        rows[np.flatnonzero(rows[:, 0] == named)[1:2], 2:4] = 200_000
        return rows

    return draw


def region_loss(
    name: str, n: int, w: int, tree: bool = False, named: int = -1, **rules: Any
) -> Case:
    """The loss of a [region] of 3 anchors and 3 classes, in a tree two of them below the first."""
    arrays = [
        lambda rng, dtype: rng.uniform(0.05, 0.9, (n, 24, 4, w)).astype(dtype),
        nameless(n, 8, named),
        lambda rng, dtype: np.array([[0.5, 0.7], [1.5, 0.9], [1.2, 2.5]]).astype(dtype),
        lambda rng, dtype: np.array([[-1, 0, 0], [0, 1, 1], [1, 2, 2]], np.int32),
    ]
    return Case("region_loss", name, tuple(arrays[: 4 if tree else 3]), rules)


CASES += [
    region_loss("plain", 3, 5),
    region_loss("warm", 2, 12, warm_up=True, bias_match=True, rescore=True, coord_scale=2.0),
    region_loss("focal", 2, 5, thresh=0.2, classfix=1, focal_loss=True, class_scale=0.7),
    region_loss("objectness", 2, 5, classfix=-1, object_scale=5.0, noobject_scale=0.5),
    region_loss("tree", 3, 5, tree=True, classfix=2, thresh=0.1),
    region_loss("named", 4, 12, tree=True, named=2, warm_up=True),
    region_loss("cell", 2, 1),
]


def objects(n: int, count: int, side: int) -> Draw:
    """Rows as those of `truths`, of classes -1..2, at most one in each cell of side * side."""

    def draw(rng: np.random.Generator, dtype: Any) -> np.ndarray:
        rows = truths(n, count)(rng, dtype)
        cells = [rng.permutation(side * side)[:count] for _ in range(1, n)]
        cell = np.concatenate(cells)
        rows[:, 1] -= rng.integers(0, 2, len(rows))
        rows[:, 2:4] = (np.stack([cell % side, cell // side], 1) + rows[:, 2:4]) / side
        return rows

    return draw


def detection_loss(
    name: str, n: int, side: int, *shape: int, chosen: bool = False, **rules: Any
) -> Case:
    """The loss of a [detection] of 3 classes and 2 boxes a cell."""
    arrays = [
        lambda rng, dtype: rng.uniform(0.02, 0.9, (n, *shape)).astype(dtype),
        objects(n, 4, side),
        lambda rng, dtype: rng.integers(0, 2, 4 * (n - 1)).astype(np.int32),
    ]
    numbers = {"side": side, "num": 2, **rules}
    return Case("detection_loss", name, tuple(arrays[: 3 if chosen else 2]), numbers)


CASES += [
    detection_loss("plain", 3, 3, 117),
    detection_loss("map", 3, 3, 117, 1, 1, sqrt=True, rescore=True, coord_scale=5.0),
    detection_loss("planes", 2, 4, 26, 2, 4, forced=True, noobject_scale=0.5),
    detection_loss("chosen", 2, 5, 325, chosen=True, class_scale=0.7, object_scale=2.0),
]
