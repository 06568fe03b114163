"""Docker Compose builds on a cluster of three hosts, by BuildKit's API: with the client of BuildKit that is in it."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.engine.conftest import HELLO, EngineCluster
from tests.integration.engine.docker_program import compose_program, docker, run

pytestmark = pytest.mark.parametrize("shared_engine", [3], ids=["three-hosts"], indirect=True)

BASE = f"FROM {HELLO} AS base\nCOPY f /f\nFROM base\nRUN head -c 8 /dev/urandom > /random\nONBUILD COPY h /h\n"
WEB = """\
FROM base
COPY --from=more g /g
RUN --mount=type=secret,id=token cp /run/secrets/token /seen
CMD ["sh", "-c", "cat /f /g /h /seen; sleep 1000"]
"""
PROJECT = {
    "name": "built",
    "services": {
        "base": {"image": "built-base:1", "build": {"context": "base"}, "command": "true"},
        "web": {
            "image": "built-web:1",
            "build": {
                "context": "base",
                "dockerfile_inline": WEB,
                "additional_contexts": {"base": "service:base", "more": "more"},
                "secrets": ["token"],
            },
        },
    },
    "secrets": {"token": {"file": "token"}},
}
SLEEP = "31415908"


@pytest.fixture
def project(engine: EngineCluster, tmp_path: Path) -> Iterator[Path]:
    """The file of a project whose images have to be built."""
    files = {"base/Dockerfile": BASE, "base/f": "f\n", "base/h": "h\n", "more/g": "g\n", "token": "t0k3n\n"}
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "compose.yaml").write_text(json.dumps(PROJECT))
    yield tmp_path / "compose.yaml"
    compose(tmp_path / "compose.yaml", "down", "-t", "1", "--rmi", "all")


def command(project: Path, *arguments: str) -> list[str | Path]:
    return [compose_program(), "-f", project, "--progress", "plain", *arguments]


def compose(project: Path, *arguments: str) -> str:
    """What `docker compose` prints; it has to succeed."""
    done = run(*command(project, *arguments))
    assert done.returncode == 0, f"compose {' '.join(arguments)}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_a_project_is_built_with_what_the_client_has_and_runs(engine: EngineCluster, project: Path) -> None:
    compose(project, "up", "-d", "--build")
    web = compose(project, "ps", "-q", "web").strip()
    engine.cluster.until(lambda: docker("logs", web) == "f\ng\nh\nt0k3n\n", "the files of the image to be printed")
    random = docker("exec", web, "od", "-An", "-tx1", "/random")

    (project.parent / "base/more").write_text("what no instruction copies\n")
    assert "CACHED" in compose(project, "build")
    assert docker("run", "--rm", "built-base:1", "od", "-An", "-tx1", "/random") == random
    (project.parent / "base/f").write_text("changed\n")
    compose(project, "build", "base")
    assert docker("run", "--rm", "built-base:1", "cat", "/f") == "changed\n"


def test_two_builds_are_made_after_one_that_was_interrupted_in_the_middle_of_its_context(
    engine: EngineCluster, project: Path
) -> None:
    (project.parent / "base/Dockerfile").write_text(BASE.replace("COPY f /f", "COPY f large /"))
    sparse = project.parent / "base" / "large"
    with sparse.open("wb") as file:
        file.truncate(1 << 30)
    building = subprocess.Popen(
        command(project, "build", "base"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert building.stdout is not None
    for line in building.stdout:
        if "transferring context: " in line and "done" not in line:
            break
    building.send_signal(signal.SIGINT)
    building.communicate(timeout=90)
    assert building.returncode != 0
    (project.parent / "base/Dockerfile").write_text(BASE)
    both = [subprocess.Popen(command(project, "build", "--no-cache", "base")) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]


def test_a_command_ends_when_the_client_does(engine: EngineCluster, project: Path) -> None:
    (project.parent / "base/Dockerfile").write_text(f"FROM {HELLO}\nRUN sleep {SLEEP}\n")
    building = subprocess.Popen(command(project, "build", "base"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    engine.cluster.until(lambda: _sleeps() > 0, "the command to run")
    building.send_signal(signal.SIGINT)
    assert building.wait(timeout=90) != 0
    engine.cluster.until(lambda: _sleeps() == 0, "the command to be gone")
    assert "built-base" not in docker("images")


def _sleeps() -> int:
    """Processes of the command, on any host."""
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes() == f"sleep\0{SLEEP}\0".encode()
        except OSError:  # it has ended
            continue
    return found
