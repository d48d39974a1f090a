#!/usr/bin/env python3
"""An extension that does what AWS's Lambda Web Adapter does: it registers for no events, waits until the web application
answers, and then is the runtime: it asks for events itself, makes requests of them, and answers with what comes back."""
import base64
import http.client
import json
import os
import socket
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

BASE = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]
PORT = int(os.environ["AWS_LWA_PORT"])
READY = os.environ.get("AWS_LWA_READINESS_CHECK_PATH", "/")


def call(path, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    return urllib.request.urlopen(urllib.request.Request(BASE + path, data, headers or {}))


def fetch(method, path, headers=None, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


registered = call("/2020-01-01/extension/register", {"events": []}, {"Lambda-Extension-Name": os.path.basename(__file__)})
me = {"Lambda-Extension-Identifier": registered.headers["Lambda-Extension-Identifier"]}


def wait_for_nothing():
    try:
        call("/2020-01-01/extension/event/next", headers=me)
    except (urllib.error.URLError, OSError):
        pass


threading.Thread(target=wait_for_nothing, daemon=True).start()
while True:
    try:
        if fetch("GET", READY)[0] < 500:
            break
    except (ConnectionError, socket.error):
        pass
    time.sleep(0.01)
print("[adapter] the application is ready", flush=True)

while True:
    event = call("/2018-06-01/runtime/invocation/next")
    request_id = event.headers["Lambda-Runtime-Aws-Request-Id"]
    asked = json.load(event)
    http_ = asked["requestContext"]["http"]
    query = asked.get("rawQueryString", "")
    body = asked.get("body")
    data = base64.b64decode(body) if body and asked.get("isBase64Encoded") else (body or "").encode()
    headers = {**asked.get("headers", {}), "x-amzn-request-context": json.dumps(asked["requestContext"])}
    headers.pop("content-length", None)
    status, answered, content = fetch(http_["method"], asked["rawPath"] + ("?" + query if query else ""), headers, data)
    answer = {"statusCode": status, "headers": {key.lower(): value for key, value in answered.items()}, "isBase64Encoded": True}
    answer["body"] = base64.b64encode(content).decode()
    call(f"/2018-06-01/runtime/invocation/{request_id}/response", answer)
