"""Importing darkpy and asking for help cost little: a fresh interpreter tells.

Processor time is measured, not the clock, and the least of several runs counts: another process
on the same machine must not turn the test red.
"""

import subprocess
import sys

import pytest

from tests.conftest import ROOT

HEAVY = (
    *("cupy", "cv2", "llvmlite", "matplotlib", "numba", "pycocotools"),
    *("tensorboardX", "tqdm"),
)
REPORT = """
import sys, time
before = time.process_time()
try:
    {code}
except SystemExit:
    pass
seconds = time.process_time() - before
print(seconds, *(name for name in {heavy} if name in sys.modules), file=sys.stderr)
"""


def measure(code: str) -> tuple[float, list[str]]:
    """Run code in a fresh interpreter; return its seconds and the heavy modules it has loaded."""
    program = REPORT.format(code=code, heavy=HEAVY)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, *loaded = done.stderr.split("\n")[-2].split()
    return float(seconds), loaded


@pytest.mark.parametrize(
    ("code", "limit"),
    [
        ("import darkpy", 0.2),
        ("from darkpy.cli import main; sys.argv = ['darkpy', '--help']; main()", 0.4),
        ("from darkpy.cli import main; sys.argv = ['darkpy', 'detector', '--help']; main()", 0.4),
    ],
    ids=["import", "help", "detector help"],
)
def test_is_light(code, limit):
    runs = [measure(code) for _ in range(3)]
    assert [loaded for _, loaded in runs] == [[]] * 3
    assert min(seconds for seconds, _ in runs) < limit


def test_reading_a_cfg_needs_no_kernel_library():
    _, loaded = measure("import darkpy; darkpy.Network.from_cfg('cfg/yolov4.cfg')")
    assert loaded == []


def test_planned_execution_needs_no_numba():
    """Where object code is kept: neither the engine nor asking for the ops imports it."""
    engine = ROOT / "kernels" / "cpu" / "engine"
    names = [f"darkpy.kernels.cpu.engine.{file.stem}" for file in sorted(engine.glob("[a-z]*.py"))]
    _, loaded = measure(f"import {', '.join(names)}; darkpy.kernels.ops('cpu')")
    assert loaded == ["llvmlite"]


def test_an_op_is_imported_when_it_is_asked_for():
    _, loaded = measure("from darkpy.kernels import ops; ops('cpu').concat")
    assert loaded == ["llvmlite", "numba"]


def test_detecting_needs_no_numba():
    """Where object code is kept, from the picture to the boxes; the first run builds it."""
    code = (
        "import darkpy, numpy; "
        "d = darkpy.load('cfg/shapes.cfg'); assert d.planned; "
        "d.detect(numpy.zeros((70, 90, 3), numpy.uint8), thresh=0.1)"
    )
    measure(code)
    _, loaded = measure(code)
    assert "numba" not in loaded
