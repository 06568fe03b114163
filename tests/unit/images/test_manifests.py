"""Manifests, platforms, digests, configurations."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.distribution.digests import DigestCheck, digest_of, is_digest
from shoal.distribution.image_config import parse_config
from shoal.distribution.manifests import (
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    MAX_MANIFEST_BYTES,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    Platform,
    choose_manifest,
    parse_manifest,
    platforms_of,
)
from shoal.errors import InvalidInput, NotFound

DIGEST = digest_of(b"x")
PART = {"mediaType": "t", "digest": DIGEST, "size": 1}


def of(*platforms: Platform | None) -> Index:
    return Index(tuple(Descriptor("t", digest_of(str(each).encode()), 1, each) for each in platforms))


@pytest.mark.parametrize("media_type", [OCI_MANIFEST, DOCKER_MANIFEST, ""])
def test_a_manifest(media_type: str) -> None:
    found = parse_manifest(json.dumps({"config": PART, "layers": [PART, PART]}).encode(), media_type)
    assert isinstance(found, Manifest)
    assert [layer.digest for layer in found.layers] == [DIGEST, DIGEST]


def test_an_index_by_its_media_type_or_its_content() -> None:
    platform = {"os": "linux", "architecture": "arm64", "variant": "v8"}
    for document, media_type in (({}, DOCKER_INDEX), ({"schemaVersion": 2}, "")):
        content = json.dumps({**document, "manifests": [{**PART, "platform": platform}]}).encode()
        found = parse_manifest(content, media_type)
        assert isinstance(found, Index)
        assert platforms_of(found) == (Platform("linux", "arm64", "v8"),)


@pytest.mark.parametrize(
    ("content", "reported"),
    [
        (b"", "not JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b"[]", "not a JSON object"),
        (b" " * (MAX_MANIFEST_BYTES + 1), "the maximum is 4194304"),
        (b"{}", "neither"),
        (b'{"schemaVersion": 1}', "schema 1"),
        (json.dumps({"config": PART, "layers": []}).encode(), "0 layers"),
        (json.dumps({"config": PART, "layers": [PART] * 501}).encode(), "501 layers"),
        (json.dumps({"config": PART, "layers": "x"}).encode(), "not a list"),
        (
            json.dumps({"config": PART, "layers": [{**PART, "digest": "sha256:../../x"}]}).encode(),
            r"layers\[0\].digest",
        ),
        (json.dumps({"config": {**PART, "size": -1}, "layers": [PART]}).encode(), "config.size"),
        (json.dumps({"config": {**PART, "size": True}, "layers": [PART]}).encode(), "config.size"),
    ],
)
def test_broken_manifests(content: bytes, reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported):
        parse_manifest(content)


@pytest.mark.parametrize(
    ("offered", "desired", "chosen"),
    [
        (["amd64", "arm64/v8"], "arm64", "arm64/v8"),
        (["amd64", "amd64/v3"], "amd64", "amd64"),
        (["amd64/v2", "amd64"], "amd64/v3", "amd64/v2"),
        (["arm/v6", "arm/v5", "arm/v7"], "arm/v6", "arm/v6"),
        (["arm/v5", "arm/v7"], "arm/v6", "arm/v5"),
    ],
)
def test_the_best_variant(offered: list[str], desired: str, chosen: str) -> None:
    index = of(*(Platform("linux", *each.split("/")) for each in offered))
    assert choose_manifest(index, Platform("linux", *desired.split("/"))).platform == Platform(
        "linux", *chosen.split("/")
    )


def test_no_platform_fits() -> None:
    with pytest.raises(NotFound, match="no manifest for platform linux/arm/v6; available: linux/arm/v7, windows/amd64"):
        choose_manifest(
            of(Platform("linux", "arm", "v7"), Platform("windows", "amd64"), Platform("unknown", "unknown"), None),
            Platform("linux", "arm", "v6"),
        )


@given(st.lists(st.binary(max_size=20), max_size=5))
def test_a_stream_is_what_its_digest_names(chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    check = DigestCheck(digest_of(content), len(content))
    for chunk in chunks:
        check.update(chunk)
    check.finish()
    with pytest.raises(InvalidInput):
        DigestCheck(digest_of(content + b"x")).update(content).finish()
    with pytest.raises(InvalidInput):
        DigestCheck(digest_of(content), len(content)).update(content + b"x")


@pytest.mark.parametrize("text", ["", "sha256:", "sha256:" + "A" * 64, "md5:" + "0" * 32, "sha256:" + "0" * 64 + "\n"])
def test_what_is_no_digest(text: str) -> None:
    assert not is_digest(text)
    with pytest.raises(InvalidInput):
        DigestCheck(text)


@pytest.mark.parametrize(
    "content", [b"x", b"[]", b"{}", b'{"rootfs": {"diff_ids": ["x"]}}', b'{"rootfs": {"diff_ids": []}, "config": 1}']
)
def test_broken_configurations(content: bytes) -> None:
    with pytest.raises(InvalidInput, match="configuration"):
        parse_config(content)
