"""Rows of `shoal ps`, and ports, as Docker writes them."""

import pytest

from cli.render.container_rows import FIELDS, RowOptions, container_row
from cli.render.format_template import row_record
from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.engine_pb2 import ContainerView
from shoal.api.v1.service_pb2 import PublishedPort
from shoal.api.v1.task_pb2 import TaskState
from shoal.container_ids import container_id
from shoal.container_ports import port_bindings, ports_text

NOW = 1_700_000_000_000
ID = "0123456789abc"


def view_of(state: int = TaskState.RUNNING) -> ContainerView:
    """A container that runs for a minute."""
    view = ContainerView(node_id="n", node_hostname="h2")
    view.container.meta.id, view.container.meta.created_at_ms = ID, NOW - 120_000
    view.container.name, view.container.run = "db", 1
    view.task.id, view.task.job_run = "t", 1
    view.task_status.state = TaskState.ValueType(state)
    view.task_status.running_at_ms = view.task_status.at_ms = NOW - 60_000
    spec = view.container.definition.task.container
    spec.image = f"docker.io/library/postgres:16@sha256:{'a' * 64}"
    spec.labels["tier"] = "db"
    view.container.definition.labels["team"] = "shop"
    return view


def row(view: ContainerView, **options: object) -> dict[str, object]:
    return container_row(view, RowOptions(NOW, {"n1": "front"}, no_trunc=bool(options.get("no_trunc"))))


def test_a_row() -> None:
    made = row(view_of())
    assert made["container_id"] == container_id(ID)[:12]
    assert made["image"] == "postgres:16"
    assert made["created"] == "2 minutes ago"
    assert made["status"] == "Up About a minute"
    assert (made["state"], made["node"], made["names"]) == ("running", "h2", "db")
    assert made["labels"] == {"tier": "db", "team": "shop"}
    assert made["networks"] == ["bridge"]


def test_nothing_is_cut_without_truncation() -> None:
    view = view_of()
    view.command.extend(["docker-entrypoint.sh", "postgres", "-c", "fsync=off"])
    assert row(view)["command"] == '"docker-entrypoint.s…"'
    whole = row(view, no_trunc=True)
    assert whole["command"] == '"docker-entrypoint.sh postgres -c fsync=off"'
    assert whole["container_id"] == container_id(ID)
    assert whole["image"] == f"postgres:16@sha256:{'a' * 64}"


def test_a_task_of_a_service_has_its_tasks_id() -> None:
    view = view_of()
    view.container.meta.Clear()
    view.task.id, view.task.created_at_ms = ID, NOW - 5000
    view.container.name = f"web.1.{ID}"
    made = row(view)
    assert (made["names"], made["is_task"], made["created"]) == ("web.1", True, "5 seconds ago")
    assert made["container_id"] == container_id(ID)[:12]
    assert row(view, no_trunc=True)["names"] == f"web.1.{ID}"


@pytest.mark.parametrize(
    ("ports", "text"),
    [
        ([(8080, 80, "", 1)], "0.0.0.0:8080->80/tcp"),
        ([(53, 53, "", 2), (53, 53, "", 1)], "0.0.0.0:53->53/tcp, 0.0.0.0:53->53/udp"),
        ([(9000, 9000, "", 1), (9001, 9001, "", 1), (9002, 9002, "", 1)], "0.0.0.0:9000-9002->9000-9002/tcp"),
        ([(8080, 80, "127.0.0.1", 1), (8081, 443, "::1", 1)], "127.0.0.1:8080->80/tcp, [::1]:8081->443/tcp"),
    ],
)
def test_ports(ports: list[tuple[int, int, str, int]], text: str) -> None:
    view = view_of()
    for published, target, host, protocol in ports:
        view.task.ports.add(published=published, target=target, host_address=host, protocol=protocol)
    assert ports_text(view) == text


def test_ports_of_the_mesh_are_those_of_a_container_that_runs() -> None:
    view = view_of()
    view.status.mesh_ports.add(published=5432, target=5432, protocol=PublishedPort.TCP)
    assert [each.published_text for each in port_bindings(view)] == ["0.0.0.0:5432"]
    view.task_status.state = TaskState.COMPLETE
    assert ports_text(view) == ""


def test_templates_have_dockers_names() -> None:
    view = view_of()
    mounts = view.container.definition.task.container.mounts
    mounts.add(type=Mount.VOLUME, target="/data").volume.name = "data"
    mounts.add(type=Mount.BIND, source="/srv/a-long-directory", target="/srv")
    view.container.definition.task.networks.add(network="n1")
    record = row_record(row(view), FIELDS)
    dockers = "ID Image Command CreatedAt RunningFor Ports State Status Names Labels Label Mounts Networks LocalVolumes"
    assert {*dockers.split(), "Node"} <= record.keys()
    assert (record["Mounts"], record["LocalVolumes"], record["Networks"]) == ("data,/srv/a-long-di…", 1, "front")
    assert (record["RunningFor"], record["Labels"]) == ("2 minutes ago", "team=shop,tier=db")
