"""The default system call filter: an allow-list with Docker's semantics, for one architecture and set of capabilities.

The data file names what is allowed always, on one architecture, and with one capability; everything else fails with
EPERM. Three calls are allowed by their arguments: `socket` for all families but AF_VSOCK, `personality` for the
execution domains that Linux binaries use, `clone` without new namespaces. `clone3` answers ENOSYS, since its
arguments cannot be looked at and the C libraries then fall back to `clone`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

_EPERM, _ENOSYS = 1, 38
_AF_VSOCK = 40
_NEW_NAMESPACES = 0x7E020000
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
_ARCHITECTURES = {
    "amd64": ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"),
    "arm64": ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"),
    "riscv64": ("SCMP_ARCH_RISCV64",),
}
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64", "riscv64": "riscv64"}


@dataclass(frozen=True)
class SeccompProfile:
    """The data file, read: system call names."""

    default: Sequence[str]
    by_architecture: Mapping[str, Sequence[str]]
    by_capability: Mapping[str, Sequence[str]]


def load_profile() -> SeccompProfile:
    """The profile that comes with the program."""
    return SeccompProfile(**json.loads(files("agent.runtime").joinpath("seccomp_profile.json").read_text()))


def seccomp_section(profile: SeccompProfile, *, machine: str, capabilities: Collection[str]) -> dict[str, Any]:
    """`linux.seccomp` of an OCI runtime spec (runtime-spec, config-linux.md). `machine` is that of uname(2). Pure."""
    architecture = _MACHINES.get(machine, machine)
    names = [*profile.default, *profile.by_architecture.get(architecture, ())]
    for capability in sorted(set(capabilities)):
        names += profile.by_capability.get(capability, ())
    rules = [_allow(sorted(set(names))), _allow(["socket"], _argument(_AF_VSOCK, "SCMP_CMP_NE"))]
    rules += [_allow(["personality"], _argument(value, "SCMP_CMP_EQ")) for value in _PERSONALITIES]
    if "CAP_SYS_ADMIN" not in capabilities:
        rules.append(_allow(["clone"], _argument(_NEW_NAMESPACES, "SCMP_CMP_MASKED_EQ")))
        rules.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": _EPERM,
        "architectures": list(_ARCHITECTURES.get(architecture, ())),
        "syscalls": rules,
    }


def _allow(names: Sequence[str], argument: dict[str, Any] | None = None) -> dict[str, Any]:
    rule: dict[str, Any] = {"names": list(names), "action": "SCMP_ACT_ALLOW"}
    return rule | {"args": [argument]} if argument else rule


def _argument(value: int, operator: str) -> dict[str, Any]:
    return {"index": 0, "value": value, "op": operator}
