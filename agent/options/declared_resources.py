"""Generic resources that the operator declares for this host: `gpu=2`, `gpu=GPU-1,GPU-2`, `tty=/dev/ttyUSB0`.

Names may also be CDI devices (`gpu=nvidia.com/gpu=0`). CDI kinds themselves are reported automatically
(`agent.cdi.cdi_registry`).
"""

import re
from collections.abc import Sequence

from agent.options.unique_names import faults_of_each
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.errors import Fault, InvalidInput

MAX_COUNT = 1_000
"""Of one kind."""

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9/_.:=-]{0,127}")


def parse_resource(text: str) -> GenericResource:
    """Parse one resource.

    Raises:
        InvalidInput: it is in another form, or a name is a path outside of /dev.
    """
    kind, _, value = text.partition("=")
    if not _KIND.fullmatch(kind) or not value:
        raise InvalidInput(
            f"{text!r} must be in the form KIND=COUNT or KIND=NAME,NAME, such as gpu=2 or gpu=GPU-1,GPU-2"
        )
    if value.isascii() and value.isdigit():
        if len(value) > 5 or not 1 <= int(value) <= MAX_COUNT:
            raise InvalidInput(f"{text!r}: the count must be from 1 to {MAX_COUNT}")
        return GenericResource(kind=kind, count=int(value))
    names = value.split(",")
    if len(set(names)) < len(names) or len(names) > MAX_COUNT or not all(_NAME.fullmatch(name) for name in names):
        raise InvalidInput(f"{text!r}: names must be unique and may contain letters, digits and '/_.:=-'")
    if invalid := next((name for name in names if name.startswith("/") and not name.startswith("/dev/")), None):
        raise InvalidInput(f"{text!r}: {invalid!r} is not a path below /dev")
    return GenericResource(kind=kind, names=names)


def parse_resources(texts: Sequence[str]) -> list[GenericResource]:
    """Parse resources that the settings have validated."""
    return [parse_resource(text) for text in texts]


def resource_faults(texts: Sequence[str]) -> list[Fault]:
    """Errors of these options; each kind may be given once."""
    return list(faults_of_each("--resource", texts, lambda text: parse_resource(text).kind))
