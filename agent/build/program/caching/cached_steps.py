"""Keys of layers in the configuration of an image, by which other builds find them there (`cache_from`). Pure.

A field beside those of the OCI image-spec, which has room for others: {"version": 1, "steps": [{"key": …}]}.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shoal.distribution.digests import is_digest

FIELD = "shoal.build.cache"
_VERSION = 1
MAX_STEPS = 10_000
_KEY_CHARACTERS = 64


@dataclass(frozen=True)
class CachedStep:
    """A layer with the key of the vertex that made it."""

    key: str
    diff_id: str
    created_at_ms: int
    description: str


def cache_field(steps: Iterable[CachedStep]) -> dict[str, Any]:
    """Of a configuration."""
    return {FIELD: {"version": _VERSION, "steps": [asdict(each) for each in steps]}}


def read_cache_field(config: Mapping[str, Any]) -> Sequence[CachedStep]:
    """The steps of a configuration that anybody may have written; none where it has none, or nonsense."""
    field = config.get(FIELD)
    if not isinstance(field, dict) or field.get("version") != _VERSION or not isinstance(field.get("steps"), list):
        return ()
    return [step for each in field["steps"][:MAX_STEPS] if (step := _step(each)) is not None]


def _step(found: object) -> CachedStep | None:
    if not isinstance(found, dict):
        return None
    key, diff_id, created, text = (found.get(name) for name in ("key", "diff_id", "created_at_ms", "description"))
    if not (isinstance(key, str) and len(key) == _KEY_CHARACTERS and key.isalnum() and key.isascii()):
        return None
    if not (isinstance(diff_id, str) and is_digest(diff_id) and isinstance(created, int) and isinstance(text, str)):
        return None
    return CachedStep(key, diff_id, max(0, created), text)


def cache_config(platform: tuple[str, str, str], steps: Sequence[CachedStep]) -> dict[str, Any]:
    """The configuration of an image that is only a cache: its layers are those of the steps, each once."""
    system, architecture, variant = platform
    diff_ids = list(dict.fromkeys(each.diff_id for each in steps))
    config = {"architecture": architecture, "os": system, **({"variant": variant} if variant else {}), "config": {}}
    return {**config, "rootfs": {"type": "layers", "diff_ids": diff_ids}, **cache_field(steps)}
