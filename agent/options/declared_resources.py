"""Generic resources that the operator says this host has: `gpu=2`, `gpu=GPU-1,GPU-2`, `tty=/dev/ttyUSB0`.

Names may also be of the Container Device Interface (`gpu=nvidia.com/gpu=0`). Its own kinds are told without being asked
for (`agent.cdi.cdi_registry`).
"""

import re
from collections.abc import Sequence

from agent.options.unique_names import faults_of_each
from shoal.api.v1.meta_pb2 import GenericResource
from shoal.errors import Fault, InvalidInput

MAX_COUNT = 1_000
"""Of a kind."""

_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")
_NAME = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9/_.:=-]{0,127}")


def parse_resource(text: str) -> GenericResource:
    """Read one.

    Raises:
        InvalidInput: it has another form, or a name that stands for nothing that a container could be given.
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
    """Read them; the settings have checked them."""
    return [parse_resource(text) for text in texts]


def resource_faults(texts: Sequence[str]) -> list[Fault]:
    """What is wrong with them, each kind having to be there once."""
    return list(faults_of_each("--resource", texts, lambda text: parse_resource(text).kind))
