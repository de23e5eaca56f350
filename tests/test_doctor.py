"""The report of what a machine has."""

import sys
from types import ModuleType

import numpy as np
import pytest

from darkpy import doctor, plan
from darkpy.kernels.cpu.engine import store

WHATS = (
    *("darkpy", "system", "Python", "numpy", "llvmlite", "Numba", "OpenCV"),
    *("processor", "vector code", "bf16", "threads"),
    *("kernels run", "cache folder", "kernels kept", "MPI", "NVIDIA driver"),
)


def look():
    """Return the report by the names of its findings."""
    found = doctor.report("1.2")
    return {one.what: one for one in found}, doctor.healthy(found)


def test_a_machine_that_works():
    found, works = look()
    assert works and tuple(found)[: len(WHATS)] == WHATS
    assert found["darkpy"].value.startswith("1.2 in ")
    assert found["numpy"].value == np.__version__
    assert found["kernels run"].value.startswith("yes, within ")
    assert str(store.folder()) in found["cache folder"].value
    count, size = found["kernels kept"].value.split(", ")
    assert int(count) > 0 and float(size.removesuffix(" kB")) > 0


@pytest.mark.parametrize(
    ("version", "start", "value", "missing"),
    [
        ("4.1", "/x/mpiexec", "mpi4py 4.1, /x/mpiexec", ""),
        ("4.1", None, "mpi4py 4.1", "there is no mpiexec: pip install mpi4py mpich"),
        (None, "/x/mpiexec", "none", "there is no mpi4py: pip install mpi4py mpich"),
    ],
)
def test_mpi(version, start, value, missing, monkeypatch):
    from darkpy.train import ranks

    def told(name):
        if version is None:
            raise doctor.metadata.PackageNotFoundError
        return version

    monkeypatch.setattr(doctor.metadata, "version", told)
    monkeypatch.setattr(ranks, "launcher", lambda: start)
    (found,) = doctor._mpi()
    assert (found.value, found.fault) == (value, False)
    assert found.missing.endswith(missing) and bool(found.missing) == bool(missing)


@pytest.mark.parametrize("name", doctor.LIBRARIES)
def test_a_library_that_is_not_there(name, monkeypatch):
    module, package = doctor.LIBRARIES[name]
    monkeypatch.setitem(doctor.LIBRARIES, name, ("not_there_at_all", package))
    found, works = look()
    assert not works and found[name].fault
    assert found[name].missing == f"{name} is not installed: pip install {package}"
    assert "kernels run" not in found and "NVIDIA driver" in found
    monkeypatch.setitem(sys.modules, module, sys.modules.get(module))  # as it was


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ImportError('needs numpy\\n 1.x')", "'needs numpy 1.x'"),
        ("import lost_part", "\"No module named 'lost_part'\""),
        ("1 / 0", "'division by zero'"),
        ("pass", "has no attribute '__version__'"),
    ],
)
def test_a_library_that_is_broken(text, said, tmp_path, monkeypatch):
    (tmp_path / "broken_library.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(doctor.LIBRARIES, "OpenCV", ("broken_library", "opencv-python"))
    monkeypatch.delitem(sys.modules, "broken_library", raising=False)
    found, works = look()
    assert not works
    assert found["OpenCV"].missing.startswith("OpenCV cannot be imported (")
    assert said in found["OpenCV"].missing
    assert found["OpenCV"].missing.endswith("pip install --force-reinstall opencv-python")


def test_a_cache_folder_that_cannot_be_written(tmp_path, monkeypatch):
    """Kernels are then made at every start: slow, and no fault."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(store, "root", lambda: tmp_path / "file" / "kernels")
    found, works = look()
    assert works
    assert found["cache folder"].value.endswith("cannot be written")
    assert "so every start compiles them: make it writable, or " in found["cache folder"].missing
    assert found["kernels kept"].value == "0, 0 kB"


def test_kernels_that_compute_wrongly(monkeypatch):
    monkeypatch.setattr(
        plan, "compile", lambda *_, **__: lambda x: {0: np.zeros((1, 16, 13, 13), np.float32)}
    )
    found, works = look()
    assert not works and found["kernels run"].value == "wrongly"
    assert f"remove the folder {store.folder()}" in found["kernels run"].missing


def test_numbers_that_are_none_are_wrong(monkeypatch):
    monkeypatch.setattr(
        plan, "compile", lambda *_, **__: lambda x: {0: np.full((1, 16, 13, 13), np.nan)}
    )
    assert not look()[1]


def test_what_fails_in_looking_is_a_finding(monkeypatch):
    def fail(*args, **settings):
        raise RuntimeError("LLVM has no such\nprocessor")

    monkeypatch.setattr(plan, "compile", fail)
    found, works = look()
    assert not works and found["kernels run"].fault
    assert "RuntimeError: LLVM has no such" in found["kernels run"].missing
    assert "NVIDIA driver" in found


def test_what_fails_of_cuda_is_no_fault_of_the_processor(monkeypatch):
    broken = ModuleType("cuda")
    monkeypatch.setattr(doctor, "cuda", broken)
    found, works = look()
    assert works and "AttributeError" in found["CUDA"].missing
