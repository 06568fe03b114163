"""Documents of committed images, and their settings."""

import json
from typing import Any

import pytest

from manager.containers.node_calls.committed_settings import command_line, committed_settings
from shoal.api.v1.container_pb2 import ContainerSpec, Healthcheck, Mount, VolumeOptions
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.standalone_pb2 import ContainerDefinition
from shoal.distribution.digests import digest_of
from shoal.distribution.image_config import layers_by_diff_id, parse_config
from shoal.distribution.manifests import DOCKER_MANIFEST, OCI_LAYER_GZIP, Descriptor, Manifest, parse_manifest
from shoal.errors import InvalidInput
from shoal.images.committed_image import (
    EMPTY_DIFF_ID,
    CommitNote,
    CommittedImage,
    CommittedLayer,
    ImageBelow,
    committed_image,
)

NOTE = CommitNote("2026-01-02T03:04:05Z", "sh", "Ann", "more")
BLOB = Descriptor("application/vnd.oci.image.layer.v1.tar+zstd", digest_of(b"new"), 3)
DIFF = digest_of(b"diff")


def below(kind: str = "application/vnd.docker.image.rootfs.diff.tar.gzip") -> ImageBelow:
    """Docker's own form of an image of one layer."""
    config = {
        "architecture": "arm64",
        "variant": "v8",
        "os": "linux",
        "container": "old",
        "container_config": {"Cmd": ["old"]},
        "config": {"Cmd": ["sh"]},
        "rootfs": {"type": "layers", "diff_ids": [digest_of(b"below")]},
        "history": [{"created_by": "ADD"}],
        "os.version": "7",
    }
    layers = [{"mediaType": kind, "digest": digest_of(b"gz"), "size": 2, "urls": []}]
    manifest = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": {}, "layers": layers}
    return ImageBelow(json.dumps(manifest).encode(), json.dumps(config).encode())


def parts(image: CommittedImage) -> tuple[Manifest, dict[str, Any]]:
    parsed = parse_manifest(image.manifest)
    assert isinstance(parsed, Manifest)
    assert parsed.config.digest == image.config_blob.digest == digest_of(image.config)
    layers_by_diff_id(parsed, parse_config(image.config).diff_ids)
    return parsed, json.loads(image.config)


def test_a_layer_is_put_on_the_image_below() -> None:
    manifest, config = parts(committed_image(below(), CommittedLayer(BLOB, DIFF), {"Cmd": ["x"]}, NOTE))
    assert [each.media_type for each in manifest.layers] == [OCI_LAYER_GZIP, BLOB.media_type]
    assert config["rootfs"]["diff_ids"] == [digest_of(b"below"), DIFF]
    assert config["history"][1] == {
        "created": NOTE.created, "created_by": "sh", "author": "Ann", "comment": "more",
    }  # fmt: skip
    assert (config["architecture"], config["variant"], config["os.version"]) == ("arm64", "v8", "7")
    assert config["config"] == {"Cmd": ["x"]} and config["author"] == "Ann"
    assert "container_config" not in config and "container" not in config


def test_a_container_that_changed_nothing_gives_no_layer() -> None:
    manifest, config = parts(
        committed_image(below(), CommittedLayer(None, EMPTY_DIFF_ID), {}, CommitNote(NOTE.created))
    )
    assert len(manifest.layers) == 1
    assert config["history"][-1] == {"created": NOTE.created, "empty_layer": True}
    assert "author" not in config


def test_a_layer_that_is_elsewhere_is_refused() -> None:
    with pytest.raises(InvalidInput, match="foreign"):
        committed_image(
            below("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"), CommittedLayer(BLOB, DIFF), {}, NOTE
        )


def settings_of(image: dict[str, Any], spec: ContainerSpec, **fields: Any) -> dict[str, Any]:
    definition = ContainerDefinition(**fields)
    definition.task.container.CopyFrom(spec)
    return committed_settings(image, definition)


def test_settings_are_those_of_the_container() -> None:
    image = {
        "Cmd": ["old"], "Entrypoint": ["/e"], "Env": ["A=1", "B=2"], "Labels": {"l": "1"}, "OnBuild": ["RUN x"],
        "ExposedPorts": {"1/tcp": {}}, "Volumes": {"/v": {}}, "User": "root", "Shell": ["ash"],
    }  # fmt: skip
    assert settings_of(image, ContainerSpec()) == {key: value for key, value in image.items() if key != "OnBuild"}
    spec = ContainerSpec(
        command=["new", "args"], env=["B=3=4", "C="], user="1000", working_dir="/w", stop_signal="SIGINT",
        mounts=[
            Mount(type=Mount.VOLUME, source="id", target="/anonymous", volume=VolumeOptions(name="a" * 64)),
            Mount(type=Mount.VOLUME, source="id", target="/named", volume=VolumeOptions(name="data")),
            Mount(type=Mount.BIND, source="/etc", target="/bound"),
        ],
        healthcheck=Healthcheck(test=["CMD", "true"], interval_ms=5),
    )  # fmt: skip
    ports = [PublishedPort(target=80), PublishedPort(target=53, protocol=PublishedPort.UDP)]
    found = settings_of(image, spec, labels={"l": "2", "m": "3"}, ports=ports)
    assert (found["Cmd"], found["Entrypoint"]) == (["new", "args"], ["/e"])
    assert found["Env"] == ["A=1", "B=3=4", "C="]
    assert found["Labels"] == {"l": "2", "m": "3"}
    assert set(found["ExposedPorts"]) == {"1/tcp", "80/tcp", "53/udp"}
    assert set(found["Volumes"]) == {"/v", "/anonymous"}
    assert (found["User"], found["WorkingDir"], found["StopSignal"]) == ("1000", "/w", "SIGINT")
    assert found["Healthcheck"] == {"Test": ["CMD", "true"], "Interval": 5_000_000}
    assert command_line(found) == "new args"


def test_an_entrypoint_of_the_containers_own_discards_the_images_command() -> None:
    image = {"Cmd": ["old"], "Entrypoint": ["/e"]}
    assert settings_of(image, ContainerSpec(entrypoint=["/mine"])) == {"Entrypoint": ["/mine"]}
    off = settings_of({}, ContainerSpec(healthcheck=Healthcheck(disabled=True)))
    assert off == {"Healthcheck": {"Test": ["NONE"]}} and command_line(off) == ""
