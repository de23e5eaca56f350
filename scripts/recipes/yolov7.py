"""YOLOv7 and its tiny form: efficient layer aggregation, and convolutions that pool beside them."""

from .blocks import ANCHORS_416, ANCHORS_512, NEW_COORDS, head, split, spp, sppcsp, upward
from .cfg import Cfg, net
from .yolov4 import LONG_SCHEDULE

PAPER = "Wang et al. 2022, https://arxiv.org/abs/2207.02696"


def elan(cfg: Cfg, inner: int, filters: int) -> int:
    """Concatenate the maps after 0, 2 and 4 convolutions and one that passed by; project.

    Efficient layer aggregation: Wang et al. 2022, https://arxiv.org/abs/2211.04800
    """
    bypass = split(cfg, inner)
    maps = [bypass, cfg.last]
    for _ in range(2):
        cfg.conv(inner, 3)
        maps.append(cfg.conv(inner, 3))
    cfg.route(*reversed(maps))
    return cfg.conv(filters)


def elan_wide(cfg: Cfg, filters: int) -> int:
    """Do as elan, but with narrow convolutions, each of whose maps is concatenated."""
    bypass = split(cfg, filters)
    maps = [bypass, cfg.last]
    maps += [cfg.conv(filters // 2, 3) for _ in range(4)]
    cfg.route(*reversed(maps))
    return cfg.conv(filters)


def elan_tiny(cfg: Cfg, inner: int) -> int:
    """Do as elan_wide with two convolutions; the result has twice inner channels."""
    bypass = split(cfg, inner)
    maps = [bypass, cfg.last]
    maps += [cfg.conv(inner, 3) for _ in range(2)]
    cfg.route(*maps)
    return cfg.conv(2 * inner)


def downward(cfg: Cfg, filters: int, lateral: int | None = None) -> int:
    """Halve the map's sides by a stride and by pooling, and concatenate both, and lateral."""
    x = cfg.last
    cfg.maxpool(2, stride=2)
    pooled = cfg.conv(filters)
    cfg.route(x)
    cfg.conv(filters)
    strided = cfg.conv(filters, 3, stride=2)
    return cfg.route(strided, pooled, far=lateral)


def yolov7() -> Cfg:
    """Build YOLOv7: ELAN stages, pooling in one half, ELAN up to stride 8 and down again."""
    cfg = Cfg(f"YOLOv7 ({PAPER})", net(640, batch=8, **LONG_SCHEDULE), activation="swish")
    cfg.part("backbone: ELAN")
    cfg.conv(32, 3)
    cfg.conv(64, 3, stride=2)
    cfg.conv(64, 3)
    cfg.conv(128, 3, stride=2)
    elan(cfg, 64, 256)
    downward(cfg, 128)
    stride8 = elan(cfg, 128, 512)
    downward(cfg, 256)
    stride16 = elan(cfg, 256, 1024)
    downward(cfg, 512)
    elan(cfg, 256, 1024)

    cfg.part("neck: spatial pyramid pooling in one of two halves")
    stride32 = sppcsp(cfg, 512, input_first=True)
    cfg.part("neck: up to stride 16")
    upward(cfg, 256, stride16)
    stride16 = elan_wide(cfg, 256)
    cfg.part("neck: up to stride 8")
    upward(cfg, 128, stride8)
    stride8 = elan_wide(cfg, 128)
    cfg.part("neck: down to stride 16")
    downward(cfg, 128, stride16)
    stride16 = elan_wide(cfg, 256)
    cfg.part("neck: down to stride 32")
    downward(cfg, 256, stride32)
    stride32 = elan_wide(cfg, 512)

    for scale, x in enumerate((stride8, stride16, stride32)):
        cfg.route(far=x)
        head(cfg, scale, ANCHORS_512, **NEW_COORDS)
    return cfg


def pooling_tiny(cfg: Cfg, filters: int) -> int:
    """Pool at several sizes in one half, as sppcsp, without its 3x3 convolutions."""
    bypass = split(cfg, filters)
    spp(cfg)
    pooled = cfg.conv(filters)
    cfg.route(bypass, pooled)
    return cfg.conv(filters)


def yolov7_tiny() -> Cfg:
    """Build YOLOv7-tiny: the plan of YOLOv7 with small blocks."""
    cfg = Cfg(f"YOLOv7-tiny ({PAPER})", net(416, batch=64, **LONG_SCHEDULE), activation="leaky")
    cfg.part("backbone: ELAN")
    cfg.conv(32, 3, stride=2)
    cfg.conv(64, 3, stride=2)
    elan_tiny(cfg, 32)
    cfg.maxpool(2, stride=2)
    stride8 = elan_tiny(cfg, 64)
    cfg.maxpool(2, stride=2)
    stride16 = elan_tiny(cfg, 128)
    cfg.maxpool(2, stride=2)
    elan_tiny(cfg, 256)

    cfg.part("neck: spatial pyramid pooling in one of two halves")
    stride32 = pooling_tiny(cfg, 256)
    cfg.part("neck: up to stride 16")
    upward(cfg, 128, stride16)
    stride16 = elan_tiny(cfg, 64)
    cfg.part("neck: up to stride 8")
    upward(cfg, 64, stride8)
    stride8 = elan_tiny(cfg, 32)
    cfg.part("neck: down to stride 16")
    down = cfg.conv(128, 3, stride=2)
    cfg.route(down, far=stride16)
    stride16 = elan_tiny(cfg, 64)
    cfg.part("neck: down to stride 32")
    down = cfg.conv(256, 3, stride=2)
    cfg.route(down, far=stride32)
    stride32 = elan_tiny(cfg, 128)

    for scale, x in enumerate((stride8, stride16, stride32)):
        cfg.route(far=x)
        head(cfg, scale, ANCHORS_416, width=128, **NEW_COORDS)
    return cfg


RECIPES = {"yolov7": yolov7, "yolov7-tiny": yolov7_tiny}
