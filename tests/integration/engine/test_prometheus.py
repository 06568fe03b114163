"""Prometheus of Debian finds containers, services, tasks and nodes by Docker's API, and scrapes what it has found.

Names of labels are those of Prometheus' documentation of `docker_sd_config` and `dockerswarm_sd_config`.
"""

import json
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
import yaml
from docker.types import ConfigReference, EndpointSpec

from tests.integration.engine.conftest import HELLO, EngineCluster
from tests.ports import free_port

PORT = 8095
ROLES = ("services", "tasks", "nodes")
METRICS = b"answers_total 42\n"
Labels = dict[str, str]

CONTAINER = {
    "container_id", "container_name", "container_network_mode", "network_id", "network_name", "network_ingress",
    "network_internal", "network_ip", "network_scope", "port_private",
}  # fmt: skip
NETWORK = {"network_id", "network_name", "network_ingress", "network_internal", "network_scope"}
SERVICE = {"service_id", "service_name", "service_mode"}
NODE = {
    "node_address", "node_availability", "node_hostname", "node_id", "node_platform_architecture", "node_platform_os",
    "node_role", "node_status",
}  # fmt: skip
TASK = {"task_container_id", "task_desired_state", "task_id", "task_slot", "task_state", "task_port_publish_mode"}


class Prometheus:
    """A server that is asked for what it has found."""

    def __init__(self, address: str) -> None:
        self._address = address

    def found(self, job: str) -> list[Labels]:
        """Labels of a job's targets before any relabelling, without the beginning that all have."""
        return [_short(each["discoveredLabels"]) for each in self._targets(job)]

    def health(self, job: str) -> set[str]:
        """How the last scrapes of a job's targets ended."""
        return {str(each["health"]) for each in self._targets(job)}

    def values(self, query: str) -> list[str]:
        """Values of an instant query."""
        return [each["value"][1] for each in self._ask(f"query?query={query}")["result"]]

    def _targets(self, job: str) -> list[dict[str, Any]]:
        active = self._ask("targets?state=active")["activeTargets"]
        return [each for each in active if each["scrapePool"] == job]

    def _ask(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}", timeout=10) as answer:
                return json.load(answer)["data"]
        except OSError:  # it is not up yet
            return {"activeTargets": [], "result": []}


def _short(labels: Labels) -> Labels:
    return {key.removeprefix("__meta_dockerswarm_").removeprefix("__meta_docker_"): labels[key] for key in labels}


@pytest.fixture
def prometheus(engine: EngineCluster, tmp_path: Path) -> Iterator[Prometheus]:
    """A server with a job for containers and one for each role, and one that scrapes a published port of each node."""
    jobs: list[dict[str, Any]] = [_job("containers", "docker_sd_configs", engine.docker_host)]
    jobs += [_job(role, "dockerswarm_sd_configs", engine.docker_host, role=role) for role in ROLES]
    scraped = _job("pages", "dockerswarm_sd_configs", engine.docker_host, role="nodes")
    port = {"source_labels": ["__meta_dockerswarm_node_address"], "target_label": "__address__"}
    jobs.append({**scraped, "relabel_configs": [{**port, "replacement": f"$1:{PORT}"}]})
    settings = tmp_path / "prometheus.yml"
    settings.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={settings}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    with (tmp_path / "log").open("wb") as log:
        command = ["prometheus", *options, f"--web.listen-address={address}"]
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            yield Prometheus(address)
            server.terminate()


def _job(name: str, kind: str, host: str, **more: str) -> dict[str, Any]:
    return {"job_name": name, kind: [{"host": host, "refresh_interval": "1s", **more}]}


def test_containers_services_tasks_and_nodes_are_found_and_scraped(
    engine: EngineCluster, prometheus: Prometheus
) -> None:
    with engine.client() as client:
        started = _start(client)
        until = engine.cluster.until
        until(lambda: len(_running(prometheus)) == 2, "the tasks to be found as running")
        until(lambda: prometheus.health("pages") == {"up"}, "every node's published port to be scraped")
        of_each = [str(42 * engine.hosts)]  # a scrape has ended before what it has found is stored
        until(lambda: prometheus.values("sum(answers_total)") == of_each, "42 of each node")
        web = until(lambda: _named(prometheus, "containers", "container_name", "/web"), "the container to be found")
        _check_container(web, started)
        pages = until(lambda: _published(prometheus), "the service to be found with its port")
        _check_service(pages, started)
        tasks = _running(prometheus)
        assert {each["task_slot"] for each in tasks} == {"1", "2"}
        for each in tasks:
            _check_task(each, client, started)
        nodes = prometheus.found("nodes")
        assert {each["node_hostname"] for each in nodes} == {each.name for each in engine.cluster.layout.all_hosts()}
        for each in nodes:
            _check_node(each, engine)


def _start(client: docker.DockerClient) -> dict[str, str]:
    """A container and a service of two tasks with a port; their ids."""
    network = client.networks.create("front", driver="overlay", attachable=True, labels={"zone": "public"})
    web = client.containers.run(
        HELLO, detach=True, name="web", network="front", ports={"80/tcp": 8096}, labels={"team": "a"}
    )
    page = client.configs.create(name="page", data=METRICS)
    service = client.services.create(  # type: ignore[no-untyped-call]
        HELLO,
        name="pages",
        labels={"tier": "web"},
        container_labels={"team": "b"},
        hostname="page",
        networks=["front"],
        mode={"Replicated": {"Replicas": 2}},
        endpoint_spec=EndpointSpec(ports={PORT: 80}),  # type: ignore[dict-item]  # numbers, by its documentation
        configs=[ConfigReference(str(page.id), "page", filename="/www/metrics")],
    )
    return {"network": str(network.id), "container": str(web.id), "service": str(service.id)}


def _running(prometheus: Prometheus) -> list[Labels]:
    """Tasks that run, by their addresses on the network `front`."""
    found = prometheus.found("tasks")
    return [each for each in found if (each.get("network_name"), each["task_state"]) == ("front", "running")]


def _named(prometheus: Prometheus, job: str, label: str, value: str) -> Labels:
    return next((each for each in prometheus.found(job) if each.get(label) == value), {})


def _published(prometheus: Prometheus) -> Labels:
    """The service, once its port was assigned when it was looked for."""
    found = _named(prometheus, "services", "service_name", "pages")
    return found if "service_endpoint_port_publish_mode" in found else {}


def _check_container(found: Labels, ids: dict[str, str]) -> None:
    assert found.keys() >= CONTAINER
    assert (found["container_id"], found["network_id"]) == (ids["container"], ids["network"])
    assert found["container_label_team"] == "a"
    assert found["network_label_zone"] == "public"
    assert (found["port_private"], found["port_public"]) == ("80", "8096")
    assert found["__address__"] == f"{found['network_ip']}:80"


def _check_service(found: Labels, ids: dict[str, str]) -> None:
    assert found.keys() >= SERVICE | NETWORK
    assert found["service_id"] == ids["service"]
    assert (found["service_mode"], found["service_label_tier"]) == ("replicated", "web")
    assert found["service_task_container_hostname"] == "page"
    assert found["service_task_container_image"].startswith("hello:1@sha256:")
    assert found["service_endpoint_port_publish_mode"] == "ingress"
    assert found["__address__"].endswith(f":{PORT}"), "of its virtual address"


def _check_task(found: Labels, client: docker.DockerClient, ids: dict[str, str]) -> None:
    assert found.keys() >= TASK | SERVICE | NODE | NETWORK
    assert (found["service_id"], found["network_id"]) == (ids["service"], ids["network"])
    assert found["task_desired_state"] == "running"
    assert (found["container_label_team"], found["service_label_tier"]) == ("b", "web")
    labels = client.containers.get(found["task_container_id"]).labels
    assert labels["com.docker.swarm.task.id"] == found["task_id"]


def _check_node(found: Labels, engine: EngineCluster) -> None:
    assert found.keys() >= NODE | {"node_engine_version"}
    assert found["node_address"] == str(engine.cluster.host_of(found["node_hostname"]).address)
    assert (found["node_status"], found["node_availability"], found["node_role"]) == ("ready", "active", "worker")
