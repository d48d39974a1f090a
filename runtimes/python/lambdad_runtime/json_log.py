"""Log lines as JSON objects, for functions whose log format is JSON."""

import time
import traceback

from .payload import dumps

# What every record has; the rest was given by the function as `extra` and is merged in.
_OWN = frozenset(
    "name msg args levelname levelno pathname filename module exc_info exc_text stack_info lineno funcName created msecs "
    "relativeCreated thread threadName processName process taskName aws_request_id message asctime".split()
)


def json_formatter(logging):
    class JsonFormatter(logging.Formatter):
        def format(self, record):
            line = {
                "timestamp": "%s.%03dZ" % (time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)), record.msecs),
                "level": record.levelname,
                "message": record.getMessage(),
                "logger": record.name,
                **_error_members(record),
                "requestId": record.aws_request_id,
            }
            for key, value in record.__dict__.items():
                if key not in _OWN and key not in line:
                    line[key] = value
            line = {key: value for key, value in line.items() if value is not None}
            try:
                return dumps(line, False) + "\n"
            except (TypeError, ValueError):
                return dumps({key: _plain(value) for key, value in line.items()}, False) + "\n"

    return JsonFormatter()


def _error_members(record):
    if not record.exc_info or record.exc_info[0] is None:
        return {}
    kind, error, trace = record.exc_info
    return {
        "stackTrace": traceback.format_tb(trace),
        "errorType": kind.__name__,
        "errorMessage": str(error),
        "location": f"{record.pathname}:{record.funcName}:{record.lineno}",
    }


def _plain(value):
    return value if isinstance(value, (str, int, float, list)) else str(value)
