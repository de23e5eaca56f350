"""Memory that a kernel needs only while it runs, kept for its next call."""

import threading

import numpy as np

MOST = 1 << 20  # float32 values that a thread keeps; what is larger is given back at once

kept = threading.local()


def scratch(count):
    """Return ``count`` float32 values of this thread's own, with anything in them.

    They are the caller's until the same thread asks again.
    """
    if count > MOST:
        return np.empty(count, np.float32)
    if getattr(kept, "values", None) is None:
        kept.values = np.empty(MOST, np.float32)
    return kept.values[:count]
