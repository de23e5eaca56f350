"""A layer from the text of its section, as a .cfg has it."""

import pytest

from darkpy.cfg import read_cfg
from darkpy.layers import LAYERS


@pytest.fixture
def build(tmp_path):
    """Make a layer: ``build("softmax", "groups=2 temperature=.5")``; nothing may be doubtful."""

    def make(name, keys="", strict=True):
        path = tmp_path / "one.cfg"
        path.write_text("\n".join([f"[{name}]", *keys.split()]), encoding="utf-8")
        (section,) = read_cfg(path, strict)
        return section.build(LAYERS[name])

    return make
