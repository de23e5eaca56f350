"""Find registers that the compiler parks on the stack within the loops of vector code."""

import importlib
import re

import llvmlite.binding as llvm
from llvmlite import ir

from darkpy.kernels.cpu.engine.target import Target, initialize

TARGETS = {
    32: Target("x86_64-unknown-linux-gnu", "skylake-avx512", "+prefer-no-gather", 32),
    8: Target("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma", 8),
    4: Target("x86_64-unknown-linux-gnu", "nehalem", "+sse4.2", 4),
    "arm64": Target("aarch64-unknown-linux-gnu", "cortex-a76", "+neon", 8),
}

LABEL = re.compile(r"^([.\w$]+):")
JUMP = re.compile(
    r"^\s+(?:j\w+|b(?:\.\w+)?|cbn?z\s+\w+,|tbn?z\s+\w+, #\d+,)\s+([.\w$]+)\s*(?:[#/].*)?$"
)
PARKED = re.compile(r"-byte (?:Folded )?(?:Spill|Reload)")
VECTOR = re.compile(r"%[xyz]mm\d|\b[qdv]\d+\b")
SLOT = re.compile(r"-?\d*\(%[re][sb]p\)|\[sp[^]]*\]")


def assembly(file, name, target, **params):
    """Return the assembly text of ``emit/<file>.py``'s kernel, optimised for a `Target`.

    The text has LLVM's remarks, which say what is a spill.
    """
    initialize()
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    writer = getattr(importlib.import_module(f"darkpy.kernels.cpu.engine.emit.{file}"), name)
    module = ir.Module(name)
    writer(module, name, **params)
    machine = target.machine()
    machine.set_asm_verbosity(True)
    parsed = llvm.parse_assembly(str(module))
    parsed.triple = machine.triple
    parsed.data_layout = str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_assembly(parsed)


def spills(text):
    """Return the lines within loops that park a vector register on the stack, or fetch it back.

    text  assembly of x86 or arm64 with LLVM's remarks; a loop is what lies between a label and a
          jump back to it. What is parked before all loops and fetched in an outer one does not
          count: that is a constant of a long formula.
    """
    lines = text.splitlines()
    loops, labels = [], {}
    for i, line in enumerate(lines):
        if label := LABEL.match(line):
            labels[label[1]] = i
        elif (jump := JUMP.match(line)) and jump[1] in labels:
            loops.append(range(labels[jump[1]], i + 1))
    within = {i for loop in loops for i in loop}
    parked = {i for i in within if PARKED.search(lines[i]) and VECTOR.search(lines[i])}
    slots = {SLOT.search(lines[i])[0] for i in parked if "Spill" in lines[i]}
    return [lines[i].strip() for i in sorted(parked) if SLOT.search(lines[i])[0] in slots]
