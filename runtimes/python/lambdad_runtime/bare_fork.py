"""Forks by the C library alone, for a process that knows all its modules.

Python's own fork resets its locks afterwards and calls what modules have registered, which writes to half a MiB of pages
that the child then has for itself. There is one thread, so no lock was held; what modules would do is in `renew`.
"""

import ctypes
import os
import sys

_python = ctypes.PyDLL(None, use_errno=True)


def can_fork_barely():
    is_locked = getattr(sys, "_is_gil_enabled", lambda: True)()
    return is_locked and len(os.listdir("/proc/self/task")) == 1


def bare_fork():
    pid = _python.fork()
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"fork: {os.strerror(number)}")
    return pid


def renew():
    """In the child: what the modules loaded by preload.py have registered and does something where no thread is lost."""
    random = sys.modules.get("random")
    if random:
        random.seed()
    threading = sys.modules.get("threading")
    if threading:
        threading.main_thread()._set_native_id()
