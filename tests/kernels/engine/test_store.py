"""Object code is kept for the next process, and built again when it is broken."""

import ctypes
import json
import logging
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from darkpy.kernels import ops
from darkpy.kernels.cpu.engine import build, pool, store, target
from darkpy.kernels.cpu.engine.records import Kernel, kernel
from tests.conftest import ROOT
from tests.kernels.engine.maps import blocked, execute

KERNELS = [
    kernel("elementwise", "multiply", activation=name, align=64, whole=1, rest=0)
    for name in ("linear", "leaky", "mish")
]
REST = "interpreter.rest"
PROGRAM = """
import json, logging, sys
from darkpy.kernels.cpu.engine import store, target
from darkpy.kernels.cpu.engine.records import kernel
logging.basicConfig()
shown = []
names = [kernel("elementwise", "multiply", activation=one, align=64, whole=1, rest=0)
         for one in ("linear", "leaky", "mish")] + ["interpreter.rest"]
known = store.addresses(names, lambda *counts: shown.append(counts))
print(json.dumps([shown, "numba" in sys.modules, all(known.values())]))
"""


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """Keep code in an empty folder, and forget what this process has loaded."""
    home = tmp_path / "caches"
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.setattr(store, "_known", {})
    monkeypatch.setattr(store, "_choices", {})
    monkeypatch.setattr(store, "_warned", set())
    return store.folder()


def another_process(**settings):
    """Load the same in a fresh interpreter; return what it showed, if it had Numba, and success."""
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return json.loads(done.stdout)


def forget():
    store._known.clear()


def test_the_next_process_builds_nothing_and_needs_no_numba(fresh):
    shown, _, found = another_process()
    assert shown == [[i, 4] for i in range(5)]
    assert found
    assert another_process() == [[], False, True]


def test_code_runs_in_a_process_that_has_not_built_it(fresh):
    another_process()
    built = []
    address = store.addresses([REST], lambda *counts: built.append(counts))[REST]
    assert not built
    place = np.zeros(8, np.int64)
    ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * 3)(address)(place.ctypes.data, 3, 0)


def test_code_holds_nothing_of_the_process_that_built_it():
    for name in (*KERNELS[:1], REST, "interpreter.lead"):
        ((_, first),) = build.build([name])
        ((_, second),) = build.build([name])
        assert first == second
        for path in (str(ROOT), sys.prefix, os.path.dirname(np.__file__)):
            assert path.encode() not in first


@pytest.mark.parametrize("damage", ["removed", "empty", "shortened", "changed", "zeros"])
def test_a_broken_file_is_built_again(fresh, damage):
    store.addresses(KERNELS[:2])
    place = fresh / store.symbol(KERNELS[0])
    whole = place.read_bytes()
    if damage == "removed":
        place.unlink()
    else:
        middle = len(whole) // 2
        changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        place.write_bytes(
            {"empty": b"", "shortened": whole[:-9], "changed": changed, "zeros": bytes(4)}[damage]
        )
    forget()
    shown = []
    assert store.addresses(KERNELS[:2], lambda *counts: shown.append(counts))[KERNELS[0]]
    assert shown == [(0, 1), (1, 1)]
    assert place.read_bytes() == whole


def test_the_folder_may_go_while_the_process_runs(fresh):
    store.addresses(KERNELS[:1])
    for file in fresh.iterdir():
        file.unlink()
    fresh.rmdir()
    assert store.addresses(KERNELS[:2])[KERNELS[1]]
    assert (fresh / store.symbol(KERNELS[1])).exists()


def test_where_nothing_can_be_kept_one_warning_says_so(fresh, caplog):
    fresh.parent.parent.mkdir(parents=True)
    fresh.parent.write_text("a file where the folder should be")
    with caplog.at_level(logging.WARNING):
        assert all(store.addresses(KERNELS[:2]).values())
        assert all(store.addresses([*KERNELS, REST]).values())
        store.remember("a", 1)
    assert store.recall("a") == 1
    (record,) = caplog.records
    assert str(fresh) in record.getMessage()


def test_an_error_while_building_is_the_writers_own(fresh):
    with pytest.raises(AttributeError, match="nothing"):
        store.addresses([*KERNELS[:1], Kernel("elementwise", "nothing", ())])
    assert store.addresses(KERNELS[:1])


def test_other_interpreters_build_the_same(fresh, monkeypatch):
    alone = dict(build.build([*KERNELS, REST]))
    monkeypatch.setattr(build, "FEW", 1)
    monkeypatch.setattr(build, "SHARE", 2)
    monkeypatch.setattr(build, "processors", lambda: 2)
    monkeypatch.setattr(build, "module", None)  # this process cannot
    assert dict(build.build([*KERNELS, REST])) == alone


@pytest.mark.parametrize("helper", ["raise SystemExit(1)", "print('no'); raise OSError", "1 +"])
def test_what_other_interpreters_fail_to_build_this_one_builds(helper, monkeypatch):
    monkeypatch.setattr(build, "FEW", 1)
    monkeypatch.setattr(build, "SHARE", 1)
    monkeypatch.setattr(build, "processors", lambda: 2)
    monkeypatch.setattr(build, "HELPER", helper)
    assert sorted(name for name, _ in build.build(KERNELS)) == sorted(KERNELS)


@pytest.mark.parametrize("executable", ["", "/opt/program/program"])
def test_a_program_that_carries_python_is_not_started_again(executable, monkeypatch):
    monkeypatch.setattr(sys, "executable", executable)
    assert not build.python()


def test_processes_that_start_at_once_share_the_work(fresh):
    with ThreadPoolExecutor(3) as pool_:
        answers = list(pool_.map(lambda _: another_process(), range(3)))
    assert all(found for _, _, found in answers)
    assert sum(numba for _, numba, _ in answers) == 1  # one has built


def test_folders_that_nobody_used_for_long_are_removed(fresh):
    old, young, other = (fresh.parent / name for name in ("0" * 16, "1" * 16, "notes"))
    for place in (old, young, other):
        place.mkdir(parents=True)
        (place / "file").write_text("")
    for place in (old, other):
        os.utime(place, (time.time() - store.STALE - 60,) * 2)
    store.addresses(KERNELS[:1])
    assert not old.exists()
    assert young.exists() and other.exists()


def test_sources_settings_and_processors_are_kept_apart(monkeypatch):
    host = target.detected()
    marks = [store._mark(host)]
    marks.append(store._mark(target.Target(host.triple, "other", "", 8)))
    store._mark.cache_clear()
    monkeypatch.setenv("NUMBA_OPT", "0")
    marks.append(store._mark(host))
    monkeypatch.setattr(store, "_sources", lambda: b"others")
    store._mark.cache_clear()
    marks.append(store._mark(host))
    store._mark.cache_clear()
    assert len(set(marks)) == 4


def test_code_made_while_sources_are_edited_is_not_kept(fresh, monkeypatch):
    monkeypatch.setattr(store, "_digest", lambda: b"edited")
    assert store.addresses(KERNELS[:1])
    assert not (fresh / store.symbol(KERNELS[0])).exists()


def test_a_choice_is_recalled_by_the_next_process(fresh):
    assert store.recall("conv 3x3") is None
    store.remember("conv 3x3", ["winograd", 4])
    text = 'from darkpy.kernels.cpu.engine import store; store.remember("other", {"a": 1.5})'
    subprocess.run([sys.executable, "-c", text], cwd=ROOT, check=True)
    store.remember("third", None)
    store._choices.clear()
    assert store.recall("conv 3x3") == ["winograd", 4]
    assert store.recall("other") == {"a": 1.5}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b'"a"'])
def test_broken_choices_are_none(fresh, content):
    fresh.mkdir(parents=True)
    (fresh / store.CHOICES).write_bytes(content)
    assert store.recall("a") is None
    store.remember("a", 1)
    assert json.loads((fresh / store.CHOICES).read_text()) == {"a": 1}


@pytest.mark.parametrize("name", sorted(target.narrower()))
def test_this_processor_runs_what_is_made_for_a_narrower_one(name, engine_for):
    engine_for(target.narrower()[name])
    x = blocked(2, 21, 9, 13, border=1, fill=-9)
    values = np.random.default_rng(0).standard_normal((2, 21, 9, 13)).astype(np.float32)
    x.put(values)
    numbers = {"size": 3, "stride": (2, 1), "padding": 2}
    want = ops("reference").maxpool(values, **numbers)
    y = blocked(2, 21, *want.shape[2:])
    execute(pool.maxpool(x.map, y.map, **numbers))
    np.testing.assert_array_equal(y.get(), want)


@pytest.mark.parametrize(
    ("triple", "cpu", "word"),
    [
        ("x86_64-unknown-linux-gnu", "skylake-avx512", "%zmm"),
        ("x86_64-unknown-linux-gnu", "haswell", "%ymm"),
        ("x86_64-unknown-linux-gnu", "x86-64", "%xmm"),
        ("aarch64-unknown-linux-gnu", "cortex-a76", ".4s"),
    ],
)
def test_assembly_for_any_processor(triple, cpu, word):
    text = build.assembly(KERNELS[1], target.Target(triple, cpu, "", 8))
    assert word in text and store.symbol(KERNELS[1]) in text


def test_numba_compiles_drivers_though_it_is_told_not_to(fresh):
    assert another_process(NUMBA_DISABLE_JIT="1") == [[[i, 4] for i in range(5)], True, True]
