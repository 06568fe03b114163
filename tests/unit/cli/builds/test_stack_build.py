"""`shoal stack build`, and the builds of `shoal stack deploy`, against a manager that is none."""

import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from cli.builds.stack_builds import in_order, selected
from shoal.api.v1.builds_pb2 import BuildStart
from shoal.compose.conversion.build_keys import ServiceBuild
from shoal.errors import InvalidInput, NotFound
from tests.unit.cli.builds.builds_rig import Builder, builds_rig
from tests.unit.cli.exec.exec_rig import Rig

COMPOSE = """\
services:
  web:
    image: registry:5000/web:1
    build: {context: web, args: {V: "2"}, additional_contexts: {base: "service:base"}, secrets: [token]}
  base:
    build: {context: ., dockerfile_inline: "FROM alpine"}
  plain: {image: alpine}
secrets: {token: {file: token}}
"""


@pytest.fixture
def rigs(tmp_path: Path) -> Generator[tuple[Rig, Builder]]:
    with builds_rig(tmp_path / "config") as made:
        yield made


@pytest.fixture
def compose(tmp_path: Path) -> Path:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "Dockerfile").write_text("FROM base\n")
    (tmp_path / "token").write_text("t")
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path / "compose.yaml"


def test_services_are_built_those_first_that_others_need(rigs: tuple[Rig, Builder], compose: Path) -> None:
    rig, builder = rigs
    code, written, reported = rig.run("stack", "build", "--pull", "--push", "-c", str(compose), "shop")
    assert (code, written) == (0, b""), reported
    base, web = builder.starts
    assert list(base.names) == ["docker.io/library/shop-base:latest"]
    assert (base.dockerfile, base.dockerfile_text) == ("dockerfile_inline", b"FROM alpine")
    assert (list(web.names), web.build_args["V"], web.pull) == (["registry:5000/web:1"], "2", True)
    assert list(web.push) == ["registry:5000/web:1"]
    assert web.contexts["base"] == "docker-image://shop-base"
    assert builder.secrets == {"token": b"t"}
    assert "building service base\n" in reported and "building service web\n" in reported


def test_a_service_for_several_platforms_is_an_index(rigs: tuple[Rig, Builder], compose: Path) -> None:
    rig, builder = rigs
    compose.write_text(COMPOSE.replace('"FROM alpine"}', '"FROM alpine", platforms: [linux/amd64, linux/arm64]}'))
    code, _, reported = rig.run("stack", "build", "-q", "-c", str(compose), "--service", "base", "shop")
    assert code == 0, reported
    assert [(each.platform, each.part_of_index) for each in builder.starts] == [
        ("linux/amd64", True),
        ("linux/arm64", True),
    ]
    assert [list(each.names) for each in builder.indexes] == [["docker.io/library/shop-base:latest"]]


def test_a_service_has_the_agents_of_its_ssh(rigs: tuple[Rig, Builder], compose: Path) -> None:
    rig, builder = rigs
    compose.write_text("services: {web: {build: {context: web, ssh: [work=/none]}}}")
    code, _, reported = rig.run("stack", "build", "-c", str(compose), "shop")
    assert code == 2 and "services.web.build: 'work=/none': /none: No such file or directory" in reported
    (compose.parent / "web" / "Dockerfile").write_text("FROM scratch\n")
    with socket.socket(socket.AF_UNIX) as agent:
        agent.bind(str(compose.parent / "s"))
        compose.write_text(f"services: {{web: {{build: {{context: web, ssh: {{work: {compose.parent}/s}}}}}}}}")
        assert rig.run("stack", "build", "-c", str(compose), "shop")[0] == 0
    assert list(builder.starts[0].ssh_ids) == ["work"]


def test_one_service_is_built_with_what_it_needs(rigs: tuple[Rig, Builder], compose: Path) -> None:
    rig, builder = rigs
    assert rig.run("stack", "build", "-q", "-c", str(compose), "--service", "base", "shop") == (0, b"", "")
    assert len(builder.starts) == 1
    assert rig.run("stack", "build", "-q", "-c", str(compose), "--service", "plain", "shop")[0] == 1


def test_all_faults_are_reported_before_the_first_build(rigs: tuple[Rig, Builder], compose: Path) -> None:
    rig, builder = rigs
    (compose.parent / "web" / "Dockerfile").write_text("FROM base\nRUNN x\n")
    compose.write_text(COMPOSE.replace("FROM alpine", "COPY"))
    code, _, reported = rig.run("stack", "build", "-c", str(compose), "shop")
    assert code == 2 and "services.web.build: " in reported and "services.base.build: " in reported
    assert builder.starts == []


def test_a_failed_build_deploys_nothing(rigs: tuple[Rig, Builder], compose: Path) -> None:
    rig, builder = rigs
    (compose.parent / "web" / "Dockerfile").unlink()
    code, _, reported = rig.run("stack", "deploy", "-c", str(compose), "shop")
    assert code == 2 and "failed to read dockerfile" in reported
    assert builder.starts == []


def build(name: str, *after: str) -> ServiceBuild:
    return ServiceBuild(name, BuildStart(), "/x", after=after)


def test_order_and_selection() -> None:
    builds = [build("a", "b"), build("b", "c", "elsewhere"), build("c"), build("d")]
    assert [each.service for each in in_order(builds)] == ["c", "d", "b", "a"]
    assert [each.service for each in selected(builds, ["b"])] == ["b", "c"]
    assert selected(builds, []) == builds
    with pytest.raises(NotFound):
        selected(builds, ["x"])
    with pytest.raises(InvalidInput, match="need each other"):
        in_order([build("a", "b"), build("b", "a")])
