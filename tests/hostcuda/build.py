"""Compile CUDA C++ with g++ into libraries that are kept by the digest of all they are made of."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import get_ident

from . import on_gpu

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parents[1] / ".cache" / "hostcuda"
SOURCE = "kernel.cu"  # what a source is called in reports

COMMON = (
    *("-std=c++17", "-O2", "-fPIC", "-w"),
    *("-fvisibility=hidden", "-fno-gnu-unique"),  # each module has a state of its own
    "-fno-strict-aliasing",  # half2 views of uint4
    "-ffp-contract=off",
    "-fno-threadsafe-statics",
    "-fno-extern-tls-init",  # shared variables have no constructors
)
CHECKED = (
    *("-O1", "-g", "-fno-tree-vectorize"),
    *("-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0"),
    "-fsanitize=alignment,null,bounds,shift,integer-divide-by-zero"
    ",signed-integer-overflow,float-cast-overflow",
)
KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+(?:\w+\s+)*?(\w+)\s*\(')
BOUNDS = re.compile(r"__launch_bounds__\s*\((?:[^()]|\([^()]*\))*\)")
COMMENT = re.compile(r"//[^\n]*")
TYPES = re.compile(r"<[^<>]*>")  # of templates


class BuildError(RuntimeError):
    """The compiler refused a kernel."""


@cache
def missing() -> str:
    """Return what keeps kernels from running on this machine, or nothing; a GPU needs no g++."""
    if on_gpu.asked():
        return ""
    if not sys.platform.startswith("linux"):
        return f"the runtime reads Linux's ELF segments, this is {sys.platform}"
    absent = [tool for tool in ("g++", "readelf", "addr2line") if shutil.which(tool) is None]
    if absent:
        return f"there is no {' and no '.join(absent)}"
    said = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True, check=True)
    if int(said.stdout.split(".")[0]) < 12:
        return f"_Float16 needs g++ 12, this is {said.stdout.strip()}"
    return ""


@cache
def version() -> str:
    """Return what g++ says it is, which code built by another must not be taken for."""
    done = subprocess.run(["g++", "-v"], capture_output=True, text=True, check=True)
    return done.stderr


def texts(folder: Path) -> list[str]:
    """Return the text of every header and source under a folder, in the order of their names."""
    suffixes = {".h", ".cuh", ".cpp"}
    return [path.read_text() for path in sorted(folder.iterdir()) if path.suffix in suffixes]


def digest(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def run(command: list[object]) -> None:
    """Run the compiler; raise BuildError with what it said."""
    words, environment = [str(part) for part in command], {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise BuildError(done.stderr.strip())


def kept(name: str, make) -> Path:
    """Return a file of the cache, which ``make(path)`` writes where it is absent."""
    path = FOLDER / name
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f"{os.getpid()}-{get_ident()}-{name}")
        try:
            make(unfinished)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
    return path


def restricted(code: str, name: str, count: int) -> frozenset[int]:
    """Return which of a kernel's ``count`` parameters are __restrict__, as its source has them.

    Types of functions do not tell: what qualifies a parameter itself is no part of them.
    """
    text = COMMENT.sub("", BOUNDS.sub("", code))
    own = re.match(r"\w+", name)
    found = re.search(rf"__global__\s+(?:\w+\s+)*?{own[0]}\s*\(([^()]*)\)", text)
    if found is None:
        raise BuildError(f"no parameters of {name} are to be found in its source")
    parameters = TYPES.sub("", found[1]).split(",")
    assert len(parameters) == max(count, 1), (name, parameters)
    return frozenset(i for i, one in enumerate(parameters) if "__restrict__" in one)


def runtime() -> Path:
    """Return the object file of the runtime, which is the same for all modules and modes."""
    source = HERE / "runtime" / "runtime.cpp"
    key = digest(version(), COMMON, texts(HERE / "runtime"), texts(HERE / "shim"))
    return kept(f"{key}.o", lambda to: run(["g++", *COMMON, "-c", source, "-o", to]))


def build(
    code: str, options: tuple[str, ...], expressions: tuple[str, ...], *, checked: bool
) -> Path:
    """Return the library of a source.

    code         CUDA C++
    options      -D and -I, as for a compiler
    expressions  template instances to be had by these names, such as "gemm<64, 64>"
    checked      every access calls the checker
    raises       BuildError with what the compiler said
    """
    names = [*KERNEL.findall(BOUNDS.sub("", code)), *expressions]
    kernels = "".join(f'HOSTCUDA_KERNEL({i}, "{n}", {n})\n' for i, n in enumerate(names))
    source = f"{code}\n{kernels}"
    flags = (*COMMON, *(CHECKED if checked else ()), *options)
    included = [texts(Path(option[2:])) for option in options if option.startswith("-I")]
    key = digest(version(), flags, source, included, texts(HERE / "shim"), str(runtime()))

    def make(library: Path) -> None:
        with TemporaryDirectory(dir=FOLDER) as folder:
            written, compiled = Path(folder, SOURCE), Path(folder, "kernel.o")
            written.write_text(source)
            language = ["-x", "c++", "-include", HERE / "shim" / "hostcuda.h"]
            run(["g++", *flags, *language, "-c", written, "-o", compiled])
            run(["g++", "-shared", compiled, runtime(), "-o", library])

    return kept(f"{key}.so", make)
