"""YOLOv2 and its tiny form: one head, five anchors a cell, at stride 32."""

from typing import Any

from .blocks import Anchors, alternating
from .cfg import Cfg, net

PAPER = "Redmon and Farhadi 2016, https://arxiv.org/abs/1612.08242"

# Width and height in cells of the 13x13 map, clustered from the boxes of COCO and of VOC.
ANCHORS_COCO = (
    *((0.57273, 0.677385), (1.87446, 2.06253), (3.33843, 5.47434)),
    *((7.88282, 3.52778), (9.77052, 9.16828)),
)
ANCHORS_VOC = (
    *((1.3221, 1.73145), (3.19275, 4.00944), (5.05587, 8.09892)),
    *((9.47112, 4.84053), (11.2364, 10.0071)),
)
ANCHORS_VOC_TINY = ((1.08, 1.19), (3.42, 4.41), (6.63, 11.38), (9.42, 5.11), (16.62, 10.52))


def darknet19(cfg: Cfg) -> int:
    """Add Darknet-19 without its classifier, and return its last map at stride 16."""
    cfg.part("backbone: Darknet-19")
    stride16 = cfg.conv(32, 3)
    for filters, pairs in ((64, 0), (128, 1), (256, 1), (512, 2), (1024, 2)):
        stride16 = cfg.last
        cfg.maxpool(2, stride=2)
        cfg.conv(filters, 3)
        alternating(cfg, filters // 2, 2 * pairs)
    return stride16


def tiny_backbone(cfg: Cfg) -> int:
    """Add the seven 3x3 convolutions of the tiny networks, and return the last at stride 16."""
    cfg.part("backbone")
    stride16 = cfg.conv(16, 3)
    for filters in (32, 64, 128, 256, 512):
        stride16 = cfg.last
        cfg.maxpool(2, stride=2)
        cfg.conv(filters, 3)
    cfg.maxpool(2, stride=1)
    cfg.conv(1024, 3)
    return stride16


def region(cfg: Cfg, anchors: Anchors, classes: int, **options: Any) -> int:
    """Predict box, objectness and classes at each cell for every anchor."""
    cfg.predict(len(anchors) * (4 + 1 + classes))
    return cfg.add(
        "region",
        anchors=anchors,
        bias_match=1,
        classes=classes,
        coords=4,
        num=len(anchors),
        softmax=1,
        **options,
        object_scale=5,
        noobject_scale=1,
        class_scale=1,
        coord_scale=1,
        absolute=1,
        thresh=0.6,
        random=1,
    )


def yolov2(anchors: Anchors, classes: int, **schedule: Any) -> Cfg:
    """Build YOLOv2: Darknet-19, and beside its last map the finer one before, folded."""
    cfg = Cfg(f"YOLOv2 ({PAPER})", net(416, **schedule), activation="leaky")
    stride16 = darknet19(cfg)

    cfg.part("neck: the map at stride 16, each 2x2 cells folded into channels")
    cfg.conv(1024, 3)
    stride32 = cfg.conv(1024, 3)
    cfg.route(stride16)
    cfg.conv(64)
    folded = cfg.add("reorg", stride=2)
    cfg.route(folded, stride32)

    cfg.part("head")
    cfg.conv(1024, 3)
    region(cfg, anchors, classes, jitter=0.3, rescore=1)
    return cfg


def yolov2_tiny(anchors: Anchors, classes: int, filters: int, rescore: int, **schedule: Any) -> Cfg:
    """Build YOLOv2-tiny: a plain stack; filters are those of its last 3x3 convolution."""
    cfg = Cfg(f"YOLOv2-tiny ({PAPER})", net(416, **schedule), activation="leaky")
    tiny_backbone(cfg)
    cfg.part("head")
    cfg.conv(filters, 3)
    region(cfg, anchors, classes, jitter=0.2, rescore=rescore)
    return cfg


RECIPES = {
    "yolov2": lambda: yolov2(ANCHORS_COCO, 80),
    "yolov2-voc": lambda: yolov2(ANCHORS_VOC, 20, max_batches=80200, steps=(40000, 60000)),
    "yolov2-tiny": lambda: yolov2_tiny(ANCHORS_COCO, 80, filters=512, rescore=0),
    "yolov2-tiny-voc": lambda: yolov2_tiny(
        ANCHORS_VOC_TINY,
        20,
        filters=1024,
        rescore=1,
        burn_in=None,
        max_batches=40200,
        steps=(-1, 100, 20000, 30000),
        scales=(0.1, 10, 0.1, 0.1),
    ),
}
