"""The default system call filter: an allow-list with Docker's semantics, by architecture and capabilities.

The data file lists calls that are allowed always, on one architecture, or with one capability, and calls that are never
allowed. A listed call that is not allowed fails with EPERM. An unlisted call fails with ENOSYS, as on a kernel without
it: it is newer than the list, or than the host's libseccomp, and C libraries have a fallback for a missing call.

Some calls are allowed depending on their arguments: `socket` and `socketpair` by address family, `personality` for the
execution domains of Linux binaries, `clone` without new namespaces. `clone3` fails with ENOSYS, since a filter cannot
read its arguments: C libraries then use `clone`.

Two address families are denied because they reach past the container's namespaces: AF_ALG to the kernel's cryptography,
AF_VSOCK to the hypervisor. The kernel reads the family from the lower half of a register, but a filter compares the
whole register: `family > 40` would allow 2**32 + 38, which is AF_ALG. So the upper half is masked. A filter has no
masked comparison for "greater", so families are allowed in ranges of powers of two, up to 63.

`socketcall`, with which 32-bit programs of x86 and s390 create sockets, has its family in memory, which no filter can
read. It is allowed, since such programs have no alternative; on nodes with AppArmor, its profile denies both families.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from agent.runtime.confinement.architectures import architecture_of

_EPERM, _ENOSYS = 1, 38
_NEW_NAMESPACES = tuple(1 << bit for bit in (17, 25, 26, 27, 28, 29, 30))
"""CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET (sched.h)."""
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_FAMILIES = ((0, 32), (32, 4), (36, 2), (39, 1), (41, 1), (42, 2), (44, 4), (48, 16))
"""The first of a range and how many: 0 to 63 without AF_ALG (38) and AF_VSOCK (40); Linux has 46 (socket.h)."""
_REFUSED_FAMILIES = (38, 40)
_BY_FAMILY = ("socket", "socketpair")
"""A pair of such sockets cannot be created, but an attempt loads the kernel's module for the family."""
_LOWER_HALF = 0xFFFFFFFF
_PERSONALITY_FLAGS = tuple(1 << bit for bit in range(18, 28))
"""All flags that are not allowed (personality.h), ADDR_NO_RANDOMIZE first; other domains fail as unlisted calls."""


@dataclass(frozen=True, eq=False)
class SeccompProfile:
    """The parsed data file: system call names. Compared by identity."""

    default: Sequence[str]
    never: Sequence[str]
    by_architecture: Mapping[str, Sequence[str]]
    by_capability: Mapping[str, Sequence[str]]


def load_profile() -> SeccompProfile:
    """The profile that comes with the program."""
    return SeccompProfile(**json.loads(files("agent.runtime.confinement").joinpath("seccomp_profile.json").read_text()))


def seccomp_section(profile: SeccompProfile, *, machine: str, capabilities: Collection[str]) -> dict[str, Any]:
    """`linux.seccomp` of an OCI runtime spec (runtime-spec, config-linux.md). `machine` is that of uname(2). Pure.

    It is cached for each set of capabilities: callers must not modify it.
    """
    return _section(profile, machine, frozenset(capabilities))


@lru_cache(maxsize=64)
def _section(profile: SeccompProfile, machine: str, capabilities: frozenset[str]) -> dict[str, Any]:
    architecture = architecture_of(machine)
    allowed = {*profile.default, *profile.by_architecture.get(architecture.name, ())}
    allowed.update(*(profile.by_capability.get(capability, ()) for capability in capabilities))
    rules = [_allow(sorted(allowed)), _deny(sorted(_named(profile) - allowed - {"clone", "clone3"}))]
    rules += [_allow(_BY_FAMILY, _masked(first, _LOWER_HALF - (many - 1))) for first, many in _FAMILIES]
    rules += [_deny(_BY_FAMILY, _masked(family, _LOWER_HALF)) for family in _REFUSED_FAMILIES]
    rules += [_allow(["personality"], _argument(value, "SCMP_CMP_EQ")) for value in _PERSONALITIES]
    rules += [_deny(["personality"], _masked(flag, flag | 1)) for flag in _PERSONALITY_FLAGS]
    if "CAP_SYS_ADMIN" not in capabilities:
        index = int(architecture.name == "s390x")  # the flags are the second argument of clone(2) there
        rules.append(_allow(["clone"], _masked(0, sum(_NEW_NAMESPACES), index=index)))
        rules += [_deny(["clone"], _masked(flag, flag, index=index)) for flag in _NEW_NAMESPACES]
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _ENOSYS,
        "architectures": list(architecture.filtered),
        "syscalls": rules,
    }


def _named(profile: SeccompProfile) -> set[str]:
    """All listed calls: those allowed by an architecture or a capability, and those that are never allowed."""
    groups = (*profile.by_architecture.values(), *profile.by_capability.values())
    return {*profile.never, *(name for group in groups for name in group)}


def _allow(names: Sequence[str], argument: dict[str, Any] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return rule | {"args": [argument]} if argument else rule


def _deny(names: Sequence[str], argument: dict[str, Any] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM}
    return rule | {"args": [argument]} if argument else rule


def _argument(value: int, operator: str) -> dict[str, Any]:
    return {"index": 0, "value": value, "op": operator}


def _masked(value: int, mask: int, *, index: int = 0) -> dict[str, Any]:
    """The masked argument equals the value; the OCI specification has the mask first."""
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}
