"""The text of each CUDA source as it is compiled: with what it includes, and the activations."""

import re
from functools import cache
from pathlib import Path

from ..common.activations import ACTIVATIONS

HERE = Path(__file__).resolve().parent
INCLUDE = re.compile(r'^#include "([\w.]+)"$', re.MULTILINE)


@cache
def source(file: str) -> str:
    """Return the text of a source with what it includes in its place.

    So the text is all that a kernel is made of, which is what CuPy's cache of kernels goes by.
    """
    return _expanded(file, set())


def _expanded(file: str, seen: set[str]) -> str:
    if file in seen:
        return ""
    seen.add(file)
    text = activations() if file == "activations.cuh" else (HERE / file).read_text("utf-8")
    text = text.replace("#pragma once\n", "\n")
    return INCLUDE.sub(lambda found: _expanded(found[1], seen), text)


def activations() -> str:
    """Return the table of activations in CUDA C++: a type each, with value and slope."""
    rows = {row.name: row for row in ACTIVATIONS.values() if not row.over_channels}
    parts = [
        f"struct {row.name} {{\n"
        f"  static DEVICE float value(float x) {{ {_body(row.cuda_value)} }}\n"
        f"  static DEVICE float slope(float x) {{ {_body(row.cuda_slope)} }}\n"
        "};\n"
        for row in rows.values()
    ]
    return '#include "common.cuh"\n' + "namespace activation {\n" + "".join(parts) + "}\n"


def _body(text: str) -> str:
    return text if "return" in text else f"return {text};"
