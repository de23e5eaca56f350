"""Sections of a .cfg make layers: every key of the layers on maps, by its name in the file."""

import pytest

from darkpy.cfg import read_cfg
from darkpy.errors import CfgError
from darkpy.layers import LAYERS

SECTIONS = {
    "max": "stride=2 stride_x=3 stride_y=1 size=4 padding=5 maxpool_depth=1 out_channels=6 "
    "antialiasing=2 maxpool_zero_nonmax=1",
    "local_avg": "stride=2 stride_x=3 stride_y=1 size=4 padding=0",
    "avg": "",
    "route": "layers=-1,8,3 groups=2 group_id=1",
    "shortcut": "from=-3,-5 activation=mish weights_type=per_channel weights_normalization=softmax",
    "upsample": "stride=-2 scale=0.5",
    "reorg": "stride=2 reverse=1",
    "reorg3d": "stride=2 reverse=1",
    "scale_channels": "from=-4 scale_wh=1 activation=swish",
    "sam": "from=7 activation=logistic",
    "dropout": "probability=.5 dropblock=1 dropblock_size_rel=.25 dropblock_size_abs=3",
    "batchnorm": "",
    "activation": "activation=norm_chan",
    "silence": "",
    "implicit": "mean=1.5 std=.1 filters=7 atoms=2",
    "lrn": "alpha=.5 beta=.25 kappa=2 size=7",
    "crop": "crop_height=4 crop_width=5 flip=1 angle=.5 saturation=2 exposure=3 shift=.2 "
    "noadjust=1",
    "local": "filters=8 size=3 stride=2 pad=1 activation=leaky",
}


def build(folder, name, keys):
    path = folder / "one.cfg"
    path.write_text("\n".join([f"[{name}]", *keys.split()]))
    (section,) = read_cfg(path, strict=True)
    return section.build(LAYERS[name])


@pytest.mark.parametrize("name", SECTIONS)
def test_every_key_reaches_its_field(name, tmp_path):
    layer = build(tmp_path, name, SECTIONS[name])
    for pair in SECTIONS[name].split():
        key, _, text = pair.partition("=")
        value = getattr(layer, "from_" if key == "from" else key)
        if isinstance(value, str):
            assert value == text
        elif isinstance(value, tuple):
            assert value == tuple(int(one) for one in text.split(","))
        else:
            assert value == float(text)
    # The keys named above are all that the layer has beside those common to every layer.
    own = type(layer).__dataclass_fields__.keys() - LAYERS["avg"].__dataclass_fields__.keys()
    assert len(own) == len(SECTIONS[name].split())


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("maxpool", "stride=0", "stride = 0: expected at least 1"),
        ("maxpool", "padding=-1", "padding = -1: expected at least 0"),
        ("dropout", "probability=1.5", "probability = 1.5: expected at most 1"),
        ("shortcut", "from=-2 weights_type=per_pixel", "weights_type = 'per_pixel' is not known"),
        ("shortcut", "from=-2 weights_normalization=max", "'max' is not known"),
        ("sam", "from=-2 activation=mihs", "did you mean 'mish'"),
        ("local", "filters=0", "filters = 0: expected at least 1"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_line(name, keys, message, tmp_path):
    with pytest.raises(CfgError, match=rf"one.cfg:{1 + len(keys.split())}: \[{name}\] .*{message}"):
        build(tmp_path, name, keys)
