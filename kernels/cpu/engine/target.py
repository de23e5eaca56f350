"""The processor that code is made for."""

from __future__ import annotations

import platform
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import llvmlite.binding as llvm


@dataclass(frozen=True)
class Target:
    """A processor, as LLVM knows it.

    cpu, features  LLVM's name and its list of "+name" and "-name"
    registers      how many Vectors of sixteen float32 fit its vector registers
    """

    triple: str
    cpu: str
    features: str
    registers: int

    def machine(self):
        """Return LLVM's maker of code for it."""
        initialize()
        try:
            target = llvm.Target.from_triple(self.triple)
        except RuntimeError:  # another family of processors
            llvm.initialize_all_targets()
            llvm.initialize_all_asmprinters()
            target = llvm.Target.from_triple(self.triple)
        return target.create_target_machine(
            cpu=self.cpu, features=self.features, opt=3, codemodel="jitdefault", jit=True
        )


_pretended: list[Target] = []


def host():
    """Return the processor this runs on."""
    return _pretended[-1] if _pretended else detected()


@contextmanager
def pretend(target):
    """Let all code be made for another processor; this one runs it if it has what that one has."""
    _pretended.append(target)
    try:
        yield target
    finally:
        _pretended.pop()


@cache
def detected():
    """Return the processor that LLVM finds."""
    initialize()
    try:
        features = dict(llvm.get_host_cpu_features())
    except RuntimeError:  # LLVM cannot tell on some
        features = {}
    triple = llvm.get_process_triple()
    if sys.platform == "win32":
        triple += "-elf"  # LLVM's loader of object code in memory takes this form there
    text = ",".join(f"{'+' if has else '-'}{name}" for name, has in sorted(features.items()))
    return Target(triple, llvm.get_host_cpu_name(), text, registers(features))


def narrower():
    """Return the lesser processors of this one's family, by what their registers are called."""
    triple = detected().triple
    if platform.machine().lower() not in ("amd64", "x86_64"):
        return {}
    return {"avx2": Target(triple, "haswell", "", 8), "sse2": Target(triple, "x86-64", "", 4)}


def registers(features):
    """Return how many Vectors of sixteen float32 a processor's registers hold."""
    if features.get("avx512f") and features.get("avx512vl"):
        return 32
    if platform.machine().lower() in ("arm64", "aarch64"):
        return 8
    return 8 if features.get("avx") else 4


@cache
def initialize():
    """Prepare LLVM, once."""
    try:
        llvm.initialize()  # older versions ask for it, newer ones refuse
    except RuntimeError:
        pass
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
