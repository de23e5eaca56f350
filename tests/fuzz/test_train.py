"""Trainings of drawn networks on drawn truths: an error of ours, or finite weights."""

import random
from contextlib import suppress

import numpy as np
import pytest

from darkpy import DarkpyError, Network
from darkpy.data.augment import Augmentation
from darkpy.data.loader import Loader
from darkpy.data.training import TrainingSet
from darkpy.train.finite import NotFinite
from darkpy.train.trainer import Trainer
from tests.fuzz import cfgs, spoil
from tests.fuzz.exercise import DEVICES, in_time, is_small
from tests.fuzz.test_text import LABELS, NUMBERS
from tests.tiny import CFG, SCHEDULE, write_picture

SLOW = pytest.mark.slow
HEADS = ("yolo", "region", "Gaussian_yolo", "detection", "softmax", "cost")
CLASSIFIERS = ("softmax", "cost")
TRAINING = (  # keys of [net] that a training heeds
    *("batch", "subdivisions", "learning_rate", "momentum", "decay", "policy", "steps", "scales"),
    *("gamma", "step", "power", "burn_in", "max_batches", "adam", "B1", "B2", "eps", "ema_alpha"),
    *("train_only_bn", "try_fix_nan", "dynamic_minibatch", "burnin_update", "sgdr_cycle"),
    *("sgdr_mult", "seq_scales", "time_steps", "scale", "optimized_memory", "weights_reject_freq"),
)
EXTREMES = ("0", "1", "2", "3", "-1", ".5", "1e-30", "1e30", "-3.4e38", "3.4e38", "0,1", "1,2,3")
POLICIES = ("constant", "step", "exp", "poly", "steps", "sig", "random", "sgdr", "no")
PLACES = (0.5, 0.0, 1.0, -1.0, 2.0, 1e-30, 1e30, -3.4e38, np.nan, np.inf)
CLASSES = (0, 1, 1, 7, -1, 1e9, 0.5, np.nan, np.inf)


@pytest.mark.parametrize("amount", [25, pytest.param(600, marks=SLOW)])
@pytest.mark.parametrize("head", HEADS)
def test_drawn_networks_on_drawn_truths(head, amount, folder, tried):
    draw, path = random.Random(head), folder / "x.cfg"
    good = cfgs.mended(cfgs.written(head), path)
    outcomes = []
    for _ in range(amount):
        text = varied(good, head, draw)
        path.write_text(text)
        truths = drawn_truths(draw) if head not in CLASSIFIERS else None
        with in_time(text):
            outcomes.append(train(path, truths, draw))
        tried(f"training: {outcomes[-1]}")
    assert outcomes.count("trained") > amount // 5, outcomes


@pytest.mark.parametrize(
    ("head", "net", "key", "outcome"),
    [
        ("yolo", "", "truth_thresh=-1", "trained"),
        ("yolo", "", "num=2147483647", "refused"),
        ("yolo", "", "delta_normalizer=3.4e38", "not finite"),
        ("yolo", "adam=1\nB2=1\n", "", "refused"),
        ("detection", "adam=1\nB1=1\n", "", "refused"),
        ("cost", "", "scale=3.4e38", "not finite"),
    ],
)
def test_what_was_found(head, net, key, outcome, folder):
    before, section, after = cfgs.mended(cfgs.written(head), folder / "x.cfg").rpartition(
        f"[{head}]\n"
    )
    text = before.replace("batch=1\n", f"batch=2\n{net}", 1) + f"{section}{key}\n{after}"
    (folder / "x.cfg").write_text(text)
    truths = np.empty((0, 5), np.float32) if head not in CLASSIFIERS else None
    assert train(folder / "x.cfg", truths, random.Random(0)) == outcome


def varied(text, head, draw):
    """Return a network's text with other values for some keys of its head and of [net]."""
    before, section, after = text.rpartition(f"[{head}]\n")
    for key, spec in draw.sample(sorted(cfgs.keys_of(cfgs.LAYERS[head]).items()), 2):
        if draw.random() < 0.5:
            after = f"{key}={value_of(spec, draw)}\n{after}"  # the first of two counts
    own = ["batch=2\n", "learning_rate=.001\n"]
    for key in draw.sample(TRAINING, draw.choice((0, 1, 3))):
        own.insert(0, f"{key}={draw.choice(POLICIES if key == 'policy' else EXTREMES)}\n")
    return before.replace("batch=1\n", "".join(own), 1) + section + after


def value_of(spec, draw):
    """Return a text for a key of a head."""
    choices = spec.metadata.get("choices")
    if choices:
        return draw.choice(sorted(choices))
    if "tuple" in str(spec.type):
        return draw.choice(cfgs.LISTS)
    return draw.choice(cfgs.FLOATS if "float" in str(spec.type) else cfgs.COUNTS + cfgs.OTHERS)


def drawn_truths(draw):
    """Return rows of class, x, y, w, h as no label file should have them."""
    rows = [
        [
            draw.choice(CLASSES),
            *(draw.choice(PLACES) if draw.random() < 0.3 else draw.random() for _ in range(4)),
        ]
        for _ in range(draw.choice((0, 1, 3, 300)))
    ]
    return np.array(rows, np.float32).reshape(-1, 5)


def train(path, truths, draw):
    """Train a .cfg for three iterations: "refused", "not finite", "stopped" or "trained"."""
    device = draw.choice(DEVICES)
    try:
        network = Network.from_cfg(path)
        if not is_small(network) or network.options.batch > 64:
            return "too large"
        trainer = Trainer(network, device=device)
    except DarkpyError as error:
        assert str(error)
        return "refused"
    rng = np.random.default_rng(0)
    images = rng.random((max(2, min(trainer.batch, 8)), *network.image), np.float32)
    if truths is None:
        truths = rng.random(network.heads[-1].shape.size, np.float32)
    try:
        for _ in range(3):
            loss = trainer.step(images, [truths] * len(images))
            assert np.isfinite(loss)
    except NotFinite as error:
        assert str(error)
        return "not finite"
    except DarkpyError as error:
        assert str(error)
        return "stopped"
    for own in trainer.params:
        assert all(np.isfinite(array).all() for array in own.values())
    return "trained"


@pytest.mark.parametrize("amount", [40, pytest.param(600, marks=SLOW)])
def test_spoiled_labels(amount, folder, tried):
    draw = random.Random(5)
    (folder / "x.cfg").write_text(CFG.replace("[net]\n", f"[net]\n{SCHEDULE}mosaic=1\n"))
    network = Network.from_cfg(folder / "x.cfg")
    trainer = Trainer(network)
    augmentation = Augmentation.of(network)
    paths = [str(write_picture(folder / f"{k}.png", seed=k)) for k in range(3)]
    values = tuple(f"0 .5 {one} {one} .5" for one in NUMBERS)
    trained = 0
    for _ in range(amount):
        for k in range(3):
            (folder / f"{k}.txt").write_bytes(spoil.text(LABELS, draw, values))
        tried("training: spoiled labels")
        with in_time("labels"), suppress(DarkpyError):
            training = TrainingSet(paths, network.classes)
            truths = np.concatenate([training.labels(k) for k in range(3)])
            assert np.isfinite(truths).all() and np.isin(truths[:, 0], (0, 1)).all()
            assert (truths[:, 3:] > 0).all()
            with Loader(
                training, augmentation, seed=0, batch=4, size=(32, 32), stop=1, workers=1
            ) as loader:
                batch = next(iter(loader))
            trainer.step(batch.images, batch.truths)
            trained += 1
    assert trained > amount // 2
