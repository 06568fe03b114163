"""`--forbid`: the docker command line is refused by Docker's words, unless an administrator asks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.server.callers import local_caller
from engine.settings import FORBIDDABLE
from shoal.identity.roles import Role
from tests.contract.engine.rig.docker_cli import docker, environment_of
from tests.contract.engine.rig.manager_rig import rig_routes
from tests.contract.engine.rig.raw_http import request
from tests.contract.engine.rig.served import Served, served

DENIED = "authorization denied by plugin shoal-engine: "
BIND = "mounting paths of the host is forbidden"
PRIVILEGED = "privileged mode is forbidden"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Served]:
    with served(lambda: rig_routes(forbid=FORBIDDABLE), tmp_path, local=local_caller(Role.ENGINE)) as serving:
        yield serving


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("create --privileged alpine", PRIVILEGED),
        ("create -v /etc:/x alpine", BIND),
        ("create --mount type=bind,source=/etc,target=/x alpine", BIND),
        (
            "create --mount type=volume,source=v,target=/x,"
            "volume-opt=type=none,volume-opt=o=bind,volume-opt=device=/etc alpine",
            BIND,
        ),
        ("create --network host alpine", "the host's network is forbidden"),
        ("create --pid host alpine", "the host's PID namespace is forbidden"),
        ("create --cap-add SYS_ADMIN alpine", PRIVILEGED),
        ("create --cap-add all alpine", PRIVILEGED),
        ("create --device /dev/sda alpine", PRIVILEGED),
        ("create --security-opt seccomp=unconfined alpine", PRIVILEGED),
        ("create --security-opt systempaths=unconfined alpine", PRIVILEGED),
        ("create --ipc host alpine", PRIVILEGED),
        ("volume create --opt type=none --opt o=bind --opt device=/etc v", BIND),
        ("service create --detach --mount type=bind,source=/etc,target=/x alpine", BIND),
    ],
)
def test_what_is_forbidden_is_not_made(engine: Served, tmp_path: Path, arguments: str, reason: str) -> None:
    local = environment_of(engine, tmp_path, tls=False)
    refused = docker(local, *arguments.split())
    assert refused.returncode != 0
    assert f"Error response from daemon: {DENIED}{reason}" in refused.stderr.decode()
    for listing in (("ps", "-aq"), ("volume", "ls", "-q"), ("service", "ls", "-q")):
        assert docker(local, *listing).stdout == b""


def test_administrators_may_and_what_they_made_is_not_inherited(engine: Served, tmp_path: Path) -> None:
    admin, local = (environment_of(engine, tmp_path, tls=tls) for tls in (True, False))
    made = docker(admin, "create", "--name", "files", "--privileged", "-v", "/etc:/x", "alpine")
    assert made.returncode == 0, made.stderr
    inherited = docker(local, "create", "--volumes-from", "files", "alpine")
    assert DENIED + BIND in inherited.stderr.decode()
    service = docker(
        admin, "service", "create", "--detach", "--name", "web", "--mount", "type=bind,source=/etc,target=/x", "alpine"
    )
    assert service.returncode == 0, service.stderr
    assert DENIED + BIND in docker(local, "service", "update", "--detach", "--env-add", "A=b", "web").stderr.decode()


def test_namespaces_of_others_are_no_detour(engine: Served, tmp_path: Path) -> None:
    admin, local = (environment_of(engine, tmp_path, tls=tls) for tls in (True, False))
    for name, options in (("net", "--network host"), ("pid", "--pid host"), ("files", "-v /etc:/x"), ("plain", "")):
        made = docker(admin, "create", "--name", name, *options.split(), "alpine")
        assert made.returncode == 0, made.stderr
    assert docker(admin, "create", "--name", "net2", "--network", "container:net", "alpine").returncode == 0
    for joined, reason in (
        ("--network container:net", "the host's network is forbidden"),
        ("--network container:net2", "the host's network is forbidden"),
        ("--pid container:pid", "the host's PID namespace is forbidden"),
        ("--pid container:files", BIND),
    ):
        refused = docker(local, "create", *joined.split(), "alpine")
        assert DENIED + reason in refused.stderr.decode(), (joined, refused)
    for joined in ("--network container:files", "--pid container:plain"):
        made = docker(local, "create", *joined.split(), "alpine")
        assert made.returncode == 0, (joined, made)


def test_containers_of_administrators_are_no_detour(engine: Served, tmp_path: Path) -> None:
    admin, local = (environment_of(engine, tmp_path, tls=tls) for tls in (True, False))
    started = docker(admin, "run", "-d", "--name", "strong", "--privileged", "-i", "alpine", "sleep", "9")
    assert started.returncode == 0, started.stderr
    (tmp_path / "file").write_text("x")
    for command in ("exec strong exit 0", f"cp {tmp_path}/file strong:/tmp", "cp strong:/tmp/h -"):
        assert DENIED + PRIVILEGED in docker(local, *command.split()).stderr.decode(), command
    assert docker(local, "attach", "strong").stderr == b"unable to upgrade to tcp, received 403\n"
    assert docker(admin, "exec", "strong", "exit", "0").returncode == 0
    for command in ("logs strong", "inspect strong", "top strong"):
        assert docker(local, *command.split()).returncode == 0, command


def test_commands_in_containers_are_not_privileged(engine: Served, tmp_path: Path) -> None:
    local = environment_of(engine, tmp_path, tls=False)
    started = docker(local, "run", "-d", "--name", "c", "alpine", "sleep", "9")
    assert started.returncode == 0, started.stderr
    assert DENIED + PRIVILEGED in docker(local, "exec", "--privileged", "c", "exit", "0").stderr.decode()
    assert docker(local, "exec", "c", "exit", "0").returncode == 0


def test_the_status_is_403(engine: Served) -> None:
    body = b'{"Image":"alpine","HostConfig":{"Privileged":true}}'
    status, _, _ = request(engine.socket, "POST", "/v1.50/containers/create", body=body)
    assert status == 403
