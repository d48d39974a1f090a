"""
The trace of the call, in `os.environ` and in the environment of programs that are started.

The C library keeps every value that it was ever told to set, so that each call would take memory for good. A string of
one's own (`putenv` of C, not of Python) is not kept: it is written over by the next call.
"""

import os

_NAME = "_X_AMZN_TRACE_ID"
_NAME_BYTES = _NAME.encode()
# Until then the values may be kept: `ctypes` takes 2 ms to load, and most processes do not live for so many calls.
_VALUES_KEPT = 100

_values = 0
_set = os.putenv
_place = None


def set_trace(trace_id):
    global _values
    if trace_id is None:
        os.environ.pop(_NAME, None)
        return
    _values += 1
    if _values == _VALUES_KEPT:
        _keep_no_more()
    os.environ[_NAME] = trace_id


def _keep_no_more():
    """`os.environ` sets what it is given by `os.putenv`."""
    global _place
    try:
        _place = _Place()
    except Exception:
        return  # A Python without `ctypes`: the values are kept.
    os.putenv = _put


def _put(name, value):
    if os.fsencode(name) == _NAME_BYTES:
        _place.put(os.fsencode(value))
    else:
        _set(name, value)


class _Place:
    """Memory that is the environment's, never freed: it is read until the process has gone."""

    def __init__(self):
        import ctypes

        libc = ctypes.CDLL(None)
        self._move = ctypes.memmove
        self._malloc = libc.malloc
        self._malloc.argtypes = [ctypes.c_size_t]
        self._malloc.restype = ctypes.c_void_p
        self._put = libc.putenv
        self._put.argtypes = [ctypes.c_void_p]
        self._size = 0

    def put(self, value):
        text = _NAME_BYTES + b"=" + value + b"\0"
        if len(text) > self._size:
            self._size = 2 * len(text)
            self._address = self._malloc(self._size)
        self._move(self._address, text, len(text))
        # Each time, for the function may have set or deleted the variable.
        self._put(self._address)
