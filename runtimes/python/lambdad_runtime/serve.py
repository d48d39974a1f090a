"""The loop of a managed runtime: a call comes in, the handler runs, its result goes out, and the next is asked for."""

import sys

from . import logs
from .connection import ERROR, IDLE, RESPONSE, frame
from .context import LambdaContext
from .faults import Fault, describe
from .payload import dumps, loads
from .trace import set_trace


def serve(connection, handler, sink, specialisation):
    """Runs until the daemon has gone, or until the handler ends the process."""
    escapes_unicode = not _is_at_least(specialisation["runtime"], 12)
    bytes_max = specialisation["responseBytesMax"]
    while True:
        _, call_id, label, body = connection.receive()
        head = loads(label)
        logs.request_id = head["requestId"]
        set_trace(head.get("traceId"))
        try:
            event = _read_event(body, head["contentType"])
            label, payload = _write_result(handler(event, LambdaContext(head, sink)), escapes_unicode)
            answer = frame(RESPONSE, call_id, label, payload)
            if len(payload) > bytes_max:
                answer = _too_large(call_id, bytes_max)
        except Exception as error:
            result = describe(error, head["requestId"])
            sink.log_error(result)
            answer = frame(ERROR, call_id, result["errorType"].encode(), dumps(result, escapes_unicode).encode())
        _flush()
        connection.send(answer, frame(IDLE, call_id))


def _read_event(body, content_type):
    if content_type.partition(";")[0].strip().lower() != "application/json":
        return body
    try:
        return loads(body)
    except Exception as error:
        raise Fault("UnmarshalError", f"Unable to unmarshal input: {error}") from None


def _write_result(result, escapes_unicode):
    """Gives the content type, which only bytes have, and the payload."""
    if isinstance(result, bytes):
        return b"application/unknown", result
    try:
        return b"", dumps(result, escapes_unicode).encode()
    except Exception as error:
        raise Fault("MarshalError", f"Unable to marshal response: {error}") from None


def _too_large(call_id, bytes_max):
    kind = "Function.ResponseSizeTooLarge"
    message = f"Response payload size exceeded maximum allowed payload size ({bytes_max} bytes)."
    payload = dumps({"errorType": kind, "errorMessage": message}, True).encode()
    return frame(ERROR, call_id, kind.encode(), payload)


def _flush():
    """A line without its end belongs to the call that printed it. A function may have put anything in place of stdout."""
    try:
        sys.stdout.flush()
    except Exception:
        pass


def _is_at_least(runtime, minor):
    try:
        return int(runtime.partition(".")[2]) >= minor
    except ValueError:
        return True
