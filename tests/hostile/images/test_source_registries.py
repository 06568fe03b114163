"""What a registry from which an image is pulled may claim: it is refused before a byte of a layer is asked for."""

import asyncio
import json
from typing import cast

import pytest

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import OCI_CONFIG, OCI_INDEX, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from shoal.distribution.registry_client import RawManifest, Repository
from shoal.errors import InvalidInput
from shoal.images.image_contents import MAX_IMAGE_BYTES, MAX_MANIFESTS, ImageContents, read_contents
from shoal.images.image_record import MAX_CONFIG_BYTES, read_variants


class ClaimingRepository:
    """Manifests and configurations by digest; asked for a tag, the first manifest."""

    name = "registry.test/claims"

    def __init__(self) -> None:
        self.manifests: dict[str, RawManifest] = {}
        self.blobs: dict[str, bytes] = {}
        self.asked = 0

    def add(self, document: object, media_type: str = OCI_MANIFEST) -> Descriptor:
        """Add a manifest, or an index."""
        content = json.dumps(document).encode()
        raw = RawManifest(media_type, digest_of(content), content)
        self.manifests[raw.digest] = raw
        return Descriptor(media_type, raw.digest, len(content))

    def image(self, *, layer_bytes: int = 10, config: bytes = b"{}", mark: int = 0) -> Descriptor:
        """Add an image of one layer."""
        self.blobs[digest_of(config)] = config
        layer = Descriptor(OCI_LAYER_GZIP, digest_of(b"layer" + bytes([mark % 256, mark // 256])), layer_bytes)
        described = Descriptor(OCI_CONFIG, digest_of(config), len(config))
        return self.add(
            {"mediaType": OCI_MANIFEST, "config": described.to_json(), "layers": [layer.to_json()], "mark": mark}
        )

    async def manifest(self, target: str) -> RawManifest:
        """As `Repository.manifest`."""
        self.asked += 1
        return self.manifests.get(target) or list(self.manifests.values())[-1]

    async def blob(self, descriptor: Descriptor) -> bytes:
        """As `Repository.blob`."""
        return self.blobs[descriptor.digest]


def contents(claims: ClaimingRepository) -> ImageContents:
    """Of its newest manifest."""
    return asyncio.run(read_contents(cast(Repository, claims), "latest"))


def index_of(claims: ClaimingRepository, entries: list[Descriptor]) -> None:
    """Add an index as the newest."""
    listed = [{**each.to_json(), "platform": {"os": "linux", "architecture": "amd64"}} for each in entries]
    claims.add({"mediaType": OCI_INDEX, "manifests": listed}, OCI_INDEX)


def test_an_index_of_too_many_manifests() -> None:
    claims = ClaimingRepository()
    index_of(claims, [claims.image(mark=number) for number in range(MAX_MANIFESTS + 1)])
    with pytest.raises(InvalidInput, match=f"has {MAX_MANIFESTS + 1} manifests; 1 to {MAX_MANIFESTS} are supported"):
        contents(claims)
    assert claims.asked == 1
    index_of(claims, [])
    with pytest.raises(InvalidInput, match="has 0 manifests"):
        contents(claims)


def test_an_index_in_an_index() -> None:
    claims = ClaimingRepository()
    inner = claims.add({"mediaType": OCI_INDEX, "manifests": []}, OCI_INDEX)
    index_of(claims, [inner])
    with pytest.raises(InvalidInput, match="nested image indexes are not supported"):
        contents(claims)


def test_layers_larger_than_any_image() -> None:
    claims = ClaimingRepository()
    half = MAX_IMAGE_BYTES // 2 + 1
    index_of(claims, [claims.image(layer_bytes=half, mark=1), claims.image(layer_bytes=half, mark=2)])
    with pytest.raises(InvalidInput, match="choose one platform with --platform"):
        contents(claims)
    claims.image(layer_bytes=(1 << 63) - 1, mark=3)
    with pytest.raises(InvalidInput, match=f"the maximum is {MAX_IMAGE_BYTES}"):
        contents(claims)


@pytest.mark.parametrize(
    ("config", "error"),
    [
        (b" " * (MAX_CONFIG_BYTES + 1), f"the maximum is {MAX_CONFIG_BYTES}"),
        (b"{}", "rootfs.diff_ids"),
        (b"[]", "not a JSON object"),
        (json.dumps({"rootfs": {"diff_ids": [digest_of(b"a"), digest_of(b"b")]}}).encode(), "2 diff IDs"),
    ],
)
def test_a_configuration_that_is_none(config: bytes, error: str) -> None:
    claims = ClaimingRepository()
    claims.image(config=config)
    found = contents(claims)
    with pytest.raises(InvalidInput, match=error):
        asyncio.run(read_variants(cast(Repository, claims), found))


def test_attestations_are_copied_and_are_no_platform() -> None:
    claims = ClaimingRepository()
    real = claims.image(config=json.dumps({"rootfs": {"diff_ids": [digest_of(b"a")]}}).encode())
    about = claims.image(config=b"{}", mark=7)
    unknown = {"os": "unknown", "architecture": "unknown"}
    listed = [{**real.to_json(), "platform": {"os": "linux", "architecture": "amd64"}}]
    claims.add({"mediaType": OCI_INDEX, "manifests": [*listed, {**about.to_json(), "platform": unknown}]}, OCI_INDEX)
    found = contents(claims)
    assert len(found.manifests) == 2 and len(found.blobs) == 4
    variants = asyncio.run(read_variants(cast(Repository, claims), found))
    assert [each.digest for each in variants] == [real.digest]
