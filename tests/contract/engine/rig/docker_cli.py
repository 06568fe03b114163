"""The docker command line as tests run it."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from tests.contract.engine.rig.served import Served

SECONDS = 60


def environment_of(engine: Served, directory: Path, *, tls: bool) -> dict[str, str]:
    """Variables by which it finds the engine."""
    found = {"PATH": os.environ["PATH"], "HOME": str(directory), "DOCKER_CONFIG": str(directory / "config")}
    if not tls:
        return found | {"DOCKER_HOST": engine.unix_url}
    return found | {
        "DOCKER_HOST": engine.tls_url,
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(engine.certificates),
    }


def docker(environment: dict[str, str], *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run it to its end.

    Args:
        given: its input.
    """
    return subprocess.run(
        ["docker", *arguments], env=environment, input=given, capture_output=True, timeout=SECONDS, check=False
    )


def wait_until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Poll a condition."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
