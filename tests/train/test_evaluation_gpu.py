"""The evaluation of a network in training on a GPU, which the processor stands for: the same."""

import cv2
import numpy as np
import pytest

import darkpy
from darkpy import read_weights
from darkpy.data.image import read_image
from darkpy.evaluate.pictures import Pictures
from darkpy.plan.cuda import ends
from darkpy.train import evaluation, learner, loop, record
from darkpy.train.device_optimizer import DeviceOptimizer
from darkpy.train.evaluation import Labelled, evaluate_network
from darkpy.train.trainer import Trainer
from tests.hostcuda import missing
from tests.tiny import CFG, write_model
from tests.train.project import assert_same, figures, train, write_project

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def model(folder, count=11, cfg=CFG):
    """Return network, params and labelled pictures: some of what the processor finds in each.

    The pictures are noise: of a surface of one colour many probabilities would be the same, and
    which of them is first, and suppresses, would be a matter of the last bits.
    """
    rng = np.random.default_rng(8)
    write_model(folder, cfg=cfg)
    detector = darkpy.load(folder / "tiny.cfg", folder / "tiny.weights", device="cpu")
    paths, truths = [], []
    for n in range(count):
        path = folder / f"{n}.png"
        cv2.imwrite(str(path), rng.integers(0, 256, (40 + 8 * n, 80, 3), np.uint8))
        found = detector.candidates(read_image(path), 0.3)
        rows = np.column_stack([found.probs.argmax(1), found.boxes])[n % 2 :: 4]
        paths.append(str(path))
        truths.append(rows.astype(np.float32))
    return detector.network, detector.params, Labelled(paths, truths)


def require_same(found, wanted):
    """Compare evaluations in float32, whose sums are in another order.

    So a probability may come to lie on the other side of its threshold.
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


LAYERS = {
    "plain": "",
    "shared": 2 * "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=3\npad=1\n"
    + "share_index=-1\n",
    "xnor": "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=3\npad=1\nxnor=1\n",
    "dropout": (
        "[convolutional]\nbatch_normalize=1\nfilters=16\nactivation=swish\n[dropout]\n"
        "[convolutional]\nbatch_normalize=1\nfilters=16\n"
    ),
    "blurred": "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=3\npad=1\nantialiasing=1\n",
    "deep": (
        "[convolutional]\nbatch_normalize=1\nfilters=16\nsize=3\npad=1\ngroups=16\n[shortcut]\n"
        "from=-2\n[convolutional]\nbatch_normalize=1\nfilters=8\nactivation=mish\n[maxpool]\nsize=2\n"
        "stride=2\n[upsample]\n[route]\nlayers=-1,-3\n[convolutional]\nfilters=16\ngroups=8\n[batchnorm]\n"
    ),
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_reads_the_weights_where_the_training_has_them(gpu, tmp_path, monkeypatch, layers):
    """Statistics are measured on the device too: nothing is fetched, and no weights are copied."""
    at = CFG.rindex("[convolutional]")
    cfg = CFG[:at].replace("[net]", "[net]\nbatch=4\nmomentum=.9") + layers + CFG[at:]
    if layers == LAYERS["shared"]:
        cfg = cfg.replace("[maxpool]", "[crop]\ncrop_height=24\ncrop_width=28\n[maxpool]")
    network, _, labelled = model(tmp_path, 5, cfg)
    rng = np.random.default_rng(3)
    images = rng.random((4, *network.image), np.float32)
    samples = [rng.random((3, *network.image), np.float32) for _ in range(2)]
    trainer, alone = (
        Trainer(network, tmp_path / "tiny.weights", device="cuda:0", precision="fp32")
        for _ in range(2)
    )
    for one in (trainer, alone):
        one.step(images, labelled.truths[:4])
    with monkeypatch.context() as patch:
        patch.setattr(DeviceOptimizer, "download", None)
        patch.setattr(DeviceOptimizer, "upload", None)
        patch.setattr(learner, "Tape", None)
        params = trainer.with_statistics(samples)
        how = {"device": "cuda:0", "precision": "fp32", "plans": trainer.plans(params)}
        found = evaluate_network(network, params, labelled, **how)
        copied = how["plans"](1).weights
    trainer.save_weights(tmp_path / "judged.weights", params=params)
    trainer.save_weights(tmp_path / "learned.weights")
    judged = Trainer(network, tmp_path / "learned.weights").with_statistics(samples)
    require_same(found, evaluate_network(network, judged, labelled))
    assert 0 < copied < sum(array.nbytes for own in judged for array in own.values()) / 4
    for own, other in zip(read_weights(network, tmp_path / "judged.weights"), judged, strict=True):
        for name, array in other.items():
            np.testing.assert_allclose(own[name], array, rtol=1e-3, atol=1e-5)
    losses = [one.step(images, labelled.truths[:4]) for one in (trainer, alone)]
    assert losses[0] == losses[1]  # plans lie in the memory of steps, and leave nothing there


def test_a_run_evaluates_on_the_gpu_and_goes_on_bit_for_bit(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "LEAST_BETWEEN", 3)
    monkeypatch.setattr(record, "draw_chart", lambda *_, **__: b"")
    monkeypatch.setattr(record, "draw_worst", lambda *_, **__: [])
    straight, parts = (write_project(tmp_path / name) for name in "ab")
    how = {
        "evaluate": True,
        "map_epochs": 1,
        "settings": ("net.max_batches=6",),
        "device": "cuda:0",
        "precision": "fp32",
    }
    run, ending = train(straight, **how)
    train(parts, stop_at=4, **how)
    train(parts, resume=True, **how)
    assert_same(straight, parts)
    network, best = run.trainer.network, straight / "backup" / "tiny_best.weights"
    (wanted, _, _) = evaluate_network(network, read_weights(network, best), run.valid)
    assert ending.best == pytest.approx(wanted.map50, abs=1e-3)
    header, *rows = (row.decode().split(",") for row in figures(straight)[:-1])
    row = dict(zip(header, rows[run.course.best_at - 1], strict=True))
    assert row["iteration"] == str(run.course.best_at)
    assert float(row["val_loss"]) == pytest.approx(wanted.loss, rel=1e-4)
