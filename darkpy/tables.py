"""Words in columns, to print."""

from __future__ import annotations

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], sides: str) -> str:
    """Return rows of words in columns, each as wide as its widest word.

    sides  "<" for a column whose words begin below each other, ">" for one where they end so
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            f"{word:{side}{width}}" for word, side, width in zip(row, sides, widths, strict=True)
        ).rstrip()
        for row in rows
    )
