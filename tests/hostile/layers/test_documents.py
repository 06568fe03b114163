"""Configurations and manifests with values of any type in any place: a clear error for that image, and for nobody else.

Each document is 4 MiB at most, and is read in one go: there is no bound here but that.
"""

import asyncio
import copy
import json
from pathlib import Path

import pytest

from agent.images.content_store import ContentStore
from agent.images.image_index import image_config
from agent.images.image_store import ImageStore
from cli.images.pack import PackedLayer, write_archive
from cli.images.push import push
from shoal.distribution.digests import digest_of
from shoal.distribution.image_config import layers_by_diff_id, parse_config
from shoal.distribution.manifests import Manifest, parse_manifest
from shoal.distribution.registries import Registries
from shoal.errors import InvalidInput
from tests.hostile.layers.test_fuzz import CONFIG, MANIFEST
from tests.integration.images.rig import AMD64, entry, ignore, image_of, layer_of, remainders, store_in
from tests.integration.registry_fixture import running_registry

OTHER = digest_of(b"other")


def changed(document: object, path: str, value: object) -> bytes:
    """The document with another value in one place."""
    found = holder = copy.deepcopy(document)
    *parents, last = path.split(".")
    for name in parents:
        assert isinstance(holder, dict)
        holder = holder[name]
    assert isinstance(holder, dict)
    holder[last] = value
    return json.dumps(found).encode()


WRONG: dict[str, list[object]] = {
    "config.Healthcheck.Retries": [True, False, -1, 1 << 32, 1.5, "3", []],
    "config.Healthcheck.Interval": [True, -1, 1 << 63, 1 << 80, 1e30, "1s"],
    "config.Healthcheck.Test": ["CMD", {}, [1], ["a\0b"], False],
    "config.Env": ["A=b", [["A"]], ["A=\0"], {"A": "b"}, 0],
    "config.Entrypoint": ["sh", [None], 7, False],
    "config.Cmd": ["sh", [None], 7, False],
    "config.WorkingDir": [7, ["a"], {}, "a\0b", True],
    "config.User": [7, ["a"], {}, "a\0b", True],
    "config.StopSignal": [7, ["a"], {}, "a\0b", True],
    "config.Labels": [[], "a", {"a": 1}, {"a": None, "b": []}, True],
    "config.Volumes": [["/v"], "/v", {"/v\0": {}}, {f"/{each}": {} for each in range(257)}],
    "config.ExposedPorts": [["80/tcp"], 80],
    "config": [[], "a", 1, True],
    "rootfs": [[], None, {}, {"diff_ids": "a"}, {"diff_ids": ["sha256:0"]}, {"diff_ids": []}],
    "os": [1, {}, ["linux"]],
}
WRONG_MANIFEST: dict[str, list[object]] = {
    "config.size": [1 << 63, 1 << 200, -1, True, 1.0, "1", None],
    "config.digest": [1, [], "sha256:0", None],
    "config.mediaType": [1, []],
    "config.annotations": [[], "a", {"org.opencontainers.image.ref.name": 1}],
    "config.platform": [[], "a", {"os": 1}, {"architecture": []}],
    "layers": [{}, "a", None, [1], [[]], [{}]],
    "mediaType": [1, [], {}],
}


@pytest.mark.parametrize("path", WRONG)
def test_a_configuration_with_a_wrong_type_is_reported(path: str) -> None:
    for value in WRONG[path]:
        with pytest.raises(InvalidInput, match="the image's configuration"):
            image_config(parse_config(changed(CONFIG, path, value)))


@pytest.mark.parametrize("path", [path for path in WRONG if path != "rootfs"])
def test_what_is_null_is_left_out(path: str) -> None:
    image_config(parse_config(changed(CONFIG, path, None)))


@pytest.mark.parametrize("path", WRONG_MANIFEST)
def test_a_manifest_with_a_wrong_type_is_reported(path: str) -> None:
    for value in WRONG_MANIFEST[path]:
        with pytest.raises(InvalidInput):
            parse_manifest(changed(MANIFEST, path, value))


def test_a_blob_cannot_be_two_layers() -> None:
    manifest = parse_manifest(json.dumps(MANIFEST).encode())
    assert isinstance(manifest, Manifest)
    same = manifest.layers[0].digest
    assert list(layers_by_diff_id(manifest, [same, same])) == [same]
    with pytest.raises(InvalidInput, match="two different diff IDs"):
        layers_by_diff_id(manifest, [same, OTHER])
    with pytest.raises(InvalidInput, match="2 layers"):
        layers_by_diff_id(manifest, [same])


def test_an_image_that_says_so_spoils_nobody_elses_pull(tmp_path: Path) -> None:
    """Both are pulled at once, with one layer in common: the honest one runs, and nothing is left of the other."""

    async def run() -> None:
        layer = layer_of(entry("file", b"x" * 100_000))
        archives = {
            "honest": [layer],
            "hostile": [layer, PackedLayer(layer.blob, OTHER)],
            "liar": [PackedLayer(layer.blob, OTHER)],
        }
        async with running_registry(tmp_path / "registry") as server:
            for name, layers in archives.items():
                write_archive(tmp_path / f"{name}.tar", [image_of(*layers)], tag="1")
                await push(tmp_path / f"{name}.tar", f"127.0.0.1:{server.port}/{name}:1", Registries(), ignore)
            store = store_in(tmp_path / "images", Registries())
            names = ("hostile", "liar", "honest")
            pulls = [store.ensure(f"127.0.0.1:{server.port}/{name}:1", ignore) for name in names]
            hostile, liar, honest = await asyncio.gather(*pulls, return_exceptions=True)
            assert isinstance(hostile, InvalidInput) and "two different diff IDs" in str(hostile)
            assert isinstance(liar, InvalidInput) and "layer digest mismatch" in str(liar)
            assert not isinstance(honest, BaseException), honest
            assert remainders(tmp_path / "images") == [str(honest.layers[0])]
            await store.aclose()

    asyncio.run(run())


def test_an_image_that_cannot_be_read_any_more_does_not_keep_the_agent_from_starting(tmp_path: Path) -> None:
    """It is pulled again when it is next needed."""
    content = ContentStore(tmp_path)
    content.open()
    config = changed(CONFIG, "config.Healthcheck.Retries", True)
    descriptor = {"mediaType": "m", "digest": digest_of(config), "size": len(config)}
    manifest = json.dumps({**MANIFEST, "config": descriptor}).encode()
    for each in (config, manifest):
        content.write_blob(digest_of(each), each)
    row = {"target": digest_of(manifest), "manifest": digest_of(manifest)}
    content.write_file(tmp_path / "references.json", json.dumps({"registry.example/a:1": row}).encode())
    ImageStore(tmp_path, Registries(), AMD64)
