"""Validation of what a build is asked for, as far as it needs no Dockerfile. Pure: yields every fault."""

from collections.abc import Iterable, Iterator

from shoal.api.v1.builds_pb2 import BuildStart, NameIndexRequest
from shoal.distribution.digests import is_digest
from shoal.errors import Fault, InvalidInput
from shoal.image_reference import parse
from shoal.networks.network_modes import BRIDGE, CONTAINER, SERVICE

MAX_NAMES = 100
MAX_PLATFORMS = 64
MAX_DOCKERFILE_BYTES = 1 << 20
MAX_ENTRIES = 1_000
"""Of each map and list of a request."""
_CHOICES = {
    "media_types": ("", "docker", "oci"),
    "compression": ("", "gzip", "zstd"),
}


def check_build_start(start: BuildStart) -> Iterator[Fault]:
    """Every fault of a build's first message."""
    for field in ("names", "push"):
        yield from _name_faults(field, getattr(start, field))
    if len(start.dockerfile_text) > MAX_DOCKERFILE_BYTES:
        yield Fault("dockerfile_text", f"is too large; the maximum is {MAX_DOCKERFILE_BYTES:,} bytes")
    if start.network.startswith((SERVICE, CONTAINER)) or start.network == BRIDGE:
        yield Fault("network", f'"{start.network[:80]}" must be default, none, host or a network')
    for field, choices in _CHOICES.items():
        value = getattr(start, field)
        if value not in choices:
            yield Fault(field, f'"{value[:80]}" must be one of {", ".join(filter(None, choices))}')
    for field in ("build_args", "labels", "contexts", "cache_from", "cache_to", "extra_hosts", "ulimits"):
        if len(getattr(start, field)) > MAX_ENTRIES:
            yield Fault(field, f"has too many entries; the maximum is {MAX_ENTRIES:,}")
    if start.part_of_index and (start.names or start.push or start.output != BuildStart.IMAGE):
        yield Fault("part_of_index", "cannot be combined with names, push, or an output other than an image")
    for field in ("memory_bytes", "shm_bytes"):
        if getattr(start, field) < 0:
            yield Fault(field, "must not be negative")


def check_name_index(request: NameIndexRequest) -> Iterator[Fault]:
    """Every fault of a request to combine images."""
    yield from _name_faults("names", request.names)
    if not request.names:
        yield Fault("names", "is missing")
    if not 0 < len(request.digests) <= MAX_PLATFORMS:
        yield Fault("digests", f"must have 1 to {MAX_PLATFORMS} entries")
    for index, digest in enumerate(request.digests[:MAX_PLATFORMS]):
        if not is_digest(digest):
            yield Fault(f"digests[{index}]", f'"{digest[:80]}" is no digest')
    if request.media_types not in _CHOICES["media_types"]:
        yield Fault("media_types", f'"{request.media_types[:80]}" must be one of docker, oci')


def _name_faults(field: str, names: Iterable[str]) -> Iterator[Fault]:
    found = list(names)
    if len(found) > MAX_NAMES:
        yield Fault(field, f"has too many entries; the maximum is {MAX_NAMES}")
        return
    for index, name in enumerate(found):
        try:
            reference = parse(name)
        except InvalidInput as error:
            yield Fault(f"{field}[{index}]", str(error))
            continue
        if str(reference) != name or not reference.tag or reference.digest:
            yield Fault(f"{field}[{index}]", f'"{name[:100]}" must be a normalized reference with a tag')
