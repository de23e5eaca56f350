"""What kernels are on real devices: they compile, spill nothing, and use the instructions meant.

No device is needed. `INSTANCES` has, for each source of kernels/cuda, some of its instances as ops
launch them; a source without any fails.
"""

from dataclasses import dataclass, field

import pytest

from darkpy.kernels.cuda import device
from tests.nvrtc import Compiled, compiled, missing

REGISTERS = 65536  # of a processor; a block that needs more does not start
SPILLED = {"sm_75": 8}  # bytes allowed: of products that are made of several there
SOME = ("sm_75", "sm_90a", "sm_120")
ALL = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120")


@dataclass(frozen=True)
class Instance:
    """An instance of a kernel.

    name     as in `Launch`
    threads  of its blocks
    opcodes  how many instructions of each there are, from sm_80 on
    """

    name: str
    threads: int = 256
    opcodes: dict[str, int] = field(default_factory=dict)

    def check(self, found: Compiled, architecture: str) -> None:
        """Fail if a compiled kernel is not what was meant."""
        assert found.spilled <= SPILLED.get(architecture, 0)
        assert found.stack <= SPILLED.get(architecture, 0), "an array lies in local memory"
        assert self.threads <= found.threads, "more threads than __launch_bounds__ says"
        assert self.threads * found.registers <= REGISTERS
        if architecture != "sm_75":
            assert {opcode: found.count(opcode) for opcode in self.opcodes} == self.opcodes


def pieces(loads: int, stores: int) -> dict[str, int]:
    """Return the opcodes of loads and stores of 16 bytes, of which there are no others."""
    return {"LDG": loads, "LDG.E.128": loads, "STG": stores, "STG.E.128": stores}


INSTANCES = {
    "activate.cu": (
        Instance("activate<half, activation::mish>", opcodes=pieces(1, 1)),
        Instance("activate<float, activation::logistic>", opcodes=pieces(1, 1)),
        Instance("activate_grad<float, activation::leaky>", opcodes=pieces(2, 1)),
        Instance("activate_grad<__nv_bfloat16, activation::mish>", opcodes=pieces(2, 1)),
    ),
}
EVERYWHERE: set[str] = set()  # sources that depend on the architecture by more than a wrapper


def test_every_source_has_an_instance():
    assert {path.name for path in device.HERE.glob("*.cu")} == INSTANCES.keys()


@pytest.mark.skipif(bool(missing()), reason=missing())
@pytest.mark.parametrize(
    ("file", "architecture"),
    [(file, one) for file in INSTANCES for one in (ALL if file in EVERYWHERE else SOME)],
)
def test_compiles_as_meant(file, architecture):
    kernels = compiled(device.source(file), [one.name for one in INSTANCES[file]], architecture)
    for one in INSTANCES[file]:
        one.check(kernels[one.name], architecture)
