"""A system call filter of the user's own, in the form of Docker's profiles, as an OCI runtime spec has it: pure."""

import json
from collections.abc import Collection, Mapping
from typing import Any

from shoal.errors import Fault, InvalidInput

_KEPT = ("defaultAction", "defaultErrnoRet", "architectures", "flags")
_KEPT_OF_RULE = ("action", "errnoRet", "args")
_MACHINES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


def custom_section(text: str, *, machine: str, capabilities: Collection[str]) -> dict[str, Any]:
    """`linux.seccomp` of a profile: rules for other architectures and other capabilities are left out.

    Args:
        text: JSON. machine: that of uname(2).
    Raises:
        InvalidInput: it is no such profile.
    """
    try:
        profile = json.loads(text)
        section = {key: profile[key] for key in _KEPT if key in profile}
        rules = [rule for rule in profile.get("syscalls") or [] if _applies(rule, machine, capabilities)]
        section["syscalls"] = [_rule(rule) for rule in rules]
        if "archMap" in profile:
            section["architectures"] = _architectures(profile["archMap"], machine)
        # Without the key the runtime would allow everything that no rule names.
        section["defaultAction"] = str(profile["defaultAction"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput([Fault("spec.seccomp", f"is no seccomp profile: {error!r}")]) from None
    return section


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    names = rule["names"] if "names" in rule else [rule["name"]]
    return {"names": names, **{key: rule[key] for key in _KEPT_OF_RULE if rule.get(key) is not None}}


def _applies(rule: Mapping[str, Any], machine: str, capabilities: Collection[str]) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    architecture = _MACHINES.get(machine, (machine, ""))[0]
    if includes.get("arches") and architecture not in includes["arches"]:
        return False
    if architecture in (excludes.get("arches") or ()):
        return False
    held = set(capabilities)
    return held.issuperset(includes.get("caps") or ()) and held.isdisjoint(excludes.get("caps") or ())


def _architectures(entries: list[Mapping[str, Any]], machine: str) -> list[str]:
    own = _MACHINES.get(machine, ("", ""))[1]
    for entry in entries:
        if entry["architecture"] == own:
            return [own, *(entry.get("subArchitectures") or [])]
    return []
