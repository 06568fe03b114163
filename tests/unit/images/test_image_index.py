"""The index above images of several platforms."""

import pytest

from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, Index, Platform, parse_manifest
from shoal.distribution.registry_client import RawManifest
from shoal.errors import InvalidInput
from shoal.images.image_index import image_index

AMD, ARM = Platform("linux", "amd64"), Platform("linux", "arm64", "v8")


def part(content: bytes) -> RawManifest:
    return RawManifest(DOCKER_MANIFEST, digest_of(content), content)


def test_it_is_read_as_it_was_written() -> None:
    for oci, expected in ((False, DOCKER_INDEX), (True, OCI_INDEX)):
        media_type, content = image_index([(part(b"{}"), AMD), (part(b"{  }"), ARM)], oci=oci)
        found = parse_manifest(content, media_type)
        assert media_type == expected and isinstance(found, Index)
        assert [(each.digest, each.size, each.platform) for each in found.manifests] == [
            (digest_of(b"{}"), 2, AMD),
            (digest_of(b"{  }"), 4, ARM),
        ]


def test_one_image_for_each_platform() -> None:
    with pytest.raises(InvalidInput, match="several images are for platform linux/arm64/v8"):
        image_index([(part(b"{}"), ARM), (part(b"{ }"), ARM)], oci=False)
