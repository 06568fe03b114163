"""Converts a user's seccomp profile in Docker's format to an OCI runtime spec. Pure."""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from agent.runtime.confinement.architectures import Architecture, architecture_of
from shoal.errors import Fault, InvalidInput

_SECTION_KEYS = ("defaultAction", "defaultErrnoRet", "architectures", "flags")
_RULE_KEYS = ("action", "errnoRet", "args")


@dataclass(frozen=True)
class _HostConditions:
    """Facts that a rule's conditions are compared with."""

    architecture: str
    capabilities: frozenset[str]
    kernel: tuple[int, int]


def custom_section(text: str, *, machine: str, capabilities: Collection[str], kernel: str) -> dict[str, Any]:
    """`linux.seccomp` of a profile: rules for other architectures, capabilities and kernels are omitted.

    Args:
        text: JSON. machine, kernel: machine and release of uname(2), "x86_64" and "6.1.0-18-amd64".
    Raises:
        InvalidInput: it is not a valid profile.
    """
    own = architecture_of(machine)
    here = _HostConditions(own.name, frozenset(capabilities), _version(kernel))
    try:
        profile = json.loads(text)
        if profile.get("architectures") and profile.get("archMap"):
            raise ValueError("architectures and archMap must not be used together")
        section = {key: profile[key] for key in _SECTION_KEYS if key in profile}
        section["syscalls"] = [_rule(rule) for rule in profile.get("syscalls") or [] if _applies(rule, here)]
        if profile.get("archMap"):
            section["architectures"] = _architectures(profile["archMap"], own)
        # Without this key the OCI runtime would allow all calls without a rule.
        section["defaultAction"] = str(profile["defaultAction"])
    except RecursionError:
        raise InvalidInput([Fault("spec.seccomp", "is not a seccomp profile: nested too deeply")]) from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InvalidInput([Fault("spec.seccomp", f"is not a seccomp profile: {error!r}"[:300])]) from None
    return section


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    if rule.get("name") and rule.get("names"):
        raise ValueError("name and names must not be used together in a rule")
    names = rule["names"] if rule.get("names") else [rule["name"]]
    return {"names": names, **{key: rule[key] for key in _RULE_KEYS if rule.get(key) is not None}}


def _applies(rule: Mapping[str, Any], here: _HostConditions) -> bool:
    includes, excludes = rule.get("includes") or {}, rule.get("excludes") or {}
    if includes.get("arches") and here.architecture not in includes["arches"]:
        return False
    if here.architecture in (excludes.get("arches") or ()):
        return False
    if includes.get("minKernel") and here.kernel < _version(includes["minKernel"]):
        return False
    if excludes.get("minKernel") and here.kernel >= _version(excludes["minKernel"]):
        return False
    held = here.capabilities
    return held.issuperset(includes.get("caps") or ()) and held.isdisjoint(excludes.get("caps") or ())


def _version(release: str) -> tuple[int, int]:
    """Major and minor version of a kernel release."""
    found = re.match(r"(\d{1,5})\.(\d{1,5})", release)
    if found is None:
        raise ValueError(f"{release[:20]!r} is not a kernel version")
    return int(found[1]), int(found[2])


def _architectures(entries: list[Mapping[str, Any]], own: Architecture) -> list[str]:
    for entry in entries:
        if entry["architecture"] in own.filtered[:1]:
            return [entry["architecture"], *(entry.get("subArchitectures") or [])]
    return []
