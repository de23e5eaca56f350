"""CuPy's calling convention: arguments are compared with the signature, sizes with the limits."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from . import BuildError, RawModule, Settings, build, missing
from .cases import CASES

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

CODE = r"""
struct Shape { int n; float scale; };
extern "C" __global__ void __launch_bounds__(64) 
k(const float* x, unsigned char* y, Shape s, half h) {
  if (threadIdx.x < s.n) y[threadIdx.x] = x[threadIdx.x] * s.scale + (float)h;
}
template <int add> __global__ void plus(int* x) { x[0] += add; }
"""
SHAPE = np.dtype([("n", np.int32), ("scale", np.float32)])
SHAPE_OF_5 = np.array((5, 2), SHAPE)


def arguments() -> list:
    return [np.ones(8, np.float32), np.zeros(8, np.uint8), SHAPE_OF_5, np.float16(1)]


@pytest.fixture(scope="module")
def module() -> RawModule:
    return RawModule(CODE, ("-DUNUSED", "-std=c++17"), ("plus<3>",))


@pytest.mark.parametrize("shape", [SHAPE_OF_5, SHAPE_OF_5[()]], ids=["array", "scalar"])
def test_numbers_and_structs_are_passed_by_value(module, shape):
    x, y, _, h = arguments()
    module.get_function("k")((1,), (8,), (x, y, shape, h))
    np.testing.assert_array_equal(y, [3, 3, 3, 3, 3, 0, 0, 0])


def test_a_template_is_found_by_its_expression(module):
    x = np.zeros(1, np.int32)
    module.get_function("plus<3>")((4,), (1,), (x,))
    assert x[0] == 12


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (0, np.ones(8), "argument 0: expected an array of f4, got float64"),
        (0, 5, "argument 0: expected an array for a pointer, got int"),
        (1, np.zeros(8, np.int8), "argument 1: expected an array of u1, got int8"),
        (1, np.broadcast_to(np.uint8(0), 8), "argument 1: expected an array that may be written"),
        (2, np.int64(5), "argument 2: expected V8, got int64"),
        (3, 1.0, "argument 3: expected a numpy scalar of type f2, got float"),
        (3, np.float32(1), "argument 3: expected f2, got float32"),
    ],
)
def test_an_argument_of_another_type_is_refused(module, place, value, message):
    given = arguments()
    given[place] = value
    with pytest.raises(TypeError, match=message):
        module.get_function("k")((1,), (8,), given)


def test_sizes_and_counts_are_refused(module):
    k = module.get_function("k")
    with pytest.raises(TypeError, match="takes 4 arguments, got 3"):
        k((1,), (8,), arguments()[:3])
    with pytest.raises(ValueError, match="at most 1024 threads"):
        k((1,), (2048,), arguments())
    with pytest.raises(ValueError, match="expected one to three positive numbers"):
        k((0,), (8,), arguments())
    with pytest.raises(ValueError, match="at most 65535 blocks"):
        k((1, 70000), (8,), arguments())
    with pytest.raises(ValueError, match="65536 bytes of shared memory, at most 49152"):
        k((1,), (8,), arguments(), shared_mem=65536)
    k.max_dynamic_shared_size_bytes = 65536
    k((1,), (8,), arguments(), shared_mem=65536)


def test_what_is_asked_for_wrongly_is_refused(module):
    with pytest.raises(LookupError, match="no kernel 'nothing'"):
        module.get_function("nothing")
    with pytest.raises(ValueError, match="option '-O3'"):
        RawModule(CODE, ("-O3",))
    with pytest.raises(ValueError, match="order 'backward'"):
        Settings(order="backward")
    with pytest.raises(BuildError, match=r"kernel\.cu:1:.*'undeclared' was not declared"):
        RawModule('extern "C" __global__ void k() { undeclared(); }')


def test_a_build_is_kept_and_leaves_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "FOLDER", tmp_path)
    RawModule(CODE)
    first = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert sorted(path.suffix for path in first) == [".o", ".so"]
    RawModule(CODE)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == first
    RawModule(CODE + "// another\n")
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(BuildError):
        RawModule("nonsense")
    assert len(list(tmp_path.iterdir())) == 3


def test_launches_of_several_threads_do_not_meet():
    cases = [CASES["reduce"], CASES["sgemm"]] * 8
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda case: case.run(case.kernel(Settings(check=True))), cases))
