"""An engine on a playground for figures, and requests to it: over its Unix socket and over TLS."""

import hashlib
import http.client
import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.playground import daemons
from shoal.contexts.context_store import ContextStore
from tests.bench.rig.bed import ARCHIVE, Bed, cluster
from tests.bench.rig.swarm import DOCKER, Swarm, wait_until

IMAGE = "hello:1"
READY_SECONDS = 20.0
SERVER_NAME = "localhost"


@dataclass(frozen=True)
class Endpoint:
    """An engine as a client finds it.

    Attributes:
        path: of the Unix socket; None over TLS.
        port, certificates: of TLS on this host, with a directory as of `DOCKER_CERT_PATH`.
        pid: of the engine; 0 where it is not ours.
    """

    path: Path | None = None
    port: int = 0
    certificates: Path = Path()
    pid: int = 0
    image: str = IMAGE

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables by which the docker command line finds it."""
        found = {name: value for name, value in os.environ.items() if not name.startswith("DOCKER_")}
        if self.path is not None:
            return {**found, "DOCKER_HOST": f"unix://{self.path}"}
        tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(self.certificates)}
        return {**found, **tls, "DOCKER_HOST": f"tcp://{SERVER_NAME}:{self.port}"}

    def connect(self) -> socket.socket:
        """A connection."""
        if self.path is not None:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(self.path))
            return connection
        context = ssl.create_default_context(cafile=str(self.certificates / "ca.pem"))
        context.load_cert_chain(self.certificates / "cert.pem", self.certificates / "key.pem")
        plain = socket.create_connection(("127.0.0.1", self.port))
        return context.wrap_socket(plain, server_hostname=SERVER_NAME)

    def http(self) -> http.client.HTTPConnection:
        """A connection for many requests."""
        connection = http.client.HTTPConnection("docker")
        connection.sock = self.connect()
        return connection

    def request(self, method: str, path: str, body: object = None) -> Any:
        """One request; the document of its answer, None where there is none.

        Raises:
            RuntimeError: it was refused.
        """
        connection = self.http()
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        if answer.status >= http.client.BAD_REQUEST:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:200]!r}")
        return json.loads(content) if content.strip().startswith((b"{", b"[")) else None

    def hijack(self, path: str, body: object = None) -> socket.socket:
        """A connection that was taken over, after the head of the answer."""
        connection, content = self.connect(), b"" if body is None else json.dumps(body).encode()
        lines = [f"POST {path} HTTP/1.1", "Host: docker", "Connection: Upgrade", "Upgrade: tcp"]
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"] if content else []
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        head = b""
        while b"\r\n\r\n" not in head:
            piece = connection.recv(1)
            assert piece, head
            head += piece
        assert head.startswith(b"HTTP/1.1 101 "), head
        return connection

    def docker(self, *arguments: str) -> None:
        """Run `docker …`.

        Raises:
            CalledProcessError: it failed.
        """
        subprocess.run([docker(), *arguments], env=self.environment, check=True, stdout=subprocess.DEVNULL)

    def seconds(self, *arguments: str) -> float:
        """How long `docker …` takes."""
        begin = time.perf_counter()
        self.docker(*arguments)
        return time.perf_counter() - begin

    def remove_all(self) -> None:
        """All containers."""
        for each in self.request("GET", "/containers/json?all=1"):
            self.request("DELETE", f"/containers/{each['Id']}?force=1")


def docker() -> str:
    """The docker command line: the same for both sides."""
    found = str(DOCKER) if DOCKER.exists() else shutil.which("docker")
    if found is None:
        raise RuntimeError("the docker command line is not installed")
    return found


def of_docker(swarm: Swarm, image: str) -> Endpoint:
    """A Docker daemon."""
    return Endpoint(path=swarm.socket, image=image)


@contextmanager
def engine() -> Iterator[tuple[Endpoint, Endpoint]]:
    """An engine over a cluster of one host with the image: on a Unix socket, and over TLS."""
    with cluster(hosts=1) as bed, tempfile.TemporaryDirectory(prefix="shoal-bench-engine-") as directory:
        bed.shoal("load", "--quiet", "--input", str(ARCHIVE))
        with _process(bed, Path(directory)) as endpoints:
            yield endpoints


@contextmanager
def _process(bed: Bed, directory: Path) -> Iterator[tuple[Endpoint, Endpoint]]:
    path, port, name = directory / "engine.sock", _free_port(), bed.playground.layout.name
    command: list[str | Path] = [daemons.BIN / "shoal-engine", "--context", name, "--socket", path, "--home-node", "h1"]
    command += ["--tcp", f"127.0.0.1:{port}", "--tls-names", SERVER_NAME]
    environment = {**os.environ, "SHOAL_CONFIG": str(bed.config)}
    with (directory / "engine.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: _accepts(path), READY_SECONDS)
        certificates = ContextStore(bed.config).get(name).directory
        yield Endpoint(path=path, pid=process.pid), Endpoint(port=port, certificates=certificates, pid=process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def write_image(archive: Path, size: int) -> None:
    """An image of one random file, as `docker save` writes it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        _add(tar, "file", os.urandom(size))
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "bench"}],
    }
    with tarfile.open(archive, "w") as tar:
        _add(tar, "layer.tar", layer.getvalue())
        _add(tar, "config.json", json.dumps(config).encode())
        manifest = [{"Config": "config.json", "RepoTags": ["bench-load:1"], "Layers": ["layer.tar"]}]
        _add(tar, "manifest.json", json.dumps(manifest).encode())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))
