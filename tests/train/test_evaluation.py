"""The evaluation of a network in training: darknet's figures, its loss, and nothing touched."""

import math

import numpy as np
import pytest

import darkpy
from darkpy import Network, kernels
from darkpy.boxes import correct
from darkpy.errors import DataError
from darkpy.evaluate.match import match
from darkpy.evaluate.pictures import Pictures
from darkpy.evaluate.report import evaluate
from darkpy.loss import LOSSES, HeadLoss
from darkpy.run import Tape
from darkpy.train.evaluation import OVERLAPS, Labelled, evaluate_network, part_of
from tests.tiny import CFG, write_model, write_picture


@pytest.fixture(autouse=True)
def yolo_loss(monkeypatch):
    """Take the sum of the head's output for its loss, and remember what it was asked."""
    asked = []

    def loss(ops, layer, output, truths, moment):
        asked.append((output, truths, moment))
        return HeadLoss(output, float(np.sum(output, dtype=np.float64)))

    monkeypatch.setitem(LOSSES, "yolo", loss)
    return asked


@pytest.fixture
def model(tmp_path):
    """Return network, params and six labelled pictures: the model's own finds, some left out."""
    write_model(tmp_path)
    detector = darkpy.load(tmp_path / "tiny.cfg", tmp_path / "tiny.weights")
    paths, truths = [], []
    for n in range(6):
        path = write_picture(tmp_path / f"{n}.png", height=40 + 8 * n, seed=n)
        found = detector.candidates(darkpy.data.image.read_image(path), 0.3)
        rows = np.column_stack([found.probs.argmax(1), found.boxes])[n % 2 :: 4]
        paths.append(str(path))
        truths.append(rows.astype(np.float32))
    assert sum(map(len, truths)) > 6
    return detector.network, detector.params, Labelled(paths, truths)


def test_figures_are_those_of_map(model):
    network, params, labelled = model
    detector = darkpy.Detector(network, params)
    pictures = Pictures(detector, labelled.paths)
    matches = []
    for seen in pictures:
        found = pictures.boxes(seen, 0.005, 0.45)
        matches.append(match(found.boxes, found.probs, labelled.truths[seen.index]))
    done, _, _ = evaluate_network(network, params, labelled, thresh=0.3, iteration=7)
    report = evaluate(matches, 2, thresh=0.3)
    assert (done.iteration, done.map50) == (7, report.map)
    assert (done.precision, done.recall, done.f1) == (report.precision, report.recall, report.f1)
    assert done.ap.tolist() == report.ap.tolist()
    stricter = [evaluate(matches, 2, iou_thresh=t).map for t in np.linspace(0.5, 0.95, 10)]
    assert done.map50_95 == pytest.approx(np.mean(stricter), abs=1e-12)
    assert 0 < done.map50_95 <= done.map50 < 1
    assert OVERLAPS[0] == 0.5 and OVERLAPS[-1] == 0.95 and len(OVERLAPS) == 10


def test_iou_thresh_is_that_of_map50_alone(model):
    network, params, (paths, truths) = model
    shifted = [rows + np.array([0, 0.03, 0, 0, 0], np.float32) for rows in truths]
    plain, _, _ = evaluate_network(network, params, Labelled(paths, shifted))
    strict, _, _ = evaluate_network(network, params, Labelled(paths, shifted), iou_thresh=0.95)
    assert strict.map50 < plain.map50
    assert strict.recall < plain.recall
    assert strict.map50_95 == plain.map50_95


def test_loss_is_of_the_heads_outputs_in_inference(model, yolo_loss):
    network, params, labelled = model
    done, _, worst = evaluate_network(network, params, labelled, worst=2)
    assert len(yolo_loss) == 6
    sums = [float(np.sum(output, dtype=np.float64)) for output, _, _ in yolo_loss]
    assert done.loss == pytest.approx(np.mean(sums))
    assert [one.loss for one in worst] == sorted(sums)[:-3:-1]
    for (output, truths, moment), expected in zip(yolo_loss, labelled.truths, strict=True):
        assert output.shape == (1, *network.heads[0].shape)
        np.testing.assert_array_equal(truths[0], expected)
        assert moment.image == network.image and moment.options is network.options
        assert moment.seen > 64000 and moment.iteration == 0  # neither warm-up nor rejection


def test_loss_is_the_mean_over_heads(tmp_path):
    head = CFG.partition("[yolo]")[2]
    route = "[route]\nlayers=-2\n[yolo]" + head
    write_model(tmp_path, cfg=CFG + route)
    path = str(write_picture(tmp_path / "a.png"))
    network = Network.from_cfg(tmp_path / "tiny.cfg")
    params = darkpy.read_weights(network, tmp_path / "tiny.weights")
    none = [np.zeros((0, 5), np.float32)]
    one = Network.from_layers([n.layer for n in network.nodes[:5]], network.image, network.options)
    single, _, _ = evaluate_network(one, params[:5], Labelled([path], none))
    double, _, _ = evaluate_network(network, params, Labelled([path], none))
    assert double.loss == pytest.approx(single.loss)  # two equal heads


def test_the_worst_pictures_come_with_what_was_found(model):
    network, params, labelled = model
    _, _, worst = evaluate_network(network, params, labelled, worst=3, thresh=0.4, names=("a", "b"))
    assert len(worst) == 3
    assert worst[0].loss >= worst[1].loss >= worst[2].loss
    detector = darkpy.Detector(network, params, ("a", "b"))
    for one in worst:
        at = labelled.paths.index(one.path)
        np.testing.assert_array_equal(one.truths, labelled.truths[at])
        image = darkpy.data.image.read_image(one.path)
        expected = detector.detect(image, 0.4)
        np.testing.assert_allclose(one.found.xyxy, expected.xyxy, rtol=1e-4, atol=1e-3)
        assert one.found.names == ("a", "b")


def test_a_loss_that_is_not_finite_is_the_worst(model, monkeypatch):
    network, params, labelled = model
    costs = iter([1.0, 2.0, math.nan, 3.0, 0.0, 1.0])
    monkeypatch.setitem(LOSSES, "yolo", lambda ops, layer, y, *_: HeadLoss(y, next(costs)))
    done, _, worst = evaluate_network(network, params, labelled, worst=2)
    assert math.isnan(done.loss)
    assert [one.path for one in worst] == [labelled.paths[2], labelled.paths[3]]


def test_without_a_loss_of_the_head_there_is_none(model, monkeypatch):
    monkeypatch.delitem(LOSSES, "yolo")
    done, _, _ = evaluate_network(*model)
    assert math.isnan(done.loss) and done.map50 > 0


def test_train_pictures_have_a_map_of_their_own(model, yolo_loss):
    network, params, (paths, truths) = model
    valid, train = Labelled(paths[4:], truths[4:]), Labelled(paths[:4], truths[:4])
    done, _, worst = evaluate_network(network, params, valid, train)
    alone, _, _ = evaluate_network(network, params, train)
    assert done.train_map50 == alone.map50 != done.map50
    assert {one.path for one in worst} == set(paths[4:])
    assert math.isnan(alone.train_map50)


def test_a_picture_of_both_lists_is_run_once(model, yolo_loss):
    network, params, (paths, truths) = model
    whole, half = Labelled(paths, truths), Labelled(paths[:3], truths[:3])
    done, _, _ = evaluate_network(network, params, half, whole)
    assert len(yolo_loss) == 6
    assert done.train_map50 == evaluate_network(network, params, whole)[0].map50


def test_best_is_at_least_the_highest_before(model):
    mine = evaluate_network(*model)[0].map50
    assert evaluate_network(*model, highest=mine)[0].best
    assert not evaluate_network(*model, highest=mine + 1e-6)[0].best


def test_a_picture_that_cannot_be_read_is_left_out(model, caplog):
    network, params, (paths, truths) = model
    expected, _, _ = evaluate_network(network, params, Labelled(paths[1:], truths[1:]))
    broken = Labelled(["nowhere.png", *paths[1:]], truths)
    done, _, _ = evaluate_network(network, params, broken, broken)
    assert (done.map50, done.loss) == (expected.map50, expected.loss)
    assert "nowhere.png" in caplog.text
    with pytest.raises(DataError, match="none of the 2 validation pictures can be read"):
        evaluate_network(network, params, Labelled(["nowhere.png"] * 2, truths[:2]))


def test_letter_box_moves_the_truths_into_the_input(tmp_path, yolo_loss):
    write_model(tmp_path, cfg=CFG.replace("[net]", "[net]\nletter_box=1"))
    network = Network.from_cfg(tmp_path / "tiny.cfg")
    params = darkpy.read_weights(network, tmp_path / "tiny.weights")
    truths = np.array([[1, 0.3, 0.4, 0.2, 0.5]], np.float32)
    for width, height in ((80, 40), (30, 90), (64, 64)):
        path = str(write_picture(tmp_path / "a.png", height, width))
        evaluate_network(network, params, Labelled([path], [truths]))
        (moved,) = yolo_loss[-1][1]
        back = correct(moved[:, 1:], 64, 64, width, height, letter_box=True)
        np.testing.assert_allclose(back, truths[:, 1:], rtol=1e-5)
        assert moved[0, 0] == 1 and (width == height) == np.allclose(moved, truths)


def test_nothing_of_the_training_is_touched(model):
    network, params, labelled = model
    ops, rng = kernels.ops("cpu"), np.random.default_rng(5)
    tape = Tape(network, params, ops, train=True, rng=rng)
    x = np.random.default_rng(1).random((2, *network.image), np.float32)
    tape.forward(x)
    before = [{name: one.copy() for name, one in node.items()} for node in params]
    state = rng.bit_generator.state
    saved = [frame.saved for frame in tape.frames]
    global_state = np.random.get_state()[1].copy()
    evaluate_network(network, params, labelled, labelled)
    for node, old in zip(params, before, strict=True):
        for name, one in node.items():
            np.testing.assert_array_equal(one, old[name])
    assert rng.bit_generator.state == state
    assert all(a.saved is b for a, b in zip(tape.frames, saved, strict=True))
    np.testing.assert_array_equal(np.random.get_state()[1], global_state)


def test_it_is_watched(model):
    network, params, (paths, truths) = model
    told = []

    def watch(pictures, count, what):
        told.append((what, count))
        for picture in pictures:
            told.append(picture.index)
            yield picture

    valid, train = Labelled(paths[:2], truths[:2]), Labelled(paths[2:], truths[2:])
    evaluate_network(network, params, valid, train, watch=watch)
    assert told == [("valid", 2), 0, 1, ("train", 4), 0, 1, 2, 3]


def test_the_part_of_the_training_pictures_is_fixed():
    train = Labelled([f"{n}.png" for n in range(300)], [np.full((1, 5), n) for n in range(300)])
    part = part_of(train, valid=20, seed=1)
    assert part.paths == part_of(train, valid=20, seed=1).paths
    assert part.paths != part_of(train, valid=20, seed=2).paths
    assert len(set(part.paths)) == len(part.paths) == 100
    assert len(part_of(train, valid=150, seed=1).paths) == 150
    assert part_of(train, valid=1000, seed=1).paths == train.paths
    for path, truths in zip(*part, strict=True):
        assert path == f"{int(truths[0, 0])}.png"


def test_a_network_without_a_detection_head_is_refused(tmp_path):
    (tmp_path / "a.cfg").write_text("[net]\nwidth=8\nheight=8\nchannels=3\n[maxpool]\n")
    network = Network.from_cfg(tmp_path / "a.cfg")
    path = str(write_picture(tmp_path / "a.png"))
    with pytest.raises(darkpy.NetworkError, match="no detection head"):
        evaluate_network(network, [{}], Labelled([path], [np.zeros((0, 5), np.float32)]))
