"""A trainer that runs plans learns what one that runs eagerly does."""

import sys

import numpy as np
import pytest

from darkpy.plan.step import StepPlan
from darkpy.train import on_host
from darkpy.train.finite import NotFinite
from darkpy.train.trainer import Trainer
from tests.conftest import ROOT
from tests.train.test_trainer import arrays, cfg

sys.path.insert(0, str(ROOT / "benchmarks"))

import soak

CLOSE = 2e-5  # of each array's largest value: sums in other orders, over three steps


@pytest.fixture(autouse=True)
def always(monkeypatch):
    monkeypatch.setattr(on_host, "PLAN_FROM", 0)


def batch(rng, count, side=16):
    truths = [np.array([[k % 2, 0.5, 0.4, 0.4, 0.3]], np.float32) for k in range(count)]
    return rng.random((count, 2, side, side), np.float32), truths


def both(path, batches):
    """Return trainers that ran plans and eagerly, and the losses of each."""
    planned, eager = Trainer(path), Trainer(path)
    eager._on.planned = False
    losses = [[one.step(*each) for each in batches] for one in (planned, eager)]
    assert all(isinstance(one, StepPlan) for one in planned._on.tapes.values())
    return planned, eager, losses


def agree(planned, eager):
    for name, want in arrays(eager.params).items():
        got = arrays(planned.params)[name]
        np.testing.assert_allclose(got, want, rtol=0, atol=CLOSE * np.abs(want).max(), err_msg=name)


@pytest.mark.parametrize("keys", [{}, {"net": "adam=1"}, {"second": "stopbackward=2"}], ids=str)
def test_it_learns_the_same(tmp_path, rng, keys):
    batches = [batch(rng, 4) for _ in range(3)]
    planned, eager, losses = both(cfg(tmp_path, **keys), batches)
    np.testing.assert_allclose(*losses, rtol=1e-5)
    agree(planned, eager)


def test_sizes_and_numbers_of_pictures_may_change(tmp_path, rng):
    batches = [batch(rng, count, side) for count, side in ((4, 16), (3, 32), (1, 16), (4, 24))]
    planned, eager, losses = both(cfg(tmp_path), batches)
    np.testing.assert_allclose(*losses, rtol=1e-5)
    agree(planned, eager)


def test_frozen_layers_stay(tmp_path, rng):
    path = cfg(tmp_path, second="stopbackward=1")
    planned, eager, losses = both(path, [batch(rng, 4) for _ in range(3)])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    agree(planned, eager)
    before = Trainer(path)
    np.testing.assert_array_equal(planned.params[0]["weights"], before.params[0]["weights"])


def test_a_number_that_is_none_is_found(tmp_path, rng):
    trainer = Trainer(cfg(tmp_path))
    trainer.params[1]["weights"][0] = np.inf
    with pytest.raises(NotFinite, match=r"layer 1 \[convolutional\]"):
        trainer.step(*batch(rng, 4))


def test_reading_other_parameters_is_noticed(tmp_path, rng):
    trainer, other = Trainer(cfg(tmp_path)), Trainer(cfg(tmp_path), seed=1)
    images, truths = batch(rng, 4)
    trainer.step(images, truths)
    for mine, theirs in zip(trainer.params, other.params, strict=True):
        for name, value in theirs.items():
            mine[name][...] = value  # as a resumption does
    for moments in trainer.optimizer.moments:
        for arrays_ in moments.values():
            arrays_[0][...] = 0
    trainer.iteration = 0
    assert trainer.step(images, truths) == pytest.approx(other.step(images, truths), rel=1e-6)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_steps(tmp_path):
    memory = soak.apart(soak.steps, cfg(tmp_path), 400)
    assert soak.grown(memory) <= soak.MOST
