"""The .weights file: every header, every layer, and what goes wrong with files."""

import os

import numpy as np
import pytest

from darkpy import Network, NetworkError, WeightsError, read_weights, write_weights
from darkpy.weights import Values, Version, file_size

NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
CONV = "[convolutional]\nfilters={}\nsize=3\npad=1\nbatch_normalize={}\nactivation=leaky\n"
ALL = (
    NET
    + CONV.format(4, 1)
    + CONV.format(4, 0)
    + "[shortcut]\nfrom=-2\nweights_type=per_channel\nweights_normalization=softmax\n"
    + CONV.format(4, 1)
    + "groups=2\n"
    + CONV.format(4, 1)
    + "groups=2\nshare_index=-1\n"
    + CONV.format(4, 0)
    + "flipped=1\n"
    + "[batchnorm]\n"
    + "[local]\nfilters=2\nsize=3\npad=1\n"
    + "[connected]\noutput=5\nbatch_normalize=1\n"
    + "[connected]\noutput=3\nactivation=linear\n"
)
VERSIONS = [(0, 1, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0), (0, 1001, 0), (1001, 2, 3)]


@pytest.fixture
def network(tmp_path):
    """Return a network of the text of a .cfg."""

    def build(text=ALL):
        path = tmp_path / "x.cfg"
        path.write_text(text)
        return Network.from_cfg(path)

    return build


def drawn(network, path, version=(0, 2, 5), seen=64000, count=None, extra=b""):
    """Write a file of random values as the format says, without darkpy's own writer."""
    count = (file_size(network) - 20) // 4 if count is None else count
    values = np.random.default_rng(5).normal(0, 1, count).astype("<f4")
    wide = version[0] * 10 + version[1] >= 2 and max(version[:2]) < 1000
    head = np.array(version, "<i4").tobytes() + np.array([seen], "<u8" if wide else "<u4").tobytes()
    path.write_bytes(head + values.tobytes() + extra)
    return values


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_the_header_round_trips_byte_for_byte(network, tmp_path, version):
    net, path, again = network(), tmp_path / "a.weights", tmp_path / "b.weights"
    drawn(net, path, version, seen=123456)
    params = read_weights(net, path)
    assert (params.seen, params.version, params.loaded) == (123456, version, len(net.nodes))
    write_weights(net, params, again, seen=params.seen)
    assert again.read_bytes() == path.read_bytes()


def test_seen_may_be_larger_than_32_bits(network, tmp_path):
    net = network(NET + CONV.format(1, 0))
    path = tmp_path / "a.weights"
    write_weights(net, net.initial_params(np.random.default_rng(0)), path, seen=2**40)
    assert read_weights(net, path).seen == 2**40
    with pytest.raises(WeightsError, match="does not fit"):
        write_weights(net, read_weights(net, path), path, seen=2**40, version=Version(0, 1, 0))


def test_arrays_come_in_darknets_order(network, tmp_path):
    net = network(NET + CONV.format(2, 1) + "[connected]\noutput=3\nbatch_normalize=1\n")
    values = drawn(net, tmp_path / "a.weights")
    conv, connected = read_weights(net, tmp_path / "a.weights")
    taken = [conv[k] for k in ("biases", "scales", "rolling_mean", "rolling_variance", "weights")]
    order = ("biases", "weights", "scales", "rolling_mean", "rolling_variance")
    taken += [connected[k] for k in order]
    np.testing.assert_array_equal(np.concatenate([one.reshape(-1) for one in taken]), values)


def test_the_transposed_flag_and_flipped_exchange_rows_and_columns(network, tmp_path):
    net = network(NET + "[connected]\noutput=3\n")
    values = drawn(net, tmp_path / "a.weights", (0, 1001, 0))
    weights = read_weights(net, tmp_path / "a.weights")[0]["weights"]
    np.testing.assert_array_equal(weights.reshape(3, -1), values[3:].reshape(-1, 3).T)
    net = network(NET + CONV.format(2, 0) + "flipped=1\n")
    values = drawn(net, tmp_path / "a.weights")
    weights = read_weights(net, tmp_path / "a.weights")[0]["weights"]
    np.testing.assert_array_equal(weights.reshape(2, 27), values[2:].reshape(27, 2).T)


def test_a_backbone_ends_between_two_layers(network, tmp_path, caplog):
    net = network()
    first = sum(int(np.prod(shape)) for node in net.nodes[:4] for shape in node.params.values())
    values = drawn(net, tmp_path / "a.conv.4", count=first)
    params = read_weights(net, tmp_path / "a.conv.4")
    assert params.loaded == 5  # layer 4 shares: it needs nothing
    assert "holds only layers 0..4" in caplog.text
    np.testing.assert_array_equal(params[0]["biases"], values[:4])
    assert np.all(params[6]["scales"] == 1)


def test_writing_the_first_layers_makes_a_backbone(network, tmp_path):
    net = network()
    drawn(net, tmp_path / "a.weights")
    params = read_weights(net, tmp_path / "a.weights", upto=2)
    write_weights(net, params, tmp_path / "a.conv.2", upto=2)
    count = 4 * 4 + 108 + 4 + 144
    assert (tmp_path / "a.conv.2").stat().st_size == 20 + 4 * count
    assert read_weights(net, tmp_path / "a.conv.2").loaded == 2


def test_what_is_not_loaded_takes_no_bytes(network, tmp_path):
    net = network(
        NET + CONV.format(2, 1) + "dontload=1\n" + CONV.format(2, 1) + "dontloadscales=1\n"
    )
    assert file_size(net) == 20 + 4 * (2 + 36)
    values = drawn(net, tmp_path / "a.weights")
    params = read_weights(net, tmp_path / "a.weights")
    np.testing.assert_array_equal(params[1]["biases"], values[:2])
    assert np.all(params[1]["scales"] == 1) and np.all(params[0]["biases"] == 0)


def test_a_short_file_names_the_array_and_both_counts(network, tmp_path):
    net = network(NET + CONV.format(4, 1))
    drawn(net, tmp_path / "a.weights", count=16 + 100)
    message = (
        r"a\.weights: ends within weights of layer 0 \[convolutional\]: 108 values needed, 100"
    )
    with pytest.raises(WeightsError, match=message):
        read_weights(net, tmp_path / "a.weights")


def test_what_is_left_over_is_an_error(network, tmp_path):
    net = network(NET + CONV.format(4, 1))
    drawn(net, tmp_path / "a.weights", count=16 + 108 + 7)
    with pytest.raises(WeightsError, match=r"holds 7 values \(28 bytes\) more than the 124"):
        read_weights(net, tmp_path / "a.weights")
    drawn(net, tmp_path / "a.weights", extra=b"ab")
    with pytest.raises(WeightsError, match="2 bytes left over"):
        read_weights(net, tmp_path / "a.weights")


@pytest.mark.parametrize("content", [b"", b"abc", b"\0" * 15, b"\0\0\0\0\2\0\0\0\5\0\0\0\0\0\0\0"])
def test_a_file_without_a_header_is_refused(network, tmp_path, content):
    (tmp_path / "a.weights").write_bytes(content)
    with pytest.raises(WeightsError, match=f"{len(content)} bytes long"):
        read_weights(network(NET + CONV.format(4, 1)), tmp_path / "a.weights")


def test_a_missing_file_or_a_folder_is_refused(network, tmp_path):
    net = network(NET + CONV.format(4, 1))
    for path in (tmp_path / "none.weights", tmp_path):
        with pytest.raises(WeightsError, match="cannot be read"):
            read_weights(net, path)


def test_values_that_are_not_finite_are_counted(network, tmp_path):
    net = network(NET + CONV.format(4, 0))
    values = drawn(net, tmp_path / "a.weights")
    values[[5, 9]] = np.nan, np.inf
    head = (tmp_path / "a.weights").read_bytes()[:20]
    (tmp_path / "a.weights").write_bytes(head + values.tobytes())
    with pytest.raises(WeightsError, match="2 of 108 values in weights of layer 0"):
        read_weights(net, tmp_path / "a.weights")


def test_a_failed_write_leaves_the_old_file(network, tmp_path):
    net = network(NET + CONV.format(4, 1) * 2)
    path = tmp_path / "a.weights"
    path.write_bytes(b"old")
    params = net.initial_params(np.random.default_rng(0))
    params[1]["weights"] = params[1]["weights"][:1]
    with pytest.raises(WeightsError, match=r"layer 1 \[convolutional\]: weights has shape"):
        write_weights(net, params, path)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir() if "partial" in one.name] == []


def test_absurd_networks_with_small_files_are_refused_at_once(network, tmp_path):
    net = network(
        NET
        + "[convolutional]\nfilters=60000\nsize=9\npad=1\n"
        + "[convolutional]\nfilters=30000\n" * 9
    )
    (tmp_path / "a.weights").write_bytes(b"\0\0\0\0\2\0\0\0\5\0\0\0" + b"\0" * 8)
    with pytest.raises(NetworkError, match="GiB"):
        read_weights(net, tmp_path / "a.weights")


def test_what_are_no_parameters_is_not_written(network, tmp_path):
    net = network(NET + CONV.format(4, 0))
    good = net.initial_params(np.random.default_rng(0))
    hurt = [{**good[0], "weights": np.full((4, 3, 3, 3), np.nan, np.float32)}]
    for params, message in (
        ([], "expected an array"),
        ([{}], "expected an array"),
        ([{**good[0], "biases": ["a"] * 4}], "expected an array"),
        (hurt, "not finite"),
    ):
        with pytest.raises(WeightsError, match=rf"layer 0 \[convolutional\]: .*{message}"):
            write_weights(net, params, tmp_path / "a.weights")
    assert list(tmp_path.glob("*.weights")) == []


def test_a_file_that_is_cut_short_while_it_is_read_is_said_to_be(tmp_path):
    place = tmp_path / "x.weights"
    place.write_bytes(bytes(20 + 4 * 10))
    values = Values(place, 20, 10)
    np.testing.assert_array_equal(values.take(2, 8), 0)
    os.truncate(place, 40)
    with pytest.raises(
        WeightsError, match=r"x.weights: ends 5 values early; is it being written\?"
    ):
        values.take(0, 10)
