"""Blocks that several families share."""

from typing import Any

from .cfg import Cfg, Options

Anchors = tuple[tuple[float, float], ...]

# Width and height in pixels of the network's input, clustered from COCO's boxes, small to large.
ANCHORS_TINY = ((10, 14), (23, 27), (37, 58), (81, 82), (135, 169), (344, 319))
ANCHORS_416 = (
    *((10, 13), (16, 30), (33, 23)),
    *((30, 61), (62, 45), (59, 119)),
    *((116, 90), (156, 198), (373, 326)),
)
ANCHORS_512 = (
    *((12, 16), (19, 36), (40, 28)),
    *((36, 75), (76, 55), (72, 146)),
    *((142, 110), (192, 243), (459, 401)),
)

# Loss and suppression of YOLOv4 and the small networks of its time.
CIOU: Options = dict(
    cls_normalizer=1.0,
    iou_normalizer=0.07,
    iou_loss="ciou",
    nms_kind="greedynms",
    beta_nms=0.6,
)

# The same of the networks after it, where every number p that comes to the head is logistic, and
# a box is (2 p)^2 times as wide as its anchor.
NEW_COORDS: Options = dict(
    activation="logistic",
    jitter=0.1,
    scale_x_y=2.0,
    objectness_smooth=1,
    ignore_thresh=0.7,
    resize=1.5,
    iou_thresh=0.2,
    iou_normalizer=0.05,
    cls_normalizer=0.5,
    obj_normalizer=1.0,
    iou_loss="ciou",
    nms_kind="diounms",
    beta_nms=0.6,
    new_coords=1,
    max_delta=2,
)


def alternating(cfg: Cfg, filters: int, count: int) -> int:
    """Add count convolutions: 1x1 to filters, 3x3 to twice as many, 1x1 again and so on."""
    for i in range(count):
        if i % 2 == 0:
            cfg.conv(filters)
        else:
            cfg.conv(2 * filters, 3)
    return cfg.last


def residuals(cfg: Cfg, filters: int, count: int, inner: int | None = None) -> int:
    """Add count times 1x1 to inner (default: filters), 3x3 to filters, plus what came in.

    He et al. 2015, https://arxiv.org/abs/1512.03385
    """
    for _ in range(count):
        x = cfg.last
        cfg.conv(inner or filters)
        cfg.conv(filters, 3)
        cfg.shortcut(x)
    return cfg.last


def spp(cfg: Cfg, sizes: tuple[int, ...] = (5, 9, 13), *, input_first: bool = False) -> int:
    """Concatenate a map with its maxima over windows of several sizes.

    He et al. 2014, https://arxiv.org/abs/1406.4729, in the form of the YOLO cfgs
    """
    x = cfg.last
    maps = [x]
    for size in sizes:
        if cfg.last != x:
            cfg.route(x)
        maps.append(cfg.maxpool(size, stride=1))
    return cfg.route(*(maps if input_first else reversed(maps)))


def split(cfg: Cfg, filters: int) -> int:
    """Project a map twice, and return the first projection; the second is the newest layer.

    The first goes round the block that follows and is concatenated behind it (CSPNet, ELAN).
    """
    x = cfg.last
    bypass = cfg.conv(filters)
    cfg.route(x)
    cfg.conv(filters)
    return bypass


def sppcsp(cfg: Cfg, filters: int, *, input_first: bool = False) -> int:
    """Pool a map at several sizes in one half, keep the other, and join them.

    Wang et al. 2020, Scaled-YOLOv4, https://arxiv.org/abs/2011.08036
    """
    bypass = split(cfg, filters)
    cfg.conv(filters, 3)
    cfg.conv(filters)
    spp(cfg, input_first=input_first)
    cfg.conv(filters)
    pooled = cfg.conv(filters, 3)
    cfg.route(pooled, bypass)
    return cfg.conv(filters)


def upward(cfg: Cfg, filters: int, lateral: int) -> int:
    """Double the newest map's sides and concatenate it behind a backbone map of that size.

    Both are first projected to filters. Lin et al. 2016, https://arxiv.org/abs/1612.03144
    """
    cfg.conv(filters)
    upsampled = cfg.upsample()
    cfg.route(far=lateral)
    projected = cfg.conv(filters)
    return cfg.route(projected, upsampled)


def yolo(
    cfg: Cfg,
    mask: tuple[int, ...],
    anchors: Anchors,
    *,
    classes: int = 80,
    activation: str = "linear",
    **options: Any,
) -> int:
    """Predict box, objectness and classes at each cell for the anchors in mask."""
    cfg.predict(len(mask) * (4 + 1 + classes), activation)
    return cfg.add(
        "yolo",
        mask=mask,
        anchors=anchors,
        classes=classes,
        num=len(anchors),
        truth_thresh=1,
        **options,
    )


def head(cfg: Cfg, scale: int, anchors: Anchors, *, width: int = 256, **options: Any) -> int:
    """Find the small, medium or large objects: scale 0, 1 or 2, at stride 8, 16 or 32."""
    cfg.part(f"head: {('small', 'medium', 'large')[scale]} objects, stride {8 << scale}")
    cfg.conv(width << scale, 3)
    return yolo(cfg, (3 * scale, 3 * scale + 1, 3 * scale + 2), anchors, **options)


def tiny_heads(cfg: Cfg, lateral: int, small: tuple[int, ...], **options: Any) -> None:
    """Add the two heads of the tiny networks: at stride 32, then at 16 beside lateral."""
    cfg.part("head: large objects, stride 32")
    x = cfg.conv(256)
    cfg.conv(512, 3)
    yolo(cfg, (3, 4, 5), ANCHORS_TINY, **options)

    cfg.part("head: small objects, stride 16")
    cfg.route(x)
    cfg.conv(128)
    upsampled = cfg.upsample()
    cfg.route(upsampled, far=lateral)
    cfg.conv(256, 3)
    yolo(cfg, small, ANCHORS_TINY, **options)
