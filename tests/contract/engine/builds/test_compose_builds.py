"""Docker Compose builds by BuildKit's API, with the client of BuildKit that it has in it: a real client, no buildx."""

import json
import signal
import stat
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.contract.engine.builds.build_node import STEP_ERROR, BuildNode
from tests.contract.engine.builds.served_buildkit import served_buildkit
from tests.contract.engine.rig.docker_cli import SECONDS, environment_of, wait_until
from tests.contract.engine.rig.served import Served


@pytest.fixture
def node() -> BuildNode:
    return BuildNode()


@pytest.fixture
def engine(node: BuildNode, tmp_path: Path) -> Iterator[Served]:
    with served_buildkit(node, tmp_path) as found:
        yield found


@pytest.fixture(params=[False, True], ids=["unix", "tls"])
def environment(engine: Served, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    return environment_of(engine, tmp_path, tls=request.param)


def project(directory: Path, *steps: str, build: dict[str, Any] | None = None, **top: Any) -> Path:
    """A project with a service `web` that is built of a directory with some files."""
    context = directory / "project" / "web"
    (context / "sub").mkdir(parents=True)
    (context / "Dockerfile").write_text("\n".join(steps) + "\n")
    (context / "f").write_text("f\n")
    (context / "f").chmod(0o755)
    (context / "skip").write_text("skip\n")
    (context / "sub" / "link").symlink_to("../f")
    (context / "sub" / "hard").hardlink_to(context / "f")
    (context / "empty").touch()
    (context / ".dockerignore").write_text("# no\nskip\n")
    service = {"image": "web:1", "build": {"context": "web", **(build or {})}}
    file = directory / "project" / "compose.yaml"
    file.write_text(json.dumps({"name": "p", "services": {"web": service}, **top}))
    return file


def command(file: Path) -> list[str]:
    spec = find_spec("compose")
    assert spec is not None and spec.origin is not None
    program = Path(spec.origin).parent / "docker-compose"
    return [str(program), "-f", str(file), "--progress", "plain", "build"]


def build(environment: dict[str, str], file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(file), env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_what_a_build_needs_comes_from_the_client(node: BuildNode, environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "g").write_text("g\n")
    (tmp_path / "token").write_text("t0k3n")
    file = project(
        tmp_path,
        "FROM alpine",
        "COPY . /f",
        "RUN --mount=type=secret,id=token true",
        "RUN echo built",
        build={
            "args": {"V": "2"},
            "labels": {"k": "v"},
            "additional_contexts": {"more": str(tmp_path / "other")},
            "secrets": ["token", "absent"],
            "extra_hosts": ["a:192.0.2.1"],
            "ulimits": {"nofile": {"soft": 10, "hard": 20}},
            "network": "none",
            "target": "",
            "tags": ["web:2"],
        },
        secrets={"token": {"file": str(tmp_path / "token")}, "absent": {"environment": "NOT_SET"}},
    )
    ran = build(environment, file)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    start = node.starts[0]
    assert start.dockerfile == "Dockerfile"
    assert start.dockerfile_text.startswith(b"FROM alpine\nCOPY . /f\n")
    assert set(start.names) == {"docker.io/library/web:1", "docker.io/library/web:2"}
    assert start.build_args["V"] == "2"
    assert start.labels["k"] == "v"
    assert dict(start.contexts) == {"more": "local"}
    assert list(start.extra_hosts) == ["a:192.0.2.1"]
    assert start.network == "none"
    assert [(each.name, each.soft, each.hard) for each in start.ulimits] == [("nofile", 10, 20)]
    assert node.secrets == {"token": b"t0k3n"}
    assert node.files("more") == {"g": b"g\n"}
    assert node.files() == {
        ".dockerignore": b"# no\nskip\n",
        "Dockerfile": start.dockerfile_text,
        "empty": b"",
        "f": b"f\n",
    }
    entries = node.entries()
    assert (entries["f"].mode, stat.S_ISDIR(entries["sub"].mode)) == (stat.S_IFREG | 0o755, True)
    assert (stat.S_ISLNK(entries["sub/link"].mode), entries["sub/link"].link) == (True, b"../f")
    assert (entries["sub/hard"].hard_link, entries["sub/hard"].link) == (True, b"f")
    shown = ran.stdout + ran.stderr
    assert "internal] load build definition from Dockerfile" in shown
    assert "4/4] RUN echo built" in shown
    assert "built" in shown


def test_the_error_of_a_step_is_shown(node: BuildNode, environment: dict[str, str], tmp_path: Path) -> None:
    ran = build(environment, project(tmp_path, "FROM alpine", "RUN false"))
    assert ran.returncode != 0
    shown = ran.stdout + ran.stderr
    assert STEP_ERROR in shown
    assert node.ended == 1


def test_faults_of_a_dockerfile_are_shown_before_anything_is_built(
    node: BuildNode, environment: dict[str, str], tmp_path: Path
) -> None:
    ran = build(environment, project(tmp_path, "FROM alpine", "FOO x"))
    assert ran.returncode != 0
    assert "dockerfile parse error on line 2: unknown instruction: FOO" in ran.stdout + ran.stderr
    assert not node.starts


def test_a_dockerfile_that_is_missing_is_named(node: BuildNode, environment: dict[str, str], tmp_path: Path) -> None:
    ran = build(environment, project(tmp_path, "FROM alpine", build={"dockerfile": "None"}))
    assert ran.returncode != 0
    assert "None" in ran.stdout + ran.stderr
    assert not node.starts


def test_the_ignore_file_of_a_dockerfile_comes_before_that_of_the_context(
    node: BuildNode, environment: dict[str, str], tmp_path: Path
) -> None:
    file = project(tmp_path, "FROM alpine", build={"dockerfile": "Other"})
    web = file.parent / "web"
    (web / "Other").write_text("FROM alpine\nCOPY . /\n")
    (web / "Other.dockerignore").write_text("sub\nDockerfile\n!sub/link\n")
    ran = build(environment, file)
    assert ran.returncode == 0, ran.stderr
    assert set(node.entries()) == {
        ".dockerignore",
        "Other",
        "Other.dockerignore",
        "empty",
        "f",
        "skip",
        "sub",
        "sub/link",
    }


def test_builds_end_with_their_client(node: BuildNode, environment: dict[str, str], tmp_path: Path) -> None:
    file = project(tmp_path, "FROM alpine", "COPY . /", "RUN sleep")
    with subprocess.Popen(
        command(file), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: bool(node.lists))
        finally:
            process.send_signal(signal.SIGKILL)
    wait_until(lambda: node.ended == 1)


def test_of_the_context_only_what_the_file_names_is_listed(
    node: BuildNode, environment: dict[str, str], tmp_path: Path
) -> None:
    ran = build(environment, project(tmp_path, "FROM alpine", "COPY emp* /", "COPY sub/link /"))
    assert ran.returncode == 0, ran.stderr
    assert node.files() == {"empty": b"", "f": b"f\n"}  # what the link leads to is there
    assert set(node.entries()) == {"empty", "f", "sub", "sub/link"}
    assert node.starts[0].partial_context


def test_a_context_that_no_instruction_needs_is_not_sent(
    node: BuildNode, environment: dict[str, str], tmp_path: Path
) -> None:
    assert build(environment, project(tmp_path, "FROM alpine", "RUN echo hi")).returncode == 0
    assert not node.lists


def test_a_base_image_with_triggers_gets_the_whole_context(
    node: BuildNode, environment: dict[str, str], tmp_path: Path
) -> None:
    node.has_triggers = True
    ran = build(environment, project(tmp_path, "FROM alpine", "COPY empty /"))
    assert ran.returncode == 0, ran.stderr
    assert [each.partial_context for each in node.starts] == [True, False]
    assert set(node.files()) == {".dockerignore", "Dockerfile", "empty", "f"}
    assert node.ended == len(node.starts)


def test_what_has_not_changed_is_not_sent_again(node: BuildNode, environment: dict[str, str], tmp_path: Path) -> None:
    file = project(tmp_path, "FROM alpine", "COPY . /")
    for changed in (None, "f"):
        if changed:
            (file.parent / "web" / changed).write_text("changed\n")
        ran = build(environment, file)
        assert ran.returncode == 0, ran.stderr
    assert node.received == ["f"]
    assert node.files()["f"] == b"changed\n"
