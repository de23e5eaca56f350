"""Yolo-Fastest 1.1 and xl: inverted residuals, and depthwise heads at strides 32 and 16."""

from .blocks import CIOU, spp, yolo
from .cfg import Cfg, net

SOURCE = "dog-qiuqiu 2021, https://github.com/dog-qiuqiu/Yolo-Fastest"

ANCHORS = ((12, 18), (37, 49), (52, 132), (115, 73), (119, 199), (242, 238))

# The channels of the first expansion and its stride, the filters they are projected to, then the
# expansion and number of residuals. Doubled in xl.
STAGES = (
    (8, 1, 4, 8, 1),
    (24, 2, 8, 32, 2),
    (32, 2, 8, 48, 2),
    (48, 1, 16, 96, 4),
    (96, 2, 24, 136, 4),
    (136, 2, 48, 224, 5),
)


def inverted(cfg: Cfg, expansion: int, filters: int, stride: int = 1) -> int:
    """Expand, filter each channel by itself, project without activation.

    Sandler et al. 2018, MobileNetV2, https://arxiv.org/abs/1801.04381
    """
    cfg.conv(expansion, pad=0)
    cfg.conv(expansion, 3, stride=stride, groups=expansion)
    return cfg.conv(filters, pad=0, activation="linear")


def inverted_residuals(cfg: Cfg, expansion: int, filters: int, count: int, dropout: float) -> int:
    """Add count inverted bottlenecks, dropped out, each plus what came in."""
    for _ in range(count):
        x = cfg.last
        inverted(cfg, expansion, filters)
        cfg.add("dropout", probability=dropout)
        cfg.shortcut(x)
    return cfg.last


def depthwise_head(cfg: Cfg, filters: int, mask: tuple[int, ...]) -> int:
    """Predict after two pairs of a 5x5 depthwise convolution and a linear 1x1 one."""
    for _ in range(2):
        cfg.conv(filters, 5, groups=filters)
        cfg.conv(filters, activation="linear")
    return yolo(
        cfg,
        mask,
        ANCHORS,
        jitter=0.15,
        ignore_thresh=0.5,
        random=0,
        scale_x_y=1.0,
        iou_thresh=0.213,
        **CIOU,
    )


def yolo_fastest(title: str, width: int, dropout: float) -> Cfg:
    """Build Yolo-Fastest with width times the channels of STAGES."""
    options = net(320, batch=32, momentum=0.949, burn_in=4000, max_batches=500000)
    cfg = Cfg(f"{title} ({SOURCE})", options, activation="leaky")
    cfg.part("backbone: inverted residuals")
    cfg.conv(8 * width, 3, stride=2)
    stride16 = -1
    for first, stride, filters, expansion, count in STAGES:
        stride16 = cfg.last
        inverted(cfg, first * width, filters * width, stride)
        inverted_residuals(cfg, expansion * width, filters * width, count, dropout)

    cfg.part("neck: spatial pyramid pooling")
    spp(cfg, (3, 5, 9))
    stride32 = cfg.conv(96, pad=0)
    cfg.part("head: large objects, stride 32")
    depthwise_head(cfg, 96, (3, 4, 5))

    cfg.part("neck: up to stride 16")
    cfg.route(stride32)
    upsampled = cfg.upsample()
    cfg.route(upsampled, far=stride16)
    cfg.part("head: small objects, stride 16")
    depthwise_head(cfg, 96 + 24 * width, (0, 1, 2))
    return cfg


RECIPES = {
    "yolo-fastest-1.1": lambda: yolo_fastest("Yolo-Fastest 1.1", width=1, dropout=0.15),
    "yolo-fastest-1.1-xl": lambda: yolo_fastest("Yolo-Fastest 1.1 xl", width=2, dropout=0.2),
}
