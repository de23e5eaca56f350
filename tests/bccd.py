"""BCCD, 364 pictures of blood cells with VOC's annotations, as a data set in darknet's layout.

Wherever a real training is wanted: three classes, few pictures, two boxes without area, and a
backbone that was trained on COCO to start from.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from darkpy import Network, read_weights, write_weights

NAMES = ("WBC", "RBC", "Platelets")
LISTS = {"train": "trainval", "valid": "test"}  # of a .data file -> of ImageSets/Main
MODEL = "yolo-fastest-1.1"
BACKBONE = 109  # layers that do not depend on the classes
NET = {
    "batch": "16",
    "subdivisions": "1",
    "learning_rate": "0.001",
    "burn_in": "30",
    "max_batches": "300",
    "steps": "240,270",
    "scales": ".1,.1",
}


def write_bccd(shared: Path, folder: Path) -> Path:
    """Write bccd.data, its lists, names, pictures and labels, bccd.cfg and bccd.weights; return it.

    shared  the reference material: it holds the pictures, and the network with its weights
    """
    source = shared / "data" / "bccd"
    images = folder / "images"
    images.mkdir(parents=True)
    for kind, listed in LISTS.items():
        stems = (source / "ImageSets" / "Main" / f"{listed}.txt").read_text().split()
        for stem in stems:
            shutil.copyfile(source / "JPEGImages" / f"{stem}.jpg", images / f"{stem}.jpg")
            lines = label_lines((source / "Annotations" / f"{stem}.xml").read_text("utf-8"))
            (images / f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines))
        (folder / f"{kind}.txt").write_text("".join(f"images/{stem}.jpg\n" for stem in stems))
    (folder / "bccd.names").write_text("".join(f"{name}\n" for name in NAMES))
    data = folder / "bccd.data"
    data.write_text(
        f"classes = {len(NAMES)}\ntrain = train.txt\nvalid = valid.txt\nnames = bccd.names\n"
        "backup = backup\n"
    )
    write_model(shared / "data" / "models", folder)
    return data


def label_lines(xml: str) -> Iterator[str]:
    """Yield class x y w h for each object of an annotation, as darknet's voc_label.py does.

    VOC's pixels count from 1. A box without area stays as it is: whoever reads it has to say so.
    Raises ValueError for a text with a document type, which might declare entities.
    """
    if "<!DOCTYPE" in xml:
        raise ValueError("expected an annotation without a document type")
    root = ElementTree.fromstring(xml)
    width, height = (int(root.findtext(f"size/{side}")) for side in ("width", "height"))
    for found in root.iter("object"):
        left, top, right, bottom = (
            float(found.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")
        )
        x, y = ((left + right) / 2 - 1) / width, ((top + bottom) / 2 - 1) / height
        w, h = (right - left) / width, (bottom - top) / height
        yield f"{NAMES.index(found.findtext('name'))} {x:.6f} {y:.6f} {w:.6f} {h:.6f}"


def write_model(models: Path, folder: Path) -> None:
    """Write bccd.cfg, the network of MODEL for three classes, and its backbone as bccd.weights."""
    cfg = folder / "bccd.cfg"
    text = (models / f"{MODEL}.cfg").read_text()
    for key, value in {**NET, "classes": str(len(NAMES))}.items():
        text, count = re.subn(rf"^{key}\s*=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        assert count == (2 if key == "classes" else 1), key
    cfg.write_text(text.replace("filters=255", f"filters={3 * (5 + len(NAMES))}"))
    whole = Network.from_cfg(models / f"{MODEL}.cfg")
    params = read_weights(whole, models / f"{MODEL}.weights", upto=BACKBONE)
    write_weights(whole, params, folder / "bccd.weights", upto=BACKBONE)
