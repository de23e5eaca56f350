"""How a kernel is compiled."""

import types
import zlib
from pathlib import Path

import numba

OPTIONS = {
    "nogil": True,
    "error_model": "numpy",  # a division that may raise keeps a loop from being vectorised
    "fastmath": {"contract"},  # a * b + c in one rounding where the processor can
}


def jit(function):
    """Compile ``function`` when it is first called with a type of arguments, and keep the code.

    The code is kept beside the source, or else in the user's cache folder, or else, where
    neither can be written, in this process alone. Numba compiles anew when the file of the
    function has changed and looks at no other: a kernel calls compiled functions of its own file
    only, or is made by `rebound`. Loops are not Numba's parallel ones: where there is no OpenMP
    those run on its workqueue, which ends the process when two threads call at once.
    """
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # there is no folder to keep it in
        return numba.njit(**OPTIONS)(function)


def inline(function):
    """Compile ``function`` into the kernels that call it; a loop with a call is not vectorised."""
    return numba.njit(forceinline=True, **OPTIONS)(function)


def rebound(function, name, **values):
    """Return a copy of ``function`` under another name, in which global names mean other values."""
    copy = types.FunctionType(function.__code__, {**function.__globals__, **values})
    copy.__name__ = copy.__qualname__ = name
    return copy


def digest(*modules):
    """Return a mark of the modules' text, for the name under which code made of them is kept."""
    try:
        text = b"".join(Path(module.__file__).read_bytes() for module in modules)
    except OSError:  # a frozen program carries no text, and Numba keeps no code for it
        return "frozen"
    return f"{zlib.crc32(text):08x}"
