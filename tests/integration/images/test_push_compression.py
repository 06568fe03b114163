"""Layers that an archive has as plain tars go up compressed; everything else stays what it was."""

import asyncio
import json
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.manifests import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST
from shoal.distribution.registries import Registries
from shoal.distribution.registry_client import Distribution
from shoal.errors import Exhausted, InvalidInput
from shoal.image_reference import parse
from shoal.images.archive import open_source
from shoal.images.json_bytes import to_bytes
from shoal.images.stream_compressor import Compression
from tests.integration.images.rig import entry, ignore, small_archive, store_in, tar_of
from tests.integration.registry_fixture import running_registry

TEXT = b"the same line again and again\n" * 20_000
ATTESTATION = "application/vnd.in-toto+json"


def layout(directory: Path, *, attested: bool = False) -> Path:
    """An OCI layout of an image of two plain layers; where it is attested, an index with a statement about it."""
    layers = [tar_of([entry("text", TEXT)]), tar_of([entry("more", TEXT + b"more")])]
    config = to_bytes(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": [digest_of(layer) for layer in layers]},
        }
    )
    files = {digest_of(content): content for content in (*layers, config)}
    image = _manifest(files, config, [_describe(OCI_LAYER, layer, {"a": "kept"}) for layer in layers])
    top = {**image, "platform": {"os": "linux", "architecture": "amd64"}}
    if attested:
        statement = b'{"_type": "statement"}'
        files[digest_of(statement)] = statement
        about = _manifest(files, config, [_describe(ATTESTATION, statement)])
        mark = {
            "platform": {"os": "unknown", "architecture": "unknown"},
            "annotations": {"vnd.docker.reference.digest": image["digest"], "other": "kept"},
        }
        index = to_bytes({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [top, {**about, **mark}]})
        files[digest_of(index)] = index
        top = _describe(OCI_INDEX, index)
    listing = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [top]}
    (directory / "blobs/sha256").mkdir(parents=True)
    for digest, content in files.items():
        (directory / "blobs" / digest.replace(":", "/")).write_bytes(content)
    (directory / "index.json").write_bytes(to_bytes(listing))
    return directory


def _describe(media_type: str, content: bytes, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    more = {"annotations": dict(annotations)} if annotations else {}
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content), **more}


def _manifest(files: dict[str, bytes], config: bytes, layers: list[dict[str, Any]]) -> dict[str, Any]:
    content = to_bytes(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _describe(OCI_CONFIG, config),
            "layers": layers,
            "annotations": {"image": "kept"},
        }
    )
    files[digest_of(content)] = content
    return _describe(OCI_MANIFEST, content)


def docker_archive(path: Path) -> Path:
    """What `docker save` writes of such an image."""
    source = layout(path.with_name("layout"))
    index = json.loads((source / "index.json").read_bytes())
    manifest = json.loads((source / "blobs" / index["manifests"][0]["digest"].replace(":", "/")).read_bytes())
    names = ["blobs/" + each["digest"].replace(":", "/") for each in (manifest["config"], *manifest["layers"])]
    listing = path.with_name("manifest.json")
    listing.write_text(json.dumps([{"Config": names[0], "RepoTags": ["x:1"], "Layers": names[1:]}]))
    with tarfile.open(path, "w") as tar:
        tar.add(listing, "manifest.json")
        for name in names:
            tar.add(source / name, name)
    return path


async def document(reference: str, target: str) -> dict[str, Any]:
    """A manifest or an index as the registry has it."""
    async with Distribution(Registries()) as distribution:
        raw = await distribution.repository(parse(reference)).manifest(target)
    found: dict[str, Any] = json.loads(raw.content)
    return found


def configuration_of(source: Path) -> str:
    """The digest of its image's configuration: the image's id."""
    with open_source(source) as images:
        found = json.loads(images.manifest(images.images[0].digest))
    return str(found["config"]["digest"])


@pytest.mark.parametrize(
    ("compression", "kind"),
    [("gzip", f"{OCI_LAYER}+gzip"), ("zstd", f"{OCI_LAYER}+zstd"), ("fastest", f"{OCI_LAYER}+zstd")],
)
def test_what_docker_saves_is_compressed_on_the_way(tmp_path: Path, compression: Compression, kind: str) -> None:
    async def run() -> None:
        archive = docker_archive(tmp_path / "saved.tar")
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/saved:1"
            pushed = await push(archive, reference, Registries(), ignore, compression=compression)
            manifest = await document(reference, "1")
            assert [each["mediaType"] for each in manifest["layers"]] == [kind, kind]
            assert sum(each["size"] for each in manifest["layers"]) < len(TEXT) // 10
            assert manifest["config"]["digest"] == configuration_of(archive)
            store = store_in(tmp_path / "images", Registries())
            image = await store.ensure(reference, ignore)
            upper, lower = image.layers
            assert (upper / "more").read_bytes() == TEXT + b"more" and (lower / "text").read_bytes() == TEXT
            await store.aclose()
            again = await push(archive, reference, Registries(), ignore, compression=compression)
            assert again.digest == pushed.digest and not again.blobs_sent

    asyncio.run(run())


def test_an_index_names_what_its_images_became(tmp_path: Path) -> None:
    async def run() -> None:
        source = layout(tmp_path / "layout", attested=True)
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/attested:1"
            await push(source, reference, Registries(), ignore)
            image, statement = (await document(reference, "1"))["manifests"]
            assert statement["annotations"] == {"vnd.docker.reference.digest": image["digest"], "other": "kept"}
            manifest = await document(reference, image["digest"])
            assert manifest["annotations"] == {"image": "kept"}
            assert {each["mediaType"] for each in manifest["layers"]} == {f"{OCI_LAYER}+gzip"}
            assert all(each["annotations"] == {"a": "kept"} for each in manifest["layers"])
            about = await document(reference, statement["digest"])
            assert about["layers"][0]["mediaType"] == ATTESTATION, "a statement is no tar"
            store = store_in(tmp_path / "images", Registries())
            assert (await store.ensure(reference, ignore)).layers
            await store.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("compression", ["gzip", "zstd", "none"])
def test_what_is_compressed_stays_as_it_is(tmp_path: Path, compression: Compression) -> None:
    async def run() -> None:
        archive = small_archive(tmp_path)
        with open_source(archive) as images:
            (image,) = images.images
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/small:1"
            assert (
                await push(archive, reference, Registries(), ignore, compression=compression)
            ).digest == image.digest

    asyncio.run(run())


def test_nothing_is_changed_where_none_is_asked_for(tmp_path: Path) -> None:
    async def run() -> None:
        source = layout(tmp_path / "layout", attested=True)
        with open_source(source) as images:
            (image,) = images.images
        async with running_registry(tmp_path / "registry") as server:
            reference = f"127.0.0.1:{server.port}/plain:1"
            assert (await push(source, reference, Registries(), ignore, compression="none")).digest == image.digest

    asyncio.run(run())


def test_a_corrupt_layer_is_not_pushed_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, scratch = layout(tmp_path / "layout"), tmp_path / "scratch"
    largest = max((source / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"x")
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    with pytest.raises(InvalidInput, match="corrupt"):
        asyncio.run(push(source, "127.0.0.1:1/a:1", Registries(), ignore))
    assert not list(scratch.iterdir())


def test_too_little_disk_space_is_reported_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, scratch = layout(tmp_path / "layout"), tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(scratch)], check=True)
    try:
        with pytest.raises(Exhausted, match="set TMPDIR"):
            asyncio.run(push(source, "127.0.0.1:1/a:1", Registries(), ignore))
        assert not list(scratch.iterdir())
    finally:
        subprocess.run(["umount", str(scratch)], check=True)
