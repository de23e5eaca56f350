"""Compile CUDA C++ for devices that are not here: what ptxas says of kernels, and their SASS.

NVRTC, its headers and nvdisasm are three wheels (the extra `test`). What comes out is kept in
.cache/hostcuda by the digest of what went in.
"""

import ctypes
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.hostcuda.build import digest, kept

# What each wheel is needed for.
WHEELS = {
    "nvidia-cuda-nvrtc": "libnvrtc.so.",
    "nvidia-cuda-runtime": "cuda_fp16.h",
    "nvidia-cuda-nvdisasm": "nvdisasm",
}
# The second and third are CuPy's own, which it adds to those of a module.
OPTIONS = ("-std=c++17", "-ftz=true", "--device-as-default-execution-space", "--ptxas-options=-v")
# An instruction of SASS, after its address and its predicate: "LDG.E.128.CONSTANT".
INSTRUCTION = re.compile(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Za-z0-9_.]*)")
LABEL = re.compile(r"^(\.L_x_\d+):", re.MULTILINE)
BRANCH = re.compile(r"\bBRA[ .].*?`\((\.L_x_\d+)\)")
PRODUCTS = ("HMMA", "HGMMA")  # of tensor cores
FUNCTION = re.compile(r"^\.text\.(\S+):$", re.MULTILINE)
RESOURCES = re.compile(
    r"Compiling entry function '(?P<symbol>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


@dataclass(frozen=True)
class Compiled:
    """A kernel as a device would run it.

    registers  of a thread
    spilled    bytes that a thread stores because it has no register for them, and loads again
    stack      bytes of local memory of a thread
    threads    of a block at most (`__launch_bounds__`)
    opcodes    of its instructions, in their order
    loop       instructions of the shortest loop with products of tensor cores; 0 without one
    """

    registers: int
    spilled: int
    stack: int
    threads: int
    opcodes: tuple[str, ...]
    loop: int

    def count(self, opcode: str) -> int:
        """Return how many instructions are of an opcode: "HMMA", or with its first modifiers."""
        return sum(one == opcode or one.startswith(f"{opcode}.") for one in self.opcodes)


@cache
def missing() -> str:
    """Return what keeps kernels from being compiled here, or nothing."""
    absent = [wheel for wheel, file in WHEELS.items() if _found(wheel, file) is None]
    return f"no {' and no '.join(absent)}: install the extra 'test'" if absent else ""


def compiled(code: str, names: Iterable[str], architecture: str) -> dict[str, Compiled]:
    """Return kernels of a source, by their names.

    code          without #include of files other than CUDA's own
    names         as in `Launch`: "gemm<half, 3>"
    architecture  "sm_90a"
    raises        RuntimeError with what the compiler said, warnings included
    """
    names = sorted(names)
    key = digest(_library(), code, names, architecture, OPTIONS, Path(__file__).read_text("utf-8"))
    path = kept(f"{key}.json", lambda to: to.write_text(_described(code, names, architecture)))
    rows = json.loads(path.read_text())
    return {name: Compiled(**{**row, "opcodes": tuple(row["opcodes"])}) for name, row in rows}


@cache
def _found(wheel: str, file: str) -> Path | None:
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        return None
    return next((Path(one.locate()) for one in files if one.name.startswith(file)), None)


def _library() -> str:
    return str(_found("nvidia-cuda-nvrtc", "libnvrtc.so."))


def _described(code: str, names: Sequence[str], architecture: str) -> str:
    symbols, cubin, ptx, log = _compile(code, names, architecture)
    if "warning" in log or "(C75" in log:
        raise RuntimeError(f"warnings for {architecture}:\n{log}")
    bodies = _disassembled(cubin)
    resources = {found["symbol"]: found for found in RESOURCES.finditer(log)}
    rows = []
    for name, symbol in zip(names, symbols, strict=True):
        found = resources[symbol]
        one = Compiled(
            registers=int(found["registers"]),
            spilled=max(int(found["stores"]), int(found["loads"])),
            stack=int(found["stack"]),
            threads=_most_threads(ptx, symbol),
            opcodes=tuple(INSTRUCTION.findall(bodies[symbol])),
            loop=_loop(bodies[symbol]),
        )
        rows.append((name, asdict(one)))
    return json.dumps(rows)


def _most_threads(ptx: str, symbol: str) -> int:
    """Return the threads that `__launch_bounds__` allows; 1024, the most there are, without it."""
    entry = re.search(rf"\.entry {symbol}\((.*?)\{{", ptx, re.DOTALL)
    bound = re.search(r"\.maxntid (\d+)", entry[1])
    return int(bound[1]) if bound else 1024


def _disassembled(cubin: bytes) -> dict[str, str]:
    """Return the SASS of each function."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "kernel.cubin")
        path.write_bytes(cubin)
        command = [_found("nvidia-cuda-nvdisasm", "nvdisasm"), "--print-code", path]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    _, *parts = FUNCTION.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _loop(body: str) -> int:
    """Return the instructions from a label to a branch back to it, with products between."""
    labels = {found[1]: found.end() for found in LABEL.finditer(body)}
    lengths = []
    for branch in BRANCH.finditer(body):
        begin = labels.get(branch[1], branch.end())
        within = INSTRUCTION.findall(body[begin : branch.end()])
        if any(one.startswith(PRODUCTS) for one in within):
            lengths.append(len(within))
    return min(lengths, default=0)


def _compile(
    code: str, names: Sequence[str], architecture: str
) -> tuple[list[str], bytes, str, str]:
    """Return the symbols of kernels, the cubin, the PTX, and what the compiler said."""
    nvrtc = ctypes.CDLL(_library())
    nvrtc.nvrtcGetErrorString.restype = ctypes.c_char_p
    program = ctypes.c_void_p()

    def call(function: str, *args: object) -> None:
        status = getattr(nvrtc, function)(*args)
        if status:
            raise RuntimeError(f"{function}: {nvrtc.nvrtcGetErrorString(status).decode()}")

    def taken(what: str) -> bytes:
        size = ctypes.c_size_t()
        call(f"nvrtcGet{what}Size", program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        call(f"nvrtcGet{what}", program, text)
        return text.raw

    def lowered(name: str) -> str:
        symbol = ctypes.c_char_p()
        call("nvrtcGetLoweredName", program, name.encode(), ctypes.byref(symbol))
        return symbol.value.decode()

    headers = _found("nvidia-cuda-runtime", "cuda_fp16.h").parent
    options = [*OPTIONS, f"-arch={architecture}", f"-I{headers}"]
    call("nvrtcCreateProgram", ctypes.byref(program), code.encode(), b"kernel.cu", 0, None, None)
    try:
        for name in names:
            call("nvrtcAddNameExpression", program, name.encode())
        words = (ctypes.c_char_p * len(options))(*map(str.encode, options))
        status = nvrtc.nvrtcCompileProgram(program, len(options), words)
        log = taken("ProgramLog").rstrip(b"\0").decode()
        if status:
            raise RuntimeError(f"{architecture} does not compile:\n{log}")
        ptx = taken("PTX").rstrip(b"\0").decode()
        return [lowered(name) for name in names], taken("CUBIN"), ptx, log
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
