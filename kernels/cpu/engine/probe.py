"""What this machine is, and can do at best: multiply-adds, and reading of memory.

The loops are written as intermediate code and compiled by llvmlite, so that what is measured owes
nothing to the kernels that are compared with it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np

from . import target

SECONDS = 0.05  # that a look takes
LOOKS = 8  # of which the best counts
BYTES = 1 << 28  # of memory that a thread reads, more than caches hold


def processor() -> str:
    """Return the processor's name and what LLVM calls it."""
    known = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
        known = next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        pass
    return f"{known} ({target.host().cpu})"


def peak(threads: int) -> float:
    """Return the most GFLOP/s of float32 multiply-adds, two for each.

    threads  at once; those beyond the processors there are add nothing, and are left out
    """
    threads = min(threads, os.cpu_count() or 1)
    lanes, count = (16, 24) if target.host().registers == 32 else (8, 12)
    code, engine = compiled(peak_text(lanes, count), "peak", ctypes.c_float)
    turns = 1 << 12
    while timed(partial(code, turns), 1) < SECONDS:
        turns *= 2
    best = min(timed(partial(code, turns), threads) for _ in range(LOOKS))
    del engine
    return 2e-9 * turns * lanes * count * threads / best


def reading(threads: int) -> float:
    """Return the gigabytes a second that threads, as in `peak`, read from memory, each its own."""
    threads = min(threads, os.cpu_count() or 1)
    code, engine = compiled(read_text(), "read", ctypes.c_float, ctypes.c_void_p)
    arrays = [np.ones(BYTES // 4, np.float32) for _ in range(threads)]
    steps = BYTES // 512
    turn = iter(range(1 << 30))

    def one() -> None:
        code(steps, arrays[next(turn) % threads].ctypes.data)

    best = min(timed(one, threads) for _ in range(LOOKS))
    del engine
    return 1e-9 * BYTES * threads / best


def timed(run, threads: int) -> float:
    """Return the seconds that a call takes in so many threads at once."""
    others = [threading.Thread(target=run) for _ in range(threads - 1)]
    start = time.perf_counter()
    for other in others:
        other.start()
    run()
    for other in others:
        other.join()
    return time.perf_counter() - start


def compiled(text: str, name: str, result, *kinds):
    """Return a function of a number and ``kinds``, which lets go of Python's lock, and its code."""
    import llvmlite.binding as llvm

    machine = target.host().machine()
    module = llvm.parse_assembly(text)
    module.triple = machine.triple
    module.data_layout = str(machine.target_data)
    engine = llvm.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    signature = ctypes.CFUNCTYPE(result, ctypes.c_int64, *kinds)
    return signature(engine.get_function_address(name)), engine


def loop(name: str, params: str, kind: str, count: int, body: list[str]) -> str:
    """Return a function that runs a body n times over ``count`` vectors and adds them up.

    body  lines that make %next<i> of %sum<i>; %i counts
    """
    lines = [f"define float @{name}(i64 %n{params}) {{", "entry:", "  br label %loop", "loop:"]
    lines += ["  %i = phi i64 [0, %entry], [%more, %loop]"]
    lines += [
        f"  %sum{k} = phi {kind} [zeroinitializer, %entry], [%next{k}, %loop]" for k in range(count)
    ]
    lines += body
    lines += ["  %more = add i64 %i, 1", "  %on = icmp slt i64 %more, %n"]
    lines += ["  br i1 %on, label %loop, label %end", "end:"]
    lines += [f"  %all1 = fadd {kind} %next0, %next1"]
    lines += [f"  %all{k} = fadd {kind} %all{k - 1}, %next{k}" for k in range(2, count)]
    lines += [f"  %one = extractelement {kind} %all{count - 1}, i32 0", "  ret float %one", "}"]
    return "\n".join(lines)


def peak_text(lanes: int, count: int) -> str:
    kind, fma = f"<{lanes} x float>", f"llvm.fma.v{lanes}f32"
    body = [
        f"  %next{k} = call {kind} @{fma}({kind} %sum{k}, {kind} %a, {kind} %b)"
        for k in range(count)
    ]
    text = loop("peak", "", kind, count, body)
    ones = [
        f"  %{name} = insertelement {kind} zeroinitializer, float {value}, i32 0"
        for name, value in (("a", "0.5"), ("b", "1.0"))
    ]
    declared = f"declare {kind} @{fma}({kind}, {kind}, {kind})"
    return f"{declared}\n" + text.replace("entry:", "\n".join(["entry:", *ones]))


def read_text() -> str:
    """A step reads 512 bytes: eight vectors."""
    kind, body = "<16 x float>", ["  %at = mul i64 %i, 512"]
    for k in range(8):
        body += [
            f"  %place{k} = add i64 %at, {64 * k}",
            f"  %p{k} = getelementptr i8, ptr %x, i64 %place{k}",
            f"  %v{k} = load {kind}, ptr %p{k}, align 4",
            f"  %next{k} = fadd {kind} %sum{k}, %v{k}",
        ]
    return loop("read", ", ptr %x", kind, 8, body)
