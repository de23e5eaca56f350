"""The update against darknet's formulas, worked out here by hand."""

import numpy as np
import pytest

from darkpy import Network
from darkpy.kernels import ops
from darkpy.train.optimizer import Optimizer, frozen_layers, stop_layer

LAYER = "[convolutional]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\nactivation=linear\n"
RATE, BATCH = 0.5, 4


def network(folder, *keys, net=""):
    """Return a network of a convolution for each of ``keys``, which are lines added to it."""
    path = folder / "x.cfg"
    text = f"[net]\ntrain_bn_bias=1\n{net}\nwidth=4\nheight=4\nchannels=2\nmomentum=.9\n"
    text += "" if "decay" in net else "decay=.01\n"
    path.write_text(text + "".join(f"{LAYER}{one}\n" for one in keys))
    return Network.from_cfg(path)


def random_grads(params, rng):
    return [
        {name: rng.normal(size=w.shape).astype(np.float32) for name, w in own.items()}
        for own in params
    ]


def updated(network, iteration=1, steps=1, rate=RATE, grads=None):
    """Return parameters before and after updates, and the gradients that made them."""
    rng = np.random.default_rng(1)
    params = network.initial_params(rng)
    for own in params:
        own["biases"][:] = rng.normal(size=own["biases"].shape)
    before = [{name: w.copy() for name, w in own.items()} for own in params]
    grads = grads or [random_grads(params, rng) for _ in range(steps)]
    optimizer = Optimizer(network, params, ops("cpu"))
    for k, one in enumerate(grads):
        optimizer.update(one, rate, BATCH, iteration + k)
    return before, params, grads


def moved(network, iteration=1, **more):
    """Tell of each layer whether its weights moved."""
    before, after, _ = updated(network, iteration, **more)
    pairs = zip(before, after, strict=True)
    return [bool((old["weights"] != new["weights"]).any()) for old, new in pairs]


def close(one, other):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_momentum_and_decay(tmp_path):
    (w,), (after,), ((first,), (second,)) = updated(network(tmp_path, ""), steps=2)
    for name, decay in (("weights", 0.01), ("biases", 0.0), ("scales", 0.0)):
        update = -first[name] / BATCH - decay * w[name]
        middle = w[name] + RATE * update
        update = 0.9 * update - second[name] / BATCH - decay * middle
        close(after[name], middle + RATE * update)
    for name in ("rolling_mean", "rolling_variance"):
        np.testing.assert_array_equal(after[name], w[name])


def test_biases_of_batch_norm_stay_unless_told_otherwise(tmp_path):
    (tmp_path / "x.cfg").write_text(f"[net]\nwidth=4\nheight=4\nchannels=2\n{LAYER}")
    (w,), (after,), _ = updated(Network.from_cfg(tmp_path / "x.cfg"))
    np.testing.assert_array_equal(after["biases"], w["biases"])
    assert (after["scales"] != w["scales"]).all()


def test_adam(tmp_path):
    net = network(tmp_path, "", net="adam=1\nB1=.8\nB2=.9\neps=.1")
    (w,), (after,), ((first,), (second,)) = updated(net, iteration=3, steps=2)
    for name in ("weights", "biases", "scales"):  # all decay, as darknet's adam_update_gpu has it
        x, m, v = w[name].astype(float), 0.0, 0.0
        for t, grad in ((3, first[name]), (4, second[name])):
            update = -grad - 0.01 * BATCH * x
            m, v = 0.8 * m + 0.2 * update, 0.9 * v + 0.1 * update**2
            x = x + RATE * (m / (1 - 0.8**t)) / (np.sqrt(v / (1 - 0.9**t)) + 0.1)
        close(after[name], x)


def test_a_layer_has_its_own_share_of_the_rate(tmp_path):
    (w, _), (after, _), ((grad, _),) = updated(network(tmp_path, "learning_rate=.1", ""))
    close(after["biases"], w["biases"] - 0.1 * RATE * grad["biases"] / BATCH)


def test_clip_holds_the_weights_alone(tmp_path):
    (w,), (after,), _ = updated(network(tmp_path, "clip=.05"))
    assert abs(w["weights"]).max() > 0.05 and abs(after["weights"]).max() == np.float32(0.05)
    assert abs(after["biases"]).max() > 0.05


def test_centred_gradients_leave_the_mean_of_a_filter(tmp_path):
    net = network(tmp_path, "grad_centr=1", net="decay=0")
    (w,), (after,), ((grad,),) = updated(net)
    close(after["weights"].mean((1, 2, 3)), w["weights"].mean((1, 2, 3)))
    close(after["biases"], w["biases"] - RATE * grad["biases"] / BATCH)
    centred = grad["weights"] - grad["weights"].mean((1, 2, 3), keepdims=True)
    close(after["weights"], w["weights"] - RATE * centred / BATCH)


def test_only_statistics_up_to_the_last_train_only_bn(tmp_path):
    assert moved(network(tmp_path, "", "train_only_bn=1", "")) == [False, False, True]


@pytest.mark.parametrize(("iteration", "moves"), [(1, False), (7, False), (8, True)])
def test_dont_update_is_a_number_of_iterations(tmp_path, iteration, moves):
    assert moved(network(tmp_path, "dont_update=7", ""), iteration) == [moves, True]


@pytest.mark.parametrize(("iteration", "moves"), [(1, False), (19, False), (20, True)])
def test_burnin_update_counts_burn_ins(tmp_path, iteration, moves):
    net = network(tmp_path, "burnin_update=2", "", net="burn_in=10")
    assert moved(net, iteration) == [moves, True]


def test_stopbackward_1_freezes_what_is_before_the_last_of_them(tmp_path):
    net = network(tmp_path, "stopbackward=1", "", "stopbackward=1", "")
    assert frozen_layers(net) == 2
    assert moved(net, 500) == [False, False, True, True]
    assert stop_layer(net, 500) == 2


@pytest.mark.parametrize(("iteration", "stop"), [(1, 1), (799, 1), (800, -1)])
def test_stopbackward_of_more_ends_the_way_back_for_so_many_iterations(tmp_path, iteration, stop):
    net = network(tmp_path, "", "stopbackward=800", "")
    assert frozen_layers(net) == 0
    assert stop_layer(net, iteration) == stop


def test_what_has_no_gradient_decays(tmp_path):
    (w,), (after,), _ = updated(network(tmp_path, ""), grads=[[{}]])
    close(after["weights"], w["weights"] * (1 - RATE * 0.01))
    np.testing.assert_array_equal(after["biases"], w["biases"])


def test_shared_parameters_move_once(tmp_path):
    net = network(tmp_path, "", "", "share_index=1")
    rng = np.random.default_rng(1)
    params = net.initial_params(rng)
    assert params[2] is params[1]
    old = params[1]["biases"].copy()
    grads = random_grads(params, rng)
    grads[2] = grads[1]
    Optimizer(net, params, ops("cpu")).update(grads, RATE, BATCH, 1)
    close(params[1]["biases"], old - RATE * grads[1]["biases"] / BATCH)
