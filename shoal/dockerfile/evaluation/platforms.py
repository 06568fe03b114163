"""Platforms in Dockerfiles: `linux/arm/v7`, and the ARGs that name them. Pure.

Dockerfile reference, "Automatic platform ARGs in the global scope"; the names are those of containerd's platforms.
"""

import re

from shoal.distribution.manifests import Platform
from shoal.errors import InvalidInput

_COMPONENT = re.compile(r"[A-Za-z0-9_.-]+")
_MAX_COMPONENTS = 3
_SYSTEMS = ("linux", "windows", "darwin", "freebsd")
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}
_DEFAULT_VARIANTS = {"arm64": ("8", "v8"), "amd64": ("1", "v1")}


def parse_platform(text: str, default: Platform) -> Platform:
    """A platform in its normal form; what is left out is that of the default.

    Raises:
        InvalidInput: it is none.
    """
    parts = text.lower().split("/")
    if len(parts) > _MAX_COMPONENTS:
        raise InvalidInput(f'failed to parse platform {text[:80]}: must be in the form "os/architecture[/variant]"')
    for part in parts:
        if not _COMPONENT.fullmatch(part):
            raise InvalidInput(f'failed to parse platform {text[:80]}: "{part[:40]}" is an invalid component')
    if len(parts) == 1:
        is_system = parts[0] in _SYSTEMS
        return Platform(parts[0], default.architecture, default.variant) if is_system else _normal(default.os, *parts)
    return _normal(*parts)


def platform_arguments(target: Platform, build: Platform) -> dict[str, str]:
    """TARGETPLATFORM, BUILDARCH and the others."""
    return _arguments("TARGET", target) | _arguments("BUILD", build)


def _normal(system: str, architecture: str, variant: str = "") -> Platform:
    architecture, known_variant = _ARCHITECTURES.get(architecture, (architecture, ""))
    variant = variant or known_variant
    if architecture == "arm" and (not variant or variant.isdecimal()):
        variant = f"v{variant or 7}"
    if variant in _DEFAULT_VARIANTS.get(architecture, ()):
        variant = ""
    return Platform(system, architecture, variant)


def _arguments(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant,
    }
