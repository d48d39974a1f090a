"""What a function logs: each message is one record on the log descriptor, tied to its request, however many lines it has.

  u32 type | u32 length | u64 microseconds since epoch | message      (big-endian)

The type's low bits carry the level. Without the descriptor, messages go to stdout.
"""

import os
import sys
import time

_TEXT_TYPE = 0xA55A0003
_JSON_TYPE = 0xA55A0002
# A longer message becomes several records; the reader refuses what is much longer.
_RECORD_BYTES_MAX = 256 * 1024
_LEVEL_BITS = {10: 8, 20: 12, 30: 16, 40: 20, 50: 24}
_NO_BREAK_SPACE = "\u00a0"

request_id = ""


class Sink:
    """Where records go. `log` is what Lambda's context offers to functions too."""

    def __init__(self, descriptor, is_json):
        self._descriptor = descriptor
        self.is_json = is_json

    def log(self, message, level=0):
        if self._descriptor is None:
            sys.stdout.write(message)
            return
        kind = ((_JSON_TYPE if self.is_json else _TEXT_TYPE) | _LEVEL_BITS.get(level, 0)).to_bytes(4, "big")
        data = message.encode("utf-8", "backslashreplace")
        for at in range(0, len(data) or 1, _RECORD_BYTES_MAX):
            piece = data[at : at + _RECORD_BYTES_MAX]
            now = (time.time_ns() // 1000).to_bytes(8, "big")
            _write_all(self._descriptor, b"".join((kind, len(piece).to_bytes(4, "big"), now, piece)))

    def log_error(self, result):
        """The line that Lambda's runtime writes when a call or the start fails."""
        if self.is_json:
            from .payload import dumps

            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.log(dumps({"timestamp": now, "level": "ERROR", **result}, False) + self._end(), 40)
            return
        lines = [f"[ERROR] {result['errorType']}: {result['errorMessage']}", "Traceback (most recent call last):"]
        for entry in result["stackTrace"]:
            lines += [_indented(line) for line in entry.splitlines()]
        self.log(("\r" if self._descriptor is None else "\n").join(lines) + self._end(), 40)

    def _end(self):
        return "\n" if self._descriptor is None else ""


def _indented(line):
    text = line.lstrip(" ")
    return _NO_BREAK_SPACE * (len(line) - len(text)) + text


def _write_all(descriptor, data):
    """A full pipe is waited for; one that nobody reads loses the record: a function must not fail by logging."""
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            time.sleep(_RETRY_SECONDS)
        except OSError:
            return


_RETRY_SECONDS = 0.001


def set_up_logging(sink):
    """Gives the root logger its handler: now, or when `logging` is first imported."""
    if "logging" in sys.modules:
        _configure(sys.modules["logging"], sink)
    else:
        sys.meta_path.insert(0, _LoggingFinder(sink))


class _LoggingFinder:
    """Importing logging costs more than the interpreter's start; so its set-up waits until the function imports it."""

    def __init__(self, sink):
        self._sink = sink

    def find_spec(self, name, path=None, target=None):
        if name != "logging":
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                self._configure_behind(spec.loader)
                return spec
        return None

    def _configure_behind(self, loader):
        execute = loader.exec_module

        def exec_module(module):
            execute(module)
            _configure(module, self._sink)

        loader.exec_module = exec_module


# Made before it is known whose: a class is made of many pages that forks would otherwise copy.
_prepared = None


def prepare_logging():
    """Makes what `set_up_logging` needs, for a process that has imported logging already."""
    global _prepared
    _prepared = _make_handler(sys.modules["logging"])


def _configure(logging, sink):
    global _prepared
    handler, _prepared = _prepared or _make_handler(logging), None
    handler.log_sink = sink
    if sink.is_json:
        handler.setFormatter(_json_formatter(logging))
    root = logging.getLogger()
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = "DEBUG" if level == "TRACE" else level
    if level in logging._nameToLevel:
        root.setLevel(level)
    root.addHandler(handler)


def _make_handler(logging):
    class LambdaLoggerHandler(logging.Handler):
        log_sink = None

        def emit(self, record):
            try:
                self.log_sink.log(self.format(record), min(50, max(0, record.levelno)) // 10 * 10)
            except Exception:
                self.handleError(record)

    def add_request(record):
        record.aws_request_id = request_id
        return True

    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.addFilter(add_request)
    handler.setFormatter(_text_formatter(logging))
    return handler


def _text_formatter(logging):
    return logging.Formatter(
        "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s\n", "%Y-%m-%dT%H:%M:%S"
    )


def _json_formatter(logging):
    from .json_log import json_formatter

    return json_formatter(logging)
