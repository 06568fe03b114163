"""What two tasks may not have at one moment is found, also when it lasts for one revision only."""

from google.protobuf.message import Message

from shoal.api.v1.container_pb2 import Mount
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.network_pb2 import Network, NetworkSpec
from shoal.api.v1.service_pb2 import Service, ServiceRevision, ServiceSpec, UpdateConfig
from shoal.api.v1.task_pb2 import Task, TaskAddress, TaskPort, TaskState, TaskStatus
from tests.chaos.checks.instants import check_instants
from tests.chaos.checks.key_history import ROOT, STATUSES, TASKS, KeyEvent
from tests.chaos.checks.running import RunningSample, check_running

Change = tuple[str, Message | None]


def found(*revisions: list[Change]) -> list[str]:
    """What the check says of these changes, those of each revision together."""
    events = [
        KeyEvent(number, key, None if record is None else record.SerializeToString(), number, 0.0)
        for number, changes in enumerate(revisions, 1)
        for key, record in changes
    ]
    return [each.what for each in check_instants(events)]


def task(task_id: str, **fields: object) -> Change:
    values = {"id": task_id, "service_id": "s", "revision": 1, "desired_state": TaskState.RUNNING, **fields}
    return TASKS + task_id, Task(node_id=str(values.pop("node_id", "n")), **values)  # type: ignore[arg-type]


def ended(task_id: str) -> Change:
    return STATUSES + task_id, TaskStatus(task_id=task_id, state=TaskState.SHUTDOWN)


def address(text: str) -> list[TaskAddress]:
    return [TaskAddress(network_id="net", address=text)]


def service(order: "UpdateConfig.Order.ValueType") -> Change:
    spec = ServiceSpec(update=UpdateConfig(order=order))
    return f"{ROOT}services/s/spec", Service(meta=Meta(id="s"), spec=spec)


def test_an_address_of_two_live_tasks() -> None:
    first, second = task("a", addresses=address("10.0.0.2")), task("b", addresses=address("10.0.0.2"))
    assert found([first], [second]) == ["twice at revision 2: address net 10.0.0.2: tasks a, b"]
    assert found([first], [second], [ended("a")]) != []
    assert found([first], [ended("a"), second]) == []
    assert found([first], [(TASKS + "a", None)], [second]) == []


def test_a_network_of_each_node_has_an_address_once_a_node() -> None:
    spec = NetworkSpec(driver="bridge")
    network = f"{ROOT}networks/net/spec", Network(meta=Meta(id="net"), spec=spec)
    first, second = task("a", addresses=address("10.0.0.2")), task("b", node_id="m", addresses=address("10.0.0.2"))
    assert found([network], [first, second]) == []
    assert found([first, second]) != []


def test_a_port_of_two_live_tasks_on_a_node() -> None:
    ports = [TaskPort(protocol=1, target=80, published=9100)]
    assert found([task("a", ports=ports), task("b", ports=ports)]) == [
        "twice at revision 1: port n :9100/1: tasks a, b"
    ]
    assert found([task("a", ports=ports), task("b", node_id="m", ports=ports)]) == []


def test_an_exclusive_volume_of_two_live_tasks() -> None:
    def revision(*, read_only: bool = False, shared: bool = False) -> Change:
        made = ServiceRevision(service_id="s", number=1)
        made.spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v", read_only=read_only, shared=shared))
        return f"{ROOT}revisions/s/1", made

    pair = [task("a", slot=1), task("b", slot=1)]
    assert found([revision()], pair) == ["twice at revision 2: volume v s 1: tasks a, b"]
    assert found([revision(shared=True)], pair) == []
    assert found([revision(read_only=True)], pair) == []
    waiting = task("b", slot=1, node_id="")
    assert found([revision()], [pair[0], waiting]) == []


def test_two_containers_that_run_with_one_volume() -> None:
    made = ServiceRevision(service_id="s", number=1)
    made.spec.task.container.mounts.append(Mount(type=Mount.VOLUME, source="v"))
    records: list[Change] = [(f"{ROOT}revisions/s/1", made), task("a", slot=1), task("b", slot=1), task("c", slot=2)]
    events = [KeyEvent(n, key, each.SerializeToString(), n, 0.0) for n, (key, each) in enumerate(records) if each]

    def texts(**containers: str) -> list[str]:
        sample = RunningSample(5.0, {host: frozenset(ids) for host, ids in containers.items()})
        return [each.what for each in check_running([sample, sample], events)]

    assert texts(h1="a", h2="c") == []
    assert texts(h1="a", h2="b") == ["volume v of slot 1 is used by a on h1 and b on h2"]
    assert texts(h1="c", h2="c") == ["task c runs on h1 and h2", "volume v of slot 2 is used by c on h1 and c on h2"]


def test_a_slot_with_two_wanted_tasks_beyond_start_first() -> None:
    pair = [task("a", slot=1), task("b", slot=1)]
    assert found([service(UpdateConfig.STOP_FIRST)], pair) == ["twice at revision 2: slot s 1: tasks a, b"]
    assert found([service(UpdateConfig.START_FIRST)], pair) == []
    assert found([service(UpdateConfig.START_FIRST)], [*pair, task("c", slot=1)]) != []
    stopping = task("a", slot=1, desired_state=TaskState.SHUTDOWN)
    assert found([service(UpdateConfig.STOP_FIRST)], [stopping, pair[1]]) == []
    assert found([service(UpdateConfig.STOP_FIRST)], [task("a", slot=1), task("b", slot=2)]) == []
