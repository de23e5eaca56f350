"""The optimizer on a device against the one on the processor, from one iteration to the next.

Tolerance: ten iterations, each of which rounds a number some ten times by 6e-8 of its largest
operand. Adam divides by the root of a mean square, which must not be as small as what is rounded:
hence ``eps``.
"""

from itertools import pairwise

import numpy as np
import pytest

from darkpy import Network
from darkpy.kernels import ops
from darkpy.train.device_optimizer import STATE, DeviceOptimizer
from darkpy.train.layout import buckets, layout
from darkpy.train.optimizer import Optimizer
from darkpy.train.state import load_state, save_state
from darkpy.train.trainer import Trainer
from tests.conftest import ROOT
from tests.kernels.cuda.agree import device
from tests.train.project import CFG

CLOSE = 1e-5
BATCH, RATE = 4, 0.05
CONVOLUTION = "[convolutional]\nfilters=3\nsize=3\npad=1\nbatch_normalize=1\nactivation=linear\n"
NETS = {
    "momentum": ("momentum=.9", ("", "")),
    "adam": ("adam=1\nB1=.8\neps=.001\ntrain_bn_bias=1", ("clip=.1", "")),
    "each its own": (
        "burn_in=4\ntrain_bn_bias=1",
        ("dont_update=3", "burnin_update=1", "learning_rate=.1\nclip=.1", "grad_centr=1"),
    ),
    "frozen": ("", ("stopbackward=1", "", "stopbackward=1", "")),
    "statistics": ("", ("train_only_bn=1", "")),
    "shared": ("", ("", "", "share_index=1")),
}


def network(folder, net, keys):
    path = folder / "x.cfg"
    text = f"[net]\nwidth=4\nheight=4\nchannels=2\ndecay=.01\n{net}\n"
    path.write_text(text + "".join(f"{CONVOLUTION}{one}\n" for one in keys))
    return Network.from_cfg(path)


def drawn(network, rng):
    """Return parameters, of which also what begins with zeros is drawn."""
    params = network.initial_params(rng)
    for own in params:
        for array in own.values():
            if not array.any():
                array[...] = rng.normal(size=array.shape)
    return params


def copied(params, network):
    new = [{name: w.copy() for name, w in own.items()} for own in params]
    return [new[node.owner] for node in network.nodes]


class Both:
    """The same training on the processor and on the device."""

    def __init__(self, network, rng, **more):
        self.network = network
        self.rng = rng
        first = drawn(network, rng)
        self.host = Optimizer(network, first, ops("reference"))
        self.mirror = Optimizer(network, copied(first, network), ops("reference"))
        self.on = device(check=False)
        self.other = DeviceOptimizer(self.on, self.mirror, **more)
        self.launches = self.on.bind(self.other.launches())

    def gradients(self):
        """Draw a gradient for all that learns, but for some that has none."""
        grads = [{} for _ in self.network.nodes]
        for node in self.network.nodes:
            if node.owner != node.index:
                grads[node.index] = grads[node.owner]
            elif self.rng.random() < 0.9:
                for name in self.host.moments[node.index]:
                    size = node.params[name]
                    grads[node.index][name] = self.rng.normal(size=size).astype(np.float32)
        return grads

    def step(self, iteration, scale=1.0):
        grads = self.gradients()
        self.other.clear()
        for node in self.network.nodes:
            for name, grad in grads[node.index].items():
                self.other.gradient(node, name)[...] = grad * np.float32(scale)
        self.other.begin(RATE, BATCH, iteration)
        for launch in self.launches:
            launch()
        self.host.update(grads, RATE, BATCH, iteration)

    def assert_same(self):
        self.other.download()
        for node in self.network.nodes:
            one, other = self.host.params[node.index], self.mirror.params[node.index]
            for name in one:
                near(other[name], one[name], f"{node.index} {name}")
            moments = self.mirror.moments[node.index]
            for name, pair in self.host.moments[node.index].items():
                for mine, theirs in zip(pair, moments[name], strict=True):
                    near(theirs, mine, f"{node.index} {name}")


def near(found, truth, what=""):
    most = np.abs(truth).max(initial=0)
    np.testing.assert_allclose(found, truth, rtol=0, atol=CLOSE * most, err_msg=what)


@pytest.mark.parametrize("name", NETS)
def test_it_moves_what_the_processors_does(name, tmp_path, rng):
    both = Both(network(tmp_path, *NETS[name]), rng)
    for iteration in range(1, 8):
        both.step(iteration)
    both.assert_same()
    assert both.other.report()["good"] == 7


@pytest.mark.parametrize(
    ("cfg", "settings"),
    [
        ("shapes", ()),
        ("shapes", ("net.adam=1", "net.eps=.01", "convolutional.grad_centr=1")),
        ("yolo-fastest-1.1", ("net.burn_in=2", "convolutional.clip=.5")),
    ],
)
def test_networks_of_the_zoo(cfg, settings, rng):
    both = Both(Network.from_cfg(ROOT / "cfg" / f"{cfg}.cfg", settings=settings), rng)
    for iteration in range(1, 4):
        both.step(iteration)
    both.assert_same()


def test_a_scaled_loss_is_the_same_step(tmp_path, rng):
    both = Both(network(tmp_path, *NETS["adam"]), rng, patience=2, scale=256.0)
    for iteration in range(1, 6):
        both.step(iteration, float(both.other.report()["scale"]))
    both.assert_same()
    assert both.other.report()["scale"] == 1024


def test_a_step_that_is_skipped_changes_nothing(tmp_path, rng):
    both = Both(network(tmp_path, *NETS["momentum"]), rng, patience=2, scale=256.0)
    both.step(1, 256.0)
    arrays = [both.other.params, *both.other.moments]
    before = [x.copy() for x in arrays]
    both.other.gradient(both.network.nodes[1], "weights")[0] = np.inf
    for launch in both.launches:
        launch()
    for old, new in zip(before, arrays, strict=True):
        np.testing.assert_array_equal(old, new)
    report = both.other.report()
    assert (report["finite"], report["skipped"], report["scale"]) == (0, 1, 128)


def test_gradients_are_mended_if_the_cfg_says_so(tmp_path, rng):
    both = Both(network(tmp_path, "try_fix_nan=1", ("grad_centr=1",)), rng)
    node = both.network.nodes[0]
    grads = both.gradients()
    grads[0] = {name: np.ones(size, np.float32) for name, size in node.params.items()}
    grads[0]["weights"][0, 0, 0] = np.nan
    for name in both.host.moments[0]:
        both.other.gradient(node, name)[...] = grads[0][name]
    both.other.begin(RATE, BATCH, 1)
    both.on.run(both.other.launches())
    np.nan_to_num(grads[0]["weights"], copy=False)
    both.host.update(grads, RATE, BATCH, 1)
    both.assert_same()


def test_left_is_told_once(tmp_path, rng):
    both = Both(network(tmp_path, *NETS["momentum"]), rng)
    both.other.parameter(both.network.nodes[0], "weights")[0] = np.inf
    both.step(1)
    assert [both.other.report()["left"] for _ in range(2)] == [1, 0]


def trainer(folder, seed=0):
    path = folder / "tiny.cfg"
    path.write_text(CFG.format(net="ema_alpha=.5\nadam=1", head=""))
    return Trainer(path, seed=seed)


def test_averages_follow_and_become_the_weights(tmp_path, rng):
    one = trainer(tmp_path)
    other = DeviceOptimizer(device(check=False), one.optimizer)
    one.start_average()
    other.upload(one.average)
    for own in one.params:
        for array in own.values():
            array += rng.normal(size=array.shape).astype(np.float32)
    means = other.means
    other.upload(one.average)
    assert other.means is not means
    other.begin(RATE, BATCH, 1)
    other.device.run(other.average_launches())
    for node, mean in zip(one.network.nodes, one.average, strict=True):
        for name, array in mean.items():
            one.ops.ema_step(array, one.params[node.index][name], alpha=0.5)
    found = [{name: np.empty_like(w) for name, w in own.items()} for own in one.average]
    other.download(found)
    other.apply_average()
    for node in one.network.nodes:
        for name, array in one.average[node.index].items():
            near(found[node.index][name], array)
            near(other.parameter(node, name), array)
    assert one.average[0].keys() == {"weights", "scales"}


def test_what_is_saved_does_not_tell_where_it_was_trained(tmp_path, rng):
    """A state goes from the processor to the device and back without a change."""
    one = trainer(tmp_path, seed=3)
    images = rng.random((4, 3, 32, 32), np.float32)
    truths = [np.array([[1, 0.5, 0.5, 0.4, 0.4]])] * 4
    one.step(images, truths)
    one.start_average()
    one.step(images, truths)
    save_state(tmp_path / "host.npz", one, {})
    two = trainer(tmp_path)
    load_state(tmp_path / "host.npz", two)
    on_device = DeviceOptimizer(device(check=False), two.optimizer)
    on_device.upload(two.average)
    arrays = [w for own in two.params for w in own.values()]
    arrays += [m for own in two.optimizer.moments for pair in own.values() for m in pair]
    arrays += [w for own in two.average for w in own.values()]
    for array in arrays:
        array[...] = np.nan
    on_device.download(two.average)
    save_state(tmp_path / "device.npz", two, {})
    assert (tmp_path / "host.npz").read_bytes() == (tmp_path / "device.npz").read_bytes()


def test_places_do_not_overlap_and_are_aligned():
    network = Network.from_cfg(ROOT / "cfg" / "yolov4-tiny.cfg")
    own = layout(network)
    parts = sorted((place.part.start, place.part.stop) for place in own.places.values())
    assert all(start % 64 == 0 for start, _ in parts)
    assert all(a[1] <= b[0] for a, b in pairwise(parts))
    assert parts[-1][1] <= own.size
    statistics = [p for (_, name), p in own.places.items() if name.startswith("rolling")]
    assert all(place.start >= own.graded for place in statistics)


@pytest.mark.parametrize("count", [1, 100_000, 1 << 20, 1 << 30])
def test_buckets_cover_what_learns_in_the_order_of_the_way_back(count):
    network = Network.from_cfg(ROOT / "cfg" / "yolov4-tiny.cfg")
    own, found = layout(network), buckets(network, count)
    assert found[0].end == own.learned and found[-1].start == 0
    for one, after in pairwise(found):
        assert one.start == after.end and one.layer > after.layer
        assert one.end - one.start >= count
    for (index, _), place in own.places.items():
        for one in found:
            if one.start <= place.start < min(one.end, own.learned):
                assert index >= one.layer


def test_the_first_of_the_state_is_the_scale():
    assert STATE[0] == "scale"
