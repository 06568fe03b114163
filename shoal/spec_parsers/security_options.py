"""Parse Docker's security options."""

import re
from collections.abc import Callable

from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.go_booleans import GO_BOOLEANS

_UNSUPPORTED = {
    "label": "SELinux labels are not supported; use apparmor=PROFILE",
    "writable-cgroups": "cgroups are always read-only in containers",
    "credentialspec": "it only applies to Windows",
}
"""Options that Docker has and Shoal does not honour, and why."""
FORMS = (
    "apparmor=PROFILE|unconfined",
    "no-new-privileges[=true|false]",
    "seccomp=FILE|unconfined",
    "systempaths=unconfined",
)
"""For help texts."""
_NO_EFFECT = (("label", "disable"), ("writable-cgroups", "false"))
"""What is the case anyway."""


def apply_security_option(container: ContainerSpec, text: str, read_profile: Callable[[str], str]) -> None:
    """One option in Docker's forms, `name=value` or `name:value`.

    Args:
        read_profile: the content of a seccomp profile by its path.
    Raises:
        InvalidInput: an option that cannot be honoured.
    """
    name, value = (*re.split("[=:]", text, maxsplit=1), "")[:2]
    if name == "no-new-privileges" and value in (*GO_BOOLEANS, ""):
        container.no_new_privileges = GO_BOOLEANS.get(value, True)
    elif name == "seccomp" and value:
        container.seccomp = _profile(value, read_profile)
    elif name == "apparmor" and value:
        container.apparmor = value
    elif (name, value) == ("systempaths", "unconfined"):
        container.unmasked_paths = True
    elif (name, value) not in _NO_EFFECT:
        why = _UNSUPPORTED.get(name, f"use one of {', '.join(FORMS)}")
        raise InvalidInput(f"security option {text!r} is not supported: {why}")


def _profile(value: str, read_profile: Callable[[str], str]) -> str:
    if value in ("unconfined", "builtin"):
        return value if value == "unconfined" else ""
    return read_profile(value)
