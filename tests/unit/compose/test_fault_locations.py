"""Faults that the manager finds, located where the file has their cause."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from shoal.api.v1.file_pb2 import FileSpec
from shoal.api.v1.network_pb2 import NetworkSpec
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.api.v1.volume_pb2 import VolumeSpec
from shoal.compose.fault_locations import locate_faults
from shoal.compose.faults import FaultLog
from shoal.compose.reading.yaml_document import parse_document
from shoal.compose.schema_check import SUPPORTED
from shoal.compose.spec_keys import compose_keys
from shoal.compose.stack_names import StackNames
from shoal.errors import Fault

NAMES = StackNames("shop")

FILE = """
services:
  web:
    image: registry:5000/nosuch:1
    ports: ["80:80", "80:81"]
    deploy:
      placement:
        constraints: ["node.id == a", "node.foo == b"]
      resources: {limits: {memory: 10M}}
networks:
  front: {}
"""


def reported(path: str) -> str:
    tree = parse_document(Path("shop.yaml"), FILE).value
    return str(locate_faults(tree, [Fault(path, "wrong")], FaultLog(), NAMES)[0])


def test_fields_become_keys_with_line_and_column() -> None:
    assert reported("services.shop_web.task.container.image") == "shop.yaml:4:5: services.web.image: wrong"
    assert reported("services.shop_web.endpoint.ports[1].published") == "shop.yaml:5:22: services.web.ports[1]: wrong"
    assert reported("services.shop_web.task.placement.constraints[1]") == (
        "shop.yaml:8:39: services.web.deploy.placement.constraints[1]: wrong"
    )
    assert reported("services.shop_web.task.limits.memory_bytes") == (
        "shop.yaml:9:28: services.web.deploy.resources.limits.memory: wrong"
    )
    assert reported("networks.shop_front.subnet") == "shop.yaml:11:3: networks.front.ipam.config.subnet: wrong"


def test_what_the_file_does_not_have_is_located_by_its_key_at_the_nearest_place() -> None:
    assert reported("services.shop_web.task.container.user") == "shop.yaml:3:3: services.web.user: wrong"
    assert reported("services.shop_web.task.container.shm_bytes") == "shop.yaml:3:3: services.web.shm_size: wrong"
    assert reported("services.shop_web.task.limits.pids") == (
        "shop.yaml:9:19: services.web.deploy.resources.limits.pids: wrong"
    )
    assert reported("services.shop_web") == "shop.yaml:3:3: services.web: wrong"
    assert reported("services.shop_other.task.container.image") == "services.shop_other.task.container.image: wrong"
    assert reported("stack") == "stack: wrong"
    assert reported("") == "wrong"


RICH = """
services:
  web:
    image: x
    shm_size: 1
    cpuset: "9"
    cpu_period: 7
    memswap_limit: 1m
    schedule: hourly
    tmpfs: [/run, /tmp]
    volumes: ["data:/data", {type: tmpfs, target: /cache, tmpfs: {mode: 7}}]
    ports: ["80-81:80-81", {target: 90, host_ip: nowhere}]
    networks: {slow: {priority: 1}, fast: {priority: 2, ipv4_address: x}}
    depends_on: {db: {condition: service_started}}
    ulimits: {nofile: 1, nproc: 2}
    environment: {A: 1}
    sysctls: {net.core.somaxconn: 1}
    healthcheck: {interval: 1s}
    x-healthcheck: {http: ":80"}
    deploy: {x-autoscale: {min: 1}, update_config: {delay: 1s}, placement: {preferences: [{x-binpack: cpus}]}}
  db: {image: x}
networks:
  slow: {name: actual, ipam: {config: [{subnet: 10.0.0.0/24}, {subnet: "fd01::/64"}]}}
  fast: {}
volumes: {data: {driver_opts: {type: x}}}
"""

LOCATED = {
    "services.shop_web.task.container.shm_bytes": "5:5: services.web.shm_size",
    "services.shop_web.task.container.cpu.cpuset_cpus": "6:5: services.web.cpuset",
    "services.shop_web.task.container.cpu.period_us": "7:5: services.web.cpu_period",
    "services.shop_web.task.container.memory.swap_bytes": "8:5: services.web.memswap_limit",
    "services.shop_web.schedule.cron": "9:5: services.web.schedule.cron",
    "services.shop_web.task.container.mounts[1].target": "10:19: services.web.tmpfs[1]",
    "services.shop_web.task.container.mounts[2].source": "11:15: services.web.volumes[0]",
    "services.shop_web.task.container.mounts[3].tmpfs_mode": "11:67: services.web.volumes[1].tmpfs.mode",
    "services.shop_web.endpoint.ports[1].published": "12:13: services.web.ports[0]",
    "services.shop_web.endpoint.ports[2].host_address": "12:41: services.web.ports[1].host_ip",
    "services.shop_web.task.networks[0].address": "13:57: services.web.networks.fast.ipv4_address",
    "services.shop_web.task.networks[1].network": "13:16: services.web.networks.slow",
    "services.shop_web.depends_on[0].service": "14:18: services.web.depends_on.db",
    "services.shop_web.task.container.ulimits[1].soft": "15:26: services.web.ulimits.nproc",
    "services.shop_web.task.container.env[0]": "16:5: services.web.environment",
    "services.shop_web.task.container.sysctls.net.core.somaxconn": "17:15: services.web.sysctls.net.core.somaxconn",
    "services.shop_web.task.container.healthcheck.interval_ms": "18:19: services.web.healthcheck.interval",
    "services.shop_web.task.container.healthcheck.http.port": "19:21: services.web.x-healthcheck.http.port",
    "services.shop_web.autoscale.min_replicas": "20:28: services.web.deploy.x-autoscale.min",
    "services.shop_web.update.delay_ms": "20:53: services.web.deploy.update_config.delay",
    "services.shop_web.task.placement.preferences[0].binpack": (
        "20:92: services.web.deploy.placement.preferences[0].x-binpack"
    ),
    "networks.actual.subnet6": "23:64: networks.slow.ipam.config[1].subnet",
    "volumes.shop_data.options.type": "25:32: volumes.data.driver_opts.type",
}


@pytest.mark.parametrize("path", LOCATED)
def test_fields_are_located_by_the_entry_that_they_come_from(path: str) -> None:
    tree = parse_document(Path("shop.yaml"), RICH).value
    assert str(locate_faults(tree, [Fault(path, "wrong")], FaultLog(), NAMES)[0]) == f"shop.yaml:{LOCATED[path]}: wrong"


SPECS: dict[str, Descriptor] = {
    "services": ServiceSpec.DESCRIPTOR,
    "networks": NetworkSpec.DESCRIPTOR,
    "volumes": VolumeSpec.DESCRIPTOR,
    "secrets": FileSpec.DESCRIPTOR,
    "configs": FileSpec.DESCRIPTOR,
}


def fields(of: Descriptor, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for field in of.fields:
        inside = field.message_type
        if inside is not None and not inside.GetOptions().map_entry:
            yield from fields(inside, (*path, field.name))
        yield (*path, field.name)


@pytest.mark.parametrize("section", SPECS)
def test_every_field_of_a_spec_is_located_by_a_key_of_the_file(section: str) -> None:
    """A new field of a spec needs a rule, unless it has the name of its key."""
    unknown = []
    for path in fields(SPECS[section]):
        for key, _ in compose_keys(section, path):
            known: Any = SUPPORTED[section]["*"]
            for part in key:
                if str(part).startswith("x-") or known is None:
                    break
                if part not in known:
                    unknown.append((path, key))
                    break
                known = known[part]
    assert not unknown


@pytest.mark.parametrize("value", ["5", "[a]", "text", "{web: [a], front: 5}", "{web: {networks: {a: [1]}, ports: 7}}"])
@pytest.mark.parametrize(
    "path",
    [
        "services.shop_web.endpoint.ports[1].published",
        "services.shop_web.task.networks[0].address",
        "networks.shop_front.subnet6",
    ],
)
def test_a_model_with_faults_of_its_own_is_no_hindrance(value: str, path: str) -> None:
    tree = parse_document(Path("shop.yaml"), f"services: {value}\nnetworks: {value}\n").value
    (fault,) = locate_faults(tree, [Fault(path, "wrong")], FaultLog(), NAMES)
    assert str(fault).endswith(": wrong")
