"""Shared by all tests: where reference material lies, seeds, and where Numba keeps its code.

A test module takes the constants from here with `from tests.conftest import SHARED`.
"""

import importlib.util
import os
import sys
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]  # the checkout
SHARED = ROOT.parent / "shared"  # reference cfgs, pictures and the C program's numbers, if present


def _numba_cache() -> Path:
    """Return a folder kept between runs of this checkout, or a passing one if it is read-only."""
    kept = ROOT / ".cache" / "numba"
    try:
        kept.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="darkpy-numba-"))
    return kept


os.environ["no_proxy"] = "127.0.0.1"  # the servers that tests start are on this machine
os.environ.setdefault("NUMBA_CACHE_DIR", str(_numba_cache()))

# The same examples in every run: a red test stays red until it is mended.
settings.register_profile("darkpy", derandomize=True, deadline=None, database=None)
settings.load_profile("darkpy")


@pytest.fixture
def shared() -> Path:
    """Return the folder of reference material, or skip the test where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"reference material is absent: no folder {SHARED.name}/ beside the checkout")
    return SHARED


@pytest.fixture
def make(shared: Path) -> ModuleType:
    """Return make_weights.py, which draws the weights that the C program ran with."""
    path = shared / "oracle" / "make_weights.py"
    spec = importlib.util.spec_from_file_location("make_weights", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def rng() -> np.random.Generator:
    """Return the test's own generator, the same in every run."""
    return np.random.default_rng(0)


@pytest.fixture
def choices(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Keep choices of algorithms in a file of the test's own; return the module that keeps them."""
    from darkpy.kernels.cpu.engine import store

    monkeypatch.setattr(store, "CHOICES", f"choices-{uuid.uuid4().hex}.json")
    monkeypatch.setattr(store, "_choices", {})
    kept = store.folder() / store.CHOICES
    yield store
    kept.unlink(missing_ok=True)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine have a GPU, which the processor stands for (tests/hostcuda/cupy.py)."""
    from darkpy import cuda, kernels

    from .hostcuda.cupy import cupy

    monkeypatch.setitem(sys.modules, "cupy", cupy())
    monkeypatch.setattr(cuda, "refusal", lambda device: "")
    monkeypatch.setattr(cuda, "installed", lambda: [("cupy-cuda13x", "14.2.0", 13)])
    kernels._opened.cache_clear()
    yield
    kernels._opened.cache_clear()


@pytest.fixture(autouse=True)
def _cuda_or_skip(request: pytest.FixtureRequest) -> None:
    """Skip a test marked cuda where CuPy or a device is missing."""
    if request.node.get_closest_marker("cuda") is None:
        return
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    try:
        devices = cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        pytest.skip(f"no CUDA device: {error}")
    if devices == 0:
        pytest.skip("no CUDA device")
