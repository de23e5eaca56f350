import numpy as np

from darkpy.train.trainer import Trainer
from tests.train.test_trainer import cfg


def measured(trainer, batches):
    """Return mean and variance of the first convolution's output, of each batch."""
    w = trainer.params[0]["weights"]
    outputs = (trainer.ops.conv2d(one, w, stride=(2, 2), padding=1) for one in batches)
    return [trainer.ops.batch_statistics(y) for y in outputs]


def test_statistics_are_the_mean_over_the_batches(tmp_path, rng):
    trainer = Trainer(cfg(tmp_path))
    before = [{name: w.copy() for name, w in own.items()} for own in trainer.params]
    batches = [rng.random((2, 2, 16, 16), np.float32) * scale for scale in (1, 3)]
    params = trainer.with_statistics(iter(batches))
    means, variances = zip(*measured(trainer, batches), strict=True)
    np.testing.assert_allclose(params[0]["rolling_mean"], sum(means) / 2, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(params[0]["rolling_variance"], sum(variances) / 2, rtol=1e-4)
    assert params[0]["weights"] is trainer.params[0]["weights"]
    for own, was in zip(trainer.params, before, strict=True):
        for name, w in own.items():
            np.testing.assert_array_equal(w, was[name], err_msg=name)


def test_without_a_picture_nothing_changes(tmp_path):
    trainer = Trainer(cfg(tmp_path))
    params = trainer.with_statistics([])
    np.testing.assert_array_equal(
        params[0]["rolling_variance"], trainer.params[0]["rolling_variance"]
    )


def test_frozen_layers_keep_their_averages(tmp_path, rng):
    trainer = Trainer(cfg(tmp_path, second="stopbackward=1"))
    params = trainer.with_statistics([rng.random((2, 2, 16, 16), np.float32)])
    assert (params[0]["rolling_variance"] == 1).all()
