"""Docker's security options: `--security-opt` and Compose's `security_opt`."""

import re
from pathlib import Path

from cli.boolean_flags import GO_BOOLEANS
from shoal.api.v1.container_pb2 import ContainerSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput

_FIELDS = {
    "apparmor": "apparmor",
    "no-new-privileges": "no_new_privileges",
    "seccomp": "seccomp",
    "systempaths": "unmasked_paths",
}
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


def apply_security_option(container: ContainerSpec, text: str, directory: Path) -> None:
    """One option in Docker's forms, `name=value` or `name:value`.

    Args:
        directory: that the path of a profile begins at.
    Raises:
        InvalidInput: an option that cannot be honoured.
    """
    name, value = (*re.split("[=:]", text, maxsplit=1), "")[:2]
    if name == "no-new-privileges" and value in (*GO_BOOLEANS, ""):
        container.no_new_privileges = GO_BOOLEANS.get(value, True)
    elif name == "seccomp" and value:
        container.seccomp = _profile(value, directory)
    elif name == "apparmor" and value:
        container.apparmor = value
    elif (name, value) == ("systempaths", "unconfined"):
        container.unmasked_paths = True
    elif (name, value) not in _NO_EFFECT:
        why = _UNSUPPORTED.get(name, f"use one of {', '.join(FORMS)}")
        raise InvalidInput(f"security option {text!r} is not supported: {why}")


def _profile(value: str, directory: Path) -> str:
    if value in ("unconfined", "builtin"):
        return value if value == "unconfined" else ""
    try:
        return (directory / Path(value).expanduser()).read_text()
    except OSError as error:
        raise InvalidInput(f"cannot read the seccomp profile {value}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"the seccomp profile {value} is not valid UTF-8") from None


def add_security_option(spec: ServiceSpec, text: str) -> None:
    """Honour an option; a profile's path begins at the working directory."""
    apply_security_option(spec.task.container, text, Path())


def remove_security_option(spec: ServiceSpec, text: str) -> None:
    """Return to the default of an option, which is given by its name."""
    if text not in _FIELDS:
        raise InvalidInput(f"--security-opt-rm: {text!r} is not one of {', '.join(_FIELDS)}")
    spec.task.container.ClearField(_FIELDS[text])  # type: ignore[arg-type]
