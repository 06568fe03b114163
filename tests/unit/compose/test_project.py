"""From Compose files to specs, and what a broken file is told."""

from pathlib import Path

import pytest

from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.service_pb2 import Endpoint, PublishedPort, RestartPolicy, UpdateConfig
from shoal.compose.load import load_files
from tests.unit.compose.read_project import faults, project

FULL = """
x-anything: {goes: here}
services:
  web:
    image: registry:5000/hello:${VERSION:-1}
    command: ["serve", "--port", "80"]
    entrypoint: /bin/sh -c "exec serve"
    environment: {A: 1, B: "two", C: true, FROM_OUTSIDE: }
    labels: [tier=front]
    user: "1000:1000"
    read_only: true
    stop_grace_period: 1m30s
    x-drain-timeout: 500ms
    shm_size: 16M
    cap_drop: [ALL]
    ulimits: {nofile: {soft: 1024, hard: 2048}, nproc: 64}
    tmpfs: /run:size=8M,mode=1770
    volumes: ["./data:/data:ro", {type: tmpfs, target: /tmp, tmpfs: {size: 1048576}}]
    security_opt: [no-new-privileges:true, "apparmor:web"]
    extra_hosts: ["db:10.0.0.1"]
    ports:
      - {mode: host, target: 80, published: 8080}
      - "127.0.0.1:9000:90/udp"
    networks: {front: {aliases: [www]}}
    deploy:
      replicas: 3
      labels: {team: shop}
      placement: {constraints: [node.labels.disk == ssd], preferences: [{spread: node.labels.zone}]}
      resources:
        limits: {cpus: "0.5", memory: 64M, pids: 100}
        reservations: {cpus: 0.25, memory: 32M}
      restart_policy: {condition: on-failure, delay: 2s, max_attempts: 3, window: 1m}
      update_config: {parallelism: 2, delay: 500ms, order: start-first}
networks:
  front: {labels: {tier: front}, internal: true}
"""


def test_every_supported_key_arrives() -> None:
    made = project(FULL, VERSION="7", FROM_OUTSIDE="seen")
    (spec,) = made.services
    container = spec.task.container
    assert (spec.name, spec.stack, spec.replicated.replicas) == ("shop_web", "shop", 3)
    assert container.image == "registry:5000/hello:7"
    assert list(container.command) == ["serve", "--port", "80"]
    assert list(container.entrypoint) == ["/bin/sh", "-c", "exec serve"]
    assert list(container.env) == ["A=1", "B=two", "C=true", "FROM_OUTSIDE=seen"]
    assert (container.user, container.read_only, container.stop_grace_ms) == ("1000:1000", True, 90_000)
    assert container.drain_ms == 500
    assert container.shm_bytes == 16 << 20
    assert [(limit.name, limit.soft, limit.hard) for limit in container.ulimits] == [
        ("nofile", 1024, 2048),
        ("nproc", 64, 64),
    ]
    assert [(mount.type, mount.target, mount.tmpfs_bytes) for mount in container.mounts] == [
        (Mount.TMPFS, "/run", 8 << 20),
        (Mount.BIND, "/data", 0),
        (Mount.TMPFS, "/tmp", 1 << 20),
    ]
    assert container.mounts[1].source == "/srv/shop/data"
    assert container.mounts[1].read_only
    assert container.no_new_privileges
    assert container.apparmor == "web"
    assert [(port.published, port.target, port.protocol, port.host_address) for port in spec.endpoint.ports] == [
        (8080, 80, PublishedPort.TCP, ""),
        (9000, 90, PublishedPort.UDP, "127.0.0.1"),
    ]
    assert [(each.network, list(each.aliases)) for each in spec.task.networks] == [("shop_front", ["web", "www"])]
    assert (spec.task.limits.nano_cpus, spec.task.limits.memory_bytes, spec.task.limits.pids) == (
        5 * 10**8,
        64 << 20,
        100,
    )
    assert spec.task.restart.condition == RestartPolicy.ON_FAILURE
    assert (spec.update.parallelism, spec.update.delay_ms, spec.update.order) == (2, 500, UpdateConfig.START_FIRST)
    (network,) = made.networks
    assert (network.name, network.internal, dict(network.labels)) == ("shop_front", True, {"tier": "front"})


def test_a_port_without_mode_is_of_every_node() -> None:
    made = project(
        "services: {web: {image: x, ports: ['8080:80', {target: 81, mode: host}], deploy: {endpoint_mode: dnsrr}}}"
    )
    (service,) = made.services
    assert [port.mode for port in service.endpoint.ports] == [PublishedPort.INGRESS, PublishedPort.HOST]
    assert service.endpoint.mode == Endpoint.DNSRR


def test_default_network_and_external_ones() -> None:
    made = project(
        "services: {a: {image: x}, b: {image: x, networks: [out]}}\nnetworks: {out: {external: true, name: front}}"
    )
    assert [network.name for network in made.networks] == ["shop_default"]
    assert [service.task.networks[0].network for service in made.services] == ["shop_default", "front"]


def test_later_files_are_merged_over_earlier_ones() -> None:
    made = project(
        "services: {web: {image: x, command: [a, b], environment: [A=1, B=1], deploy: {replicas: 1}}}",
        "services: {web: {command: [c], environment: {B: 2}, deploy: {replicas: 5}}, more: {image: y}}",
    )
    web = made.services[0]
    assert list(web.task.container.command) == ["c"]
    assert list(web.task.container.env) == ["A=1", "B=2"]
    assert web.replicated.replicas == 5
    assert [service.name for service in made.services] == ["shop_web", "shop_more"]


def test_every_fault_is_told_at_once_with_its_place() -> None:
    reported = faults(
        "services:\n"
        "  web:\n"
        "    image: x\n"
        "    isolation: hyperv\n"
        "    stop_grace_period: soon\n"
        "    deploy:\n"
        "      update_config: {failure_action: explode}\n"
        "  db:\n"
        "    command: run\n"
        "    networks: [missing]\n"
    )
    assert reported == [
        "file1.yaml:4:5: services.web.isolation: only applies to Windows",
        "file1.yaml:5:5: services.web.stop_grace_period: 'soon' is not a valid duration; use a value such as 10s or "
        "1m30s",
        "file1.yaml:7:23: services.web.deploy.update_config.failure_action: 'explode' must be one of "
        "rollback, pause, continue",
        "file1.yaml:8:3: services.db: image is missing",
        "file1.yaml:10:5: services.db.networks.missing: network 'missing' is not defined",
    ]


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("services: {web: {imagee: x}}", "unknown key 'imagee'"),
        ("services: {web: {image: x, deploy: {update_config: {order: sideways}}}}", "'sideways' must be one of"),
        ("services: {web: {image: x, ports: ['99999:80']}}", "is not a valid port"),
        ("services: {web: {image: x, ports: [{target: 80, mode: mesh}]}}", "'mesh' must be one of ingress, host"),
        ("services: {web: {image: x, volumes: ['data:/data']}}", "volume 'data' is not defined"),
        ("services: {web: {image: x, secrets: [s]}}", "secret 's' is not defined"),
        ("services: {web: {image: x}}\nsecrets: {s: {file: x}}", "/srv/shop/x not found"),
        ("services: {web: {image: x, build: {context: ., sbom: true}}}", "software bills of materials are not made"),
        ("services: {}", "no services are defined"),
        ("services: [", "invalid YAML"),
        ("services: {web: {image: x, init: !!bool x}}", "file1.yaml:1:34: invalid value for tag !!bool"),
        ("services: {web: {image: x, scale: !!int ''}}", "invalid value for tag !!int"),
        ("services: {web: {image: x, scale: 0x_}}", "file1.yaml:1:35: invalid value for tag !!int"),
        ("[]", "the top level must be a mapping"),
        ("services: {web: {image: '${NAME:?which image}'}}", "variable NAME is not set: which image"),
    ],
)
def test_bad_files(text: str, reported: str) -> None:
    assert any(reported in line for line in faults(text)), faults(text)


def test_a_billion_laughs_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert "aliases" in faults("\n".join(lines))[0]


def test_the_examples_are_valid() -> None:
    examples = Path(__file__).parents[3] / "deploy" / "examples"
    for path in sorted(examples.glob("*.yaml")):
        load_files("shop", [path], {}).checked()


def test_every_key_of_a_section_that_is_wrong_is_told() -> None:
    reported = faults(
        """
services:
  web:
    image: registry:5000/hello:1
    deploy:
      update_config: {parallelism: -1, delay: soon, failure_action: explode}
      resources:
        limits: {cpus: lots, memory: 10Q}
        reservations: {cpus: "1"}
      restart_policy: {condition: maybe, delay: 2s}
"""
    )
    places = [line.partition(": ")[2].partition(": ")[0] for line in reported]
    assert sorted(places) == [
        "services.web.deploy.resources.limits.cpus",
        "services.web.deploy.resources.limits.memory",
        "services.web.deploy.restart_policy.condition",
        "services.web.deploy.update_config.delay",
        "services.web.deploy.update_config.failure_action",
        "services.web.deploy.update_config.parallelism",
    ]
    assert "file1.yaml:6:53: services.web.deploy.update_config.failure_action: 'explode' must be one of" in "\n".join(
        reported
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ('"8080-8081:80"', [(0, 8080, 8081, 80)]),
        ("{target: 80, published: '9000-9001'}", [(0, 9000, 9001, 80)]),
        ("{target: 80, published: 9000}", [(9000, 0, 0, 80)]),
        ('"9090-9091:8080-8081"', [(9090, 0, 0, 8080), (9091, 0, 0, 8081)]),
        ('"3000-3001"', [(0, 0, 0, 3000), (0, 0, 0, 3001)]),
    ],
)
def test_ranges_of_ports(entry: str, expected: list[tuple[int, int, int, int]]) -> None:
    ports = project(f"services: {{web: {{image: x, ports: [{entry}]}}}}").services[0].endpoint.ports
    made = [(port.published, port.published_first, port.published_last, port.target) for port in ports]
    assert made == expected


@pytest.mark.parametrize("mode", ["0440", "0o440", '"0440"', '"440"', '"${MODE:-0o440}"', "288"])
def test_permissions_are_octal_in_every_form(mode: str) -> None:
    text = f"""
services:
  web:
    image: x
    secrets: [{{source: a, mode: {mode}}}]
    volumes: [{{type: tmpfs, target: /tmp, tmpfs: {{mode: {mode}}}}}]
secrets: {{a: {{environment: A}}}}
"""
    container = project(text, A="1").services[0].task.container
    assert (container.secrets[0].mode, container.mounts[0].tmpfs_mode) == (0o440, 0o440)


def test_words_to_people_and_what_is_shoals_own_of_a_port() -> None:
    text = "{target: 80, published: 8080, name: web, app_protocol: http, x-traffic: local, x-other: 1}"
    (port,) = project(f"services: {{web: {{image: x, ports: [{text}]}}}}").services[0].endpoint.ports
    assert (port.published, port.local_only) == (8080, True)


@pytest.mark.parametrize(("limit", "reported"), [(100, False), (101, True)])
def test_a_limit_that_is_there_twice_is_the_same(limit: int, reported: bool) -> None:
    limits = "deploy: {resources: {limits: {pids: 100, memory: 1G, cpus: '0.5'}}}"
    text = f"services: {{web: {{image: x, {limits}, pids_limit: {limit}, mem_limit: 1024m, cpus: 0.5}}}}"
    if not reported:
        assert project(text).services[0].task.limits.pids == 100
        return
    (fault,) = faults(text)
    assert "services.web.pids_limit: conflicts with deploy.resources.limits" in fault


def test_an_option_that_memory_has_not() -> None:
    (fault,) = faults("services: {web: {image: x, tmpfs: '/run:speed=1'}}")
    assert "services.web.tmpfs: tmpfs '/run:speed=1': 'speed=1' must be one of size=BYTES" in fault


@pytest.mark.parametrize(
    ("constraint", "expected"),
    [
        ("disktype=ssd", "node.labels.disktype == ssd"),
        ("node.labels.disk == ssd", "node.labels.disk == ssd"),
        ("node.role=worker", "node.role=worker"),
        ("disk == ssd", "disk == ssd"),
        ("disk =~ s.*", "disk =~ s.*"),
    ],
)
def test_a_constraint_on_a_label_by_its_name_alone(constraint: str, expected: str) -> None:
    text = f"services: {{web: {{image: x, deploy: {{placement: {{constraints: ['{constraint}']}}}}}}}}"
    assert list(project(text).services[0].task.placement.constraints) == [expected]


def test_forms_that_say_what_is_the_case_anyway() -> None:
    (web,) = project("services: {web: {image: x, ipc: shareable, platform: linux/arm64/v8}}").services
    assert not web.task.container.host_namespaces.ipc
    assert list(web.task.placement.constraints) == ["node.platform.os == linux", "node.platform.arch == arm64"]


@pytest.mark.parametrize(("policy", "reported"), [("always", 0), ("missing", 0), ("if_not_present", 0), ("never", 1)])
def test_a_policy_of_pulling_is_what_happens_anyway_or_told(policy: str, reported: int) -> None:
    text = f"services: {{web: {{image: x, pull_policy: {policy}}}}}"
    if not reported:
        assert project(text) == project("services: {web: {image: x}}")
        return
    (fault,) = faults(text)
    assert "services.web.pull_policy: 'never' is not supported: images are pinned" in fault
