"""Caches in OCI layouts that anybody may have written."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from agent.build.program.caching.cache_layout import CacheLayout
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, Descriptor
from shoal.errors import InvalidInput, NotFound, ShoalError

LAYER = b"layer" * 1000


def blob(directory: Path, content: bytes, media_type: str) -> Descriptor:
    blobs = directory / "blobs/sha256"
    blobs.mkdir(parents=True, exist_ok=True)
    found = Descriptor(media_type, digest_of(content), len(content))
    (blobs / found.digest.removeprefix("sha256:")).write_bytes(content)
    return found


def layout(directory: Path) -> tuple[CacheLayout, Descriptor]:
    """One with an image of one layer, and that layer."""
    layer = blob(directory, LAYER, OCI_LAYER_GZIP)
    config = blob(directory, b'{"rootfs": {"diff_ids": []}}', OCI_CONFIG)
    manifest = {"schemaVersion": 2, "config": config.to_json(), "layers": [layer.to_json()]}
    found = blob(directory, json.dumps(manifest | {"mediaType": OCI_MANIFEST}).encode(), OCI_MANIFEST)
    (directory / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [found.to_json()]}))
    return CacheLayout(directory), layer


def content(found: CacheLayout, layer: Descriptor, offset: int = 0) -> bytes:
    async def read() -> bytes:
        return b"".join([piece async for piece in found.content(layer, offset)])

    return asyncio.run(read())


def test_an_image_is_read_with_its_layers(tmp_path: Path) -> None:
    found, layer = layout(tmp_path)
    manifest, config = found.documents()
    assert list(manifest.layers) == [layer] and config["rootfs"] == {"diff_ids": []}
    assert content(found, layer) == LAYER
    assert content(found, layer, 4000) == LAYER[4000:]


@pytest.mark.parametrize(
    "index",
    ["", "[]", "{}", '{"manifests": [1]}', '{"manifests": [{}]}', '{"manifests": [{"digest": "sha256:../../x"}]}',
     '{"manifests": [{"digest": "sha256:' + "0" * 64 + '"}]}'],
)  # fmt: skip
def test_what_is_no_layout_is_refused(tmp_path: Path, index: str) -> None:
    found, _ = layout(tmp_path)
    (tmp_path / "index.json").write_text(index)
    with pytest.raises(ShoalError):
        found.documents()


def test_documents_with_other_content_are_refused(tmp_path: Path) -> None:
    found, _ = layout(tmp_path)
    for file in (tmp_path / "blobs/sha256").iterdir():
        file.write_bytes(b"{}")
    with pytest.raises(InvalidInput, match="damaged"):
        found.documents()


def test_links_out_of_it_and_pipes_are_not_opened(tmp_path: Path) -> None:
    found, layer = layout(tmp_path / "cache")
    path = tmp_path / "cache/blobs/sha256" / layer.digest.removeprefix("sha256:")
    (tmp_path / "outside").write_text("outside")
    path.unlink()
    path.symlink_to("../../../outside")
    with pytest.raises(NotFound):
        content(found, layer)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(NotFound):
        content(found, layer)
    index = tmp_path / "cache/index.json"
    index.unlink()
    index.symlink_to("/etc/hostname")
    with pytest.raises(NotFound):
        found.documents()
