"""A registry of one's own: TLS by its own authority, a login, and times when it is away."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.playground import daemons
from cli.playground.registry_server import RegistryAccess, registry_settings
from tests.integration.cluster.harness import Cluster
from tests.integration.registry_fixture import make_certificate, make_htpasswd

ARCHIVE = str(Path(__file__).parents[4] / "build" / "images" / "hello-1.tar")
PORT = 5443


def restart(cluster: Cluster) -> None:
    """Manager and agents read the settings of registries when they start."""
    cluster.playground.stop_manager()
    cluster.playground.start_manager()
    for host in cluster.layout.all_hosts():
        cluster.playground.stop_agent(host)
        cluster.playground.start_agent(host)
    cluster.playground.wait_for_nodes(3)


@pytest.fixture
def private(clean: Cluster, tmp_path: Path) -> Iterator[str]:
    """Name of a registry that every part of the cluster knows, with its login."""
    address = str(clean.layout.manager_address)
    made = make_certificate(tmp_path, address)
    accounts = make_htpasswd(tmp_path / "accounts", "deploy", "a password")
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("a password\n")
    security = RegistryAccess(certificate=made.certificate, key=made.key, htpasswd=accounts)
    settings = tmp_path / "registry.json"
    settings.write_text(json.dumps(registry_settings(tmp_path, f"{address}:{PORT}", security)))
    pid = daemons.spawn(clean.layout.lan, ["docker-registry", "serve", settings], tmp_path / "registry.log")
    before = clean.layout.registries_file.read_text()
    try:
        clean.layout.registries_file.write_text(
            f'{before}[registry."private:{PORT}"]\nendpoint = "https://{address}:{PORT}"\n'
            f'ca_file = "{made.certificate}"\nusername = "deploy"\npassword_file = "{password}"\n'
        )
        restart(clean)
        yield f"private:{PORT}"
    finally:
        clean.layout.registries_file.write_text(before)
        daemons.stop([pid], grace_seconds=5)
        restart(clean)


def test_a_service_of_a_private_registry(clean: Cluster, private: str, tmp_path: Path) -> None:
    clean.until(lambda: clean.run("image", "push", "-q", ARCHIVE, f"{private}/team/hello:1").returncode == 0, "a push")
    without = tmp_path / "without-login.toml"
    known = clean.layout.registries_file.read_text().splitlines(keepends=True)
    without.write_text("".join(line for line in known if not line.startswith(("username", "password_file"))))
    refused = clean.run("image", "push", "-q", "--registries", str(without), ARCHIVE, f"{private}/team/hello:1")
    assert refused.returncode == 1
    assert "requires authentication" in refused.stderr
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", f"{private}/team/hello:1")
    assert len([row for row in clean.tasks("web") if row["state"] == "running"]) == 3


def test_a_registry_that_is_away_and_comes_back(clean: Cluster) -> None:
    """What nodes have pulled before runs on them meanwhile."""
    clean.shoal("service", "create", "--name", "there", "--mode", "global", "registry:5000/hello:1")
    clean.shoal("service", "rm", "there")
    clean.shoal("service", "create", "--name", "there", "registry:5000/hello:1")
    reference = f"registry:5000/back{time.time_ns()}:1"
    create = ("service", "create", "-d", "--name", "web", "--restart-delay", "100ms")
    daemons.stop([clean.playground.pid("registry")], grace_seconds=5)
    try:
        refused = clean.run(*create, reference)
        assert refused.returncode == 2
        (line,) = refused.stderr.splitlines()
        assert reference in line and "is unreachable" in line and "--no-resolve-image" in line
        stack = f"services: {{web: {{image: '{reference}'}}}}"
        assert clean.run("stack", "deploy", "-c", "-", "shop", text=stack).returncode == 2
        assert [row["name"] for row in clean.json("service", "ls")] == ["there"]
        clean.shoal("service", "scale", "there=3")
        clean.shoal("service", "update", "--env-add", "A=1", "there")
        clean.shoal("service", "rollback", "there")
        clean.shoal(*create, "--no-resolve-image", reference)
    finally:
        clean.playground.start_registry()
    clean.shoal("image", "push", "-q", ARCHIVE, reference)
    clean.until(lambda: [row for row in clean.tasks("web") if row["state"] == "running"], "the task to run")
