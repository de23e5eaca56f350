"""YOLOv3, with spatial pyramid pooling, and tiny: heads at strides 32, 16 and 8."""

from typing import Any

from .blocks import ANCHORS_416, alternating, head, residuals, spp, tiny_heads
from .cfg import Cfg, Options, net
from .yolov2 import tiny_backbone

PAPER = "Redmon and Farhadi 2018, https://arxiv.org/abs/1804.02767"


def darknet53(cfg: Cfg) -> tuple[int, int]:
    """Add Darknet-53 without its classifier, and return its last maps at strides 8 and 16."""
    cfg.part("backbone: Darknet-53")
    cfg.conv(32, 3)
    maps = []
    for filters, count in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        cfg.conv(filters, 3, stride=2)
        maps.append(residuals(cfg, filters, count, inner=filters // 2))
    return maps[2], maps[3]


def yolov3(
    title: str,
    side: int = 416,
    *,
    pyramid: bool = False,
    classes: int = 80,
    ignore_thresh: float = 0.7,
    **schedule: Any,
) -> Cfg:
    """Build YOLOv3: Darknet-53, then three heads, the finer ones joined by a backbone map.

    pyramid  pool at several sizes before the first head
    """
    cfg = Cfg(f"{title} ({PAPER})", net(side, **schedule), activation="leaky")
    options: Options = dict(classes=classes, jitter=0.3, ignore_thresh=ignore_thresh, random=1)
    stride8, stride16 = darknet53(cfg)

    cfg.part("neck: stride 32")
    if pyramid:
        alternating(cfg, 512, 3)
        spp(cfg)
        x = alternating(cfg, 512, 3)
    else:
        x = alternating(cfg, 512, 5)
    head(cfg, 2, ANCHORS_416, **options)

    for scale, lateral in (1, stride16), (0, stride8):
        cfg.part(f"neck: up to stride {8 << scale}")
        cfg.route(x)
        cfg.conv(128 << scale)
        upsampled = cfg.upsample()
        cfg.route(upsampled, far=lateral)
        x = alternating(cfg, 128 << scale, 5)
        head(cfg, scale, ANCHORS_416, **options)
    return cfg


def yolov3_tiny() -> Cfg:
    """Build YOLOv3-tiny: YOLOv2-tiny's backbone, and heads at strides 32 and 16."""
    cfg = Cfg(f"YOLOv3-tiny ({PAPER})", net(416), activation="leaky")
    stride16 = tiny_backbone(cfg)
    tiny_heads(cfg, stride16, small=(0, 1, 2), jitter=0.3, ignore_thresh=0.7, random=1)
    return cfg


RECIPES = {
    "yolov3": lambda: yolov3("YOLOv3"),
    "yolov3-voc": lambda: yolov3(
        "YOLOv3 for VOC",
        classes=20,
        ignore_thresh=0.5,
        max_batches=50200,
        steps=(40000, 45000),
    ),
    "yolov3-spp": lambda: yolov3("YOLOv3-SPP", 608, pyramid=True),
    "yolov3-tiny": yolov3_tiny,
}
