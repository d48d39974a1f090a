"""The first process of a process namespace: it takes in whatever loses its parent there, and its end is that of all.

It lives in the memory of the one that made it, since one of its own would be a copy of every page that is written to
afterwards, a MiB for each. So it cannot run Python: it is a chain of calls of the C library, the last of which waits
for ever. The kernel takes in the dead by itself for a process that ignores them.
"""

import ctypes
import mmap
import os
import signal
import sys

_NEW_PIDS = 0x20000000
_SHARES_MEMORY, _SHARES_FOLDERS, _SHARES_DESCRIPTORS = 0x100, 0x200, 0x400
_CAPABILITIES_3 = 0x20080522
# By machine: the number of ppoll (`pause` would write into what the C library holds of its thread, which is shared, too)
# and the room for a ucontext_t, which takes 968 bytes and 4560.
_MACHINES = {"x86_64": (271, 1024), "aarch64": (73, 4608)}
# The words of it where makecontext looks for what comes next and for the stack.
_NEXT, _STACK, _STACK_SIZE = 1, 2, 4
_STACK_BYTES = 2048

_libc = ctypes.CDLL(None, use_errno=True)


class FirstProcesses:
    """Makes them, and makes one's namespace that of the next fork."""

    def __init__(self):
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
        self._machine = _MACHINES.get(os.uname().machine) if _can_chain() else None
        self._areas = {}
        self._free_areas = []

    def begin(self):
        """Makes one; whatever is forked until `end` is in its namespace."""
        _check(_libc.unshare(_NEW_PIDS), "unshare")
        return self._clone() if self._machine else _fork()

    def end(self):
        _check(_libc.setns(self._own_namespace, _NEW_PIDS), "setns")

    def has_gone(self, pid):
        """It was waited for."""
        area = self._areas.pop(pid, None)
        if area is not None:
            self._free_areas.append(area)

    def _clone(self):
        area = self._free_areas.pop() if self._free_areas else _Area(*self._machine)
        flags = _SHARES_MEMORY | _SHARES_FOLDERS | _SHARES_DESCRIPTORS | signal.SIGCHLD
        pid = _libc.clone(_libc.setcontext, area.stack, ctypes.c_int(flags), area.prepare())
        self._areas[_check(pid, "clone")] = area
        return pid


def _can_chain():
    return sys.maxsize > 1 << 32 and hasattr(_libc, "makecontext")


class _Area:
    """What is called one after the other, and a stack for each; it is in use for as long as the process waits."""

    def __init__(self, wait_call, context_bytes):
        head = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
        none = (ctypes.c_uint32 * 6)()
        # The first word of a struct sigaction is the handler.
        ignore = (ctypes.c_ulong * 32)(int(signal.SIG_IGN))
        self._calls = (
            (_libc.capset, head, none),
            (_libc.sigaction, int(signal.SIGCHLD), ignore, None),
            (_libc.syscall, ctypes.c_long(wait_call), None, ctypes.c_long(0), None, None),
            # Only its own end ends the wait.
            (_libc._exit, 1),
        )
        self._context_bytes = context_bytes
        self._stacks_at = len(self._calls) * context_bytes
        size = self._stacks_at + (len(self._calls) + 1) * _STACK_BYTES
        # Private, so that a program, which has a copy of it, has nothing to do with it.
        self._memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self.stack = ctypes.c_void_p(self._start + size)

    def prepare(self):
        """Each time: the calls leave nothing of it on their stacks. Returns where to begin."""
        following = 0
        for index in reversed(range(len(self._calls))):
            place = self._start + index * self._context_bytes
            stack = self._start + self._stacks_at + index * _STACK_BYTES
            following = _make_context(place, following, stack, *self._calls[index])
        return ctypes.c_void_p(following)


def _make_context(place, following, stack, function, *arguments):
    context = ctypes.c_void_p(place)
    _check(_libc.getcontext(context), "getcontext")
    words = (ctypes.c_ulong * 5).from_address(place)
    words[_NEXT], words[_STACK], words[_STACK_SIZE] = following, stack, _STACK_BYTES
    _libc.makecontext(context, function, len(arguments), *arguments)
    return place


def _fork():
    """Where there is no such chain. It has a memory of its own."""
    pid = os.fork()
    if pid == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        os.closerange(0, os.sysconf("SC_OPEN_MAX"))
        _libc.capset((ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)())
        while True:
            signal.pause()
    return pid


def _check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
