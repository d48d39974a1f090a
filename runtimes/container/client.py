"""The Runtime API client of images that are built on a slim Python image (docs/images.md): asks for an event, calls the
handler, posts what it gave.

    python3 client.py MODULE.FUNCTION

Beside it lies lambdad_trace.py, which is trace.py of our own runtime.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

import http.client
import importlib
import json
import os
import sys
import time
import traceback

from lambdad_trace import set_trace

API = "/2018-06-01/runtime"


class Context:
    def __init__(self, headers):
        self._deadline_ms = int(headers.get("Lambda-Runtime-Deadline-Ms", "0"))
        self.aws_request_id = headers.get("Lambda-Runtime-Aws-Request-Id", "")
        self.invoked_function_arn = headers.get("Lambda-Runtime-Invoked-Function-Arn", "")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        client_context = headers.get("Lambda-Runtime-Client-Context")
        self.client_context = json.loads(client_context) if client_context else None
        self.identity = None

    def get_remaining_time_in_millis(self):
        return max(0, int(self._deadline_ms - time.time() * 1000))


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, API + path, body, headers or {})
    answer = connection.getresponse()
    return answer.headers, answer.read()


def report(connection, path, error):
    traceback.print_exc()
    payload = {
        "errorType": type(error).__name__,
        "errorMessage": str(error),
        "stackTrace": traceback.format_tb(error.__traceback__),
    }
    headers = {"Lambda-Runtime-Function-Error-Type": payload["errorType"]}
    ask(connection, "POST", path, json.dumps(payload), headers)


def load(name):
    module, _, function = name.rpartition(".")
    if not module:
        raise ValueError("Bad handler '%s': expected MODULE.FUNCTION" % name)
    return getattr(importlib.import_module(module.replace("/", ".")), function)


def main():
    # No time limit: the next event may be hours away.
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    sys.path.insert(0, os.environ.get("LAMBDA_TASK_ROOT", os.getcwd()))
    try:
        handler = load(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("_HANDLER", ""))
    except BaseException as error:
        report(connection, "/init/error", error)
        sys.exit(1)
    while True:
        headers, event = ask(connection, "GET", "/invocation/next")
        request_id = headers.get("Lambda-Runtime-Aws-Request-Id", "")
        set_trace(headers.get("Lambda-Runtime-Trace-Id"))
        try:
            result = handler(json.loads(event), Context(headers))
            ask(connection, "POST", "/invocation/%s/response" % request_id, json.dumps(result))
        except Exception as error:
            report(connection, "/invocation/%s/error" % request_id, error)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
