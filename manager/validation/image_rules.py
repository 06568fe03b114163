"""Validation of records of images. Pure: yields every fault."""

from collections.abc import Iterator

from shoal.api.v1.standalone_pb2 import Image
from shoal.distribution.digests import is_digest
from shoal.distribution.image_config import parse_config
from shoal.errors import Fault, InvalidInput
from shoal.image_reference import parse

MAX_IMAGE_BYTES = 1_000_000
"""Of a record: etcd takes requests of 1.5 MiB."""
MAX_VARIANTS = 128
MAX_LAYERS = 500
_SHA256_LENGTH = len("sha256:") + 64


def check_image(image: Image) -> Iterator[Fault]:
    """Every fault of an image that a client names."""
    if image.name:
        yield from _name_faults(image.name)
    if not _is_sha256(image.digest):
        yield Fault("image.digest", f'"{image.digest[:80]}" must be sha256:<64 hex digits>')
    if image.parent and not _is_sha256(image.parent):
        yield Fault("image.parent", f'"{image.parent[:80]}" must be sha256:<64 hex digits>')
    if image.ByteSize() > MAX_IMAGE_BYTES:
        yield Fault("image", f"is too large ({image.ByteSize()} bytes); the maximum is {MAX_IMAGE_BYTES}")
        return
    if not 0 < len(image.variants) <= MAX_VARIANTS:
        yield Fault("image.variants", f"must be between 1 and {MAX_VARIANTS}")
        return
    for index, each in enumerate(image.variants):
        path = f"image.variants[{index}]"
        if not _is_sha256(each.digest) or not _is_sha256(each.config_digest):
            yield Fault(path, "must have a digest and a config_digest")
        if len(each.layers) > MAX_LAYERS or len(each.layer_bytes) != len(each.layers):
            yield Fault(f"{path}.layers", f"must be at most {MAX_LAYERS}, each with its size in layer_bytes")
        try:
            parse_config(each.config)
        except InvalidInput as error:
            yield Fault(f"{path}.config", str(error))


def _name_faults(name: str) -> Iterator[Fault]:
    try:
        reference = parse(name)
    except InvalidInput as error:
        yield Fault("image.name", str(error))
        return
    if str(reference) != name or bool(reference.tag) == bool(reference.digest):
        yield Fault("image.name", f'"{name[:100]}" must be a normalized reference with a tag or a digest')


def _is_sha256(digest: str) -> bool:
    return is_digest(digest) and len(digest) == _SHA256_LENGTH
