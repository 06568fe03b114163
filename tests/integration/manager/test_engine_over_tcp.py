"""`shoal-engine --tcp`: the cluster's authority gives it a certificate, and the docker CLI checks that."""

import asyncio
import os
import ssl
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from shoal.identity.identity import Identity
from tests.integration.manager.engine_process import EngineProcess
from tests.integration.manager.manager_process import ManagerProcess, running_manager
from tests.ports import free_port

SECONDS = 30.0


def docker(port: int, credentials: Path, directory: Path, host: str) -> subprocess.CompletedProcess[str]:
    """`docker version` with certificates checked on both sides."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(directory),
        "DOCKER_HOST": f"tcp://{host}:{port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(credentials),
    }
    command = ["docker", "version", "--format", "{{.Server.Platform.Name}}"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_one_flag_serves_docker_with_the_clusters_own_certificate(tmp_path: Path) -> None:
    async def run() -> None:
        async with running_manager(tmp_path) as (manager, _):
            await asyncio.to_thread(_serve, manager, tmp_path)

    asyncio.run(run())


def _serve(manager: ManagerProcess, directory: Path) -> None:
    port, admin = free_port(), manager.state / "admin"
    engine = EngineProcess(directory / "engine", ("--tcp", f"127.0.0.1:{port}", "--tls-names", "docker.example.com"))
    engine.create_context(Identity.load(manager.state / "engine"), [manager.api])
    engine.start()
    try:
        for host in ("localhost", "127.0.0.1"):
            _until_answered(port, admin, directory, host, lambda: engine.log)
        pem = ssl.get_server_certificate(("127.0.0.1", port))
        (directory / "served.pem").write_text(pem)
        command = ["openssl", "x509", "-in", str(directory / "served.pem"), "-noout", "-text"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert "DNS:docker.example.com" in text
        assert "TLS Web Server Authentication" in text
        assert "TLS Web Client Authentication" not in text
        assert "gets a server certificate for docker.example.com" in manager.log
        assert not list((directory / "engine").rglob("*server*")), "its key is on no disk"
    finally:
        engine.end()


def _until_answered(port: int, credentials: Path, directory: Path, host: str, log: Callable[[], str]) -> None:
    deadline = time.monotonic() + SECONDS
    while not (done := docker(port, credentials, directory, host)).stdout.startswith("Shoal"):
        assert time.monotonic() < deadline, (done, log())
        time.sleep(0.2)
