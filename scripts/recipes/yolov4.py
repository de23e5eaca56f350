"""YOLOv4, its cross stage partial form, and tiny.

The two large ones are the same plan: a backbone of cross stage partial stages, pooling at several
sizes, and a path aggregation network, up from stride 32 to 8 and down again, with a head at each.
"""

from collections.abc import Callable

from .blocks import (
    ANCHORS_512,
    CIOU,
    NEW_COORDS,
    alternating,
    head,
    residuals,
    split,
    spp,
    sppcsp,
    tiny_heads,
    upward,
)
from .cfg import Cfg, Options, net

YOLOV4 = "Bochkovskiy et al. 2020, https://arxiv.org/abs/2004.10934"
SCALED = "Wang et al. 2020, https://arxiv.org/abs/2011.08036"

# Of the tiny network, and of both YOLOv7.
LONG_SCHEDULE: Options = dict(learning_rate=0.00261, max_batches=2000200, steps=(1600000, 1800000))

Block = Callable[[Cfg, int], int]


def csp_stage(cfg: Cfg, filters: int, count: int, *, half: int, inner: int | None = None) -> int:
    """Halve the map's sides, and let one half of the channels pass by the residuals.

    Cross stage partial: Wang et al. 2019, https://arxiv.org/abs/1911.11929
    """
    cfg.conv(filters, 3, stride=2)
    bypass = split(cfg, half)
    residuals(cfg, half, count, inner)
    through = cfg.conv(half)
    cfg.route(through, bypass)
    return cfg.conv(filters)


def csp_convs(cfg: Cfg, filters: int) -> int:
    """Add four convolutions without residuals as a cross stage partial block."""
    cfg.conv(filters)
    bypass = split(cfg, filters)
    cfg.conv(filters, 3)
    cfg.conv(filters)
    through = cfg.conv(filters, 3)
    cfg.route(through, bypass)
    return cfg.conv(filters)


def csp_darknet53(cfg: Cfg) -> tuple[int, int]:
    """Add all stages but the first of CSPDarknet53; return the last maps at strides 8 and 16."""
    csp_stage(cfg, 128, 2, half=64)
    stride8 = csp_stage(cfg, 256, 8, half=128)
    stride16 = csp_stage(cfg, 512, 8, half=256)
    csp_stage(cfg, 1024, 4, half=512)
    return stride8, stride16


def path_aggregation(
    cfg: Cfg, stride8: int, stride16: int, block: Block, heads: tuple[Options, Options, Options]
) -> None:
    """Carry what is seen at stride 32 up to stride 8 and down again, with a head at each stride.

    Liu et al. 2018, PANet, https://arxiv.org/abs/1803.01534
    """
    stride32 = cfg.last
    cfg.part("neck: up to stride 16")
    upward(cfg, 256, stride16)
    up16 = block(cfg, 256)
    cfg.part("neck: up to stride 8")
    upward(cfg, 128, stride8)
    x = block(cfg, 128)
    head(cfg, 0, ANCHORS_512, **heads[0])
    for scale, lateral in (1, up16), (2, stride32):
        cfg.part(f"neck: down to stride {8 << scale}")
        cfg.route(x)
        down = cfg.conv(128 << scale, 3, stride=2)
        cfg.route(down, lateral)
        x = block(cfg, 128 << scale)
        head(cfg, scale, ANCHORS_512, **heads[scale])


def yolov4() -> Cfg:
    """Build YOLOv4: CSPDarknet53 with mish, then pooling and path aggregation with leaky."""
    cfg = Cfg(
        f"YOLOv4 ({YOLOV4})",
        net(
            608,
            batch=64,
            subdivisions=8,
            momentum=0.949,
            learning_rate=0.0013,
            max_batches=500500,
            mosaic=1,
        ),
        activation="mish",
    )
    cfg.part("backbone: CSPDarknet53")
    cfg.conv(32, 3)
    csp_stage(cfg, 64, 1, half=64, inner=32)
    stride8, stride16 = csp_darknet53(cfg)

    cfg.activation = "leaky"
    cfg.part("neck: spatial pyramid pooling")
    alternating(cfg, 512, 3)
    spp(cfg)
    alternating(cfg, 512, 3)

    common = CIOU | dict(
        jitter=0.3,
        ignore_thresh=0.7,
        iou_thresh=0.213,
        max_delta=5,
    )
    path_aggregation(
        cfg,
        stride8,
        stride16,
        lambda cfg, filters: alternating(cfg, filters, 5),
        (
            common | dict(scale_x_y=1.2),
            common | dict(scale_x_y=1.1),
            common | dict(scale_x_y=1.05, random=1),
        ),
    )
    return cfg


def yolov4_csp() -> Cfg:
    """Build YOLOv4-CSP: YOLOv4 with mish and cross stage partial blocks in the neck too."""
    cfg = Cfg(
        f"YOLOv4-CSP ({SCALED})",
        net(
            512,
            batch=64,
            subdivisions=8,
            momentum=0.949,
            max_batches=500500,
            mosaic=1,
            letter_box=1,
            ema_alpha=0.9998,
        ),
        activation="mish",
    )
    cfg.part("backbone: CSPDarknet53, its first stage not split")
    cfg.conv(32, 3)
    cfg.conv(64, 3, stride=2)
    residuals(cfg, 64, 1, inner=32)
    stride8, stride16 = csp_darknet53(cfg)

    cfg.part("neck: spatial pyramid pooling in one of two halves")
    sppcsp(cfg, 512)
    common = NEW_COORDS | dict(max_delta=5)
    path_aggregation(
        cfg,
        stride8,
        stride16,
        csp_convs,
        (
            common | dict(objectness_smooth=0, obj_normalizer=4.0),
            common,
            common | dict(obj_normalizer=0.4, max_delta=2),
        ),
    )
    return cfg


def tiny_stage(cfg: Cfg, filters: int) -> int:
    """Pass half of the channels through two convolutions, join all, and halve the sides.

    Returns the layer that joins the two convolutions.
    """
    whole = cfg.conv(filters, 3)
    cfg.route(whole, groups=2, group_id=1)
    first = cfg.conv(filters // 2, 3)
    second = cfg.conv(filters // 2, 3)
    cfg.route(second, first)
    joined = cfg.conv(filters)
    cfg.route(whole, joined)
    cfg.maxpool(2, stride=2)
    return joined


def yolov4_tiny() -> Cfg:
    """Build YOLOv4-tiny: three small cross stage partial stages, heads at strides 32 and 16."""
    cfg = Cfg(f"YOLOv4-tiny ({SCALED})", net(416, batch=64, **LONG_SCHEDULE), activation="leaky")
    cfg.part("backbone: CSPOSANet")
    cfg.conv(32, 3, stride=2)
    cfg.conv(64, 3, stride=2)
    tiny_stage(cfg, 64)
    tiny_stage(cfg, 128)
    stride16 = tiny_stage(cfg, 256)
    cfg.conv(512, 3)
    tiny_heads(
        cfg,
        stride16,
        small=(1, 2, 3),
        jitter=0.3,
        scale_x_y=1.05,
        ignore_thresh=0.7,
        random=0,
        resize=1.5,
        **CIOU,
    )
    return cfg


RECIPES = {"yolov4": yolov4, "yolov4-csp": yolov4_csp, "yolov4-tiny": yolov4_tiny}
