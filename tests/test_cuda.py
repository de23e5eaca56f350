"""What there is of CUDA: every kind of machine, and what each is told."""

import pytest

from darkpy import DeviceError, cuda
from darkpy.kernels import gpu
from tests.machines import GTX1080, H200, RTX5090, V100, Library, pretend

CUDA12, CUDA13 = {"cupy-cuda12x": "14.2.0"}, {"cupy-cuda13x": "14.2.0"}
INSTALL12, INSTALL13 = ('pip install "darkpy-yolo[cuda12]"', 'pip install "darkpy-yolo[cuda13]"')
BOTH = CUDA12 | CUDA13

ALL = {"version": (13, 0), "cards": (H200,), "wheels": CUDA13, "available": True}
MACHINES = {  # what -> the machine, what is told first, and how many sentences there are
    "no driver": ({}, "there is no NVIDIA driver (libcuda.so.1)", 1),
    "no driver on Windows": ({"platform": "win32"}, "there is no NVIDIA driver (nvcuda.dll)", 1),
    "no CUDA at all": ({"platform": "darwin"}, "there is no CUDA for darwin", 1),
    "no GPU": (
        {"version": (13, 0), "init": 100},
        "the NVIDIA driver finds no GPU",
        1,
    ),
    "no GPU, found late": ({"version": (13, 0)}, "the NVIDIA driver finds no GPU", 1),
    "driver out of order": (
        {"version": (13, 0), "cards": (H200,), "init": 999},
        "does not work (cuInit says CUDA_ERROR_UNKNOWN (999)): start the machine anew, or install",
        1,
    ),
    "error without a name": ({"version": (13, 0), "init": 4711}, "cuInit says error (4711)", 1),
    "old driver": (
        {"version": (11, 4), "cards": (H200,)},
        "serves CUDA 11.4: expected 12.0 or more; install a newer one from https://",
        1,
    ),
    "no wheel": (
        {"version": (13, 0), "cards": (H200,)},
        f"CuPy is not installed: {INSTALL13}",
        1,
    ),
    "no wheel, driver of 12": (
        {"version": (12, 8), "cards": (H200,)},
        f"CuPy is not installed: {INSTALL12}",
        1,
    ),
    "no wheel, Volta": (
        {"version": (13, 0), "cards": (V100,)},
        "GPU 0, Tesla V100, has compute capability 7.0: expected 7.5 or more",
        1,
    ),
    "a wheel and no driver": (
        {"wheels": CUDA13, "available": False},
        "there is no NVIDIA driver (libcuda.so.1)",
        1,
    ),
    "two wheels": (
        ALL | {"wheels": BOTH},
        "cupy-cuda12x and cupy-cuda13x overwrite each other's files: pip uninstall -y "
        f"cupy-cuda12x cupy-cuda13x, then {INSTALL13}",
        1,
    ),
    "wheel of 13, driver of 12": (
        ALL | {"version": (12, 4), "nvrtc": (12, 9), "available": False},
        f"does not fit the driver: pip uninstall -y cupy-cuda13x, then {INSTALL12}",
        2,  # CuPy finds no GPU, for that
    ),
    "wheel of 11": (
        ALL | {"wheels": {"cupy-cuda11x": "13.6.0"}},
        f"does not fit this version of darkpy: pip uninstall -y cupy-cuda11x, then {INSTALL13}",
        1,
    ),
    "old CuPy": (
        ALL | {"wheels": {"cupy-cuda13x": "13.6.0"}},
        f"cupy-cuda13x 13.6.0: expected 14 or newer: {INSTALL13}",
        1,
    ),
    "old GPU": (
        ALL | {"cards": (GTX1080,)},
        "GPU 0, GeForce GTX 1080, has compute capability 6.1: expected 7.5 or more",
        1,
    ),
    "CuPy broken": (
        ALL | {"available": ImportError("no\n  numpy")},
        "CuPy cannot be imported ('no numpy'): pip install --force-reinstall cupy-cuda13x",
        2,
    ),
    "no folder for kernels": (
        ALL | {"available": PermissionError(13, "Permission denied", "/root/.cupy")},
        "CuPy cannot be imported (\"[Errno 13] Permission denied: '/root/.cupy'\"): "
        "let CUPY_CACHE_DIR name a folder that it may write to",
        2,
    ),
    "CuPy sees no GPU": (ALL | {"available": False}, "CuPy finds no GPU, though", 1),
    "no NVRTC": (
        ALL | {"nvrtc": None},
        f"NVRTC compiles no kernel ('Failure finding libnvrtc.so.13'): {INSTALL13}",
        1,
    ),
    "no NVRTC of 12": (
        ALL | {"nvrtc": None, "wheels": CUDA12},
        f"NVRTC compiles no kernel ('Failure finding libnvrtc.so.13'): {INSTALL12}",
        1,
    ),
    "no headers": (
        ALL | {"headers": None},
        f"CUDA's headers (cuda_fp16.h) are not found: {INSTALL13}",
        1,
    ),
    "NVRTC newer than the driver": (
        ALL | {"version": (12, 8), "wheels": CUDA12},
        "NVRTC 13.0 is of a newer CUDA than the driver's 12.8: pip uninstall -y "
        f"nvidia-cuda-nvrtc, then {INSTALL12}",
        1,
    ),
}


@pytest.mark.parametrize("what", MACHINES)
def test_what_is_missing_is_said_with_what_mends_it(what, monkeypatch):
    machine, told, count = MACHINES[what]
    pretend(monkeypatch, **machine)
    found = cuda.findings()
    sentences = [one.missing for one in found if one.missing]
    assert told in sentences[0]
    assert len(sentences) == count
    assert not any(one.fault for one in found)
    for one in found:
        assert one.what and one.value and "\n" not in one.value + one.missing


@pytest.mark.parametrize("what", MACHINES)
def test_who_asks_for_cuda_is_told_the_first_of_it(what, monkeypatch):
    machine, told, _ = MACHINES[what]
    pretend(monkeypatch, **machine)
    for device in ("cuda", "cuda:0"):
        with pytest.raises(DeviceError) as error:
            gpu(device)
        message = str(error.value)
        assert message.startswith(f"device {device!r}: ") and told in message
        assert message.endswith("device 'cpu' computes on the processor")


@pytest.mark.parametrize(
    ("more", "version"), [({}, "13.0"), ({"wheels": CUDA12, "nvrtc": (12, 9)}, "12.9")]
)
def test_where_all_is_there_nothing_is_missing(more, version, monkeypatch):
    nvrtc = pretend(monkeypatch, **(ALL | more))
    found = {one.what: one for one in cuda.findings()}
    assert [one.missing for one in found.values()] == [""] * len(found)
    assert found["NVIDIA driver"].value == "for CUDA 13.0"
    assert found["GPU 0"].value == "NVIDIA H200, compute capability 9.0, 142336 MiB"
    assert found["CuPy finds a GPU"].value == "yes"
    assert found["NVRTC compiles"].value == f"yes, {version}"
    assert (nvrtc.asked, nvrtc.open) == (["-arch=sm_90"], 0)
    assert cuda.refusal("cuda:0") == "" and cuda.usable()


@pytest.mark.parametrize(
    ("machine", "warned"),
    [(ALL | {"headers": None}, True), (ALL | {"wheels": {}}, False), ({"wheels": CUDA13}, False)],
)
def test_a_gpu_that_is_not_taken_though_cupy_is_there_is_a_warning(
    monkeypatch, caplog, machine, warned
):
    pretend(monkeypatch, **machine)
    assert not cuda.usable()
    assert ("CUDA's headers (cuda_fp16.h) are not found" in caplog.text) == warned


def test_nvrtc_compiles_for_each_kind_of_gpu_that_is_asked_for(monkeypatch):
    nvrtc = pretend(monkeypatch, **(ALL | {"cards": (H200, RTX5090, H200)}))
    assert not any(one.missing for one in cuda.findings())
    assert cuda.refusal("cuda:1") == cuda.refusal("cuda:2") == ""
    assert nvrtc.asked == [f"-arch=sm_{kind}" for kind in (90, 120, 120, 90)]


def test_a_gpu_that_is_too_old_does_not_spoil_the_other(monkeypatch):
    nvrtc = pretend(monkeypatch, **(ALL | {"cards": (GTX1080, H200)}))
    assert [one.what for one in cuda.findings() if one.missing] == ["GPU 0"]
    assert nvrtc.asked == ["-arch=sm_90"]
    assert "GPU 0, GeForce GTX 1080, has" in cuda.refusal("cuda:0")
    assert cuda.refusal("cuda:1") == ""


def test_a_number_beyond_the_gpus(monkeypatch):
    pretend(monkeypatch, **ALL)
    assert "device 'cuda:7': there is no GPU 7: expected less than 1; " in cuda.refusal("cuda:7")


def test_gpus_that_are_hidden(monkeypatch):
    pretend(monkeypatch, version=(13, 0), init=100)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert "finds no GPU: is it hidden by CUDA_VISIBLE_DEVICES=-1?" in cuda.refusal("cuda")


def test_a_library_that_is_no_driver(monkeypatch):
    pretend(monkeypatch, **ALL)
    monkeypatch.delattr(Library, "cuInit")
    assert "libcuda.so.1 is no driver that is known" in cuda.driver().error


def test_nvrtc_is_let_go_where_it_compiles_nothing(monkeypatch):
    nvrtc = pretend(monkeypatch, **(ALL | {"oldest": 100}))
    assert "NVRTC_ERROR_INVALID_OPTION" in cuda.refusal("cuda")
    assert nvrtc.open == 0


def test_a_checkout_that_is_not_installed_is_installed_from(monkeypatch):
    pretend(monkeypatch, version=(13, 0), cards=(H200,))
    monkeypatch.setattr(cuda, "_version", lambda name: None)
    root = cuda.Path(cuda.__file__).parents[1]
    assert f'pip install "{root}[cuda13]"' in cuda.refusal("cuda")


def test_this_machine_is_looked_at():
    """Whatever it has, nothing raises."""
    assert cuda.findings()[0].what == "NVIDIA driver"
