#!/usr/bin/env python3
"""An external extension: listens for telemetry, says what it is told, and leaves when it is asked to."""
import http.server
import json
import os
import threading
import urllib.request

NAME = os.path.basename(__file__)
BASE = "http://" + os.environ["AWS_LAMBDA_RUNTIME_API"]


def say(text):
    print(f"[listener] {text}", flush=True)


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            say(f"told {event['type']}")
            if event["type"] == "function":
                say(f"heard {json.dumps(event['record'])}")
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def call(method, path, headers=None, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, headers or {}, method=method)
    return urllib.request.urlopen(request)


server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
register = {"events": ["INVOKE", "SHUTDOWN"]}
answer = call("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": NAME}, register)
me = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
subscription = {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function"],
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
    "destination": {"protocol": "HTTP", "URI": f"http://sandbox.localdomain:{server.server_port}/"},
}
call("PUT", "/2022-07-01/telemetry", me, subscription)
while True:
    event = json.load(call("GET", "/2020-01-01/extension/event/next", me))
    say(f"event {event['eventType']} {event.get('shutdownReason', '')}".strip())
    if event["eventType"] == "SHUTDOWN":
        break
