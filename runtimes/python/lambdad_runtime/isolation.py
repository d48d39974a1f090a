"""What a forked child does to be alone: the namespaces, mounts, groups, user and filter that bubblewrap gives others.

The zygote's own sandbox is the template: the read-only root and all that sandboxes share is there already. Replaced is
what must be a sandbox's own. The process namespace is there already (first_process.py).
"""

import ctypes
import os
import sys

from .payload import loads

_NEW_MOUNTS, _NEW_CGROUPS, _NEW_NAMES, _NEW_IPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
_NEW_NETWORK = 0x40000000
_READ_ONLY, _NO_SUID, _NO_DEVICES, _NO_EXEC, _REMOUNT, _BIND, _SLAVE = 1, 2, 4, 8, 32, 4096, 1 << 19
_MOVE_MOUNT, _FROM_DESCRIPTOR = 429, 4
_HERE = -100
_SET_DUMPABLE, _SET_FILTER, _FILTER, _DROP_FROM_BOUNDS, _SET_NO_NEW_RIGHTS = 4, 22, 2, 24, 38
_CAPABILITIES_3 = 0x20080522
_CAPABILITIES_MAX = 64
_SHARED_MEMORY_MIB = 64
_READ_BYTES = 16_384
_FAILED_EXIT_CODE = 125
# Among the descriptors of an order; the order itself is the last.
_STDERR = 2
_GROUPS = 4
# No descriptor of ours can be above what sandboxes are limited to.
_DESCRIPTORS_END = 1024

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _mount(source, target, kind, flags, options=None):
    result = _libc.mount(
        source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), options and options.encode()
    )
    _check(result, f"mount {target}")


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


class Isolation:
    def __init__(self, filter_fd):
        instructions = b""
        while piece := os.read(filter_fd, 65536):
            instructions += piece
        os.close(filter_fd)
        self._instructions = ctypes.create_string_buffer(instructions, len(instructions)) if instructions else None
        if self._instructions:
            self._filter = _Program(len(instructions) // 8, ctypes.addressof(self._instructions))
        _drop_bounds()
        # A child is given its own.
        os.environ.clear()

    def enter(self, descriptors, groups):
        """Returns the command, or ends the process."""
        try:
            for descriptor in descriptors[_GROUPS : _GROUPS + groups]:
                os.write(descriptor, b"0")
            os.setsid()
            return self._enter(descriptors)
        except Exception as error:
            os.write(descriptors[_STDERR], f"lambdad: {error}\n".encode())
            os._exit(_FAILED_EXIT_CODE)

    def _enter(self, descriptors):
        order = _read_order(descriptors[-1])
        given = {name: descriptors[at] for name, at in order["descriptors"].items()}
        if "network" in given:
            _check(_libc.setns(given["network"], _NEW_NETWORK), "setns")
        _check(_libc.unshare(_NEW_MOUNTS | _NEW_IPC | _NEW_NAMES | _NEW_CGROUPS), "unshare")
        # Some of what is mounted now is a function's: as long as there are rights to lose, nothing is loaded any more.
        search_path, sys.path = sys.path, []
        _mount_own(order, given)
        self._drop_rights(order["uid"])
        sys.path = search_path
        os.chdir(order["workingDir"])
        os.environ.update(order["environment"])
        _take_descriptors(given)
        return order["command"]

    def _drop_rights(self, uid):
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        _drop_capabilities()
        # A change of user takes it away, and then a program may not open its own /dev/stdout.
        _check(_libc.prctl(_SET_DUMPABLE, 1, 0, 0, 0), "prctl")
        _check(_libc.prctl(_SET_NO_NEW_RIGHTS, 1, 0, 0, 0), "prctl")
        if self._instructions:
            _check(_libc.prctl(_SET_FILTER, _FILTER, ctypes.byref(self._filter), 0, 0), "seccomp")


def _drop_bounds():
    """For this process and all its children, which could not get any rights back that they have given up."""
    for capability in range(_CAPABILITIES_MAX):
        # Beyond the last that the kernel knows it says so.
        if _libc.prctl(_DROP_FROM_BOUNDS, capability, 0, 0, 0) < 0:
            break


def _read_order(descriptor):
    data = b""
    while piece := os.read(descriptor, _READ_BYTES):
        data += piece
    return loads(data)


def _mount_own(order, given):
    hidden = _NO_SUID | _NO_DEVICES | _NO_EXEC
    _mount("proc", "/proc", "proc", hidden)
    for name in ("sys", "sysrq-trigger", "irq", "bus"):
        path = f"/proc/{name}"
        if os.path.exists(path):
            _mount(path, path, None, _BIND)
            _mount("none", path, None, _BIND | _REMOUNT | _READ_ONLY | hidden)
    _mount("devpts", "/dev/pts", "devpts", _NO_SUID | _NO_EXEC, "newinstance,ptmxmode=0666,mode=620")
    plain = _NO_SUID | _NO_DEVICES
    _mount("tmpfs", "/dev/shm", "tmpfs", plain, f"mode=1777,size={_SHARED_MEMORY_MIB << 20}")
    _mount("tmpfs", "/tmp", "tmpfs", plain, f"mode=1777,size={order['tmpMib'] << 20}")
    for name, place in order["mounts"].items():
        moved = _libc.syscall(
            ctypes.c_long(_MOVE_MOUNT), given[name], b"", _HERE, place.encode(), ctypes.c_uint(_FROM_DESCRIPTOR)
        )
        _check(moved, f"mount {place}")
        # What the host mounts there later comes in, and nothing goes out.
        _mount("none", place, None, _SLAVE)


def _take_descriptors(given):
    for number, name in enumerate(("stdin", "stdout", "stderr", "telemetry")):
        os.dup2(given[name], number)
    os.closerange(4, _DESCRIPTORS_END)


def _drop_capabilities():
    head = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0)
    _check(_libc.capset(head, (ctypes.c_uint32 * 6)()), "capset")
