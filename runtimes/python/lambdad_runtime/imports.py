"""Modules of the interpreter that a function imports: noticed where it loads, and loaded ahead of the next of its kind.

Only what the interpreter brings: its standard library, and of what is installed beside it the packages below, of which
we know what of their state a fork must not share (renew.py). What lies in a function's code is never loaded ahead.
"""

import os
import sys
import time
from itertools import islice

_INSTALLED = frozenset(
    (
        *("attr", "attrs", "boto3", "botocore", "certifi", "chardet", "charset_normalizer", "dateutil", "idna"),
        *("jmespath", "numpy", "pytz", "requests", "s3transfer", "six", "typing_extensions", "urllib3", "yaml"),
    )
)
# They do something when they are imported, or are of no use without a screen.
_NEVER = frozenset(
    ("__main__", "antigravity", "ensurepip", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo")
)
_WORTH_SECONDS = 0.004
_NAMES_MAX = 1_000
_RESIDENT_MIB_MAX = 128


class Watch:
    """From here until the function has loaded."""

    def __init__(self):
        # The names themselves stay untouched: they lie on pages that this process shares with others like it.
        self._before = len(sys.modules)
        self._began = time.process_time()

    def noticed(self, task_root):
        """The modules that were worth loading ahead, in the order in which they were imported."""
        if time.process_time() - self._began < _WORTH_SECONDS:
            return []
        roots = _installed_folders(task_root)
        new = list(islice(reversed(sys.modules), max(0, len(sys.modules) - self._before)))[::-1]
        return [name for name in new if _is_interpreters(name, roots)][:_NAMES_MAX]


def load_ahead(names):
    """In the parent of others. Ends it, with a sentence, if there is anything in it then that a fork must not share."""
    before = frozenset(sys.modules)
    files = len(os.listdir("/proc/self/fd"))
    search_path = list(sys.path)
    roots = _installed_folders(None)
    sys.path += roots
    for name in names:
        if name.partition(".")[0] not in _NEVER:
            try:
                __import__(name)
            except Exception:
                # A module that another one makes; or it is gone, and a function that wants it will say so.
                pass
    sys.path[:] = search_path
    expected = {name.partition(".")[0] for name in names}
    for name in sys.modules.keys() - before:
        top = name.partition(".")[0]
        # The function that it was noticed in has another one of that name in its code.
        if top not in expected and not top.startswith("_"):
            sys.exit(f"{name} would come along, which the function has not imported")
    if len(os.listdir("/proc/self/fd")) > files:
        sys.exit("one of the modules has opened a file")
    if _threads() > 1 and _threads_after_fork() > 1:
        sys.exit("one of the modules has started a thread")
    resident = _resident_mib()
    if resident > _RESIDENT_MIB_MAX:
        sys.exit(f"the modules take {resident} MiB, more than {_RESIDENT_MIB_MAX}")


def _is_interpreters(name, roots):
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    top = name.partition(".")[0]
    if spec is None or spec.name != name or top in _NEVER:
        return False
    origin = spec.origin or ""
    if origin in ("built-in", "frozen") or _is_of_library(origin):
        return True
    # Compiled packages have their code in a module beside them.
    is_known = top in _INSTALLED or top.endswith("__mypyc")
    return is_known and any(origin.startswith(root + "/") for root in roots)


def _is_of_library(path):
    folder = os.path.dirname(os.__file__) + "/"
    return path.startswith(folder) and not path.startswith((folder + "site-packages/", folder + "dist-packages/"))


def _installed_folders(task_root):
    from .start import installed_folders

    inside = "" if task_root is None else task_root + "/"
    return [folder for folder in installed_folders() if not inside or not (folder + "/").startswith(inside)]


def _threads():
    return len(os.listdir("/proc/self/task"))


def _threads_after_fork():
    """A library that knows how to be forked ends its own."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return _threads()


def _resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
