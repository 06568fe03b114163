"""What is refused in files that are read together, all of it at once."""

from pathlib import Path

import pytest

from tests.unit.compose.compose_files import faults, write

BAD_DEPENDENCIES = [
    ("{a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}", "dependency cycle: b → a → b"),
    ("{a: {image: x, depends_on: [nobody]}}", "service 'nobody' is not defined"),
    ("{a: {image: x, depends_on: {b: {condition: service_fine}}}, b: {image: x}}", "service_fine"),
    ("{a: {image: x, links: [nobody:alias]}}", "service 'nobody' is not defined"),
    (
        "{a: {image: x, depends_on: {b: {condition: service_completed_successfully}}}, b: {image: x, restart: always}}",
        "must be no or on-failure",
    ),
    ("{a: {image: x, restart: sometimes}}", "'sometimes' must be one of"),
    ("{a: {image: x, scale: 2, deploy: {replicas: 3}}}", "2 conflicts with deploy.replicas (3)"),
    ("{a: {image: x, build: {context: ., privileged: true}}}", "use entitlements: [security.insecure]"),
    ("{a: {image: x, volumes_from: [b]}}", "mount the same volume in both services"),
    ("{a: {image: x, network_mode: 'service:b'}}", "service 'b' is not defined"),
    ("{a: {image: x, network_mode: 'container:b'}}", "define a service and use service:NAME"),
    (
        "{a: {image: x, network_mode: 'service:b', networks: [c]}, b: {image: x}}",
        "network_mode and networks are mutually exclusive",
    ),
    ("{a: {image: x, logging: {driver: gelf}}}", "log driver 'gelf' is not supported: logs are stored on the node"),
    ("{a: {image: x, logging: {driver: mine}}}", "unknown log driver 'mine'; use one of json-file, local, none"),
    ("{a: {image: x, post_start: [{user: root}]}}", "`command` is missing"),
    ("{a: {image: x, pre_stop: [{command: sync, privileged: perhaps}]}}", "'perhaps' must be true or false"),
]


@pytest.mark.parametrize(("text", "reported"), BAD_DEPENDENCIES)
def test_what_is_refused(tmp_path: Path, text: str, reported: str) -> None:
    write(tmp_path, a_yaml=f"services: {text}")
    assert any(reported in line for line in faults(tmp_path)), faults(tmp_path)


@pytest.mark.parametrize("text", ["&a [*a]", "{a: &a {b: *a}}", "[" * 200 + "]" * 200, "{" * 200, "- " * 3000])
def test_hostile_yaml_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    write(tmp_path, a_yaml=f"services: {text}")
    assert all("\n" not in line for line in faults(tmp_path))


def test_faults_of_all_stages_at_once(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""\
services:
  web:
    imagee: x
    hostname: ${NEEDED:?say which}
    deploy: {replicas: many, resources: {limits: {memory: lots}}}
    ports: [{published: 80}, "99999:80"]
    cgroup_parent: x
  db: 5
  other:
    image: ${NEEDED:?say which}
    depends_on: [db, nobody]
    networks: [missing]
""",
    )
    places = [line.split(": ")[0].rpartition("a.yaml:")[2] + " " + line.split(": ")[1] for line in faults(tmp_path)]
    assert sorted(places) == [
        "10:5 services.other.image",  # not that it is missing, which follows
        "11:22 services.other.depends_on[1]",  # on nobody; db is there, whatever it is
        "12:5 services.other.networks.missing",
        "2:3 services.web",  # its image is missing
        "3:5 services.web.imagee",
        "4:5 services.web.hostname",
        "5:5 services.web.deploy.mode",
        "5:51 services.web.deploy.resources.limits.memory",
        "6:13 services.web.ports[0]",
        "6:30 services.web.ports[1]",
        "7:5 services.web.cgroup_parent",
        "8:3 services.db",
    ]


def test_what_follows_from_a_file_that_is_not_there_is_not_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="include: [nowhere.yaml]\nservices: {web: {image: x, depends_on: [included]}}",
        b_yaml="services: {web: {extends: {service: base, file: nowhere.yaml}}, db: {image: x, build: {isolation: x}}}",
    )
    assert len(faults(tmp_path)) == 1
    assert [("services.web.extends" in line, "services.db.build" in line) for line in faults(tmp_path, "b.yaml")] == [
        (True, False),
        (False, True),
    ]


def test_all_files_that_cannot_be_read_are_told(tmp_path: Path) -> None:
    write(tmp_path, a_yaml="services: [", b_yaml="[]")
    assert len(faults(tmp_path, "a.yaml", "b.yaml", "c.yaml")) == 3
