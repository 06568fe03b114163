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
    apply_security_option(spec.task.container, text, lambda path: read_profile(Path(path).expanduser()))


def read_profile(path: Path) -> str:
    """A seccomp profile.

    Raises:
        InvalidInput: it cannot be read as text.
    """
    try:
        return path.read_text()
    except OSError as error:
        raise InvalidInput(f"cannot read the seccomp profile {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"the seccomp profile {path} is not valid UTF-8") from None


def remove_security_option(spec: ServiceSpec, text: str) -> None:
    """Return to the default of an option, which is given by its name."""
    if text not in _FIELDS:
        raise InvalidInput(f"{text!r} must be one of {', '.join(_FIELDS)}")
    spec.task.container.ClearField(_FIELDS[text])  # type: ignore[arg-type]
