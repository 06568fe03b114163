"""Several files as one model: merging, `!reset` and `!override`, extends, include, profiles; places of faults."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from shoal.api.v1.service_pb2 import Dependency, RestartPolicy
from shoal.compose.load import load_files
from shoal.compose.reading.yaml_tree import to_plain
from tests.unit.compose.compose_files import faults, loaded, services, write

MERGED: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mappings and single values": (
        "{image: x, deploy: {replicas: 1, labels: {a: 1}}, hostname: one}",
        "{deploy: {labels: {b: 2}}, hostname: two}",
        {"image": "x", "deploy": {"replicas": 1, "labels": {"a": 1, "b": 2}}, "hostname": "two"},
    ),
    "lists are joined": ("{image: x, dns: [1.1.1.1]}", "{dns: [8.8.8.8]}", {"dns": ["1.1.1.1", "8.8.8.8"]}),
    "commands are replaced": (
        "{image: x, command: [a, b], entrypoint: x, healthcheck: {test: [CMD, a], interval: 1s}}",
        "{command: [c], entrypoint: [y], healthcheck: {test: [CMD, b]}}",
        {"command": ["c"], "entrypoint": ["y"], "healthcheck": {"test": ["CMD", "b"], "interval": "1s"}},
    ),
    "environment by name, in both forms": (
        "{image: x, environment: [A=1, B=2]}",
        "{environment: {B: 3, C: 4}}",
        {"environment": {"A": "1", "B": 3, "C": 4}},
    ),
    "mounts by target": (
        "{image: x, volumes: ['/one:/work', '/keep:/keep']}",
        "{volumes: ['/two:/work:ro']}",
        {"volumes": ["/two:/work:ro", "/keep:/keep"]},
    ),
    "ports by address, target, published and protocol": (
        "{image: x, ports: ['8080:80', '9000:90/udp']}",
        "{ports: ['8080:80/tcp', '8081:80', {target: 90, published: '9000', protocol: udp}]}",
        {"ports": ["8080:80/tcp", {"target": 90, "published": "9000", "protocol": "udp"}, "8081:80"]},
    ),
    "logging of another driver is replaced": (
        "{image: x, logging: {driver: local, options: {max-size: 1m}}}",
        "{logging: {driver: json-file}}",
        {"logging": {"driver": "json-file"}},
    ),
    "reset takes away": (
        "{image: x, ports: ['8080:80'], environment: {A: 1, B: 2}}",
        "{ports: !reset [], environment: {A: !reset null}}",
        {"environment": {"B": 2}},
    ),
    "override replaces": (
        "{image: x, ports: ['8080:80'], environment: {A: 1}}",
        "{ports: !override ['8443:443'], environment: !override {B: 1}}",
        {"ports": ["8443:443"], "environment": {"B": 1}},
    ),
    "logging without a driver is of the driver that is there": (
        "{image: x, logging: {driver: json-file, options: {max-size: 1m}}}",
        "{logging: {options: {max-file: 3}}}",
        {"logging": {"driver": "json-file", "options": {"max-size": "1m", "max-file": 3}}},
    ),
    "single values and lists are joined": (
        "{image: x, dns: 1.1.1.1, dns_search: [a.example], tmpfs: '/run:size=1m', env_file: []}",
        "{dns: [8.8.8.8], dns_search: b.example, tmpfs: ['/run:size=2m', /tmp], "
        "env_file: [{path: b.env, required: false}]}",
        {
            "dns": ["1.1.1.1", "8.8.8.8"],
            "dns_search": ["a.example", "b.example"],
            "tmpfs": ["/run:size=2m", "/tmp"],
            "env_file": [{"path": "b.env", "required": False}],
        },
    ),
    "null says nothing": (
        "{image: x, dns: [1.1.1.1], deploy: {replicas: 2, labels: {a: 1}}, environment: {A: 1}, command: [a]}",
        "{dns: , deploy: {replicas: , labels: }, environment: , image: , command: }",
        {"dns": ["1.1.1.1"], "deploy": {"replicas": 2, "labels": {"a": 1}}, "environment": {"A": 1}, "command": None},
    ),
    "a variable without a value takes the caller's": (
        "{image: x, environment: {A: 1, B: 2}}",
        "{environment: [A]}",
        {"environment": {"A": None, "B": 2}},
    ),
    "hosts in lists": (
        "{image: x, extra_hosts: ['db:10.0.0.1', 'six=::1']}",
        "{extra_hosts: {web: [10.0.0.2, 10.0.0.3], db: 10.0.0.1}}",
        {"extra_hosts": ["db=10.0.0.1", "six=::1", "web=10.0.0.2", "web=10.0.0.3"]},
    ),
    "hosts by name": (
        "{image: x, extra_hosts: {db: 10.0.0.1, web: 10.0.0.2}}",
        "{extra_hosts: {db: 10.0.0.9}}",
        {"extra_hosts": {"db": "10.0.0.9", "web": "10.0.0.2"}},
    ),
    "a list of networks keeps what is said of them": (
        "{image: x, networks: {one: {aliases: [a], ipv4_address: 10.1.0.7}}}",
        "{networks: [one, two]}",
        {"networks": {"one": {"aliases": ["a"], "ipv4_address": "10.1.0.7"}, "two": None}},
    ),
    "ports of every address": ("{image: x, ports: ['0.0.0.0:80:80']}", "{ports: ['80:80']}", {"ports": ["80:80"]}),
    "networks in both forms": (
        "{image: x, networks: [one]}",
        "{networks: {one: {aliases: [a]}, two: }}",
        {"networks": {"one": {"aliases": ["a"]}, "two": None}},
    ),
}


@pytest.mark.parametrize("name", MERGED)
def test_merging_by_the_specification(tmp_path: Path, name: str) -> None:
    base, over, expected = MERGED[name]
    networks = "networks: {one: , two: }\n"
    write(tmp_path, a_yaml=f"services: {{web: {base}}}\n{networks}", b_yaml=f"services: {{web: {over}}}")
    web = services(tmp_path, "a.yaml", "b.yaml")["web"]
    assert {key: web[key] for key in web if key in expected or key not in ("image", "networks")} == expected


def test_what_a_later_file_says_nothing_of_stays(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""
services:
  web: {image: x, networks: [front], volumes: ["data:/data"], depends_on: {db: {condition: service_healthy}}}
  db: {image: x}
networks: {front: {internal: true, labels: {a: 1}}}
volumes: {data: {driver_opts: {type: tmpfs, device: tmpfs}}}
""",
        b_yaml="services: {web: , db: }\nnetworks: {front: }\nvolumes: {data: }\n",
    )
    tree = to_plain(loaded(tmp_path, "a.yaml", "b.yaml").model.tree)
    assert tree["networks"] == {"front": {"internal": True, "labels": {"a": 1}}}
    assert tree["volumes"] == {"data": {"driver_opts": {"type": "tmpfs", "device": "tmpfs"}}}
    assert tree["services"]["web"]["depends_on"] == {"db": {"condition": "service_healthy"}}


@pytest.mark.parametrize(
    ("over", "pools"),
    [
        ("[{subnet: 10.1.0.0/16, gateway: 10.1.0.9}]", {"10.1.0.0/16": "10.1.0.9", "fd01::/64": None}),
        ("[{gateway: 10.1.0.8}]", {"10.1.0.0/16": "10.1.0.8", "fd01::/64": None}),
        ("[{subnet: 10.2.0.0/16}]", {"10.2.0.0/16": None, "fd01::/64": None}),
        ("[{subnet: 'fd01::/64', gateway: 'fd01::9'}]", {"10.1.0.0/16": None, "fd01::/64": "fd01::9"}),
    ],
)
def test_pools_are_merged_by_subnet_and_family(tmp_path: Path, over: str, pools: dict[str, str | None]) -> None:
    base = "[{subnet: 10.1.0.0/16}, {subnet: 'fd01::/64'}]"
    write(
        tmp_path,
        a_yaml=f"services: {{web: {{image: x}}}}\nnetworks: {{one: {{enable_ipv6: true, ipam: {{config: {base}}}}}}}\n",
        b_yaml=f"networks: {{one: {{ipam: {{config: {over}}}}}}}\n",
    )
    tree = loaded(tmp_path, "a.yaml", "b.yaml").model.tree
    assert {pool["subnet"]: pool.get("gateway") for pool in tree["networks"]["one"]["ipam"]["config"]} == pools


def test_two_pools_of_a_family_in_one_file_are_still_told(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="services: {web: {image: x}}\n"
        "networks: {one: {ipam: {config: [{subnet: 10.1.0.0/16}, {subnet: 10.2.0.0/16}]}}}",
        b_yaml="networks: {one: {ipam: {config: [{gateway: 10.1.0.9}]}}}",
    )
    assert any(
        "only one IPv4 and one IPv6 pool are allowed" in reported for reported in faults(tmp_path, "a.yaml", "b.yaml")
    )


@pytest.mark.parametrize("over", ["true", '"${OFF:-true}"'])
def test_a_later_file_switches_a_check_off(tmp_path: Path, over: str) -> None:
    write(
        tmp_path,
        a_yaml="services: {web: {image: x, healthcheck: {test: [CMD, a], interval: 1s}}}",
        b_yaml=f"services: {{web: {{healthcheck: {{disable: {over}}}}}}}",
    )
    check = loaded(tmp_path, "a.yaml", "b.yaml").project.services[0].task.container.healthcheck
    assert check.disabled
    assert not check.test


def test_a_check_that_is_not_switched_off_by_a_variable(tmp_path: Path) -> None:
    text = 'services: {web: {image: x, healthcheck: {test: [CMD, a], disable: "${OFF:-false}"}}}'
    write(tmp_path, a_yaml=text)
    check = loaded(tmp_path).project.services[0].task.container.healthcheck
    assert (check.disabled, list(check.test)) == (False, ["CMD", "a"])


PROFILES = """
services:
  foo: {image: foo}
  bar: {image: bar, profiles: [test]}
  baz: {image: baz, depends_on: [bar], profiles: [test]}
  zot: {image: zot, depends_on: [bar], profiles: [debug]}
  may: {image: may, depends_on: {bar: {condition: service_started, required: false}}}
"""


def test_profiles(tmp_path: Path) -> None:
    write(tmp_path, a_yaml=PROFILES)
    assert list(services(tmp_path)) == ["foo", "may"]
    assert list(services(tmp_path, profiles=("test",))) == ["foo", "bar", "baz", "may"]
    assert list(services(tmp_path, COMPOSE_PROFILES="debug,test")) == ["foo", "bar", "baz", "zot", "may"]
    assert list(services(tmp_path, profiles=("*",))) == ["foo", "bar", "baz", "zot", "may"]
    (reported,) = faults(tmp_path, profiles=("debug",))
    assert "services.zot.depends_on: service 'bar' is not enabled; enable one of its profiles: test" in reported


def test_depends_on_links_restart_and_scale(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""
services:
  web:
    image: x
    depends_on:
      db: {condition: service_healthy, restart: true}
      migrate: {condition: service_completed_successfully}
      gone: {condition: service_started, required: false}
    links: ["db:database"]
    scale: 3
    restart: on-failure:5
  db: {image: x, restart: always}
  migrate: {image: x, depends_on: [db], restart: "no"}
""",
    )
    web, db, migrate = loaded(tmp_path).project.services
    assert [(each.service, each.condition, each.restart) for each in web.depends_on] == [
        ("shop_db", Dependency.HEALTHY, True),
        ("shop_migrate", Dependency.COMPLETED, False),
    ]
    assert web.replicated.replicas == 3
    assert (web.task.restart.condition, web.task.restart.max_attempts) == (RestartPolicy.ON_FAILURE, 5)
    assert "database" in db.task.networks[0].aliases
    assert migrate.replicated_job.total_completions == 1
    assert migrate.task.restart.condition == RestartPolicy.NONE


def test_names_variables_and_what_is_unset(tmp_path: Path) -> None:
    write(tmp_path, a_yaml="name: mine\nservices: {web: {image: 'x:${A}$B', hostname: $COMPOSE_PROJECT_NAME}}")
    (tmp_path / ".env").write_text("A=1\n")
    made = load_files(None, [tmp_path / "a.yaml"], {})
    assert made.names.stack == "mine"
    assert made.project.services[0].name == "mine_web"
    assert made.project.services[0].task.container.hostname == "mine"
    assert [warning.partition(": ")[2] for warning in made.project.warnings] == [
        "variable B is not set; using an empty string"
    ]
    other = tmp_path / "other.env"
    other.write_text("A=2\nB=3\n")
    made = load_files("given", [tmp_path / "a.yaml"], {"B": "4"}, env_files=[other])
    assert made.project.services[0].task.container.image == "x:24"


def test_yaml_as_compose_reads_it(tmp_path: Path) -> None:
    write(
        tmp_path,
        a_yaml="""
x-common: &common {image: x, labels: {on: yes, when: 2024-01-01}}
services:
  web: {<<: *common, ports: [22:22], hostname: 'no'}
  more: {<<: [{image: first}, *common]}
""",
    )
    made = services(tmp_path)
    assert made["web"]["labels"] == {"on": "yes", "when": "2024-01-01"}
    assert made["web"]["ports"] == ["22:22"]
    assert made["more"]["image"] == "first"
    write(tmp_path, a_yaml="services:\n  web: {image: x}\n  web: {image: y}\n")
    assert faults(tmp_path) == ["a.yaml:3:3: duplicate key 'web'; first defined in line 2"]
    write(tmp_path, a_yaml="services: {web: {image: !!python/name:os.system x}}")
    assert "unknown tag " in faults(tmp_path)[0]


def test_the_printed_model_loads_to_the_same_specs(tmp_path: Path) -> None:
    write(tmp_path, a_yaml=PROFILES)
    first = loaded(tmp_path, profiles=("*",))
    write(tmp_path, b_yaml=yaml.safe_dump(to_plain(first.model.tree), sort_keys=False))
    assert loaded(tmp_path, "b.yaml").project.services == first.project.services


def test_what_has_no_effect_is_told(tmp_path: Path) -> None:
    write(tmp_path, a_yaml="services:\n  web:\n    image: x\n    expose: ['80']\n    attach: false\n")
    assert [warning.replace(f"{tmp_path}/", "") for warning in loaded(tmp_path).project.warnings] == [
        "a.yaml:5:5: services.web.attach: has no effect in a cluster"
    ]


def test_labels_from_files(tmp_path: Path) -> None:
    write(tmp_path, a_yaml="services: {web: {image: x, label_file: [a.env, b.env], labels: {own: 1}}}")
    (tmp_path / "a.env").write_text("own=0\nonly.a=1\nboth=a\n")
    (tmp_path / "b.env").write_text("both=b\n")
    (web,) = loaded(tmp_path).project.services
    assert dict(web.task.container.labels) == {"own": "1", "only.a": "1", "both": "b"}
