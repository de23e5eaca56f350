"""What stands in CuPy's place refuses what CuPy and CUDA do; a `Device` asks for no such thing."""

import threading

import numpy as np
import pytest

from darkpy.kernels.cuda.device import Device

from . import missing
from .cupy import CUDARuntimeError, cupy

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())
CODE = 'extern "C" __global__ void one(float* x) { x[0] += 1; }'


@pytest.fixture
def xp():
    return cupy()


@pytest.fixture
def add(xp):
    return xp.RawModule(code=CODE).get_function("one")


def test_arrays_of_the_host_are_no_pointers(add):
    with pytest.raises(TypeError, match="of the host"):
        add((1,), (1,), (np.zeros(1, np.float32),))


def test_sizes_are_tuples(xp, add):
    with pytest.raises(TypeError, match="expected tuples"):
        add([1], (1,), (xp.zeros(1, np.float32),))


def test_arrays_take_what_cupy_takes(xp):
    x = xp.zeros(6, np.float32)
    with pytest.raises(TypeError, match="Implicit"):
        np.asarray(x)
    with pytest.raises(RuntimeError, match="non-contiguous"):
        x[::2].set(np.zeros(3, np.float32))
    with pytest.raises(TypeError, match="float64 array"):
        x.set(np.zeros(6))
    with pytest.raises(ValueError, match="non-scalar"):
        x[:2] = np.zeros(2, np.float32)
    with pytest.raises(AssertionError):
        x[xp.asarray(np.array([1]))]


def test_memory_holds_no_zeros_by_chance(xp):
    assert np.isnan(xp.empty(2, np.float32).get()).all()


def test_a_stream_that_captures_takes_launches_alone(xp, add):
    x = xp.zeros(1, np.float32)
    stream = xp.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        for forbidden in (
            x.get,
            lambda: x.set(np.ones(1, np.float32)),
            lambda: x.fill(0),
            lambda: xp.zeros(1, np.float32),
        ):
            with pytest.raises(CUDARuntimeError):
                forbidden()
        add((1,), (1,), (x,))
        graph = stream.end_capture()
    assert x.get() == 0
    graph.launch(stream)
    assert x.get() == 1


def test_the_null_stream_is_closed_while_a_stream_captures_that_waits_for_it(xp):
    x, stream = xp.zeros(1, np.float32), xp.cuda.Stream()
    with stream:
        stream.begin_capture()
    with pytest.raises(CUDARuntimeError, match="Implicit"):
        x.get()
    stream.end_capture()


def test_work_on_a_stream_that_no_graph_waits_for_is_refused(xp, add):
    x = xp.zeros(1, np.float32)
    with xp.cuda.Stream(non_blocking=True):
        for forbidden in (x.get, lambda: x.fill(0), lambda: add((1,), (1,), (x,))):
            with pytest.raises(CUDARuntimeError, match="no graph waits for"):
                forbidden()
        with xp.cuda.Stream.null:
            add((1,), (1,), (x,))
    assert x.get() == 1


def test_what_is_of_another_device_is_refused(xp, add):
    with xp.cuda.Device(1):
        there = xp.zeros(1, np.float32)
        with pytest.raises(CUDARuntimeError, match="current"):
            add((1,), (1,), (there,))
    for forbidden in (lambda: add((1,), (1,), (there,)), lambda: there.fill(0)):
        with pytest.raises(CUDARuntimeError, match="current"):
            forbidden()


def test_other_threads_use_a_device_while_one_captures(xp):
    device = Device(xp, xp.RawModule, arch=90, processors=8, most_shared=227 << 10)
    x, other = device.zeros(1, np.float32), device.zeros(1, np.float32)
    kernel = xp.RawModule(code=CODE).get_function("one")
    said = []

    def work():
        try:
            kernel((1,), (1,), (other,))
            device.write(other, device.download(other) + 1)
            device.capture([lambda: kernel((1,), (1,), (other,))])()
            said.append(device.download(other)[0])
        except CUDARuntimeError as error:
            said.append(error)

    def meanwhile():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        kernel((1,), (1,), (x,))

    replay = device.capture([meanwhile])
    assert said == [3]
    replay()
    assert device.download(x) == 1


def test_what_fails_while_it_is_captured_ends_the_capture(xp):
    device = Device(xp, xp.RawModule, arch=90, processors=8, most_shared=227 << 10)
    with pytest.raises(ZeroDivisionError):
        device.capture([lambda: 1 / 0])
    with pytest.raises(CUDARuntimeError, match="Unsupported"):  # and not that it was spoilt
        device.capture([xp.cuda.runtime.deviceSynchronize])
    xp.cuda.runtime.deviceSynchronize()


def test_numbers_of_a_launch_are_of_the_parameters_type(xp):
    code = 'extern "C" __global__ void set(float* x, float value) { x[0] = value; }'
    kernel, x = xp.RawModule(code=code).get_function("set"), xp.zeros(1, np.float32)
    for wrong in (1.5, np.float64(1.5), np.int32(1)):
        with pytest.raises(TypeError):
            kernel((1,), (1,), (x, wrong))
    kernel((1,), (1,), (x, np.float32(1.5)))
    assert x.get() == 1.5
