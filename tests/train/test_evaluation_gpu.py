"""The evaluation of a network in training on a GPU, which the processor stands for: the same."""

import numpy as np
import pytest

import darkpy
from darkpy.data.image import read_image
from darkpy.evaluate.pictures import Pictures
from darkpy.plan.cuda import ends
from darkpy.train import evaluation
from darkpy.train.evaluation import Labelled, evaluate_network
from tests.hostcuda import missing
from tests.tiny import CFG, write_model, write_picture

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def model(folder, count=11, cfg=CFG):
    """Return network, params and labelled pictures: some of what the processor finds in each."""
    write_model(folder, cfg=cfg)
    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cpu")
    paths, truths = [], []
    for n in range(count):
        path = write_picture(folder / f"{n}.png", height=40 + 8 * n, seed=n)
        found = detector.candidates(read_image(path), 0.3)
        rows = np.column_stack([found.probs.argmax(1), found.boxes])[n % 2 :: 4]
        paths.append(str(path))
        truths.append(rows.astype(np.float32))
    return detector.network, detector.params, Labelled(paths, truths)


def require_same(found, wanted):
    """Compare evaluations in float32, whose sums are in another order.

    Detections of nearly the same probability may change places, by which figures move by some
    1e-4; and an overlap or a probability may come to lie on the other side of its threshold.
    """
    (one, _, worst), (other, _, wanted_worst) = found, wanted
    assert one.loss == pytest.approx(other.loss, rel=1e-4)
    for name in ("map50", "map50_95", "precision", "recall", "f1", "ap", "train_map50"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=1e-3)
    assert [picture.path for picture in worst] == [picture.path for picture in wanted_worst]
    for picture, want in zip(worst, wanted_worst, strict=True):
        np.testing.assert_allclose(picture.loss, want.loss, rtol=1e-4)
        boxes, others = picture.found.xyxy, want.found.xyxy
        near = [np.abs(others - box).max(1).min() < 1e-2 for box in boxes]
        assert sum(near) >= max(len(boxes), len(others)) - 1


@pytest.mark.parametrize("letter_box", [0, 1])
def test_is_that_of_the_processor(gpu, tmp_path, monkeypatch, letter_box):
    cfg = CFG.replace("[net]", f"[net]\nletter_box={letter_box}")
    network, params, (paths, truths) = model(tmp_path, cfg=cfg)
    broken = [*paths[:4], "nowhere.png", *paths[5:]]
    valid, train = Labelled(broken[:9], truths[:9]), Labelled(paths[7:], truths[7:])
    wanted = evaluate_network(network, params, valid, train)
    assert wanted[0].map50 > 0.1 and wanted[0].loss > 0
    monkeypatch.setattr(evaluation, "_loss", None)  # outputs stay on the device
    monkeypatch.setattr(darkpy.Detector, "decode", None)
    how = {"device": "cuda:0", "precision": "fp32"}
    require_same(evaluate_network(network, params, valid, train, **how), wanted)


def test_a_picture_of_too_many_boxes_is_judged_too(gpu, tmp_path, monkeypatch):
    network, params, labelled = model(tmp_path, 3)
    wanted = evaluate_network(network, params, labelled)
    monkeypatch.setattr(ends, "MANY", 5)
    found = evaluate_network(network, params, labelled, device="cuda:0", precision="fp32")
    require_same(found, wanted)


@pytest.mark.parametrize("heads", [1, 2])
def test_a_loss_is_the_mean_over_heads(gpu, tmp_path, heads):
    route = "[route]\nlayers=-2\n[yolo]" + CFG.partition("[yolo]")[2]
    network, params, labelled = model(tmp_path, 3, CFG + route * (heads - 1))
    detector = darkpy.Detector(network, params, device="cuda:0", precision="fp32")
    pictures = Pictures(detector, labelled.paths, asked=(0.2, 0.45), truths=labelled.truths)
    there = [one.loss for one in pictures]
    here = [one.loss for one in evaluate_network(network, params, labelled)[2]]
    np.testing.assert_allclose(sorted(there, reverse=True), here, rtol=1e-4)
