"""darkpy finds its own kernels and cfgs uninstalled, editable, in a second checkout and in a wheel.

Each way gets a virtual environment of its own that sees the libraries of the running one (numpy,
numba...) but not its darkpy, so that nothing is fetched.
"""

import json
import shutil
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
import setuptools

from tests.conftest import ROOT
from tests.environments import checkout, environment, pip, run

pytestmark = pytest.mark.skipif(
    int(setuptools.__version__.split(".")[0]) < 77,
    reason=f"building needs setuptools 77, this is {setuptools.__version__}",
)

WHERE = """
import importlib, json
from darkpy import kernels, zoo
from darkpy.kernels import ops
parts = ("common", "reference", "cpu", "cuda")
names = ["darkpy", *(f"darkpy.kernels.{part}" for part in parts)]
files = [importlib.import_module(name).__file__ for name in names]
assert callable(ops("reference").conv2d)
assert "__global__" in importlib.import_module("darkpy.kernels.cuda.sources").source("convolve.cu")
print(json.dumps([*files, str(zoo.cfg_path("yolov4.cfg"))]))
"""


def homes(python: Path, cwd: Path) -> set[Path]:
    """Return the files that darkpy, its kernels and its cfgs come from, started in ``cwd``."""
    return {Path(file).resolve() for file in json.loads(run(python, "-c", WHERE, cwd=cwd))}


def all_within(files: set[Path], folder: Path) -> bool:
    return all(file.is_relative_to(folder.resolve()) for file in files)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Build the wheel from a checkout and return it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = checkout(folder / "source")
    python = environment(folder / "builder")
    pip(python, "wheel", "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_uninstalled(tmp_path):
    here = checkout(tmp_path / "here")
    assert all_within(homes(environment(tmp_path / "env"), here), here)


def test_editable_and_a_second_checkout_beside_it(tmp_path):
    first, second = checkout(tmp_path / "first"), checkout(tmp_path / "second")
    python = environment(tmp_path / "env")
    pip(python, "install", "--editable", first, cwd=tmp_path)
    assert all_within(homes(python, tmp_path), first)
    assert all_within(homes(python, second), second)


def test_wheel_in_an_empty_environment(tmp_path, wheel):
    python = environment(tmp_path / "env")
    pip(python, "install", wheel, cwd=tmp_path)
    assert all_within(homes(python, tmp_path), tmp_path / "env")
    command = shutil.which("darkpy", path=str(python.parent))
    assert command is not None
    assert "detector" in run(command, "--help", cwd=tmp_path)
    assert "detector" in run(python, "-m", "darkpy", "--help", cwd=tmp_path)


def test_wheel_carries_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    renamed = {"darkpy": "darkpy", "kernels": "darkpy/kernels", "cfg": "darkpy/zoo_cfg"}
    wanted = {".py", ".cu", ".cuh", ".cfg", ".names", ".data", ".typed"}
    expected = {
        f"{new}/{path.relative_to(ROOT / old).as_posix()}"
        for old, new in renamed.items()
        for path in (ROOT / old).rglob("*")
        if path.suffix in wanted
    }
    assert {name for name in names if ".dist-info/" not in name} == expected
    assert {"darkpy/py.typed", "darkpy/zoo_cfg/yolov4.cfg"} <= names


def test_wheel_says_what_it_is_and_needs(wheel):
    import darkpy

    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith("/METADATA"))
        said = Parser().parsestr(archive.read(path).decode())
    assert (said["Name"], said["Version"]) == ("darkpy-yolo", darkpy.__version__)
    assert said["Requires-Python"] == ">=3.11"
    needed = {line.split(";")[0].strip() for line in said.get_all("Requires-Dist")}
    toolkits = {f"cuda-toolkit[cudart,nvrtc]=={major}.*" for major in (12, 13)}
    assert {"numpy>=2", "tqdm", "cupy-cuda12x>=14", "cupy-cuda13x>=14"} | toolkits <= needed
    extras = {"cuda12", "cuda13", "nccl12", "nccl13", "coco", "test"}
    assert set(said.get_all("Provides-Extra")) == extras
