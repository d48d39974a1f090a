"""A process that has loaded what every function needs, and forks into sandboxes when the spawner tells it to.

It runs in a sandbox of its own, as root and without a system-call filter, and never sees anything of a function: not
its code, not its environment, not a call. So whatever is in its memory may be in that of all its children. Who speaks
what on the two descriptors it is given is described in src/sandbox/local/zygote.ts of lambdad.
"""

import os
import select

import _signal
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, CMSG_SPACE, socket

from .first_process import FirstProcesses
from .isolation import Isolation

_DESCRIPTORS_MAX = 32
_DESCRIPTOR_BYTES = 4
_HEAD_BYTES = 6
FORK = 1
KILL = 2


def run(requests_fd, reports_fd, filter_fd, fork=os.fork):
    """Returns the command in a child only, which is in its sandbox then; ends when the spawner has gone."""
    requests = socket(AF_UNIX, SOCK_STREAM, 0, requests_fd)
    isolation = Isolation(filter_fd)
    wake = _wake_up_at_exits(requests)
    firsts = FirstProcesses()
    children = {}
    os.write(reports_fd, b"ready\n")
    while True:
        _wait(requests, wake)
        _report_exits(children, firsts, reports_fd)
        head, descriptors = _receive(requests)
        if head is None:
            continue
        kind, groups, number = head
        if kind == KILL:
            _kill(children, number)
            continue
        first = firsts.begin()
        pid = fork()
        if pid == 0:
            _forget_exits()
            return isolation.enter(descriptors, groups)
        firsts.end()
        child = _Child(number, first)
        children[first] = children[pid] = child
        for descriptor in descriptors:
            os.close(descriptor)


class _Child:
    """A program, and the first process of its namespace."""

    def __init__(self, number, first):
        self.number = number
        self.first = first
        self.code = None


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


def _report_exits(children, firsts, reports_fd):
    """With a program all else in its namespace ends; both are reported when nothing of it is left."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        child = children.pop(pid, None)
        if child is None:
            continue
        if pid != child.first:
            child.code = os.waitstatus_to_exitcode(status)
            os.kill(child.first, _signal.SIGKILL)
            continue
        # The kernel keeps it until all others were waited for.
        firsts.has_gone(pid)
        os.write(reports_fd, b"exited %d %d\n" % (child.number, child.code))


def _kill(children, number):
    for child in children.values():
        if child.number == number:
            os.kill(child.first, _signal.SIGKILL)
