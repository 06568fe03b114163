"""A local `docker-registry` process with its files in one directory."""

import asyncio
import json
import os
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from shoal.errors import NotFound, Unavailable

_START_SECONDS = 15.0
_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class RegistryAccess:
    """What a registry asks for; empty for plain HTTP without a login.

    Attributes:
        certificate, key: PEM files for TLS.
        htpasswd: file with bcrypt lines for basic authentication.
        token: `auth.token` block of the registry's configuration: realm, service, issuer, rootcertbundle.
    """

    certificate: Path | None = None
    key: Path | None = None
    htpasswd: Path | None = None
    token: Mapping[str, str] | None = None


class RegistryServer:
    """Runs while the context lasts, or from `start` to `stop`.

    Args:
        directory: for its files, configuration and log; made when missing.
        address, port: to listen on.
        namespace: name of a network namespace to run in; empty for this one.
    """

    def __init__(
        self,
        directory: Path,
        address: str,
        port: int,
        *,
        security: RegistryAccess | None = None,
        namespace: str = "",
    ) -> None:
        self.directory = directory
        self.address = address
        self.port = port
        self._security = security or RegistryAccess()
        self._namespace = namespace
        self._process: asyncio.subprocess.Process | None = None

    @property
    def endpoint(self) -> str:
        """For `registries.toml`."""
        return f"{'https' if self._security.certificate else 'http'}://{self.address}:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            NotFound: docker-registry is not installed. Unavailable: it ended, or does not answer; with the last line of
            its log.
        """
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        settings = self.directory / "config.json"
        settings.write_text(
            json.dumps(registry_settings(self.directory, f"{self.address}:{self.port}", self._security)),
            encoding="utf-8",
        )
        enter = ["ip", "netns", "exec", self._namespace] if self._namespace else []
        command = [*enter, "docker-registry", "serve", str(settings)]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "OTEL_TRACES_EXPORTER": "none"}
        with self._log.open("wb") as log:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment
                )
            except FileNotFoundError as error:
                raise NotFound("docker-registry not found; install the package docker-registry") from error
        await self._wait_until_ready()

    async def stop(self) -> None:
        """End it; its files stay. No error when it has ended."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def _log(self) -> Path:
        return self.directory / "registry.log"

    async def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + _START_SECONDS
        while self._process.returncode is None and not await self._answers():
            if asyncio.get_running_loop().time() > deadline:
                await self.stop()
                raise Unavailable(f"docker-registry does not listen on {self.address}:{self.port}: {self._last_line()}")
            await asyncio.sleep(_POLL_SECONDS)
        if self._process.returncode is not None:
            raise Unavailable(f"docker-registry exited on startup on {self.address}:{self.port}: {self._last_line()}")

    async def _answers(self) -> bool:
        """Whether the port listens. In another namespace its own table of sockets tells: we cannot connect to it."""
        if self._namespace:
            return f":{self.port:04X} " in self._listening()
        try:
            _, writer = await asyncio.open_connection(self.address, self.port, family=socket.AF_UNSPEC)
        except OSError:
            return False
        writer.close()
        return True

    def _listening(self) -> str:
        """Local addresses of listening sockets (state 0A) of the process's namespace, proc(5) net/tcp."""
        assert self._process is not None
        found = []
        for name in ("tcp", "tcp6"):
            path = Path(f"/proc/{self._process.pid}/net/{name}")
            rows = path.read_text().splitlines()[1:] if path.exists() else []
            found += [row.split()[1] + " " for row in rows if row.split()[3] == "0A"]
        return "".join(found)

    def _last_line(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"


def registry_settings(directory: Path, listen: str, security: RegistryAccess) -> Mapping[str, object]:
    """The configuration file's content; JSON is YAML, and needs no quoting rules.

    Args:
        directory: that holds the registry's data, below `data`.
        listen: host:port.
    Source: configuration reference of distribution 2.8.
    """
    tls = {"certificate": str(security.certificate), "key": str(security.key)} if security.certificate else {}
    http: dict[str, object] = {"addr": listen, "secret": "one process needs no shared one"}
    auth: dict[str, object] = {}
    if security.htpasswd:
        auth["htpasswd"] = {"realm": "shoal", "path": str(security.htpasswd)}
    if security.token:
        auth["token"] = dict(security.token)
    return {
        "version": 0.1,
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
        "http": http | ({"tls": tls} if tls else {}),
        **({"auth": auth} if auth else {}),
    }


def answers_http(url: str) -> bool:
    """Whether something answers HTTP there, with whatever status."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        opener.open(url, timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
