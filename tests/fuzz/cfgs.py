"""Small .cfgs that together have every registered section with every key, made from the records."""

import dataclasses
import re
from functools import cache

from hypothesis import strategies as st

from darkpy import CfgError, Network, NetworkError
from darkpy.layers import LAYERS
from darkpy.layers.recurrent import Recurrent
from darkpy.net import NetOptions

HEAD = "[net]\nwidth=8\nheight=8\nchannels=3\nbatch=1\n"
CONV = "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"
BEFORE = {  # what makes the sections with several inputs fit
    "scale_channels": "[avgpool]\n",
    "detection": "[connected]\noutput=294\nactivation=linear\n",
}
GOOD = {  # keys whose default is not a value that a file can have, or that fits
    "from": "-2",
    "layers": "-1,-2",
    "anchors": "2,3, 4,4",
    "mask": "0",
    "counters_per_class": "5,6",
    "classes": "2",
    "num": "1",
    "coords": "4",
    "tree": "two.tree",
    "map": "two.map",
    "share_index": "0",
    "embedding_layer": "0",
    "yolo_layer": "0",
    "stride_x": "1",
    "stride_y": "1",
    "padding": "1",
    "crop_height": "4",
    "crop_width": "5",
}
KEYS = {  # other values in some sections
    "softmax": {"tree": ""},
    "convolutional": {"share_index": "", "padding": "0"},
    "detection": {"classes": "1", "num": "1", "coords": "4", "side": "7"},
    "maxpool": {"size": "2"},
    "local_avgpool": {"size": "2"},
}


def keys_of(record):
    """Return the keys that a section fills: name in the file -> dataclass field."""
    named = ((spec.metadata.get("name"), spec) for spec in dataclasses.fields(record))
    return {spec.name if name is None else name: spec for name, spec in named if name != ""}


def value_of(section, key, spec):
    """Return a text that is a good value of a key, or "" if it should be left out."""
    if key in KEYS.get(section, {}):
        return KEYS[section][key]
    if key in GOOD:
        return GOOD[key]
    default = spec.default
    if default is None or default == ():
        return ""
    return str(int(default)) if isinstance(default, bool) else str(default)


def written(section):
    """Return the text of a network that ends in ``section`` with every key, at a good value."""
    record = LAYERS[section]
    pairs = ((key, value_of(section, key, spec)) for key, spec in keys_of(record).items())
    lines = [f"{key}={value}\n" for key, value in pairs if value]
    return HEAD + CONV * 2 + BEFORE.get(section, "") + f"[{section}]\n" + "".join(lines)


def write_tables(folder):
    """Write the .tree and the .map that the sections name."""
    (folder / "two.tree").write_text("root -1\nother -1\n")
    (folder / "two.map").write_text("1\n0\n")


def mended(text, path):
    """Return the text with the ``filters=`` or ``output=`` that its error asks for, if it does."""
    for _ in range(4):
        path.write_text(text, encoding="utf-8", newline="")
        try:
            Network.from_cfg(path)
        except (CfgError, NetworkError) as error:
            where = re.search(r"x\.cfg:(\d+): layer (\d+)", str(error))
            asked = re.search(r"set filters=(\d+)", str(error))
            if not (where and asked):
                break
            lines = text.split("\n")
            added = f"[convolutional]\nfilters={asked[1]}\nactivation=linear"
            text = "\n".join((*lines[: int(where[1]) - 1], added, *lines[int(where[1]) - 1 :]))
        else:
            break
    return text


@cache
def sections():
    """Return the names of the registered sections, each once."""
    return tuple(sorted({layer.section for layer in LAYERS.values()}))


def net_keys():
    """Return the keys of [net]."""
    return keys_of(NetOptions)


COUNTS = ("1", "1", "2", "2", "3", "4", "4", "8")  # the most likely numbers make layers that fit
OTHERS = ("0", "5", "7", "16", "-1", "-2", "100", "65536", "2147483647", "-2147483648")
FLOATS = ("1", "0", ".5", "2", "-1", "1e-30", "1e30", "-3.4e38", "3.4e38", "1e-45", "nan")
LISTS = ("-1", "-1,-2", "0", "0,1", "-1,-1,-1", "0,0", "3,4,5,6", "-9", "99", "1,,2", "2,3, 4,4")


@st.composite
def networks(draw):
    """Draw the text of a network of a few layers; some fit together, `mended` makes more fit."""
    sides = st.sampled_from((1, 2, 4, 5, 8, 8, 13))
    text = f"[net]\nwidth={draw(sides)}\nheight={draw(sides)}\n"
    text += f"channels={draw(st.sampled_from((1, 3, 3, 4)))}\n"
    runs = [one for one in sections() if not issubclass(LAYERS[one], Recurrent)]
    for section in draw(st.lists(st.sampled_from(runs), min_size=1, max_size=5)):
        text += CONV * draw(st.integers(0, 2)) + BEFORE.get(section, "") + f"[{section}]\n"
        keys = keys_of(LAYERS[section])
        for key, spec in keys.items():
            good = value_of(section, key, spec)
            which = draw(st.integers(0, 11))
            value = draw(_values(spec)) if which == 0 else good if which % 2 else ""
            text += f"{key}={value}\n" if value else ""
    return text


def _values(spec):
    """Return a strategy for the text of a key."""
    kind, choices = str(spec.type), spec.metadata.get("choices")
    if choices:
        return st.sampled_from(sorted(choices))
    if "tuple" in kind:
        return st.sampled_from(LISTS)
    if "bool" in kind:
        return st.sampled_from("01")
    if "float" in kind:
        return st.sampled_from(FLOATS)
    if "int" in kind:
        return st.sampled_from(COUNTS * 3 + OTHERS)
    return st.sampled_from(("two.tree", "two.map", "none.map", "", "."))
