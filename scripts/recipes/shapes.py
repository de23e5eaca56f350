"""The network of `darkpy quickstart`: small enough to be trained in a minute on a processor."""

from .blocks import CIOU, Anchors, yolo
from .cfg import Cfg, Options, net

SOURCE = "darkpy, after YOLOv3-tiny, https://arxiv.org/abs/1804.02767"

ANCHORS: Anchors = ((22, 22), (30, 30), (38, 38), (47, 47))  # clustered from the shapes' boxes


# A quarter of the objectness loss, and a high rate: in a minute the classes are learned too.
HEAD: Options = dict(
    classes=4, jitter=0.05, ignore_thresh=0.7, iou_thresh=0.5, obj_normalizer=0.25, **CIOU
)


def shapes() -> Cfg:
    """Build YOLOv3-tiny in small: heads at strides 16 and 8."""
    options = net(
        128,
        batch=16,
        learning_rate=0.012,
        burn_in=50,
        max_batches=600,
        steps=(420, 540),
        scales=(0.2, 0.2),
    )
    cfg = Cfg(f"Shapes ({SOURCE})", options, activation="leaky")
    cfg.part("backbone")
    cfg.conv(8, 3, stride=2)
    cfg.conv(16, 3)
    cfg.maxpool(2, stride=2)
    cfg.conv(32, 3)
    cfg.maxpool(2, stride=2)
    stride8 = cfg.conv(64, 3)
    cfg.maxpool(2, stride=2)
    cfg.conv(64, 3)
    cfg.conv(96, 3)

    cfg.part("head: large objects, stride 16")
    x = cfg.conv(48)
    yolo(cfg, (2, 3), ANCHORS, **HEAD)

    cfg.part("head: small objects, stride 8")
    cfg.route(x)
    cfg.conv(16)
    upsampled = cfg.upsample()
    cfg.route(upsampled, far=stride8)
    cfg.conv(32, 3)
    yolo(cfg, (0, 1), ANCHORS, **HEAD)
    return cfg


RECIPES = {"shapes": shapes}
