"""Errors of the runtime itself, and how any error looks to the caller. Names and shapes are Lambda's."""

import os

_OWN_FOLDER = os.path.dirname(__file__)


class Fault(Exception):
    """An error that is named `Runtime.KIND` and has no stack but the given one."""

    def __init__(self, kind, message, stack=()):
        super().__init__(message)
        self.kind = "Runtime." + kind
        self.stack = list(stack)


def describe(error, request_id=""):
    """The error as the caller gets it, before it is made JSON."""
    if isinstance(error, Fault):
        kind, message, stack = error.kind, str(error), error.stack
    else:
        kind, message, stack = type(error).__name__, _text_of(error), _stack_of(error)
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": stack}


def _text_of(error):
    try:
        return str(error)
    except Exception:
        return "the error's text could not be made"


def _stack_of(error):
    import traceback

    frames = [(f.filename, f.lineno, f.name, f.line) for f in traceback.extract_tb(error.__traceback__)]
    while frames and frames[0][0].startswith(_OWN_FOLDER):
        frames.pop(0)
    return traceback.format_list(frames)
