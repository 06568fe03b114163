"""Logins of registries in Docker's file and with its helpers."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from shoal.distribution.credentials import basic_for
from shoal.distribution.registries import Registries, RegistrySettings
from shoal.errors import InvalidInput, Unavailable
from shoal.registry_logins.docker_config import DockerConfig, Login, config_path, domain_of, registry_key
from shoal.registry_logins.with_logins import with_logins


@pytest.mark.parametrize(
    ("server", "domain"),
    [
        ("", "docker.io"),
        ("docker.io", "docker.io"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry:5000", "registry:5000"),
        ("https://registry.example.org/v2/", "registry.example.org"),
    ],
)
def test_servers_are_registries(server: str, domain: str) -> None:
    assert domain_of(server) == domain
    assert domain_of(registry_key(domain)) == domain


def test_the_file_is_where_docker_has_it() -> None:
    assert config_path({"DOCKER_CONFIG": "/c", "HOME": "/h"}) == Path("/c/config.json")
    assert config_path({"HOME": "/h"}) == Path("/h/.docker/config.json")


def test_logins_are_stored_beside_whatever_else_is_there(tmp_path: Path) -> None:
    path = tmp_path / "d/config.json"
    config = DockerConfig(path)
    assert config.login("docker.io") is None
    assert not config.erase("docker.io")
    assert "unencrypted" in config.store("docker.io", Login("ann", "p:w"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    document = json.loads(path.read_text())
    assert document == {"auths": {"https://index.docker.io/v1/": {"auth": base64.b64encode(b"ann:p:w").decode()}}}
    path.write_text(json.dumps({**document, "proxies": {"x": 1}}))
    again = DockerConfig(path)
    assert again.login("docker.io") == Login("ann", "p:w", str(path))
    assert "p:w" not in repr(again.login("docker.io"))
    again.store("registry:5000", Login("bob", "x"))
    assert again.erase("docker.io")
    assert json.loads(path.read_text()) == {"auths": {"registry:5000": {"auth": "Ym9iOng="}}, "proxies": {"x": 1}}
    assert not list(path.parent.glob("*shoal*"))


def test_a_link_to_the_file_stays_one(tmp_path: Path) -> None:
    target = tmp_path / "real.json"
    target.write_text("{}")
    (tmp_path / "config.json").symlink_to(target)
    DockerConfig(tmp_path / "config.json").store("r:1", Login("a", "b"))
    assert (tmp_path / "config.json").is_symlink()
    assert "auths" in json.loads(target.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "[]", "{", "5", '{"auths": 5}', '{"auths": {"r:1": 5}}', '{"auths": {"r:1": {"auth": "%%"}}}',
        '{"auths": {"r:1": {"auth": "YQ=="}}}',
        '{"credsStore": "../../bin/sh"}', '{"credsStore": 5}', '{"credHelpers": []}', "[" * 100_000,
    ],
)  # fmt: skip
def test_a_broken_file_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        DockerConfig(path).login("r:1")
    assert "\n" not in str(caught.value)


def test_identity_tokens_are_kept_apart_from_passwords(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"auths": {"r:1": {"auth": "PHRva2VuPjo=", "identitytoken": "t0ken"}}}')
    found = with_logins(Registries(), ["r:1"], DockerConfig(path)).find("r:1")
    assert (found.identity_token, found.username, basic_for(found)) == ("t0ken", "", None)
    assert "t0ken" not in repr(found)


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo nonsense", "returned no credentials"),
        ("echo '{}'", "returned no credentials"),
        ("echo locked >&2; exit 1", "failed: locked"),
        ("exit 3", "exit code 3"),
    ],
)
def test_a_helper_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, error: str) -> None:
    helper = tmp_path / "docker-credential-x"
    helper.write_text(f"#!/bin/sh\ncat > /dev/null\n{script}\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    path = tmp_path / "config.json"
    path.write_text('{"credsStore": "x"}')
    with pytest.raises(Unavailable, match=f"docker-credential-x.*{error}"):
        DockerConfig(path).login("r:1")


def test_settings_of_shoal_come_before_logins_of_docker(tmp_path: Path) -> None:
    config = DockerConfig(tmp_path / "config.json")
    for domain in ("a:1", "b:1"):
        config.store(domain, Login("docker", "pw"))
    own = RegistrySettings("a:1", ("http://a:1",), None, "own", tmp_path / "password")
    found = with_logins(Registries({"a:1": own}), ["a:1", "b:1", "c:1", "b:1"], config)
    assert found.find("a:1") == own
    assert (found.find("b:1").username, found.find("c:1").username) == ("docker", "")
    assert basic_for(found.find("b:1")) == "Basic " + base64.b64encode(b"docker:pw").decode()
    assert "pw" not in repr(found.find("b:1"))
