"""The configuration of an image (OCI image-spec, config.md), as far as this project needs it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.distribution.digests import is_digest
from shoal.distribution.documents import parse_object
from shoal.distribution.manifests import Platform
from shoal.errors import InvalidInput


@dataclass(frozen=True)
class ParsedConfig:
    """A configuration's parts.

    Attributes:
        settings: its `config` object: Entrypoint, Env and the like; empty where it has none.
        diff_ids: digests of the layers' uncompressed tars, lowest first.
    """

    platform: Platform
    settings: Mapping[str, object]
    diff_ids: tuple[str, ...]


def parse_config(content: bytes) -> ParsedConfig:
    """A configuration from its bytes.

    Raises:
        InvalidInput: it is not one.
    """
    document = parse_object(content, "the image's configuration")
    rootfs, settings = document.get("rootfs"), document.get("config") or {}
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(isinstance(each, str) and is_digest(each) for each in diff_ids):
        raise InvalidInput("the image's configuration has no list of digests in rootfs.diff_ids")
    if not isinstance(settings, dict):
        raise InvalidInput("the image's configuration has a config that is not an object")
    return ParsedConfig(_platform(document), settings, tuple(diff_ids))


def platform_in_config(content: bytes) -> Platform:
    """What the image runs on. Raises as `parse_config` does."""
    return parse_config(content).platform


def _platform(document: Mapping[str, object]) -> Platform:
    return Platform(*(str(document.get(key, "")) for key in ("os", "architecture", "variant")))
