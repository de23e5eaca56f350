"""Classes in a hierarchy (YOLO9000, https://arxiv.org/abs/1612.08242): .tree and .map files.

darknet's tree.c:read_tree and utils.c:read_map.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .cfg import read_lines
from .errors import CfgError, NetworkError, shorten


@dataclass(frozen=True)
class Tree:
    """The classes of a .tree file: one a line, ``name parent``, children of one parent together.

    names   of the n classes
    parents index of each class's parent, -1 for a root; always smaller than the class's own
    groups  (first, count) of each run of classes with the same parent: one softmax each
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    groups: tuple[tuple[int, int], ...]

    def require(self, classes: int) -> Tree:
        """Return the tree itself; NetworkError unless it has so many classes."""
        if len(self.names) != classes:
            raise NetworkError(
                f"expected a tree of {classes} classes; got one of {len(self.names)}"
            )
        return self

    @property
    def counts(self) -> tuple[int, ...]:
        """How many classes each group has; the groups lie one behind the other."""
        return tuple(count for _, count in self.groups)

    @classmethod
    def read(cls, path: str | Path) -> Tree:
        """Read a .tree file. Raises CfgError with file:line for a line that does not parse."""
        names: list[str] = []
        parents: list[int] = []
        groups: list[tuple[int, int]] = []
        lines = [line.strip() for line in read_lines(path)]
        while lines and not lines[-1]:
            lines.pop()
        for number, words in enumerate(map(str.split, lines)):
            where = f"{path}:{number + 1}:"
            try:
                name, parent = words[0], int(words[1])
            except (IndexError, ValueError):
                got = shorten(" ".join(words))
                raise CfgError(f"{where} expected 'name parent', got {got}") from None
            if not -1 <= parent < number:
                raise CfgError(f"{where} parent {parent} is not an earlier class or -1")
            if not parents or parent != parents[-1]:
                groups.append((number, 0))
            groups[-1] = (groups[-1][0], groups[-1][1] + 1)
            names.append(name)
            parents.append(parent)
        if not names:
            raise CfgError(f"{path}: has no class")
        return cls(tuple(names), tuple(parents), tuple(groups))


class ClassMap(tuple[int, ...]):
    """The classes of a network that those of a data set are: a .map file, one number a line."""

    __slots__ = ()

    @classmethod
    def read(cls, path: str | Path) -> ClassMap:
        """Read a .map file. Raises CfgError with file:line for a line that is not a number >= 0."""
        lines = [line.strip() for line in read_lines(path)]
        while lines and not lines[-1]:
            lines.pop()
        if not lines:
            raise CfgError(f"{path}: has no class")
        for number, line in enumerate(lines, 1):
            if not line.isdecimal() or len(line) > 9:
                raise CfgError(
                    f"{path}:{number}: expected the index of a class, got {shorten(line)}"
                )
        return cls(map(int, lines))
