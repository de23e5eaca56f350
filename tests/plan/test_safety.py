"""Plans in several threads, in children of a fork, at the end of a program, and for long."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from darkpy.plan import compile
from tests.conftest import ROOT
from tests.plan import networks

sys.path.insert(0, str(ROOT / "benchmarks"))

import soak

SHAPES = ROOT / "cfg" / "shapes.cfg"


def made(threads, side=64):
    network, params, x = networks.read(SHAPES, side)
    return compile(network, params, threads=threads), x


def said(plan, x):
    return b"".join(y.tobytes() for y in plan(x).values())


def test_plans_for_other_numbers_of_threads_run_at_once():
    pairs = [made(threads) for threads in (1, 2, 3, 2)]
    alone = [said(*pair) for pair in pairs]
    wrong = []

    def call(pair, want):
        wrong.extend(1 for _ in range(30) if said(*pair) != want)

    threads = [threading.Thread(target=call, args=one) for one in zip(pairs, alone, strict=True)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_of_a_fork_runs_a_plan_that_a_thread_is_running():
    plan, x = made(2)
    want = said(plan, x)
    over = threading.Event()

    def go_on():
        while not over.is_set():
            plan(x)

    busy = threading.Thread(target=go_on)
    busy.start()
    try:
        for _ in range(5):
            child = os.fork()
            if not child:
                os._exit(0 if said(plan, x) == want else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        over.set()
        busy.join()


END = """
import sys, threading
sys.path.insert(0, {root!r})
from tests.plan.test_safety import made
plan, x = made(2)
plan(x)
if {how!r} == "working":
    def go_on():
        while True:
            plan(x)
    threading.Thread(target=go_on, daemon=True).start()
    plan(x)
print("done")
"""


@pytest.mark.parametrize("how", ["idle", "working"])
def test_a_program_ends_while_a_plan_is(how):
    words = [sys.executable, "-c", END.format(root=str(ROOT), how=how)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout.strip(), done.stderr.strip()) == (0, "done", "")


def test_an_error_in_what_is_made_of_outputs_leaves_a_plan_that_runs():
    plan, x = made(2)
    want = said(plan, x)
    with pytest.raises(ZeroDivisionError):
        plan.run({"image": x}, lambda outputs: 1 / 0)
    assert said(plan, x) == want


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="this system does not say what is resident")
def test_memory_does_not_grow_though_sizes_change():
    assert soak.grown(soak.apart(soak.sizes, SHAPES, 3000)) < soak.MOST


@pytest.mark.slow
def test_many_threads_call_two_detectors_and_find_what_one_alone_does():
    cfgs = [SHAPES, ROOT / "cfg" / "yolo-fastest-1.1.cfg"]
    assert soak.crowd(cfgs, callers=8, calls=20) == 0


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["delete", "corrupt"])
def test_plans_outlive_the_folder_of_compiled_code(damage):
    assert soak.in_a_fresh_cache(SHAPES, damage) == 0


def test_growth_is_seen():
    assert soak.grown([90.0, 100.0, 100.0, 120.0, 125.0, 130.0]) == pytest.approx(25.0)
    assert np.isclose(soak.grown([100.0, 100.0, 100.0]), 0)
