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
IN_ANY_ORDER = {"fastmath": {"contract", "reassoc", "nsz"}}


def jit(function, **options):
    """Compile ``function`` when it is first called with a type of arguments, and keep the code.

    The code is kept beside the source, or else in the user's cache folder, or else, where
    neither can be written, in this process alone. Numba compiles anew when the file of the
    function has changed and looks at no other: a kernel calls compiled functions of its own file
    only, or is made by `rebound`. Loops are not Numba's parallel ones: where there is no OpenMP
    those run on its workqueue, which ends the process when two threads call at once.
    """
    options = OPTIONS | options
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # there is no folder to keep it in
        return numba.njit(**options)(function)


def inline(function, **options):
    """Compile ``function`` into the kernels that call it; a loop with a call is not vectorised."""
    return numba.njit(forceinline=True, **(OPTIONS | options))(function)


def jit_sums(function):
    """Compile a kernel whose sums may be taken in another order, which vector code needs.

    That order is the code's own: the same numbers give the same bytes in every call.
    """
    return jit(function, **IN_ANY_ORDER)


def inline_sums(function):
    """Compile such a sum into the kernels that call it."""
    return inline(function, **IN_ANY_ORDER)


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
