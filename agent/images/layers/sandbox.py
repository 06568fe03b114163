"""Drops privileges before an untrusted layer is unpacked. Linux only; irreversible.

prctl(2), capabilities(7), seccomp(2), setrlimit(2), mount_namespaces(7), proc_pid_oom_score_adj(5).
"""

import ctypes
import os
import resource

from agent.images.layers.denied_system_calls import DENIED
from shoal.tar.budget import LayerBudget

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION = 0x20080522
_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SYS_ADMIN, _MKNOD, _SETFCAP = 0, 1, 3, 4, 21, 27, 31
_KEPT_CAPABILITIES = (_CHOWN, _DAC_OVERRIDE, _FOWNER, _FSETID, _SYS_ADMIN, _MKNOD, _SETFCAP)
"""Required to write any owner, mode, device, file capability and trusted.overlay.* (CAP_SYS_ADMIN)."""

_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 2, 4, 8, 32, 1 << 12, 1 << 14, 1 << 18
_MS_MOVE = 1 << 13
_MNT_DETACH = 2

_SIGKILL = 9  # signal(7); Python's signal module takes longer to load than this one
_OOM_FIRST = 1000
_OPEN_FILES = 64

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050001  # SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EPERM
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_OTHER_ABI = 0x40000000  # x32's calls on x86-64

_libc = ctypes.CDLL(None, use_errno=True)


class _Instruction(ctypes.Structure):
    _fields_ = (
        ("code", ctypes.c_uint16),
        ("if_so", ctypes.c_uint8),
        ("if_not", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    )


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


def prefer_oom_kill() -> None:
    """When the host is out of memory, the kernel kills this process and its children first."""
    with open("/proc/self/oom_score_adj", "w") as file:  # noqa: PTH123  # pathlib is a quarter of the program's imports
        file.write(str(_OOM_FIRST))


def change_root(directory: str) -> None:
    """Make a directory the root of a private mount namespace: no devices, no execution; nothing can be imported
    afterwards."""
    name = os.fsencode(directory)
    _check(_libc.unshare(_CLONE_NEWNS), "unshare")
    _mount(None, b"/", _MS_REC | _MS_PRIVATE)
    _mount(name, name, _MS_BIND)
    _mount(None, name, _MS_BIND | _MS_REMOUNT | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    os.chdir(directory)
    if _libc.pivot_root(b".", b".") == 0:  # mounts the old root over the new one: pivot_root(2), "Notes"
        _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    else:  # the host runs from its initramfs, or the agent in a chroot: pivot_root is impossible
        _mount(b".", b"/", _MS_MOVE)
        os.chroot(".")
    os.chdir("/")


def die_with_parent(parent: int) -> None:
    """Kill this process when its parent, which is single-threaded and has this id, exits."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "prctl PR_SET_PDEATHSIG")
    if os.getppid() != parent:
        os._exit(1)


def drop_privileges(directory: str, budget: LayerBudget) -> None:
    """Make a directory the root of this process, limit its resources, and drop all unneeded privileges."""
    os.chdir(directory)
    os.chroot(".")
    for kind, limit in (
        (resource.RLIMIT_DATA, budget.memory_bytes),
        (resource.RLIMIT_NOFILE, _OPEN_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (budget.processor_seconds, resource.RLIM_INFINITY))
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl PR_SET_NO_NEW_PRIVS")
    _keep_capabilities()
    _refuse_system_calls()


def extend_cpu_limit(seconds: int) -> None:
    """Extend the CPU time limit after progress."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (soft + seconds, hard))


def _keep_capabilities() -> None:
    kept = sum(1 << number for number in _KEPT_CAPABILITIES)
    data = (ctypes.c_uint32 * 6)(kept, kept, 0, 0, 0, 0)  # effective, permitted, inheritable; then numbers from 32
    header = _CapabilityHeader(_CAPABILITY_VERSION, 0)
    _check(_libc.capset(ctypes.byref(header), data), "capset")


def _filter() -> _Program | None:
    """Denies calls that reach outside of the directory; None on an architecture without a list."""
    known = DENIED.get(os.uname().machine)
    if known is None:
        return None
    architecture, numbers = known
    refuse = len(numbers) + 5
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 0, refuse - 2, architecture), (_LOAD, 0, 0, _NUMBER)]
    steps.append((_AT_LEAST, refuse - 4, 0, _OTHER_ABI))
    steps += [(_EQUAL, refuse - place - 1, 0, number) for place, number in enumerate(numbers, start=len(steps))]
    steps += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _REFUSE)]
    return _Program(len(steps), (_Instruction * len(steps))(*(_Instruction(*step) for step in steps)))


_FILTER = _filter()  # built once, not in each process


def _refuse_system_calls() -> None:
    if _FILTER is not None:
        done = _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(_FILTER), 0, 0)
        _check(done, "prctl PR_SET_SECCOMP")


def _mount(source: bytes | None, target: bytes, flags: int) -> None:
    _check(_libc.mount(source, target, None, ctypes.c_ulong(flags), None), "mount")


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
