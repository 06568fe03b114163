"""`--security-opt`: add and remove security options."""

from pathlib import Path

from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.security_options import apply_security_option

_FIELDS = {
    "apparmor": "apparmor",
    "no-new-privileges": "no_new_privileges",
    "seccomp": "seccomp",
    "systempaths": "unmasked_paths",
}


def add_security_option(spec: ServiceSpec, text: str) -> None:
    """Honour an option; a profile's path begins at the working directory."""
    apply_security_option(spec.task.container, text, Path())


def remove_security_option(spec: ServiceSpec, text: str) -> None:
    """Return to the default of an option, which is given by its name."""
    if text not in _FIELDS:
        raise InvalidInput(f"{text!r} must be one of {', '.join(_FIELDS)}")
    spec.task.container.ClearField(_FIELDS[text])  # type: ignore[arg-type]
