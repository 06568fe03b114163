"""Names by the Container Device Interface: `vendor.com/class=device` (its SPEC.md, "Kind" and "Device name")."""

import re

_VENDOR_AND_CLASS = r"[A-Za-z](?:[A-Za-z0-9._-]*[A-Za-z0-9])?/[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?"
_DEVICE = r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?"
_KIND = re.compile(_VENDOR_AND_CLASS)
_NAME = re.compile(_DEVICE)

MAX_LENGTH = 127
"""Characters of a kind, and of a device's name."""

ALL = "all"
"""By custom a device that stands for all of its kind. It is none that a task could have to itself beside the others."""

NVIDIA = "nvidia.com/gpu"


def is_kind(text: str) -> bool:
    """`nvidia.com/gpu`"""
    return len(text) <= MAX_LENGTH and bool(_KIND.fullmatch(text))


def is_device(text: str) -> bool:
    """`0`, `GPU-1`, `mig1:0`"""
    return len(text) <= MAX_LENGTH and bool(_NAME.fullmatch(text))


def split_name(text: str) -> tuple[str, str] | None:
    """The kind and the device of a qualified name; None for another text, a path for example."""
    kind, equals, device = text.partition("=")
    return (kind, device) if equals and is_kind(kind) and is_device(device) else None
