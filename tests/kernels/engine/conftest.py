"""Fixtures of the engine's tests."""

from contextlib import ExitStack

import pytest

from darkpy.kernels.cpu.engine import target


@pytest.fixture
def engine_for():
    """Return a function of a `target.Target`: code is made for it until the test ends."""
    with ExitStack() as stack:
        yield lambda other: stack.enter_context(target.pretend(other))
