"""Images of the cluster on three hosts: pulled once, with the caller's credentials, and there for every node."""

import json
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.playground import daemons
from cli.playground.registry_server import RegistryAccess, registry_settings
from tests.integration.cluster.conftest import IMAGES
from tests.integration.cluster.containers.containers import IMAGE, load_image, run, script
from tests.integration.cluster.harness import Cluster
from tests.integration.registry_fixture import make_htpasswd

ARCHIVE = IMAGES / "hello-1.tar"
OTHER_ARCHIVE = IMAGES / "hello-2.tar"
HOSTS = ("h1", "h2", "h3")
PORT = 5055


@pytest.fixture
def source(clean: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry that wants a login, beside the cluster's; and a Docker configuration of this test's own."""
    address = f"{clean.layout.manager_address}:{PORT}"
    accounts = make_htpasswd(tmp_path / "accounts", "ann", "a password")
    settings = tmp_path / "registry.json"
    settings.write_text(json.dumps(registry_settings(tmp_path, address, RegistryAccess(htpasswd=accounts))))
    known = clean.layout.registries_file.read_text()
    clean.layout.registries_file.write_text(f'{known}[registry."{address}"]\nplain_http = true\n')
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    pid = daemons.spawn(clean.layout.lan, ["docker-registry", "serve", settings], tmp_path / "registry.log")
    try:
        clean.until(lambda: clean.run("login", *LOGIN, address, text="a password\n").returncode == 0, "the registry")
        yield address
    finally:
        clean.layout.registries_file.write_text(known)
        daemons.stop([pid], grace_seconds=5)


LOGIN = ("--username", "ann", "--password-stdin")


def output(cluster: Cluster, image: str, host: str) -> str:
    return cluster.shoal("run", "--rm", "--node", host, image, "cat", "/etc/hello-version")


def images(cluster: Cluster) -> set[str]:
    return set(cluster.quick("images", "--format", "{{.Repository}}:{{.Tag}}").split())


def test_an_image_is_pulled_once_with_the_callers_credentials_and_every_node_has_it(
    source: str, clean: Cluster, tmp_path: Path
) -> None:
    clean.shoal("push", "--quiet", str(ARCHIVE), f"{source}/team/hello:1")
    clean.quick("pull", f"{source}/team/hello:1")
    (found,) = clean.json("image", "inspect", f"{source}/team/hello:1")
    digest = found["Descriptor"]["digest"]
    clean.shoal("logout", source)
    # No node ever had a login, and now nobody has one: what is there came out of the cluster.
    assert [output(clean, f"{source}/team/hello:1", host) for host in HOSTS] == ["1\n"] * 3
    assert output(clean, f"{source}/team/hello@{digest}", "h2") == "1\n"
    refused = clean.refusal("pull", f"{source}/team/hello:2")
    assert "login" in refused or "denied" in refused or "unauthorized" in refused, refused


def test_run_pulls_what_is_missing_and_services_take_names(source: str, clean: Cluster) -> None:
    clean.shoal("push", "--quiet", str(ARCHIVE), f"{source}/hello:1")
    done = clean.run("run", "--rm", f"{source}/hello:1", "cat", "/etc/hello-version")
    assert (done.returncode, done.stdout) == (0, "1\n") and "Pull" in done.stderr
    clean.quick("tag", f"{source}/hello:1", "web")
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", "web")
    assert len(clean.pids("web")) == 3
    assert "is in use by web" in clean.refusal("rmi", "--force", "web", f"{source}/hello:1")
    clean.shoal("service", "rm", "web")


def test_an_image_in_use_is_not_removed_and_prune_leaves_it(clean: Cluster) -> None:
    load_image(clean)
    clean.quick("load", "--quiet", "--input", str(OTHER_ARCHIVE))
    run(clean, "--name", "user")
    clean.quick("stop", "--timeout", "0", "user")
    assert "is using its referenced image" in clean.refusal("rmi", IMAGE)
    pruned = clean.shoal("image", "prune", "--all", "--force")
    assert "hello:2" in pruned and images(clean) == {"hello:1"}
    clean.quick("start", "user")
    clean.quick("rm", "--force", "user")
    assert "Deleted: sha256:" in clean.quick("rmi", IMAGE)
    assert images(clean) == set()
    assert "No such image" in clean.refusal("rmi", IMAGE)


def test_saved_and_loaded_in_every_form(clean: Cluster, tmp_path: Path) -> None:
    load_image(clean)
    clean.shoal("save", "--output", str(tmp_path / "saved.tar"), IMAGE)
    with tarfile.open(tmp_path / "saved.tar") as tar:
        assert {"oci-layout", "index.json", "manifest.json"} <= set(tar.getnames())
    clean.quick("rmi", IMAGE)
    for pack in ((), ("gzip", "--fast"), ("zstd", "-1")):
        packed = tmp_path / f"packed-{'-'.join(pack)}"
        if pack:
            with packed.open("wb") as file:
                subprocess.run([*pack, "--stdout", tmp_path / "saved.tar"], check=True, stdout=file)
        else:
            os.link(tmp_path / "saved.tar", packed)
        assert clean.quick("load", "--quiet", "--input", str(packed)).strip() == "Loaded image: hello:1"
        assert output(clean, IMAGE, "h3") == "1\n"
        clean.quick("rmi", IMAGE)


def test_imported_committed_and_told_the_history_of(clean: Cluster, tmp_path: Path) -> None:
    load_image(clean)
    run(clean, "--name", "base", "--node", "h1", program=script("echo made > /made", "exec sleep 1000"))
    clean.until(lambda: clean.run("exec", "base", "cat", "/made").stdout == "made\n", "its file")
    clean.quick("commit", "--change", 'CMD ["cat","/made"]', "--message", "a file", "base", "mine:1")
    assert clean.shoal("run", "--rm", "--node", "h2", "mine:1") == "made\n"
    assert "a file" in clean.quick("history", "mine:1")
    clean.shoal("export", "--output", str(tmp_path / "root.tar"), "base")
    clean.shoal("import", "--change", "ENV PATH=/bin", str(tmp_path / "root.tar"), "flat:1")
    assert clean.shoal("run", "--rm", "--node", "h3", "flat:1", "cat", "/made") == "made\n"
    assert len(clean.quick("history", "--quiet", "flat:1").split()) == 1
    assert images(clean) == {"hello:1", "mine:1", "flat:1"}
    clean.quick("rm", "--force", "base")
