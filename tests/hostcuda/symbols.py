"""What a library's symbols tell: where its shared variables lie, and the lines of addresses."""

import re
import subprocess
from functools import cache
from pathlib import Path

from .build import SOURCE

SHIM = str(Path(__file__).resolve().parent / "shim")


@cache
def shared_variables(library: Path) -> tuple[tuple[int, int, str], ...]:
    """Return begin, end and name of each shared variable, in bytes of the thread-local segment."""
    said = subprocess.run(
        ["readelf", "--syms", "--wide", "--demangle", library],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = {}
    for row in said.splitlines():
        fields = row.split(maxsplit=7)
        if len(fields) == 8 and fields[3] == "TLS" and fields[7] != "smem":
            begin, size, name = int(fields[1], 16), int(fields[2], 0), fields[7]
            found[begin] = (begin, begin + size, f"shared {name.split('::')[-1]}")
    return tuple(found[begin] for begin in sorted(found))


def line_of(library: Path, offset: int, code: str) -> str:
    """Return the line of the source that an instruction comes from, with its number and text."""
    said = subprocess.run(
        ["addr2line", "--inlines", "-e", library, hex(offset)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for frame in said.splitlines():
        match = re.match(r"(.*):(\d+)", frame)
        if match and not match[1].startswith(SHIM) and not match[1].endswith("common.cuh"):
            file, line = Path(match[1]).name, int(match[2])
            text = code.splitlines()[line - 1].strip() if file == SOURCE else ""
            return f"{file}:{line}: {text}".rstrip(": ")
    return "a line that the compiler does not tell"
