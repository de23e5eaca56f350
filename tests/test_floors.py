"""Imports go downwards only: every import statement is read and none may climb.

The floors are those of docs/design.md. A unit is a module or a package directly under darkpy/.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FLOORS = [
    {"kernels"},
    {"errors", "cfg", "net", "tree", "boxes", "detections", "anchors"}
    | {"files", "memory", "download", "randomness", "cuda", "tables"},
    {"layers"},
    {"network", "weights"},
    {"run", "inference", "decode", "plan", "loss", "data", "evaluate", "draw"},
    {"detect", "train", "prepare", "export", "serve", "zoo", "doctor"},
    {"cli", "__main__", "__init__"},
]
FLOOR = {unit: floor for floor, units in enumerate(FLOORS) for unit in units}
OPENS_THE_DOOR = {
    "run",
    "plan",
    "loss",
    "inference",
    "train",
    "doctor",
}  # the others may use kernels.common only
ALLOWED = {"kernels": {"errors", "cuda"}}  # the door itself raises a DeviceError


def imports(path: Path, package: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of all that a file imports, wherever it stands in it.

    package  the dotted name of the package the file is in, for its relative imports
    """
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = parts[: len(parts) + 1 - node.level] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def package_of(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).parent.parts)


def unit_of(name: str, root: Path) -> str | None:
    """Return the unit of darkpy that a dotted name lies in, None if it is no part of darkpy."""
    head, *rest = name.split(".")
    if head != "darkpy":
        return None
    unit = rest[0] if rest else "__init__"
    there = (root / "darkpy" / unit).is_dir() or (root / "darkpy" / f"{unit}.py").is_file()
    return unit if there or unit in FLOOR else "__init__"


def climbs(root: Path) -> list[str]:
    """Return what is wrong with the imports under root/darkpy, a line each."""
    wrong = []
    for path in sorted((root / "darkpy").rglob("*.py")):
        inside = path.relative_to(root / "darkpy").with_suffix("")
        unit = inside.parts[0]
        if unit not in FLOOR:
            wrong.append(f"{path}: {unit!r} has no floor; add it to this table and to the design")
            continue
        for line, name in imports(path, package_of(path, root)):
            target = unit_of(name, root)
            where = f"{path.relative_to(root)}:{line}: {unit} imports {name}"
            if target not in FLOOR or target == unit or target in ALLOWED.get(unit, ()):
                continue
            if FLOOR[target] > FLOOR[unit]:
                wrong.append(f"{where}: a climb from floor {FLOOR[unit]} to {FLOOR[target]}")
            if target == "kernels" and unit not in OPENS_THE_DOOR:
                if not name.startswith("darkpy.kernels.common"):
                    wrong.append(f"{where}: only {', '.join(sorted(OPENS_THE_DOOR))} open the door")
    return wrong


def strays(root: Path) -> list[str]:
    """Return the imports under root/kernels that leave it for darkpy, a line each."""
    return [
        f"{path.relative_to(root)}:{line}: a kernel imports {name}"
        for path in sorted((root / "kernels").rglob("*.py"))
        for line, name in imports(path, package_of(path, root))
        if name.split(".")[0] != "kernels" and ("darkpy" in name.split(".") or name[0] == ".")
    ]


def circles(root: Path) -> list[str]:
    """Return the units that import each other in a circle, by way of the units of their floor."""
    needs: dict[str, set[str]] = {unit: set() for unit in FLOOR}
    for path in (root / "darkpy").rglob("*.py"):
        unit = path.relative_to(root / "darkpy").with_suffix("").parts[0]
        found = (unit_of(name, root) for _, name in imports(path, package_of(path, root)))
        needs.setdefault(unit, set()).update(name for name in found if name not in (None, unit))
    reached = {unit: set(direct) for unit, direct in needs.items()}
    for middle in needs:
        for unit in needs:
            if middle in reached[unit]:
                reached[unit] |= reached[middle]
    top = FLOORS[-1]
    return sorted(unit for unit in needs if unit in reached[unit] and unit not in top)


def test_no_import_climbs():
    assert climbs(ROOT) == []


def test_the_design_has_these_floors():
    text = (ROOT / "docs" / "design.md").read_text("utf-8")
    lines = re.findall(r"^(\d)  (\w.*)$", text, re.MULTILINE)
    assert {int(floor): set(units.split()) for floor, units in lines} == dict(enumerate(FLOORS))


def test_no_unit_needs_itself():
    assert circles(ROOT) == []


def test_kernels_know_nothing_of_darkpy():
    assert strays(ROOT) == []


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("layers/route.py", "from ..network import Network", "climb from floor 2 to 3"),
        ("cfg.py", "def f():\n    from .detect import load", "climb from floor 1 to 5"),
        ("weights.py", "import darkpy.cli.zoo", "climb from floor 3 to 6"),
        ("weights.py", "from . import __version__", "climb from floor 3 to 6"),
        ("layers/yolo.py", "from ..kernels import ops", "open the door"),
        ("layers/yolo.py", "from ..kernels.cpu.yolo import decode", "open the door"),
        ("utils.py", "", "has no floor"),
    ],
)
def test_a_climb_is_seen(tmp_path, file, text, complaint):
    path = tmp_path / "darkpy" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (found,) = climbs(tmp_path)
    assert complaint in found


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("layers/yolo.py", "from ..kernels.common.geometry import out\nfrom .base import Layer"),
        ("run.py", "from .kernels import ops\nfrom .network import Network"),
        ("cli/zoo.py", "from darkpy import load\nimport click"),
        ("weights.py", "from .network import Network\nimport numpy.darkpy"),
    ],
)
def test_a_step_down_is_allowed(tmp_path, file, text):
    path = tmp_path / "darkpy" / file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert climbs(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["import darkpy", "from darkpy.errors import CfgError", "from ...darkpy import cfg"]
)
def test_a_stray_kernel_is_seen(tmp_path, text):
    path = tmp_path / "kernels" / "cpu" / "conv2d.py"
    path.parent.mkdir(parents=True)
    path.write_text(f"from ..common import geometry\n{text}\n")
    assert len(strays(tmp_path)) == 1


def test_a_circle_is_seen(tmp_path):
    (tmp_path / "darkpy").mkdir()
    (tmp_path / "darkpy" / "network.py").write_text("from .weights import read")
    (tmp_path / "darkpy" / "weights.py").write_text("from .network import Network")
    assert circles(tmp_path) == ["network", "weights"]
