"""`build` of services: what is asked of a builder."""

from pathlib import Path

import pytest

from shoal.compose.conversion.build_keys import ServiceBuild
from shoal.compose.load import LoadedStack, load_files
from shoal.spec_parsers.builds.build_inputs import SecretSource

FULL = """\
services:
  web:
    image: registry:5000/web:1
    platform: linux/amd64
    build:
      context: app
      dockerfile: deploy/Dockerfile
      args: [A=1, FROM_ENVIRONMENT, UNSET]
      labels: {k: v}
      cache_from: [registry:5000/web:1, "type=registry,ref=registry:5000/cache"]
      cache_to: [type=inline]
      no_cache: true
      pull: "true"
      target: final
      network: none
      shm_size: 64m
      extra_hosts: {db: 10.0.0.1}
      ulimits: {nofile: {soft: 1, hard: 2}, nproc: 5}
      entitlements: [network.host]
      ssh: [default, key=/run/agent.sock]
      provenance: false
      sbom: "false"
      privileged: false
      isolation: default
      tags: [web, "registry:5000/web:2"]
      secrets: [token, {source: other, target: renamed}]
      additional_contexts:
        lib: ../lib
        base: docker-image://alpine:3
        worker: service:worker
        far: https://example.org/x.git
  worker:
    build: worker
  inline:
    build: {dockerfile_inline: "FROM alpine"}
  remote:
    build: https://github.com/example/x.git#main
secrets:
  token: {file: token.txt}
  other: {environment: OTHER}
"""


def load(directory: Path, text: str, **variables: str) -> LoadedStack:
    (directory / "compose.yaml").write_text(text)
    return load_files("shop", [directory / "compose.yaml"], variables)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("app", "worker", "lib"):
        (tmp_path / name).mkdir()
    (tmp_path / "token.txt").write_text("t")
    return tmp_path


def builds_of(loaded: LoadedStack) -> dict[str, ServiceBuild]:
    return {each.service: each for each in loaded.checked().project.builds}


def test_all_keys_are_honoured(project: Path) -> None:
    (project.parent / "lib").mkdir(exist_ok=True)
    loaded = load(project, FULL, FROM_ENVIRONMENT="x", OTHER="o")
    web = builds_of(loaded)["web"]
    start = web.start
    assert list(start.names) == ["registry:5000/web:1", "docker.io/library/web:latest", "registry:5000/web:2"]
    assert dict(start.build_args) == {"A": "1", "FROM_ENVIRONMENT": "x"}
    assert (dict(start.labels), start.target, start.network, start.platform) == (
        {"k": "v"},
        "final",
        "none",
        "linux/amd64",
    )
    assert list(start.cache_from) == ["registry:5000/web:1", "type=registry,ref=registry:5000/cache"]
    assert list(start.cache_to) == ["type=inline"]
    assert (start.no_cache, start.pull, start.shm_bytes) == (True, True, 64 << 20)
    assert list(start.extra_hosts) == ["db:10.0.0.1"]
    assert [(each.name, each.soft, each.hard) for each in start.ulimits] == [("nofile", 1, 2), ("nproc", 5, 5)]
    assert list(start.entitlements) == ["network.host"]
    assert (web.context, web.dockerfile) == (str(project / "app"), "deploy/Dockerfile")
    assert web.secrets == {
        "token": SecretSource("token", file=str(project / "token.txt")),
        "renamed": SecretSource("renamed", variable="OTHER"),
    }
    assert dict(start.contexts) == {
        "lib": "local",
        "base": "docker-image://alpine:3",
        "worker": "docker-image://shop-worker",
        "far": "https://example.org/x.git",
    }
    assert web.directories == {"lib": str(project.parent / "lib")}
    assert web.after == ("worker",)
    assert web.ssh == ("default", "key=/run/agent.sock")


def test_services_run_what_is_built(project: Path) -> None:
    (project.parent / "lib").mkdir(exist_ok=True)
    loaded = load(project, FULL, OTHER="o")
    images = {each.name: each.task.container.image for each in loaded.checked().project.services}
    assert images == {
        "shop_web": "registry:5000/web:1",
        "shop_worker": "shop-worker",
        "shop_inline": "shop-inline",
        "shop_remote": "shop-remote",
    }
    found = builds_of(loaded)
    assert list(found["worker"].start.names) == ["docker.io/library/shop-worker:latest"]
    assert (found["worker"].context, found["inline"].inline) == (str(project / "worker"), "FROM alpine")
    assert found["inline"].context == str(project)
    assert found["remote"].context == "https://github.com/example/x.git#main"


@pytest.mark.parametrize(
    ("given", "one", "several"),
    [
        ("[linux/ARM64]", "linux/arm64", ()),
        ("[linux/amd64, linux/arm64, linux/AMD64]", "", ("linux/amd64", "linux/arm64")),
    ],
)
def test_several_platforms_make_an_index(project: Path, given: str, one: str, several: tuple[str, ...]) -> None:
    text = f"services: {{a: {{platform: linux/amd64, build: {{context: ., platforms: {given}}}}}}}\n"
    build = builds_of(load(project, text))["a"]
    assert (build.start.platform, build.platforms) == (one, several)


def test_contexts_of_included_files_begin_at_their_directory(project: Path) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "more.yaml").write_text(
        "services:\n  a: {build: .}\n  b: {build: {context: x, additional_contexts: {lib: lib}}}\n"
    )
    (project / "lib").mkdir(exist_ok=True)
    (project / "sub" / "lib").mkdir()
    loaded = load(project, "include: [sub/more.yaml]\nservices: {c: {extends: {file: sub/more.yaml, service: a}}}\n")
    found = builds_of(loaded)
    assert found["a"].context == found["c"].context == str(project / "sub")
    assert found["b"].context == str(project / "sub" / "x")
    assert found["b"].directories == {"lib": str(project / "sub" / "lib")}


@pytest.mark.parametrize(
    ("build", "path", "words"),
    [
        ("{network: 'service:a'}", "build.network", "use default, none, host or a network"),
        ("{cache_from: [type=gha]}", "build.cache_from", "'gha' is not supported"),
        ("{tags: ['A B']}", "build.tags[0]", "A B"),
        ("{secrets: [nothing]}", "build.secrets[0]", "is not defined"),
        ("{additional_contexts: {x: 'service:nobody'}}", "build.additional_contexts.x", "is not defined"),
        ("{dockerfile: a, dockerfile_inline: b}", "build.dockerfile_inline", "conflicts with dockerfile"),
        ("{extra_hosts: [x]}", "build.extra_hosts", "NAME:ADDRESS"),
        ("{shm_size: much}", "build.shm_size", "is not a valid size"),
        ("{no_cache: perhaps}", "build.no_cache", "must be true or false"),
        ("{provenance: mode=max}", "build.provenance", "attestations are not made"),
        ("{sbom: true}", "build.sbom", "software bills of materials are not made"),
        ("{privileged: true}", "build.privileged", "use entitlements: [security.insecure]"),
        ("{isolation: hyperv}", "build.isolation", "only applies to Windows"),
        ("{entitlements: [all]}", "build.entitlements", "'all' is not supported"),
    ],
)
def test_faults_have_their_place(tmp_path: Path, build: str, path: str, words: str) -> None:
    (found,) = load(tmp_path, f"services:\n  web:\n    build: {build}\n").faults.found
    assert f": services.web.{path}: " in f": {found}" and words in str(found)
