"""`--filter`: Docker's keys and meanings, over what managers answer."""

from collections.abc import Mapping, Sequence

import pytest

from shoal.api.v1.control_pb2 import FileView, JoinTokenView, ManagerView, NodeView, ServiceView, TaskView, VolumeView
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.node_pb2 import NodeSpec, NodeStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput
from shoal.filters.event_filters import EVENTS
from shoal.filters.file_filters import FILES
from shoal.filters.manager_filters import JOIN_TOKENS, MANAGERS
from shoal.filters.node_filters import NODES
from shoal.filters.service_filters import SERVICES
from shoal.filters.task_filters import TASKS, task_filters
from shoal.filters.volume_filters import VOLUMES


def service(name: str, mode: str = "replicated", **labels: str) -> ServiceView:
    view = ServiceView()
    view.service.meta.id = f"id{name}"
    view.service.spec.name = name
    view.service.spec.labels.update(labels)
    getattr(view.service.spec, mode).SetInParent()
    return view


def test_services() -> None:
    views = [
        service("web", tier="front"),
        service("web2", "global", tier="db", old=""),
        service("job", "replicated_job"),
    ]

    def kept(*texts: str) -> list[str]:
        return [each.service.spec.name for each in views if SERVICES.parse(texts)(each)]

    assert kept() == ["web", "web2", "job"]
    assert kept("name=web") == ["web", "web2"]
    assert kept("name=web", "name=job") == ["web", "web2", "job"]
    assert kept("name=web", "mode=global") == ["web2"]
    assert kept("mode=replicated-job") == ["job"]
    assert kept("label=tier") == ["web", "web2"]
    assert kept("label=tier=db") == ["web2"]
    assert kept("label=tier", "label=old") == ["web2"], "as with Docker, all labels have to be there"
    assert kept("id=idj") == ["job"]


def task(name: str, slot: int, node: str, state: TaskState.ValueType, expected: TaskState.ValueType) -> TaskView:
    view = TaskView(service_name=name, node_hostname=node)
    view.task.id, view.task.slot, view.task.service_id = f"{name}{slot}", slot, f"id{name}"
    view.task.node_id, view.task.desired_state, view.status.state = f"n-{node}", expected, state
    return view


def test_tasks() -> None:
    views = [
        task("web", 1, "h1", TaskState.RUNNING, TaskState.RUNNING),
        task("web", 2, "h2", TaskState.FAILED, TaskState.SHUTDOWN),
        task("db", 1, "h1", TaskState.PREPARING, TaskState.RUNNING),
    ]

    def kept(*texts: str, labels: Mapping[str, Mapping[str, str]] | None = None) -> list[str]:
        keeps = task_filters(labels or {}).parse(texts)
        return [each.task.id for each in views if keeps(each)]

    assert kept("desired-state=running") == ["web1", "db1"]
    assert kept("desired-state=shutdown") == ["web2"]
    assert kept("state=failed", "state=preparing") == ["web2", "db1"]
    assert kept("node=h1") == kept("node=n-h1") == ["web1", "db1"]
    assert kept("name=web.1") == ["web1"]
    assert kept("service=web", "node=h2") == ["web2"]
    assert kept("label=tier=db", labels={"iddb": {"tier": "db"}}) == ["db1"]


def test_nodes() -> None:
    first, second = NodeView(), NodeView()
    first.node.meta.id, first.node.spec.identity.hostname, first.status.colocated_manager_id = "a1", "h1", "m1"
    first.status.state = NodeStatus.READY
    first.status.description.engine_labels["rack"] = "r1"
    second.node.meta.id, second.node.spec.identity.hostname = "b2", "h2"
    second.node.spec.availability = NodeSpec.DRAIN
    second.node.spec.labels["disk"] = "ssd"

    def kept(*texts: str) -> list[str]:
        return [each.node.meta.id for each in (first, second) if NODES.parse(texts)(each)]

    assert kept("role=manager") == kept("label=rack") == kept("status=ready") == kept("name=h1") == ["a1"]
    assert kept("role=worker") == kept("node.label=disk=ssd") == kept("availability=drain") == kept("id=b") == ["b2"]
    assert kept("membership=accepted") == ["a1", "b2"]
    assert kept("membership=pending") == []


def test_secrets_volumes_and_events() -> None:
    secret = FileView()
    secret.spec.name, secret.spec.labels["team"] = "web_key", "a"
    assert FILES.parse(["name=web", "label=team=a"])(secret)
    assert not FILES.parse(["name=key"])(secret)
    volume = VolumeView(services=["web"])
    volume.volume.spec.name, volume.volume.spec.driver = "shop_data", "local"
    assert VOLUMES.parse(["name=data", "driver=local", "dangling=false"])(volume)
    assert not VOLUMES.parse(["dangling=1"])(volume)
    event = Event(type="task", action="failed", service="web", node="h1", id="abc", name="web.1")
    assert EVENTS.parse(["type=task", "event=failed", "service=web", "node=h1", "task=ab"])(event)
    assert not EVENTS.parse(["network=web.1"])(event)
    event = Event(type="container", name="db", attributes={"image": "postgres:16", "tier": "data"})
    assert EVENTS.parse(["label=tier"])(event) and EVENTS.parse(["label=tier=data"])(event)
    assert not EVENTS.parse(["label=tier=web"])(event) and not EVENTS.parse(["label=old"])(event)


@pytest.mark.parametrize(
    ("texts", "reported"),
    [
        (["colour=red"], "unknown key 'colour'; allowed keys are id, label, mode, name, stack"),
        (["name"], "'name' must be in the form KEY=VALUE"),
        (["mode=some"], "mode 'some' must be one of replicated, global"),
        (["a=1", "b", "mode=x"], "b"),
    ],
)
def test_what_is_no_filter_is_told(texts: Sequence[str], reported: str) -> None:
    with pytest.raises(InvalidInput, match="--filter: ") as caught:
        SERVICES.parse(texts)
    assert any(reported in str(fault) for fault in caught.value.faults)


def test_managers_and_join_tokens() -> None:
    leader, lost = ManagerView(alive=True, leader=True), ManagerView()
    leader.manager.id, lost.manager.id = "4m2", "9fd"
    for text, found in (("status=down", [lost]), ("leader=true", [leader]), ("id=4", [leader]), ("leader=0", [lost])):
        assert list(filter(MANAGERS.parse([text]), (leader, lost))) == found, text
    tokens = [JoinTokenView(id="8x2", role="agent"), JoinTokenView(id="s3c", role="manager")]
    assert list(filter(JOIN_TOKENS.parse(["role=manager"]), tokens)) == tokens[1:]
    assert list(filter(JOIN_TOKENS.parse(["id=8x"]), tokens)) == tokens[:1]


def test_values_by_key_as_in_dockers_api() -> None:
    keeps = TASKS.parse_mapping({"node": ["h1"], "service": []})
    assert keeps(task("web", 1, "h1", TaskState.RUNNING, TaskState.RUNNING))
    with pytest.raises(InvalidInput):
        TASKS.parse_mapping({"colour": ["red"]})
    with pytest.raises(InvalidInput, match="too many"):
        TASKS.parse_mapping({"node": ["h1"] * 1001})
