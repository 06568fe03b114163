"""What containers run: their own words, else those of their image."""

import json

import pytest

from manager.containers.container_commands import command_of
from shoal.api.v1.container_pb2 import ContainerSpec

DIGEST = f"sha256:{'a' * 64}"
CONFIG = json.dumps({"config": {"Entrypoint": ["entry"], "Cmd": ["serve"]}}).encode()


@pytest.mark.parametrize(
    ("entrypoint", "command", "words"),
    [
        ([], [], ["entry", "serve"]),
        ([], ["other"], ["entry", "other"]),
        (["sh"], [], ["sh"]),
        ([""], ["true"], ["true"]),
        (["sh"], ["-c", "true"], ["sh", "-c", "true"]),
    ],
)
def test_words(entrypoint: list[str], command: list[str], words: list[str]) -> None:
    spec = ContainerSpec(image=f"a:1@{DIGEST}", entrypoint=entrypoint, command=command)
    assert command_of(spec, {DIGEST: CONFIG}) == words


@pytest.mark.parametrize("config", [b"", b"{", b"{}", b'{"config": null}', b'{"config": {"Cmd": null}}'])
def test_an_image_that_says_nothing(config: bytes) -> None:
    spec = ContainerSpec(image=f"a:1@{DIGEST}", command=["x"])
    assert command_of(spec, {DIGEST: config}) == ["x"]
