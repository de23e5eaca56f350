"""Build object code: of kernels from the vector code they write, of drivers with Numba.

Several at a time, by fresh interpreters that are told by lines of JSON what to build: not by
`multiprocessing`, which runs a user's script again unless that guards its main part.
"""

from __future__ import annotations

import base64
import importlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import llvmlite.binding as llvm
from llvmlite import ir

from . import target
from .records import Kernel
from .store import symbol

DRIVER = "void(CPointer(int64), int64, int64)"  # arguments, task, scratch
FEW = 8  # to build no more than these takes less time than to start interpreters
SHARE = 4  # at least so many for each
MOST = 16  # interpreters; each takes some 200 MB
MARK = b"darkpy built "  # begins an answer; whatever else is printed is not one
HELPER = """
import json, sys
start = json.loads(sys.stdin.readline())
sys.path[:] = start["path"]
from importlib import import_module
import_module(start["module"]).serve(start["target"])
"""


def build(names):
    """Yield (name, object code) of each: a `records.Kernel` or "file.name" of a driver."""
    left = dict.fromkeys(sorted(names, key=lambda name: isinstance(name, Kernel)))
    count = min(processors(), MOST, len(left) // SHARE)
    if len(left) > FEW and count > 1 and python():
        for name, code in together(list(left), count):
            del left[name]
            yield name, code
    machine = target.host().machine()
    for name in left:  # all of them, or what no other interpreter could build
        yield name, machine.emit_object(module(name, machine))


def processors():
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def python():
    """Return whether this program is Python itself, and not one that carries it."""
    name = Path(sys.executable or "").name.lower()
    return not getattr(sys, "frozen", False) and name.startswith(("python", "pypy"))


def together(names, count):
    """Yield (name, object code) of what ``count`` other interpreters build."""
    todo, done = queue.SimpleQueue(), queue.SimpleQueue()
    for name in names:
        todo.put(name)
    try:
        helpers = [begin() for _ in range(count)]
    except OSError:
        return
    threads = [threading.Thread(target=ask, args=(one, todo, done), daemon=True) for one in helpers]
    try:
        for thread in threads:
            thread.start()
        working = count
        while working:
            answer = done.get()
            if answer is None:
                working -= 1
            else:
                yield answer
    finally:
        for helper in helpers:
            helper.kill()
            for pipe in (helper.stdin, helper.stdout):
                with suppress(OSError):  # what it was not given yet
                    pipe.close()
            helper.wait()


def begin():
    """Start an interpreter that builds."""
    helper = subprocess.Popen(
        [sys.executable, "-P", "-c", HELPER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    host = target.host()
    path = [one or os.getcwd() for one in sys.path if isinstance(one, str)]
    start = {"path": path, "module": __name__, "target": vars(host)}
    helper.stdin.write(json.dumps(start).encode() + b"\n")
    return helper


def ask(helper, todo, done):
    """Have one interpreter build what is to do, until nothing is, or it fails."""
    try:
        while True:
            name = todo.get_nowait()
            helper.stdin.write(json.dumps(name).encode() + b"\n")
            helper.stdin.flush()
            answer = next((line for line in helper.stdout if line.startswith(MARK)), None)
            if answer is None:
                break
            done.put((name, base64.b64decode(answer[len(MARK) :])))
    except (queue.Empty, OSError, ValueError):
        pass
    done.put(None)


def serve(processor):
    """Build what standard input asks for, a line each, until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked ends this
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    other = target.Target(**processor)
    with nullcontext() if other == target.host() else target.pretend(other):
        machine = other.machine()
        for line in sys.stdin:
            name = json.loads(line)
            if not isinstance(name, str):
                file, function, params = name
                name = Kernel(file, function, tuple(map(tuple, params)))
            code = machine.emit_object(module(name, machine))
            answers.write(MARK + base64.b64encode(code) + b"\n")
            answers.flush()


def assembly(name, processor):
    """Return the assembly that a kernel becomes for any `target.Target`."""
    with target.pretend(processor):
        machine = processor.machine()
        return machine.emit_assembly(module(name, machine))


def module(name, machine):
    """Return the optimised module of a kernel or a driver."""
    text = driver_text(name) if isinstance(name, str) else kernel_text(name)
    parsed = llvm.parse_assembly(text)
    parsed.triple = machine.triple
    parsed.data_layout = str(machine.target_data)
    for one in (*parsed.functions, *parsed.global_variables):
        if not one.is_declaration and one.name != symbol(name):
            one.linkage = "internal"  # what Numba calls it differs from process to process
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    foreign = [f.name for f in parsed.functions if f.is_declaration]
    assert all(one.startswith("llvm.") for one in foreign), f"{name} calls {foreign}"
    return parsed


def kernel_text(name):
    """Return the intermediate code that a kernel's function in ``emit/`` writes."""
    writer = getattr(importlib.import_module(f".emit.{name.file}", __package__), name.name)
    module = ir.Module(symbol(name))
    writer(module, symbol(name), **dict(name.params))
    return str(module)


def driver_text(name):
    """Return the intermediate code that Numba makes of a driver, under the driver's symbol."""
    import numba

    file, _, function = name.partition(".")
    with compiling(numba.config):
        source = getattr(importlib.import_module(f".drivers.{file}", __package__), function)
        compiled = numba.njit(
            source.signature if hasattr(source, "signature") else DRIVER,
            nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True,
        )(source)  # fmt: skip
    ((signature, text),) = compiled.inspect_llvm().items()
    mangled = compiled.overloads[signature].fndesc.llvm_func_name
    made = llvm.parse_assembly(text).get_function(mangled)
    return text + wrapper(symbol(name), mangled, [str(one.type) for one in made.arguments])


@contextmanager
def compiling(config):
    """Let Numba compile, though NUMBA_DISABLE_JIT asks it not to: there is no other way to run."""
    before = config.DISABLE_JIT
    config.DISABLE_JIT = 0
    try:
        yield
    finally:
        config.DISABLE_JIT = before


def wrapper(name, mangled, kinds):
    """Return a C function of int64 around one of Numba's, which returns nothing and cannot fail.

    kinds  of the arguments of Numba's: where its result and its error go, and those of the driver,
           of which some are pointers; those of llvmlite 0.44 say what to
    """
    result, error, *rest = kinds
    params = ", ".join(f"i64 %a{i}" for i in range(len(rest)))
    casts = [
        f"  %p{i} = inttoptr i64 %a{i} to {kind}" for i, kind in enumerate(rest) if kind != "i64"
    ]
    args = [f"{kind} %{'a' if kind == 'i64' else 'p'}{i}" for i, kind in enumerate(rest)]
    lines = [
        f"define void @{name}({params}) nounwind {{",
        f"  %result = alloca {pointed(result)}",
        f"  %error = alloca {pointed(error)}",
        *casts,
        f'  %status = call i32 @"{mangled}"'
        f"({', '.join([f'{result} %result', f'{error} %error', *args])})",
        "  ret void",
        "}",
    ]
    return "\n".join(["", *lines, ""])


def pointed(kind):
    """Return what a pointer points to, or, where pointers do not say, another pointer."""
    return kind[:-1] if kind.endswith("*") else kind
