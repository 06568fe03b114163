"""Processor architectures in system call filters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Architecture:
    """One architecture.

    Attributes:
        name: name in conditions of Docker's profiles, "amd64".
        filtered: libseccomp's names of the system call tables that its kernel offers, its own first; empty means its
            own alone. A call by any other table kills the process (seccomp_init(3), SCMP_FLTATR_ACT_BADARCH).
    """

    name: str
    filtered: tuple[str, ...] = ()


_BY_MACHINE = {
    "x86_64": Architecture("amd64", ("SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32")),
    "aarch64": Architecture("arm64", ("SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM")),
    "riscv64": Architecture("riscv64", ("SCMP_ARCH_RISCV64",)),
    "s390x": Architecture("s390x", ("SCMP_ARCH_S390X", "SCMP_ARCH_S390")),
    "loongarch64": Architecture("loongarch64", ("SCMP_ARCH_LOONGARCH64",)),
    **dict.fromkeys(("armv6l", "armv7l", "armv8l"), Architecture("arm")),
    **dict.fromkeys(("i386", "i486", "i586", "i686"), Architecture("x86")),
}


def architecture_of(machine: str) -> Architecture:
    """The architecture of a machine name of uname(2)."""
    return _BY_MACHINE.get(machine, Architecture(machine))
