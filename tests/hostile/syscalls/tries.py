"""Runs in a container: tries system calls of x86_64 by number and prints what the kernel answers, a line each.

A line is `name errno`, errno 0 where the call is let through and works. Calls by the 32-bit table (`int 0x80`) are
named `i386 …`; a kernel without that table kills the child that tries, which is `i386 … -1`.
"""

import ctypes
import mmap
import os
import struct
from collections.abc import Callable
from functools import partial

HALF, X32 = 1 << 32, 1 << 30
NEWUSER, NEWNS, NEWNET, SIGCHLD = 0x10000000, 0x20000, 0x40000000, 17
AF_ALG, AF_VSOCK = 38, 40
BAD = (1 << 64) - 4096
"""A pointer that leads nowhere."""

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

Call = tuple[int | bytes | ctypes.Array[ctypes.c_char], ...]

REFUSED: dict[str, Call] = {
    "socket AF_ALG": (41, AF_ALG, 5, 0),
    "socket AF_VSOCK": (41, AF_VSOCK, 1, 0),
    "socket AF_ALG with an upper half": (41, HALF + AF_ALG, 5, 0),
    "socket AF_ALG with a high upper half": (41, (1 << 64) - HALF + AF_ALG, 5, 0),
    "socket AF_VSOCK with an upper half": (41, HALF + AF_VSOCK, 1, 0),
    "socketpair AF_ALG": (53, AF_ALG, 5, 0, BAD),
    "socketpair AF_VSOCK": (53, AF_VSOCK, 1, 0, BAD),
    "io_uring_setup": (425, 1, BAD),
    "io_uring_enter": (426, -1, 0, 0, 0, 0, 0),
    "io_uring_register": (427, -1, 0, 0, 0),
    "keyctl": (250, 1 << 20),
    "add_key": (248, BAD, BAD, 0, 0, 0),
    "request_key": (249, BAD, BAD, BAD, 0),
    "userfaultfd": (323, 1 << 30),
    "bpf": (321, 1 << 20, BAD, 8),
    "perf_event_open": (298, BAD, 0, -1, -1, 0),
    "mount": (165, BAD, BAD, BAD, 0, 0),
    "umount2": (166, BAD, 0),
    "pivot_root": (155, BAD, BAD),
    "fsopen": (430, BAD, 0),
    "fsmount": (432, -1, 0, 0),
    "open_tree": (428, -1, BAD, 0),
    "move_mount": (429, -1, BAD, -1, BAD, 0),
    "mount_setattr": (442, -1, BAD, 0, BAD, 0),
    "unshare CLONE_NEWUSER": (272, NEWUSER),
    "unshare CLONE_NEWNET": (272, NEWNET),
    "clone CLONE_NEWUSER": (56, NEWUSER | SIGCHLD, 0, 0, 0, 0),
    "clone CLONE_NEWNS": (56, NEWNS | SIGCHLD, 0, 0, 0, 0),
    "clone CLONE_NEWUSER with an upper half": (56, HALF | NEWUSER | SIGCHLD, 0, 0, 0, 0),
    "clone3": (435, BAD, 64),
    "setns": (308, -1, 0),
    "open_by_handle_at": (304, -1, BAD, 0),
    "init_module": (175, BAD, 0, BAD),
    "finit_module": (313, -1, BAD, 0),
    "kexec_load": (246, 0, 17, BAD, 0),
    "reboot": (169, 0, 0, 0, 0),
    "kcmp": (312, -1, -1, 9, 0, 0),
    "quotactl": (179, -1, BAD, 0, 0),
    "fanotify_init": (300, 1 << 30, 0),
    "lookup_dcookie": (212, 0, BAD, 0),
    "syslog": (103, 99, BAD, 0),
    "sethostname": (170, BAD, 1),
    "settimeofday": (164, BAD, 0),
    "iopl": (172, 9),
    "ioperm": (173, 1 << 20, 1, 1),
    "swapon": (167, BAD, 0),
    "acct": (163, BAD),
    "process_madvise": (440, -1, 0, 0, 0, 0),
    "personality of another kind": (135, 0x0400000),
    "set_mempolicy": (238, 99, 0, 0),
    "x32 socket AF_ALG": (X32 + 41, AF_ALG, 5, 0),
    "x32 keyctl": (X32 + 250, 1 << 20),
    "x32 io_uring_setup": (X32 + 425, 1, BAD),
}
UNKNOWN: dict[str, Call] = {"of the year 2040": (1000, 0), "x32 of the year 2040": (X32 + 1000, 0)}
ALLOWED: dict[str, Call] = {
    "socket AF_INET": (41, 2, 1, 0),
    "socket AF_INET6": (41, 10, 2, 0),
    "socket AF_INET with an upper half": (41, HALF + 2, 1, 0),
    "socket AF_NETLINK": (41, 16, 3, 0),
    "socket AF_PACKET": (41, 17, 3, 0),
    "socket AF_UNIX": (41, 1, 1, 0),
    "personality that is asked for": (135, 0xFFFFFFFF),
    "memfd_create": (319, b"x", 0),
    "pidfd_open": (434, os.getpid(), 0),
    "ptrace": (101, 0, 0, 0, 0),
    "chroot": (161, b"/"),
    "mknod": (133, b"/tmp/null", 0o20666, 0x103),
    "setuid": (105, 0),
    "getrandom": (318, ctypes.create_string_buffer(8), 8, 0),
}
I386: dict[str, tuple[int, *tuple[int | str, ...]]] = {
    "i386 getpid": (20, 0, 0, 0),
    "i386 socket AF_ALG": (359, AF_ALG, 5, 0),
    "i386 socket AF_VSOCK": (359, AF_VSOCK, 1, 0),
    "i386 keyctl": (288, 1 << 20, 0, 0),
    "i386 bpf": (357, 1 << 20, 0, 8),
    "i386 mount": (21, 0, 0, 0),
    "i386 unshare CLONE_NEWUSER": (310, NEWUSER, 0, 0),
    "i386 clone CLONE_NEWUSER": (120, NEWUSER | SIGCHLD, 0, 0),
    "i386 socketcall socket AF_ALG": (102, 1, "family", 0),
}


_INTO = b"\xb8\xbb\xb9\xba"
"""Instructions that put a number into eax, ebx, ecx, edx."""


def number(call: Call) -> int:
    """The error number; a child that a call made ends at once."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in call]
    parent = os.getpid()
    got = libc.syscall(*words)
    if os.getpid() != parent:
        os._exit(0)
    return ctypes.get_errno() if got < 0 else 0


def in_child(what: Callable[[], int]) -> int:
    """The error number that a child ends with; -1 where it is killed."""
    child = os.fork()
    if not child:
        os._exit(what())
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return -1 if code < 0 else code


def i386(nr: int, *arguments: int | str) -> int:
    """A call by the 32-bit table, whose registers and pointers have 32 bits."""
    code = mmap.mmap(-1, 8192, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40, prot=7)  # MAP_32BIT
    base = ctypes.addressof(ctypes.c_char.from_buffer(code))
    code[4096:4108] = struct.pack("<III", AF_ALG, 5, 0)
    words = [base + 4096 if word == "family" else word for word in arguments]
    # push rbx; mov to eax, ebx, ecx, edx; int 0x80; pop rbx; ret
    moves = (bytes((opcode,)) + struct.pack("<I", word) for opcode, word in zip(_INTO, (nr, *words), strict=True))
    program = b"\x53" + b"".join(moves) + b"\xcd\x80\x5b\xc3"
    code[: len(program)] = program
    got = ctypes.CFUNCTYPE(ctypes.c_int)(base)()
    return -got if got < 0 else 0


def main() -> None:
    for name, call in (REFUSED | UNKNOWN | ALLOWED).items():
        print(name, in_child(partial(number, call)))
    for name, (nr, *rest) in I386.items():
        print(name, in_child(partial(i386, nr, *rest)))
    print("end 0")


if __name__ == "__main__":
    main()
