"""The reconciler on a real store: what it asks of agents, what it writes, and how it goes on after failures."""

import asyncio
from collections.abc import Awaitable, Callable

from manager.agents.agent_address import AgentAddress
from manager.controllers.csi_volumes.reconciler import MAX_CALLS_PER_DRIVER, CsiVolumeReconciler
from manager.file_contents.content_codec import EncryptedCodec
from manager.file_contents.driver_secrets import DriverSecrets
from manager.store import kinds
from manager.store.changes import Write, delete, put
from manager.store.store import Store
from shoal.api.v1.cluster_pb2 import Leader
from shoal.api.v1.container_pb2 import ContainerSpec, Mount, VolumeOptions
from shoal.api.v1.file_pb2 import File, FileVersion
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.node_pb2 import CsiDriver, Node, NodeDescription, NodeStatus
from shoal.api.v1.service_pb2 import ServiceRevision, ServiceSpec, TaskTemplate
from shoal.api.v1.streams_pb2 import CallDriverRequest, CallDriverResponse, DriverFailure, DriverVolume
from shoal.api.v1.task_pb2 import Task, TaskState, TaskStatus
from shoal.api.v1.volume_pb2 import NodePublication, NodeVolumes, Volume, VolumePublication, VolumeSecret, VolumeSpec
from shoal.errors import Unavailable
from shoal.identity.keyring import Keyring
from shoal.telemetry.request_context import RequestContext, current_request
from tests.fakes.loaded_store import loaded_store
from tests.fakes.memory_etcd import MemoryEtcd
from tests.polling import until

ENCRYPTED = EncryptedCodec(Keyring(bytes(32)))


class Agents:
    """Answers for every node; fails as often as it is configured to.

    Attributes:
        asked: the node and the call of each request. given: its secrets.
        requests: the request that each call is a part of.
        odd: answers to the next calls. hanging: a driver that answers nothing.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.terms: list[tuple[str, int]] = []
        self.absent: set[str] = set()
        self.given: list[dict[str, str]] = []
        self.requests: list[RequestContext | None] = []
        self.refusals = 0
        self.deaf = 0
        self.odd: list[CallDriverResponse] = []
        self.hanging = ""

    async def observe_term(self, agent: AgentAddress, term: int) -> None:
        if agent.node_id in self.absent:
            raise Unavailable("the agent does not answer")
        self.terms.append((agent.node_id, term))

    async def call_driver(self, agent: AgentAddress, request: CallDriverRequest) -> CallDriverResponse:
        call = request.WhichOneof("call")
        assert call is not None
        assert (agent.node_id, request.term) in self.terms, "the node knows the term first"
        self.asked.append((agent.node_id, call))
        self.requests.append(current_request())
        self.given.append(dict(request.secrets))
        if request.driver == self.hanging:
            await asyncio.Event().wait()
        if self.odd:
            return self.odd.pop(0)
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("the agent does not answer")
        if self.refusals:
            self.refusals -= 1
            return CallDriverResponse(failure=DriverFailure(message="driver d: no space (OUT_OF_RANGE)"))
        if call == "create":
            return CallDriverResponse(created=DriverVolume(driver_volume_id="real", context={"a": "b"}))
        return CallDriverResponse(done=CallDriverResponse.Done())


def node(name: str, *, controller: bool = True) -> list[Write]:
    drivers = [
        CsiDriver(
            name=each, node_id=f"d-{name}", has_controller=controller, creates_volumes=True, attaches_volumes=True
        )
        for each in ("d", "slow")
    ]
    described = NodeDescription(hostname=name, address="192.0.2.1", stream_port=7441, csi_drivers=drivers)
    status = NodeStatus(node_id=name, state=NodeStatus.READY, description=described)
    return [put(kinds.NODE, name, Node(meta=Meta(id=name))), put(kinds.NODE_STATUS, name, status)]


def with_reconciler(scenario: Callable[[Store, Agents], Awaitable[None]]) -> None:
    async def run() -> None:
        async with loaded_store(MemoryEtcd()) as store:
            agents = Agents()
            await store.commit([*node("n1"), *node("n2", controller=False)])
            term = await store.commit([put(kinds.LEADER, "", Leader(manager_id="m"))])
            reconciler = CsiVolumeReconciler(store=store, agents=agents, secrets=DriverSecrets(ENCRYPTED))
            running = asyncio.create_task(reconciler.run(term))
            try:
                async with asyncio.timeout(60):
                    await scenario(store, agents)
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


async def make_volume(store: Store, identifier: str = "v", *, removing: bool = False, **more: object) -> None:
    spec = VolumeSpec(**{"name": "data", "driver": "d", **more})  # type: ignore[arg-type]
    volume = Volume(meta=Meta(id=identifier), spec=spec, removing=removing)
    await store.commit([put(kinds.VOLUME, identifier, volume)])


async def make_secret(store: Store, version: str, content: bytes) -> None:
    file = store.tables.secrets.get("x") or File(meta=Meta(id="x"), encrypted_data_key=ENCRYPTED.new_data_key("x"))
    new = File(meta=file.meta, encrypted_data_key=file.encrypted_data_key, version=version)
    record = FileVersion(file_id="x", version=version, content=ENCRYPTED.encode(new, version, content))
    await store.commit([put(kinds.SECRET_VERSION, f"x/{version}", record), put(kinds.SECRET, "x", new)])


async def make_task(store: Store, node_id: str) -> None:
    use = VolumeOptions(name="data", driver="d", single_node=True)
    container = ContainerSpec(mounts=[Mount(type=Mount.VOLUME, source="v", target="/d", volume=use)])
    spec = ServiceSpec(name="db", task=TaskTemplate(container=container))
    task = Task(id=f"t-{node_id}", service_id="s", revision=1, node_id=node_id)
    task.state, task.desired_state = TaskState.ASSIGNED, TaskState.RUNNING
    revision = ServiceRevision(service_id="s", number=1, spec=spec)
    await store.commit([put(kinds.REVISION, "s/1", revision), put(kinds.TASK, task.id, task)])


async def end_task(store: Store, node_id: str) -> None:
    status = TaskStatus(task_id=f"t-{node_id}", state=TaskState.SHUTDOWN)
    await store.commit([put(kinds.TASK_STATUS, status.task_id, status)])


def states(store: Store) -> list[tuple[str, int]]:
    return [(each.node_id, each.state) for each in store.tables.volume_status["v"].publications]


def test_from_its_making_to_its_end() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")
        await make_task(store, "n2")
        await until(lambda: states(store) == [("n2", VolumePublication.READY)])
        assert agents.asked == [("n1", "create"), ("n1", "attach")], "by the node that has the controller"
        await end_task(store, "n2")
        await until(lambda: states(store) == [("n2", VolumePublication.RELEASING)])
        reported = NodePublication(volume_id="v", number=1, released=True)
        await store.commit([put(kinds.NODE_VOLUMES, "n2", NodeVolumes(node_id="n2", publications=[reported]))])
        await until(lambda: states(store) == [])
        await make_volume(store, removing=True)
        await until(lambda: store.tables.volume_status["v"].deleted)
        assert [call for _, call in agents.asked] == ["create", "attach", "detach", "delete"]

    with_reconciler(scenario)


def test_failures_are_told_and_it_is_asked_again() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.refusals = 1
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status and bool(store.tables.volume_status["v"].problem))
        reported = store.tables.volume_status["v"]
        assert reported.problem == "driver d: no space (OUT_OF_RANGE)" and not reported.outcome_unknown
        agents.deaf = 1
        await until(lambda: store.tables.volume_status["v"].outcome_unknown)
        await until(lambda: bool(store.tables.volume_status["v"].driver_volume_id))
        assert store.tables.volume_status["v"].problem == "" and len(agents.asked) == 3
        assert None not in agents.requests and len(set(agents.requests)) == 3, "each attempt is found in the logs"

    with_reconciler(scenario)


def test_a_driver_that_is_away_is_asked_as_soon_as_it_is_back() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        away = NodeStatus()
        away.CopyFrom(store.tables.node_status["n1"])
        back = NodeStatus()
        back.CopyFrom(away)
        away.description.csi_drivers[0].problem = "driver d is unavailable"
        await store.commit([put(kinds.NODE_STATUS, "n1", away)])
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        assert "driver d is unavailable: no ready node" in store.tables.volume_status["v"].problem and not agents.asked
        assert not store.tables.volume_status["v"].outcome_unknown
        await store.commit([put(kinds.NODE_STATUS, "n1", back)])
        await until(lambda: bool(store.tables.volume_status["v"].driver_volume_id))

    with_reconciler(scenario)


PASSWORD = VolumeSecret(key="password", source="x", name="pw")


def test_each_call_brings_the_secrets_as_they_are_now() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        await make_secret(store, "1", b"one")
        await make_volume(store, secrets=[PASSWORD])
        await until(lambda: "v" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")
        await make_secret(store, "2", b"two")
        await make_volume(store, removing=True, secrets=[PASSWORD])
        await until(lambda: store.tables.volume_status["v"].deleted)
        assert agents.given == [{"password": "one"}, {"password": "two"}]
        assert b"one" not in store.tables.volume_status["v"].SerializeToString()

    with_reconciler(scenario)


def test_a_secret_that_no_driver_can_be_given_is_told_and_nobody_is_asked_until_it_is_mended() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        await make_secret(store, "1", b"\xff\xfe")
        await make_volume(store, secrets=[PASSWORD])
        await until(lambda: "v" in store.tables.volume_status and bool(store.tables.volume_status["v"].problem))
        reported = store.tables.volume_status["v"]
        assert reported.problem == "secret pw must be UTF-8 text to be passed to a volume driver"
        assert not reported.outcome_unknown and not agents.asked
        await make_secret(store, "2", b"text")
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")
        assert agents.given == [{"password": "text"}]

    with_reconciler(scenario)


def test_answers_that_cannot_be_kept_are_failures() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        endless = DriverVolume(driver_volume_id="real", context={"a": "b" * 40_000})
        shout = DriverFailure(message="\x1b[2J" + "no " * 1000)
        agents.odd = [
            CallDriverResponse(),
            CallDriverResponse(created=endless),
            CallDriverResponse(failure=shout),
        ]
        problems: list[str] = []
        await make_volume(store)

        def is_made() -> bool:
            status = store.tables.volume_status.get("v")
            if status is not None and status.problem and status.problem not in problems:
                problems.append(status.problem)
            return status is not None and status.driver_volume_id == "real"

        await until(is_made)
        assert ["returned no volume id" in problems[0], "exceeds 32768 bytes" in problems[1]] == [True, True]
        assert problems[2].isprintable() and len(problems[2]) <= 500
        assert len(agents.asked) == 4, "each after a pause, and none of them in a loop"

    with_reconciler(scenario)


def test_a_driver_that_hangs_keeps_no_other_from_its_calls() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.hanging = "slow"
        for number in range(MAX_CALLS_PER_DRIVER + 1):
            await make_volume(store, f"s{number}", driver="slow")
        await until(lambda: len(agents.asked) == MAX_CALLS_PER_DRIVER)
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")

    with_reconciler(scenario)


def test_a_driver_that_fails_in_ever_other_words_makes_nobody_impatient() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.refusals = 1000
        await make_volume(store)
        await until(lambda: len(agents.asked) == 1)
        for number in range(30):
            status = NodeStatus()
            status.CopyFrom(store.tables.node_status["n1"])
            status.description.csi_drivers[1].problem = f"attempt {number} failed"
            await store.commit([put(kinds.NODE_STATUS, "n1", status)])
            await asyncio.sleep(0)
        await make_volume(store, "other")
        await until(lambda: "other" in store.tables.volume_status)
        assert len(agents.asked) < 10, "pauses are kept"

    with_reconciler(scenario)


def test_a_node_that_is_removed_while_its_driver_is_about_to_be_asked_ends_nothing() -> None:
    async def run() -> None:
        etcd = MemoryEtcd()
        async with loaded_store(etcd) as store:
            await store.commit(node("n1"))
            reconciler = CsiVolumeReconciler(store=store, agents=Agents(), secrets=DriverSecrets(ENCRYPTED))
            etcd.slow = kinds.VOLUME_STATUS.key("v")
            running = asyncio.create_task(reconciler.run(0))
            await make_volume(store)
            await until(lambda: etcd.held > 0)
            await store.commit([delete(kinds.NODE, "n1"), delete(kinds.NODE_STATUS, "n1")])
            etcd.release()
            await until(lambda: "v" in store.tables.volume_status and bool(store.tables.volume_status["v"].problem))
            assert not running.done()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    asyncio.run(run())


def test_controllers_learn_of_the_term_once_before_the_first_call() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        await store.commit(node("n3"))
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")
        await make_volume(store, "w")
        await until(lambda: "w" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["w"].driver_volume_id == "real")
        assert sorted(name for name, _ in agents.terms) == ["n1", "n3"], "also those that are not called"

    with_reconciler(scenario)


def test_a_controller_that_does_not_answer_the_new_leader_keeps_no_driver_from_being_called() -> None:
    async def scenario(store: Store, agents: Agents) -> None:
        agents.absent = {"n3"}
        await store.commit(node("n3"))
        await make_volume(store)
        await until(lambda: "v" in store.tables.volume_status)
        await until(lambda: store.tables.volume_status["v"].driver_volume_id == "real")

    with_reconciler(scenario)
