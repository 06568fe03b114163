"""The configuration of an image (OCI image-spec, config.md), as far as this project needs it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shoal.distribution.digests import is_digest
from shoal.distribution.manifests import Descriptor, Manifest, Platform
from shoal.distribution.untrusted_json import object_of, parse_object, text_of, texts_of
from shoal.errors import InvalidInput

CONFIGURATION = "the image's configuration"
"""As errors call it."""


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
    document = parse_object(content, CONFIGURATION)
    diff_ids = texts_of(object_of(document, "rootfs", CONFIGURATION), "diff_ids", CONFIGURATION)
    if not diff_ids or not all(map(is_digest, diff_ids)):
        raise InvalidInput(f"{CONFIGURATION} has no list of digests in rootfs.diff_ids")
    return ParsedConfig(_platform(document), object_of(document, "config", CONFIGURATION), diff_ids)


def layers_by_diff_id(manifest: Manifest, diff_ids: Sequence[str]) -> dict[str, Descriptor]:
    """What to fetch for each diff id of a configuration, lowest first; a layer that comes twice is one.

    Raises:
        InvalidInput: the configuration is another image's: a different number of layers, or one blob that unpacks to
        two
            different things.
    """
    if len(diff_ids) != len(manifest.layers):
        raise InvalidInput(
            f"the image has {len(manifest.layers)} layers, but its configuration has {len(diff_ids)} diff IDs"
        )
    claims: dict[str, str] = {}
    for layer, diff_id in zip(manifest.layers, diff_ids, strict=True):
        if claims.setdefault(layer.digest, diff_id) != diff_id:
            raise InvalidInput(f"the image's configuration has two different diff IDs for layer {layer.digest}")
    return dict(zip(diff_ids, manifest.layers, strict=True))


def platform_in_config(content: bytes) -> Platform:
    """What the image runs on. Raises as `parse_config` does."""
    return parse_config(content).platform


def _platform(document: Mapping[str, object]) -> Platform:
    return Platform(*(text_of(document, key, CONFIGURATION) for key in ("os", "architecture", "variant")))
