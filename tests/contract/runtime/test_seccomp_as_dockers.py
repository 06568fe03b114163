"""The default system call filter beside Docker's: the same answer for every call, argument, architecture and
capability, but for the differences that `docker_seccomp.json` names with their reasons."""

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from agent.runtime.confinement.architectures import architecture_of
from agent.runtime.confinement.seccomp import load_profile, seccomp_section
from agent.runtime.spec.capability_sets import ALL, DEFAULT

FACTS: dict[str, Any] = json.loads(Path(__file__).with_name("docker_seccomp.json").read_text())
PROFILE = load_profile()
MACHINES = ("x86_64", "aarch64", "riscv64", "s390x", "ppc64le", "loongarch64", "armv7l", "i686")
CAPABILITIES = (frozenset[str](), DEFAULT, frozenset(ALL), *(frozenset((name,)) for name in ALL))
NAMESPACES = tuple(1 << bit for bit in (17, 25, 26, 27, 28, 29, 30))
"""CLONE_NEWNS, …CGROUP, …UTS, …IPC, …USER, …PID, …NET (sched.h)."""
HALF = 1 << 32
FAMILIES = (*range(65), *range(HALF, HALF + 64), 2**64 - HALF + 38, 1000, HALF - 1, 2**64 - 1)
OTHERS = (HALF - 1, HALF, 2**64 - 1)
ARGUMENTS: Mapping[str, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys(("socket", "socketpair"), tuple((family,) for family in FAMILIES)),
    "personality": tuple((value,) for value in (0, 1, 8, 0x40000, 0x20000, 0x20008, 0x28, 2**31 + 1, *OTHERS)),
    "clone": tuple(product((0, 17, 0x3D0F00, *NAMESPACES, 17 | 1 << 28), repeat=2)),
}
"""Of calls that are answered by their arguments: those to try."""

ERRORS = {1: "EPERM", 38: "ENOSYS"}
Verdict = str
"""allow, or the name of an error."""


def test_every_difference_from_dockers_is_one_that_is_named() -> None:
    explained = {
        (call, tuple(arguments), entry["docker"], entry["shoal"])
        for entry in FACTS["differences"]
        for call in entry["calls"]
        for arguments in entry.get("arguments", ())
    }
    assert {(call, arguments, *answers) for call, arguments, answers in found_differences()} == explained


def test_a_kernel_that_shoal_does_not_run_on_is_the_only_condition_of_versions() -> None:
    named = [entry for entry in FACTS["differences"] if "kernel" in entry]
    assert {name for names in FACTS["since_kernel"].values() for name in names} == {
        name for entry in named for name in entry["calls"]
    }
    assert all(tuple(map(int, version.split("."))) <= (5, 10) for version in FACTS["since_kernel"])


@pytest.mark.parametrize("machine", FACTS["tables"])
def test_the_same_tables_of_system_calls_are_filtered(machine: str) -> None:
    different = {entry["tables"]: entry["shoal"] for entry in FACTS["differences"] if "tables" in entry}
    assert list(architecture_of(machine).filtered) == different.get(machine, FACTS["tables"][machine])


def test_a_call_that_no_list_names_is_one_that_the_kernel_lacks() -> None:
    assert FACTS["unknown"].startswith("ENOSYS")
    section = seccomp_section(PROFILE, machine="x86_64", capabilities=DEFAULT)
    assert (section["defaultAction"], ERRORS[section["defaultErrnoRet"]]) == ("SCMP_ACT_ERRNO", "ENOSYS")


def test_every_difference_has_a_reason() -> None:
    assert all(len(entry["reason"]) > 40 for entry in FACTS["differences"])


def found_differences() -> set[tuple[str, tuple[int, ...], tuple[Verdict, Verdict]]]:
    return {
        (call, arguments, (theirs, ours))
        for machine, capabilities in product(MACHINES, CAPABILITIES)
        for call, arguments, theirs, ours in both(machine, capabilities)
        if theirs != ours
    }


def both(machine: str, capabilities: frozenset[str]) -> Iterator[tuple[str, tuple[int, ...], Verdict, Verdict]]:
    """Every call with what Docker's and ours answer."""
    section = seccomp_section(PROFILE, machine=machine, capabilities=capabilities)
    ours_by_call: dict[str, list[Any]] = {}
    for rule in section["syscalls"]:
        for name in rule["names"]:
            ours_by_call.setdefault(name, []).append(rule)
    theirs_by_call = dict(dockers(architecture_of(machine).name, capabilities))
    for call in sorted(theirs_by_call.keys() | ours_by_call.keys()):
        for arguments in ARGUMENTS.get(call, ((),)):
            theirs = verdict(theirs_by_call.get(call, []), arguments, otherwise=FACTS["otherwise"])
            ours = verdict(ours_by_call.get(call, []), arguments, otherwise=ERRORS[section["defaultErrnoRet"]])
            yield call, arguments, theirs, ours


def dockers(architecture: str, capabilities: frozenset[str]) -> Iterator[tuple[str, list[Any]]]:
    """The rules for each call, from the facts."""
    groups = (FACTS["always"], *FACTS["since_kernel"].values(), FACTS["on_architecture"].get(architecture, ()))
    held = (names for capability, names in FACTS["with_capability"].items() if capability in capabilities)
    names = {name for group in (*groups, *held) for name in group}
    rules: dict[str, list[Any]] = {name: [{"action": "SCMP_ACT_ALLOW"}] for name in names}
    for rule in FACTS["by_argument"]:
        if applies(rule, architecture, capabilities):
            rules.setdefault(rule["call"], []).append({"action": "SCMP_ACT_ALLOW", "args": [in_oci_words(rule)]})
    for rule in FACTS["fails_with"]:
        if applies(rule, architecture, capabilities):
            rules.setdefault(rule["call"], []).append({"action": "SCMP_ACT_ERRNO", "errnoRet": 38})
    yield from rules.items()


def applies(rule: Mapping[str, Any], architecture: str, capabilities: frozenset[str]) -> bool:
    fits = architecture in rule.get("on", (architecture,)) and architecture not in rule.get("not_on", ())
    return fits and rule.get("without") not in capabilities


def in_oci_words(rule: Mapping[str, Any]) -> dict[str, Any]:
    operators = {"less": "LT", "equal": "EQ", "greater": "GT", "none of": "MASKED_EQ"}
    return {"index": rule["argument"], "value": rule["value"], "op": f"SCMP_CMP_{operators[rule['is']]}"}


def verdict(rules: list[Any], arguments: tuple[int, ...], *, otherwise: Verdict) -> Verdict:
    """As libseccomp reads rules (seccomp_rule_add(3)). Those that match have to agree: it gives them no order."""
    found = set()
    for rule in rules:
        if all(matches(condition, arguments[condition["index"]]) for condition in rule.get("args", ())):
            found.add("allow" if rule["action"] == "SCMP_ACT_ALLOW" else ERRORS[rule["errnoRet"]])
    assert len(found) < 2, (rules, arguments)
    return found.pop() if found else otherwise


def matches(condition: Mapping[str, Any], argument: int) -> bool:
    value = condition["value"]
    found: bool = {
        "SCMP_CMP_LT": argument < value,
        "SCMP_CMP_EQ": argument == value,
        "SCMP_CMP_GT": argument > value,
        "SCMP_CMP_MASKED_EQ": argument & value == condition.get("valueTwo", 0),
    }[condition["op"]]
    return found
