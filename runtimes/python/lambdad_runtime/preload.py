"""What a parent of many does before the first: all that each of them would do the same."""

import gc
import os

from .connection import INVOKE


def preload(names):
    """Loads the runtime, of the standard library what functions mostly import, and modules by name."""
    import _sitebuiltins
    import base64
    import decimal
    import hashlib
    import random
    import urllib.parse
    import uuid

    from .rehearsal import rehearse

    rehearse(_HEAD, b"{}")
    _practise()
    if names:
        from .imports import load_ahead

        load_ahead(names)
    # The collector would write into every object, and so give each child a copy of the page that it is on.
    gc.collect()
    gc.freeze()
    del _sitebuiltins, base64, decimal, hashlib, random, urllib, uuid


def _practise():
    """The interpreter writes into code until it has seen often enough what it does there."""
    from . import logs, start
    from .payload import loads
    from .serve import serve

    names = {f"_LAMBDAD_REHEARSAL_{number}": "" for number in range(_TIMES)}
    os.environ.update(names)
    for name in names:
        del os.environ[name]
    for _ in range(_TIMES):
        start.search_path("/var/task", "/opt")
        loads(b'{"environment":{"A":"b"},"awaitsCode":true,"mounts":[1]}')
    try:
        serve(_Calls(), lambda event, context: event, logs.Sink(None, False), _SPECIALISATION)
    except _Enough:
        logs.request_id = ""


class _Enough(Exception):
    pass


class _Calls:
    """A connection."""

    def __init__(self):
        self._left = _TIMES

    def receive(self):
        if self._left == 0:
            raise _Enough
        self._left -= 1
        return INVOKE, 1, _HEAD, b'{"a":"b"}'

    def send(self, *frames):
        b"".join(frames)


_TIMES = 32
_SPECIALISATION = {"runtime": "python3.13", "responseBytesMax": 1 << 20}
# A call that nobody made.
_HEAD = b'{"requestId":"","deadlineMs":0,"functionArn":"","contentType":"application/json"}'
