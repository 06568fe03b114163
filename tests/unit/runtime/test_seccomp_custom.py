"""Filters of users' own: which of their rules apply here."""

import json
from typing import Any

import pytest

from agent.runtime.confinement.seccomp_custom import custom_section
from shoal.errors import InvalidInput


def section(profile: Any, *, machine: str = "x86_64", kernel: str = "6.1.0-18-amd64", **more: Any) -> dict[str, Any]:
    text = profile if isinstance(profile, str) else json.dumps(profile)
    return custom_section(text, machine=machine, kernel=kernel, capabilities=more.get("capabilities", ()))


def profile(**rule: Any) -> dict[str, Any]:
    syscalls = [{"names": ["reboot"], "action": "SCMP_ACT_ALLOW", **rule}]
    return {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": syscalls}


@pytest.mark.parametrize(
    ("conditions", "kernel", "applies"),
    [
        ({"includes": {"minKernel": "4.8"}}, "4.8.1", True),
        ({"includes": {"minKernel": "4.8"}}, "5.10.0-8-amd64", True),
        ({"includes": {"minKernel": "6.12"}}, "6.9.1", False),
        ({"excludes": {"minKernel": "6.9"}}, "6.12.0", False),
        ({"excludes": {"minKernel": "6.12"}}, "6.9.0", True),
    ],
)
def test_a_rule_may_depend_on_the_kernels_version(conditions: Any, kernel: str, applies: bool) -> None:
    assert bool(section(profile(**conditions), kernel=kernel)["syscalls"]) is applies


@pytest.mark.parametrize(
    ("machine", "name", "table"),
    [
        ("x86_64", "amd64", "SCMP_ARCH_X86_64"),
        ("aarch64", "arm64", "SCMP_ARCH_AARCH64"),
        ("riscv64", "riscv64", "SCMP_ARCH_RISCV64"),
        ("s390x", "s390x", "SCMP_ARCH_S390X"),
    ],
)
def test_a_rule_and_a_table_may_depend_on_the_architecture(machine: str, name: str, table: str) -> None:
    desired = profile(includes={"arches": [name]}) | {"archMap": [{"architecture": table, "subArchitectures": ["X"]}]}
    made = section(desired, machine=machine)
    assert (len(made["syscalls"]), made["architectures"]) == (1, [table, "X"])
    assert section(profile(excludes={"arches": [name]}), machine=machine)["syscalls"] == []


def test_a_rule_may_depend_on_capabilities() -> None:
    desired = profile(includes={"caps": ["CAP_SYS_BOOT"]}, excludes={"caps": ["CAP_SYS_ADMIN"]})
    assert section(desired)["syscalls"] == []
    assert len(section(desired, capabilities=["CAP_SYS_BOOT"])["syscalls"]) == 1
    assert section(desired, capabilities=["CAP_SYS_BOOT", "CAP_SYS_ADMIN"])["syscalls"] == []


@pytest.mark.parametrize(
    "desired",
    [
        profile(name="mount"),
        profile(includes={"minKernel": "new"}),
        profile(includes=[1]),
        profile() | {"architectures": ["SCMP_ARCH_X86"], "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]},
        profile() | {"archMap": [{}]},
        {"syscalls": []},
        "[]",
        "[" * 100_000,
    ],
)
def test_what_is_no_profile_is_bad_input(desired: Any) -> None:
    with pytest.raises(InvalidInput, match="is not a seccomp profile"):
        section(desired)
