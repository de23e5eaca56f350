"""Bad .weights: refused with an error of ours; and what is written is read again, byte for byte."""

import math
import os
import random
import struct

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from darkpy import DarkpyError, Detector, Network, WeightsError, load, read_weights, write_weights
from darkpy.weights import Version, file_size
from tests.fuzz import cfgs, spoil
from tests.fuzz.exercise import build, in_time, is_small
from tests.tiny import write_model

VERSIONS = ((0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 2, 5), (1, 0, 0), (0, 1001, 0), (1001, 2, 3))
ODD = ((-1, -1, -1), (-(2**31), 2**31 - 1, 0), (2**31 - 1,) * 3, (0, -2, 5), (214748365, 0, 0))
SLOW = pytest.mark.slow


@pytest.fixture
def model(folder):
    """Return a small network and the bytes of its weights."""
    write_model(folder)
    return Network.from_cfg(folder / "tiny.cfg"), (folder / "tiny.weights").read_bytes()


def attempt(network, content, folder):
    """Read and write again; return the parameters, or None if they were refused."""
    path, again = folder / "x.weights", folder / "y.weights"
    path.write_bytes(content)
    with in_time(content[:100]):
        try:
            params = read_weights(network, path)
        except DarkpyError as error:
            assert str(error).startswith(str(path)) and len(str(error)) < 400
            return None
    assert all(np.isfinite(array).all() for one in params for array in one.values())
    if params.loaded == len(network.nodes):
        write_weights(network, params, again, seen=params.seen)
        assert again.read_bytes() == content
    return params


def test_cut_at_every_boundary_and_beside_it(model, folder, tried):
    network, content = model
    ends, at = [0, 4, 8, 12, 16, 20], 20
    for node in network.nodes:
        for shape in node.params.values():
            at += 4 * math.prod(shape)
            ends.append(at)
    assert at == len(content) == file_size(network)
    for end in ends:
        for cut in range(max(0, end - 5), min(at, end + 5) + 1):
            params = attempt(network, content[:cut], folder)
            if cut == at:
                assert params.loaded == len(network.nodes)
            elif params is not None:
                assert params.loaded < len(network.nodes)
            tried("weights: cut at a boundary")


@pytest.mark.parametrize("amount", [300, pytest.param(6000, marks=SLOW)])
def test_spoiled(amount, model, folder, tried):
    network, content = model
    draw = random.Random(4)
    for _ in range(amount):
        change = draw.choice((spoil.bytes_, spoil.bytes_, spoil.truncated))
        attempt(network, change(content, draw), folder)
        tried("weights: spoiled")


@pytest.mark.parametrize("version", [*VERSIONS, *ODD], ids=str)
def test_headers(version, model, folder, tried):
    network, content = model
    for seen in (b"", b"\0" * 4, b"\0" * 8, b"\xff" * 4, b"\xff" * 8, b"\xff" * 7):
        header = struct.pack("<3i", *version) + seen
        params = attempt(network, header + content[20:], folder)
        if params is not None and params.loaded == len(network.nodes):
            assert params.version == version
        attempt(network, header, folder)
        tried("weights: headers", 2)


@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(value, model, folder, tried):
    network, content = model
    draw = random.Random(5)
    for _ in range(60):
        values = np.frombuffer(content[20:], "<f4").copy()
        values[draw.randrange(values.size)] = value
        assert attempt(network, content[:20] + values.tobytes(), folder) is None
        tried("weights: not finite")


@pytest.mark.parametrize("value", [3.4e38, -3.4e38, 1e-45, 0])
def test_extreme_numbers_run_without_a_word(value, model, folder, tried):
    _, content = model
    values = np.full((len(content) - 20) // 4, value, "<f4")
    (folder / "x.weights").write_bytes(content[:20] + values.tobytes())
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for device in ("cpu", "reference"):
        found = load(folder / "tiny.cfg", folder / "x.weights", device=device).detect(image, 0.1)
        assert np.isfinite(found.xyxy).all()
        tried("weights: extreme numbers")


def test_numbers_that_overflow_in_other_threads_run_without_a_word(folder, tried):
    """Layers large enough to be shared out over the cores; a warning is an error here."""
    layers = "[convolutional]\nfilters=96\nsize={}\npad=1\nactivation=mish\n"
    text = "[net]\nwidth=64\nheight=64\nchannels=32\n" + layers.format(3) + layers.format(1)
    (folder / "x.cfg").write_text(text + "[connected]\noutput=99\n[softmax]\n")
    network = Network.from_cfg(folder / "x.cfg")
    draw = np.random.default_rng(0)
    params = [
        {name: draw.choice([-3e38, 3e38], shape).astype(np.float32) for name, shape in own.items()}
        for own in (node.params for node in network.nodes)
    ]
    x = draw.random(network.image, np.float32)
    for device in ("cpu", "reference"):
        Detector(network, params, device=device).forward(x)
        tried("weights: extreme numbers")


def test_another_network(model, folder, tried):
    _, content = model
    for section in cfgs.sections():
        (folder / "x.cfg").write_text(cfgs.mended(cfgs.written(section), folder / "x.cfg"))
        network = build(folder / "x.cfg")
        if isinstance(network, Network):
            attempt(network, content, folder)
            tried("weights: of another network")


def test_what_is_no_file(model, folder, tried):
    network, _ = model
    (folder / "folder").mkdir()
    names = [
        "",
        ".",
        "/",
        "folder",
        "none",
        "x/y",
        "\0",
        "\ud800",
        "x" * 5000,
        "~",
        "~nobody-here/x",
    ]
    names += [name for name in ("/dev/zero", "/dev/null", "/dev/full") if os.path.exists(name)]
    for name in names:
        with in_time(name), pytest.raises(WeightsError):
            read_weights(network, name)
        tried("weights: no file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(model, folder, tried):
    os.mkfifo(folder / "pipe")
    with in_time("pipe"), pytest.raises(WeightsError, match="pipe"):
        read_weights(model[0], folder / "pipe")
    tried("weights: no file")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_without_permission(model, folder, tried):
    (folder / "tiny.weights").chmod(0)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(model[0], folder / "tiny.weights")
    tried("weights: no file")


ABSURD = (
    "filters=30000\nsize=9\npad=1\n",
    "filters=2000000000\n",
    "filters=100\nsize=4001\npad=1\n",
)


@pytest.mark.parametrize("keys", ABSURD)
@pytest.mark.parametrize("count", [0, 1, 100, 5000])
def test_absurd_networks_with_little_weights(keys, count, folder, tried):
    text = cfgs.HEAD + f"[convolutional]\n{keys}" + f"[convolutional]\n{keys}" * 3
    (folder / "x.cfg").write_text(text)
    network = build(folder / "x.cfg")
    if isinstance(network, Network):
        content = struct.pack("<3iq", 0, 2, 5, 0) + b"\0" * 4 * count
        (folder / "x.weights").write_bytes(content)
        with in_time(keys), pytest.raises(DarkpyError):
            load(folder / "x.cfg", folder / "x.weights")
    tried("weights: absurd networks")


BAD_OUT = ("", ".", "/", "folder", "none/x", "tiny.cfg/x", "\0", "x" * 300, "~nobody-here/x")


@pytest.mark.parametrize("out", BAD_OUT, ids=ascii)
def test_what_cannot_be_written_leaves_nothing(out, model, folder, tried):
    network, _ = model
    params = network.initial_params(np.random.default_rng(0))
    (folder / "folder").mkdir()
    before = sorted(folder.rglob("*"))
    with pytest.raises(DarkpyError):
        write_weights(network, params, out)
    assert sorted(folder.rglob("*")) == before
    tried("weights: not to be written")


def check_round_trip(data, folder, tried):
    text = cfgs.mended(data.draw(cfgs.networks()), folder / "x.cfg")
    (folder / "x.cfg").write_text(text, encoding="utf-8")
    network = build(folder / "x.cfg")
    assume(isinstance(network, Network) and network.parameters and is_small(network))
    version = Version(*data.draw(st.sampled_from(VERSIONS)))
    seen = data.draw(st.integers(0, 256 ** np.dtype(version.seen_type).itemsize - 1))
    drawn = network.initial_params(np.random.default_rng(data.draw(st.integers(0, 99))))
    one, two = folder / "one.weights", folder / "two.weights"
    write_weights(network, drawn, one, seen=seen, version=version)
    params = read_weights(network, one)
    assert (params.seen, params.version) == (seen, version)
    for node, written, read in zip(network.nodes, drawn, params, strict=True):
        skipped = (
            {"scales", "rolling_mean", "rolling_variance"} if node.layer.dontloadscales else ()
        )
        for name in node.params:
            if not node.layer.dontload and name not in skipped:
                np.testing.assert_array_equal(read[name], written[name])
    write_weights(network, params, two, seen=seen)
    assert two.read_bytes() == one.read_bytes()
    tried(f"weights: round trips, version {version.major}.{version.minor}")


# The folder is the same for all examples of a test, and each writes the files anew.
checks = ["function_scoped_fixture", "too_slow", "filter_too_much"]
drawn = settings(suppress_health_check=checks, max_examples=60)


@drawn
@given(data=st.data())
def test_drawn_networks_round_trip(data, folder, tried):
    check_round_trip(data, folder, tried)


@SLOW
@settings(drawn, max_examples=600)
@given(data=st.data())
def test_many_drawn_networks_round_trip(data, folder, tried):
    check_round_trip(data, folder, tried)
