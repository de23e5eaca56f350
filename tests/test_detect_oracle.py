"""Boxes of real models on real pictures, compared with the C program's."""

import json

import numpy as np
import pytest

import darkpy
from darkpy.boxes import iou
from darkpy.data.image import read_image
from tests.conftest import SHARED

ORACLE = SHARED / "oracle" / "detect"
MODELS = SHARED / "data" / "models"
RUNS = sorted(path.name[: -len(".json")] for path in ORACLE.glob("*.json"))
MUST = 0.15  # what darknet gives at this or more must be there
MAY = 0.17  # and nothing else at this or more
# The C program decodes JPEG and resizes with code of its own: pixels differ by a level here and
# there, so boxes move a little and confidences too.
IOU = 0.97
CONFIDENCE = 0.02


def true_objects(record, names):
    """Return class, box (centre x, y, w, h) and confidence of what the C program found."""
    for one in record["objects"]:
        place = one["relative_coordinates"]
        box = [place[key] for key in ("center_x", "center_y", "width", "height")]
        yield names.index(one["name"]), np.array(box, np.float32), one["confidence"]


def agree(found, truths, what):
    """Assert that candidates are what the C program found, as `true_objects` gives it."""
    for k, box, confidence in truths:
        if confidence < MUST:
            continue
        overlap = iou(box[None], found.boxes)[0]
        near = np.abs(found.probs[:, k] - confidence) <= CONFIDENCE
        assert (near & (overlap >= IOU)).any(), (what, k, confidence)
    for i, k in zip(*np.nonzero(found.probs >= MAY), strict=True):
        same = [box for one, box, _ in truths if one == k]
        assert same and iou(found.boxes[i][None], np.array(same)).max() >= IOU, (
            what,
            k,
            found.probs[i, k],
        )


@pytest.mark.skipif(not RUNS, reason="the C program's boxes (../shared/oracle) are not here")
@pytest.mark.parametrize("run", RUNS)
def test_boxes_agree_with_the_c_program(run):
    model, _, kind = run.rpartition(".")
    names = (
        ("person",)
        if model.endswith("body")
        else darkpy.cfg.read_names(SHARED / "data" / "coco128" / "coco.names")
    )
    detector = darkpy.load(MODELS / f"{model}.cfg", MODELS / f"{model}.weights", names)
    total = 0
    for record in json.loads((ORACLE / f"{run}.json").read_text()):
        image = read_image(SHARED / "data" / record["filename"])
        found = detector.candidates(image, 0.1, letter_box=kind == "letter")
        truths = list(true_objects(record, names))
        total += len(truths)
        agree(found, truths, record["filename"])
    assert total >= 1
