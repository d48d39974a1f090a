"""A process that has loaded what every function needs, and forks into sandboxes when the spawner tells it to.

It runs in a sandbox of its own, as root and without a system-call filter, and never sees anything of a function: not
its code, not its environment, not a call. So whatever is in its memory may be in that of all its children. Who speaks
what on the two descriptors it is given is described in src/sandbox/local/zygote.ts of lambdad.
"""

import os
import select

import _signal
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, CMSG_SPACE, socket

from .isolation import Isolation, enter_pid_namespace

_DESCRIPTORS_MAX = 32
_DESCRIPTOR_BYTES = 4
_HEAD_BYTES = 6
FORK = 1
KILL = 2


def run(requests_fd, reports_fd, filter_fd):
    """Returns the command in a child only, which is in its sandbox then; ends when the spawner has gone."""
    requests = socket(AF_UNIX, SOCK_STREAM, 0, requests_fd)
    isolation = Isolation(filter_fd)
    wake = _wake_up_at_exits(requests)
    children = {}
    os.write(reports_fd, b"ready\n")
    while True:
        _wait(requests, wake)
        _report_exits(children, reports_fd)
        head, descriptors = _receive(requests)
        if head is None:
            continue
        kind, groups, number = head
        if kind == KILL:
            _kill(children, number)
            continue
        pid = enter_pid_namespace(os.fork)
        if pid == 0:
            _forget_exits()
            return isolation.enter(descriptors, groups)
        children[pid] = number
        for descriptor in descriptors:
            os.close(descriptor)


def _wake_up_at_exits(requests):
    """A pipe that can be read when a child has exited, besides the socket."""
    readable, writable = os.pipe()
    os.set_blocking(readable, False)
    os.set_blocking(writable, False)
    requests.setblocking(False)
    _signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, lambda *_: None)
    return readable


def _forget_exits():
    """In a child, which closes its descriptors with all others."""
    _signal.set_wakeup_fd(-1)
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)


def _wait(requests, wake):
    select.select([requests, wake], [], [])
    try:
        os.read(wake, 4096)
    except BlockingIOError:
        pass


def _receive(requests):
    """The next message as (kind, groups, number) and its descriptors; None where there is none yet."""
    try:
        data, extra, _, _ = requests.recvmsg(_HEAD_BYTES, CMSG_SPACE(_DESCRIPTORS_MAX * _DESCRIPTOR_BYTES))
    except BlockingIOError:
        return None, ()
    if len(data) < _HEAD_BYTES:
        # The spawner has gone, and with it goes everything.
        os._exit(0)
    descriptors = []
    for level, kind, packed in extra:
        if level == SOL_SOCKET and kind == SCM_RIGHTS:
            descriptors += memoryview(packed).cast("i")
    return (data[0], data[1], int.from_bytes(data[2:], "little")), descriptors


def _report_exits(children, reports_fd):
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        number = children.pop(pid, None)
        if number is not None:
            code = os.waitstatus_to_exitcode(status)
            os.write(reports_fd, b"exited %d %d\n" % (number, code))


def _kill(children, number):
    for pid, each in children.items():
        if each == number:
            os.kill(pid, _signal.SIGKILL)
