"""Rows of images, bars of layers, Docker's units, and its file of logins."""

import base64
import json
import os
import stat
from pathlib import Path

import pytest

from cli.commands.image.image_inspect import history_row
from cli.commands.image.image_listing import rows, tree_lines
from cli.images.docker_config import DockerConfig, Login, config_path, domain_of, registry_key
from cli.images.registry_logins import with_logins
from cli.render import layer_bars
from cli.render.layer_bars import PULLING, LayerBars, layer_line
from shoal.api.v1.engine_pb2 import ImageView
from shoal.api.v1.meta_pb2 import Platform
from shoal.api.v1.standalone_pb2 import Image, ImageVariant
from shoal.distribution.credentials import basic_for
from shoal.distribution.registries import Registries, RegistrySettings
from shoal.docker_units import docker_age, docker_size
from shoal.errors import InvalidInput, Unavailable
from shoal.images.image_documents import HistoryStep
from shoal.images.progress import LayerProgress, LayerState

DIGEST = "sha256:" + "ab" * 32
DAY = 86_400


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0B"), (999, "999B"), (1000, "1kB"), (1234, "1.23kB"), (187_654_321, "188MB"), (2_500_000_000, "2.5GB")],
)
def test_sizes_are_as_in_docker(amount: int, text: str) -> None:
    assert docker_size(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (13 * DAY, "13 days"),
        (15 * DAY, "2 weeks"),
        (70 * DAY, "2 months"),
        (800 * DAY, "2 years"),
    ],
)
def test_ages_are_as_in_docker(seconds: int, text: str) -> None:
    assert docker_age(seconds) == text


def test_an_image_has_a_row_for_each_name() -> None:
    config = json.dumps({"created": "2026-01-01T00:00:00Z"}).encode()
    variant = ImageVariant(config=config, config_digest=DIGEST, stored_bytes=5_000_000)
    view = ImageView(image=Image(digest=DIGEST, variants=[variant]))
    (row,) = rows(view, 1_767_225_600 + 15 * DAY)
    assert (row["repository"], row["tag"], row["created"], row["size"]) == ("<none>", "<none>", "2 weeks ago", "5MB")
    view.names[:] = ["docker.io/library/web:1", f"registry:5000/web@{DIGEST}"]
    found = list(rows(view, 0))
    assert [(each["repository"], each["tag"]) for each in found] == [("web", "1"), ("registry:5000/web", "<none>")]
    only_on_nodes = next(rows(ImageView(image=Image(digest=DIGEST), node_ids=["n1"]), 0))
    assert (only_on_nodes["image_id"], only_on_nodes["size"], only_on_nodes["created"]) == (DIGEST, "N/A", "N/A")


def test_platforms_are_listed_as_a_tree() -> None:
    variants = [
        ImageVariant(platform=Platform(os="linux", architecture=each), config_digest=DIGEST, stored_bytes=2_000)
        for each in ("amd64", "arm64")
    ]
    view = ImageView(image=Image(digest="sha256:" + "cd" * 32, variants=variants), names=["docker.io/library/web:1"])
    assert tree_lines([view, ImageView(image=Image(digest=DIGEST))]) == [
        "IMAGE            ID             SIZE",
        "web:1            cdcdcdcdcdcd   4kB",
        "├─ linux/amd64   abababababab   2kB",
        "└─ linux/arm64   abababababab   2kB",
        "<untagged>       abababababab   N/A",
    ]


def test_a_step_of_a_history() -> None:
    step = HistoryStep(DIGEST, "2026-01-01T00:00:00.123456789Z", "RUN  a\n b" + "x" * 60, 1234, "c", ())
    row = history_row(step, 1_767_225_601 + 3 * DAY, human=True, no_trunc=False)
    assert (row["image"], row["created"], row["size"]) == ("ab" * 6, "3 days ago", "1.23kB")
    assert len(str(row["created_by"])) == 45 and str(row["created_by"]).startswith("RUN a b")
    whole = history_row(step, 0, human=False, no_trunc=True)
    assert (whole["image"], whole["size"], whole["created"]) == (DIGEST, 1234, step.created)
    assert history_row(HistoryStep("<missing>", "", "", 0, "", ()), 0, human=True, no_trunc=False)["created"] == "N/A"


def test_a_layer_in_one_line() -> None:
    half = layer_line(LayerProgress(DIGEST, LayerState.TRANSFERRING, 50, 100), PULLING)
    assert half == f"abababababab: Downloading [{'=' * 25}>{' ' * 25}]  50B/100B"
    full = layer_line(LayerProgress(DIGEST, LayerState.TRANSFERRING, 100, 100), PULLING)
    assert full.count("=") == 51
    assert layer_line(LayerProgress(DIGEST, LayerState.DONE), PULLING) == "abababababab: Pull complete"
    assert layer_line(LayerProgress(DIGEST, LayerState.COMPRESSING), PULLING) == "abababababab: Compressing"


def test_elsewhere_than_on_a_terminal_a_layer_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with LayerBars(PULLING) as bars:
        for state in (LayerState.WAITING, LayerState.TRANSFERRING, LayerState.DONE, LayerState.DONE):
            bars(LayerProgress(DIGEST, state, 1, 2))
    assert capsys.readouterr().err == "abababababab: Pull complete\n"
    with LayerBars(PULLING, quiet=True) as bars:
        bars(LayerProgress(DIGEST, LayerState.DONE))
    assert capsys.readouterr().err == ""


def test_bars_are_drawn_over_each_other_but_not_too_often(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_bars, "is_interactive", lambda _: True)
    monkeypatch.setenv("LINES", "10")
    monkeypatch.setenv("COLUMNS", "120")
    now = [0.0]
    with LayerBars(PULLING, clock=lambda: now[0]) as bars:
        for number in range(1000):
            now[0] = number / 1000
            bars(LayerProgress(DIGEST, LayerState.TRANSFERRING, number, 1000))
    drawn = capsys.readouterr().err
    assert 10 <= drawn.count("Downloading") <= 12
    with LayerBars(PULLING, clock=lambda: 0.0) as bars:
        for number in range(50):
            bars(LayerProgress(f"sha256:{number:064x}", LayerState.DONE if number % 2 else LayerState.WAITING))
    last = capsys.readouterr().err
    assert "25 of 50 layers done" in last
    assert last.rpartition("\x1b[1A")[2].count("\n") < 10


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
