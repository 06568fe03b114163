"""Linux capabilities of a container, with Docker's defaults. Pure."""

from collections.abc import Collection, Sequence

from shoal.errors import Fault, InvalidInput

ALL = (
    *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID"),
    *("CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN"),
    *("CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT"),
    *("CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE"),
    *("CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL"),
    *("CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND"),
    *("CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE"),
)
"""By number, CAP_CHOWN is 0 (capabilities(7), Linux 5.9)."""

DEFAULT = frozenset(
    (
        *("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID"),
        *("CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL"),
        "CAP_AUDIT_WRITE",
    )
)
"""Docker's default capabilities."""


def capabilities_of(mask: int) -> frozenset[str]:
    """Names for a mask in /proc/<pid>/status."""
    return frozenset(name for number, name in enumerate(ALL) if mask >> number & 1)


def resolve_capabilities(
    add: Sequence[str], drop: Sequence[str], *, privileged: bool, available: Collection[str]
) -> tuple[str, ...]:
    """Names in the kernel's order. "ALL" in `drop` empties the default, in `add` gives all; a drop by name wins.

    Args:
        available: capabilities that this process can grant: the meaning of "ALL", for privileged containers too.

    Raises:
        InvalidInput: a name that Linux does not have.
    """
    added, dropped = _names(add, "spec.cap_add"), _names(drop, "spec.cap_drop")
    if privileged:
        return tuple(name for name in ALL if name in available)
    base = frozenset() if "ALL" in dropped else DEFAULT
    chosen = (frozenset(available) if "ALL" in added else base | added) - dropped
    return tuple(name for name in ALL if name in chosen)


def _names(given: Sequence[str], path: str) -> frozenset[str]:
    names, faults = set(), []
    for place, text in enumerate(given):
        upper = text.upper()
        name = upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
        if name != "ALL" and name not in ALL:
            faults.append(Fault(f"{path}[{place}]", f"unknown Linux capability {text!r}"))
        names.add(name)
    if faults:
        raise InvalidInput(faults)
    return frozenset(names)
