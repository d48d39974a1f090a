"""Before a process that is kept ready waits for its function, it does once what it will have to do for one.

Imports what nearly every function imports; a fresh start leaves that to the function, which may not need it.
"""

import gc

from .context import LambdaContext
from .logs import Sink, prepare_logging
from .payload import dumps, loads


def rehearse(label, body):
    """Takes a call that nobody made. Leaves nothing behind but modules of the standard library."""
    import datetime
    import json
    import logging
    import traceback

    from . import serve

    LambdaContext(loads(label), Sink(None, False))
    dumps(loads(body), True)
    prepare_logging()
    # What is there now stays: the collector need not look at it again, and pages that it would touch stay shared.
    gc.collect()
    gc.freeze()
    del datetime, json, logging, traceback, serve
