"""The benchmark of errors, of the GPU's kernels on the CPU: each precision of a tiny network."""

import sys

import pytest

from tests.conftest import ROOT
from tests.hostcuda import missing
from tests.tiny import CFG, write_picture

sys.path.insert(0, str(ROOT / "benchmarks"))

import bench_errors

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


def test_each_precision_is_as_exact_as_its_operands(tmp_path, monkeypatch, capsys):
    (tmp_path / "tiny.cfg").write_text(CFG)
    picture = write_picture(tmp_path / "a.png")
    words = ["--cuda", tmp_path / "tiny.cfg", "--picture", picture]
    monkeypatch.setattr(sys, "argv", ["bench_errors.py", *map(str, words)])
    bench_errors.main()
    found = {}
    for line in capsys.readouterr().out.splitlines()[2:]:
        name, arithmetic, *numbers = (one.strip() for one in line.strip("|").split("|"))
        assert name == "tiny"
        found[arithmetic] = list(map(float, numbers))
    assert list(found) == ["float32 by numpy", "fp32", "tf32", "fp16", "bf16"]
    # By the largest value: three layers of operands with 24, 11, 11 and 8 bits.
    bounds = {"float32 by numpy": 2e-6, "fp32": 2e-6, "tf32": 2e-3, "fp16": 2e-3, "bf16": 2e-2}
    for arithmetic, (largest, rms, boxes, pixels, probability) in found.items():
        most = bounds[arithmetic]
        assert 0 < largest < most and 0 < rms < most, arithmetic
        assert boxes > 10 and 0 < pixels < 64 * 10 * most and 0 < probability < most, arithmetic
    assert found["fp32"][0] < found["tf32"][0] / 100 < found["bf16"][0] / 100
