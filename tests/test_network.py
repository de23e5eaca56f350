"""Connecting layers: shapes, references, and the errors a person needs."""

import numpy as np
import pytest

from darkpy import CfgError, Network, NetworkError
from darkpy.layers import Shape
from darkpy.layers.convolutional import Convolutional
from tests.conftest import SHARED

REFERENCE = sorted((SHARED / "data" / "cfg").rglob("*.cfg"))
RECURRENT = {
    "crnn.train",
    "gru",
    "lstm.train",
    "rnn",
    "rnn.train",
    "yolov3-tiny_occlusion_track",
}

HEAD = "[net]\nwidth=32\nheight=24\nchannels=3\n"


@pytest.fixture
def cfg(tmp_path):
    """Write a .cfg and return its path."""

    def write(text, name="x.cfg"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.mark.skipif(not REFERENCE, reason="the reference cfgs (../shared/data/cfg) are not here")
@pytest.mark.parametrize("path", REFERENCE, ids=lambda path: path.stem)
def test_every_reference_cfg_builds_but_the_recurrent(path):
    if path.stem in RECURRENT:
        with pytest.raises(NetworkError, match="recurrent"):
            Network.from_cfg(path)
    else:
        network = Network.from_cfg(path)
        assert network.nodes


def test_connects_shapes_and_inputs(cfg):
    network = Network.from_cfg(
        cfg(HEAD + "[convolutional]\nfilters=8\nsize=3\npad=1\nstride=2\n[shortcut]\nfrom=-1\n")
    )
    conv, shortcut = network.nodes
    assert network.image == Shape(3, 24, 32)
    assert conv.shape == Shape(8, 12, 16)
    assert conv.params == {"biases": (8,), "weights": (8, 3, 3, 3)}
    assert shortcut.inputs == (0, 0)
    assert network.parameters == 8 + 8 * 27
    assert network.heads == (shortcut,)


def test_resizing_keeps_parameters_and_places(cfg):
    network = Network.from_cfg(cfg(HEAD + "[convolutional]\nfilters=8\n"))
    larger = network.resized(64, 96)
    assert larger.nodes[0].shape == Shape(8, 64, 96)
    assert larger.nodes[0].params == network.nodes[0].params
    assert larger.nodes[0].where == network.nodes[0].where
    assert Network.from_cfg(network.path, size=(64, 96)).image == larger.image


def test_layers_may_come_without_a_cfg():
    network = Network.from_layers([Convolutional(filters=4, size=3)], Shape(2, 5, 6))
    assert network.nodes[0].shape == Shape(4, 3, 4)
    assert network.options.width == 6


BAD = {
    "": "has no section",
    "# nothing\n": "has no section",
    "[convolutional]\n": r"x\.cfg:1: \[convolutional\] expected \[net\]",
    "width=3\n": r"x\.cfg:1: expected \[net\] first",
    "[net]\n": "no layer follows",
    HEAD: "no layer follows",
    "[net]\nwidth=32\n[convolutional]\n": "expected an input",
    HEAD + "[net]\n": "a second",
    HEAD + "[convolutionel]\n": r"x\.cfg:5: \[convolutionel\] is not.*did you mean 'convolutional'",
    HEAD + "[convolutional]\nfilters=abc\n": r"x\.cfg:6: .*filters = 'abc': expected a whole",
    HEAD + "[convolutional]\nfilters=0\n": "at least 1",
    HEAD + "[convolutional]\nfilters=99999999999\n": "32 bits",
    HEAD + "[convolutional]\nactivation=leakyy\n": "did you mean 'leaky'",
    HEAD + "[convolutional]\nfilters=4\ngroups=2\n": r"layer 0 \[convolutional\].*3 input channels",
    HEAD + "[convolutional]\nsize=99\n": "puts out nothing",
    HEAD + "[convolutional]\nfilters=2000000000\nsize=1000\npad=1\n": "expected at most",
    HEAD + "[convolutional]\n[convolutional]\nshare_index=7\n": "refers to layer 7",
    HEAD + "[convolutional]\n[convolutional]\nfilters=2\nshare_index=-1\n": "shares parameters",
    HEAD + "[convolutional]\n[shortcut]\nfrom=5\n": r"layer 1 \[shortcut\]: refers to layer 5",
    HEAD + "[convolutional]\n[shortcut]\nfrom=-9\n": "refers to layer -9",
    HEAD + "[convolutional]\n[route]\nlayers=1\n": "refers to layer 1",
    HEAD + "[convolutional]\n[route]\n": "layers",
    "[net]\nwidth=2000000000\nheight=2000000000\nchannels=3\n[convolutional]\n": "at most",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[-24:])
def test_a_bad_cfg_gets_a_clear_error(cfg, text):
    with pytest.raises((CfgError, NetworkError), match=BAD[text]):
        Network.from_cfg(cfg(text))


def test_more_than_the_machine_holds_is_refused_before_it_is_drawn(cfg):
    side = "filters=40000\nsize=7\npad=1\nstride=4\n"
    network = Network.from_cfg(
        cfg(HEAD + f"[convolutional]\n{side}" + "[convolutional]\nfilters=30000\n" * 40)
    )
    assert network.parameters > 3e10
    with pytest.raises(NetworkError, match="GiB"):
        network.initial_params(np.random.default_rng(0))


def test_sharing_layers_hold_their_owners_arrays(cfg):
    text = "[convolutional]\nfilters=3\nsize=3\npad=1\n"
    network = Network.from_cfg(
        cfg(HEAD + text + text + "share_index=-1\n" + text + "share_index=0\n")
    )
    params = network.initial_params(np.random.default_rng(0))
    assert params[1] is params[0] and params[2] is params[0]
    assert network.nodes[1].params == {}


def test_a_layer_may_share_with_one_that_shares(cfg):
    text = "[convolutional]\nfilters=3\nsize=3\npad=1\n"
    chained = text + "share_index=-1\n"
    network = Network.from_cfg(cfg(HEAD + text + 3 * chained))
    assert [node.owner for node in network.nodes] == [0, 0, 0, 0]
