"""Docker Swarm of Debian's `docker.io`, beside which our rates are measured: a daemon of our own, gone at the end.

The daemon, its bridges and its packet filter rules live in a network namespace that is made for it, and its files
below one directory. The image comes from a registry in the same namespace, so that tasks have it by digest and ask
nobody, as ours do.
"""

import errno
import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

DOCKER = Path("/usr/bin/docker")
DOCKERD = Path("/usr/sbin/dockerd")
ADDRESS = "198.18.22.1"
IMAGE = "127.0.0.1:5000/hello:1"
READY_SECONDS = 30.0
CONVERGE_SECONDS = 120.0
POLL_SECONDS = 0.1
"""Seldom, and by the API: asking must not take the processor from what is measured."""


@dataclass(frozen=True)
class Swarm:
    """A swarm of one node."""

    socket: Path

    def docker(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run `docker …`; its standard output."""
        command = [str(DOCKER), "--host", f"unix://{self.socket}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, timeout=CONVERGE_SECONDS, check=False)
        if done.returncode:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout.decode()

    def up(self, service: str, replicas: int) -> float:
        """Seconds from `docker service scale` to that many running tasks.

        Detached and polled: the command itself would watch for 5 s more, to see whether they stay up.
        """
        begin = time.perf_counter()
        self.docker("service", "scale", "--detach", f"{service}={replicas}")
        wait_until(lambda: self.running(service) == replicas, CONVERGE_SECONDS)
        return time.perf_counter() - begin

    def down(self, service: str) -> float:
        """Seconds from `docker service scale` to no container."""
        begin = time.perf_counter()
        self.docker("service", "scale", "--detach", f"{service}=0")
        wait_until(lambda: not self._get("/containers/json"), CONVERGE_SECONDS)
        return time.perf_counter() - begin

    def running(self, service: str) -> int:
        """Running tasks, as the manager has it."""
        (found,) = (each for each in self._get("/services?status=true") if each["Spec"]["Name"] == service)
        running: int = found["ServiceStatus"]["RunningTasks"]
        return running

    def _get(self, path: str) -> Any:
        connection = _UnixConnection(self.socket)
        try:
            connection.request("GET", f"/v1.41{path}")
            return json.load(connection.getresponse())
        finally:
            connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self._path))


def installed() -> bool:
    """Whether there is a Docker to compare with."""
    return DOCKER.exists() and DOCKERD.exists()


@contextmanager
def swarm(archive: Path) -> Iterator[Swarm]:
    """A swarm that has the image of an OCI archive under the name `IMAGE`."""
    with tempfile.TemporaryDirectory(prefix="shoal-swarm-") as directory, _namespace() as namespace:
        root = Path(directory)
        registry = root / "registry.json"
        registry.write_text(json.dumps(_registry(root)))
        with daemon(namespace, ["docker-registry", "serve", str(registry)], root / "registry.log"):
            try:
                with daemon(namespace, dockerd(root), root / "dockerd.log"):
                    made = Swarm(root / "docker.sock")
                    wait_until(lambda: answers(made), READY_SECONDS)
                    made.docker("swarm", "init", "--advertise-addr", ADDRESS)
                    _push(made, archive)
                    try:
                        yield made
                    finally:
                        made.docker("swarm", "leave", "--force")
                        wait_until(lambda: not made.docker("ps", "--quiet").strip(), CONVERGE_SECONDS)
            finally:
                clean(root)


def dockerd(root: Path) -> list[str]:
    """The command of a daemon with all its files below a directory."""
    return [
        str(DOCKERD),
        f"--data-root={root}/data",
        f"--exec-root={root}/exec",
        f"--pidfile={root}/pid",
        f"--host=unix://{root}/docker.sock",
        "--storage-driver=overlay2",
        f"--cgroup-parent={containers_cgroup()}",
        "--exec-opt=native.cgroupdriver=cgroupfs",
    ]


def containers_cgroup() -> str:
    """The cgroup below which this process's swarm has its containers."""
    return f"/shoal-bench-swarm-{os.getpid()}"


def _registry(root: Path) -> dict[str, object]:
    storage = {"filesystem": {"rootdirectory": str(root / "registry")}}
    return {"version": "0.1", "storage": storage, "http": {"addr": "127.0.0.1:5000"}, "log": {"level": "error"}}


def _push(made: Swarm, archive: Path) -> None:
    bring(made, archive)
    made.docker("push", "--quiet", IMAGE)


def bring(made: Swarm, archive: Path) -> None:
    """Give a daemon the image of an OCI archive under the name `IMAGE`."""
    settings, root = flattened(archive)
    changes = [f"ENV {variable}" for variable in settings.get("Env") or ()]
    command = [*(settings.get("Entrypoint") or ()), *(settings.get("Cmd") or ())]
    changes.append(f"CMD {json.dumps(command)}")
    options = [word for change in changes for word in ("--change", change)]
    made.docker("import", *options, "-", IMAGE, stdin=root)


def flattened(archive: Path) -> tuple[dict[str, list[str]], bytes]:
    """An OCI archive's settings, and its layers as one tar. For images whose layers remove nothing."""
    with tarfile.open(archive) as outer, tempfile.TemporaryDirectory() as directory:

        def blob(digest: str) -> bytes:
            member = outer.extractfile(f"blobs/{digest.replace(':', '/')}")
            assert member is not None
            return member.read()

        index = outer.extractfile("index.json")
        assert index is not None
        manifest = json.loads(blob(json.loads(index.read())["manifests"][0]["digest"]))
        for layer in manifest["layers"]:
            with tarfile.open(fileobj=io.BytesIO(blob(layer["digest"]))) as inner:
                inner.extractall(directory)
        root = io.BytesIO()
        with tarfile.open(fileobj=root, mode="w") as flat:
            flat.add(directory, arcname=".")
        settings: dict[str, list[str]] = json.loads(blob(manifest["config"]["digest"]))["config"]
        return settings, root.getvalue()


@contextmanager
def _namespace() -> Iterator[str]:
    """A network namespace with an address, which a swarm wants; its other end goes nowhere."""
    name = f"shoalsw{os.getpid()}"
    _run("ip", "netns", "add", name)
    try:
        for words in (
            "link set lo up",
            "link add swarm0 type veth peer name swarm1",
            f"addr add {ADDRESS}/24 dev swarm0",
            "link set swarm0 up",
            "link set swarm1 up",
        ):
            _run("ip", "-n", name, *words.split())
        yield name
    finally:
        _run("ip", "netns", "del", name)


@contextmanager
def daemon(namespace: str, command: list[str], log: Path) -> Iterator[None]:
    """A program that runs in a network namespace until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{namespace}", "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def answers(made: Swarm) -> bool:
    """Whether its daemon does."""
    try:
        made.docker("info")
    except RuntimeError:
        return False
    return True


def clean(root: Path) -> None:
    """What dockerd leaves: namespace files that are mounted, and cgroups."""
    for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
        place = line.split()[1]
        if place.startswith(f"{root}/"):
            _run("umount", place)
    for hierarchy in [Path("/sys/fs/cgroup"), *Path("/sys/fs/cgroup").iterdir()]:
        _remove_cgroup(hierarchy / containers_cgroup().lstrip("/"))
    shutil.rmtree(root / "data", ignore_errors=True)


def _remove_cgroup(cgroup: Path) -> None:
    """With those below it. What ran in it may take a moment to go, even when nobody lists it any more."""
    for directory in (*sorted(cgroup.rglob("*/"), reverse=True), cgroup) if cgroup.is_dir() else ():
        wait_until(partial(_removed, directory), READY_SECONDS)


def _removed(directory: Path) -> bool:
    try:
        directory.rmdir()
    except OSError as error:
        return error.errno != errno.EBUSY
    return True


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def wait_until(condition: Callable[[], bool], seconds: float) -> None:
    """Poll a condition until it holds.

    Raises:
        RuntimeError: it does not in that time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the swarm was not so far after {seconds:.0f} s")
        time.sleep(POLL_SECONDS)
