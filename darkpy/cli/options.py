"""Darknet's flags as click options: `-iou_thresh`, and for those used to it `--iou-thresh` too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


def flag(name: str, *more: str, **settings: Any) -> Callable[[Any], Any]:
    """Declare darknet's flag ``-some_name``, spelled also --some_name and --some-name."""
    word = name.lstrip("-")
    spellings = [name, *more]
    if len(word) > 1:
        spellings += [f"--{word}", f"--{word.replace('_', '-')}"]
    settings.setdefault("show_default", not settings.get("is_flag"))
    return click.option(*dict.fromkeys(spellings), word.lower(), **settings)


gpu_index = flag("-i", type=int, default=None, help="GPU to use; this version runs on the CPU.")
dont_show = flag("-dont_show", is_flag=True, help="Open no window.")
