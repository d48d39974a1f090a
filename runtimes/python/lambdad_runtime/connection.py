"""The runtime's end of the framed socket; the format is described in src/protocol/lambda/frames.ts of lambdad."""

import os
import time
from _socket import AF_UNIX, SOCK_STREAM, socket

SPECIALISE = 1
INVOKE = 2
REHEARSE = 4
READY = 16
INIT_ERROR = 17
RESPONSE = 18
ERROR = 19
IDLE = 23
REHEARSED = 25

_RETRY_SECONDS = 0.001
_RETRIES_MAX = 10_000
_READ_BYTES = 65_536


def frame(kind, call_id, label=b"", body=b""):
    return b"".join(
        (
            (9 + len(label) + len(body)).to_bytes(4, "big"),
            kind.to_bytes(1, "big"),
            call_id.to_bytes(4, "big"),
            len(label).to_bytes(4, "big"),
            label,
            body,
        )
    )


class Connection:
    """Blocking: a handler runs on the thread that waits for its call."""

    def __init__(self, path):
        self._pending = b""
        self._socket = _connect(path)

    def send(self, *frames):
        self._socket.sendall(b"".join(frames))

    def receive(self):
        """Gives (kind, call id, label, body) of the next frame; ends the process when the daemon has gone."""
        data = self._pending or self._read()
        while len(data) < 4:
            data += self._read()
        end = 4 + int.from_bytes(data[:4], "big")
        if len(data) < end:
            data = self._fill(data, end)
        self._pending = data[end:]
        body_at = 13 + int.from_bytes(data[9:13], "big")
        return data[4], int.from_bytes(data[5:9], "big"), data[13:body_at], data[body_at:end]

    def _read(self):
        data = self._socket.recv(_READ_BYTES)
        if not data:
            # Nobody is there any more to work for; threads of the function must not keep the process.
            os._exit(1)
        return data

    def _fill(self, data, end):
        whole = bytearray(data)
        while len(whole) < end:
            whole += self._read()
        return bytes(whole)


def _connect(path):
    """The daemon may make the socket a moment after it has started us."""
    for retry in range(_RETRIES_MAX):
        connection = socket(AF_UNIX, SOCK_STREAM)
        try:
            connection.connect(path)
            return connection
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):
            # Not made yet, not listened on yet, or not opened to us yet.
            connection.close()
            time.sleep(_RETRY_SECONDS)
    raise ConnectionError("lambdad does not listen")
