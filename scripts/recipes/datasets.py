"""The class names of PASCAL VOC and of COCO in darknet's order, and the .data files beside them."""

VOC = """
aeroplane, bicycle, bird, boat, bottle, bus, car, cat, chair, cow, diningtable, dog, horse,
motorbike, person, pottedplant, sheep, sofa, train, tvmonitor
"""

COCO = """
person, bicycle, car, motorbike, aeroplane, bus, train, truck, boat, traffic light, fire hydrant,
stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe,
backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite,
baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, fork,
knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake,
chair, sofa, pottedplant, bed, diningtable, toilet, tvmonitor, laptop, mouse, remote, keyboard,
cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear,
hair drier, toothbrush
"""


def names(listed: str) -> list[str]:
    """Return the names of a list with commas."""
    return " ".join(listed.split()).split(", ")


def data(title: str, key: str, classes: int, train: str, valid: str) -> str:
    """Return a .data file: its lists are sought in data/, its names beside it."""
    return (
        f"# {title}. Written by scripts/make_cfgs.py.\n"
        f"classes={classes}\n"
        f"train=data/{key}/{train}\n"
        f"valid=data/{key}/{valid}\n"
        f"names={key}.names\n"
        f"backup=backup\n"
        f"eval={key}\n"
    )


def files() -> dict[str, str]:
    """Return the text of each file by its name."""
    voc, coco = names(VOC), names(COCO)
    return {
        "voc.names": "\n".join(voc) + "\n",
        "voc.data": data(
            "PASCAL VOC 2007 and 2012 (http://host.robots.ox.ac.uk/pascal/VOC)",
            "voc",
            len(voc),
            train="train.txt",
            valid="2007_test.txt",
        ),
        "coco.names": "\n".join(coco) + "\n",
        "coco.data": data(
            "COCO (https://cocodataset.org)",
            "coco",
            len(coco),
            train="train2017.txt",
            valid="val2017.txt",
        ),
    }
