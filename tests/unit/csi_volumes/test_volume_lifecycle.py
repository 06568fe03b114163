"""A volume's whole life as a model: keeper, driver and two nodes in any order, with answers lost and agents killed."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.volumes import csi_volume_step
from agent.volumes.csi_volume_step import CsiVolumeStep
from manager.controllers.csi_volumes.driver_calls import after_failure, after_success, request_of
from manager.controllers.csi_volumes.next_volume_step import DriverCall, DriverMethod, WriteStatus, next_steps
from manager.controllers.csi_volumes.volume_facts import DriverFacts, NodeFacts, VolumeFacts
from shoal.api.v1.dispatcher_pb2 import VolumeAttachment
from shoal.api.v1.meta_pb2 import Meta
from shoal.api.v1.streams_pb2 import CallDriverResponse, DriverVolume
from shoal.api.v1.volume_pb2 import (
    MULTI_NODE_MULTI_WRITER,
    SINGLE_NODE_WRITER,
    AccessMode,
    NodePublication,
    Volume,
    VolumePublication,
    VolumeSpec,
    VolumeStatus,
)

NODES = ("n1", "n2")


@dataclass
class Node:
    """An agent with its disk, and the one task that may need the volume."""

    assigned: VolumeAttachment | None = None
    settled: bool = False
    record: VolumeAttachment | None = None
    confirmed: bool = False
    mounted: bool = False
    task: str = ""
    reported: NodePublication = field(default_factory=NodePublication)

    def facts(self) -> csi_volume_step.CsiVolumeFacts:
        in_use = self.task in ("runs", "ended")
        return csi_volume_step.CsiVolumeFacts(self.assigned, self.settled, self.record, self.confirmed, in_use)


class World:
    """All of it; every method is one step that may come at any time."""

    def __init__(self, mode: AccessMode.ValueType, *, attaches: bool) -> None:
        self.single = mode == SINGLE_NODE_WRITER
        self.volume = Volume(meta=Meta(id="v"), spec=VolumeSpec(name="data", driver="d", access_mode=mode))
        self.status: VolumeStatus | None = None
        self.driver = DriverFacts(known=True, creates=True, attaches=attaches, controllers=("n1",), topologies=())
        self.exists = False
        self.attached: set[str] = set()
        self.nodes = {name: Node() for name in NODES}

    def facts(self) -> VolumeFacts:
        desired = frozenset(name for name, node in self.nodes.items() if node.task in ("waits", "runs"))
        places = {name: NodeFacts(name, False, f"d-{name}", node.reported) for name, node in self.nodes.items()}
        return VolumeFacts(self.volume, self.status, self.driver, desired, places)

    def keep(self, outcome: str, choice: int = 0) -> bool:
        """One step of the keeper; the answer of a driver may be lost though it did what it was asked."""
        steps = next_steps(self.facts())
        if not steps:
            return False
        step = steps[choice % len(steps)]
        assert step.status.volume_id == "v"
        self.status = step.status
        if isinstance(step, WriteStatus):
            return True
        request_of(step, self.volume, self.driver)
        if outcome != "refused":
            self.obey(step)
        if outcome == "refused":
            self.status = after_failure(step, "no", outcome_unknown=False)
        elif outcome == "done":
            made = DriverVolume(driver_volume_id="real")
            answer = CallDriverResponse(created=made) if step.method is DriverMethod.CREATE else CallDriverResponse()
            self.status = after_success(step, answer)
        elif outcome == "told late":
            self.status = after_failure(step, "no answer", outcome_unknown=True)
        return True

    def obey(self, call: DriverCall) -> None:
        """What the driver does."""
        match call.method:
            case DriverMethod.CREATE:
                self.exists = True
            case DriverMethod.DELETE:
                assert not self.attached and not any(node.mounted for node in self.nodes.values())
                self.exists = False
            case DriverMethod.ATTACH:
                self.attached.add(call.node_id)
                assert not self.single or len(self.attached) == 1, "one node at a time"
            case DriverMethod.DETACH:
                assert not self.nodes[call.node_id].mounted, "never under a node that has it"
                self.attached.discard(call.node_id)

    def announce(self, name: str) -> None:
        """The node hears what managers have to say."""
        publications = self.status.publications if self.status is not None else ()
        found = next((each for each in publications if each.node_id == name), None)
        node = self.nodes[name]
        node.settled, node.assigned = True, None
        if found is not None:
            waits = found.state == VolumePublication.ATTACHING
            state = VolumePublication.WAITING if waits else found.state
            node.assigned = VolumeAttachment(volume_id="v", publication_number=found.number, state=state)

    def act(self, name: str, outcome: str) -> bool:
        """One step of the agent."""
        node = self.nodes[name]
        step = csi_volume_step.next_step(node.facts())
        if step is CsiVolumeStep.MOUNT:
            node.record = node.assigned
            if outcome != "refused":
                assert not self.driver.attaches or name in self.attached
                node.mounted = True
            node.confirmed = outcome == "done"
            assert not self.single or sum(each.mounted for each in self.nodes.values()) <= 1
        elif step is CsiVolumeStep.RELEASE:
            assert node.task not in ("runs", "ended"), "never under a container"
            node.confirmed = False
            if outcome != "refused":
                node.mounted = False
            if outcome == "done":
                node.record = None
        return step in (CsiVolumeStep.MOUNT, CsiVolumeStep.RELEASE)

    def report(self, name: str) -> None:
        reported = csi_volume_step.publication_of(self.nodes[name].facts(), "v", "")
        self.nodes[name].reported = reported or NodePublication()
        assert not (reported and reported.released) or not self.nodes[name].mounted, "the word is true"

    def kill(self, name: str) -> None:
        """The agent begins anew; disk, mounts and containers stay."""
        node = self.nodes[name]
        node.assigned, node.settled, node.confirmed = None, False, False

    def move_on(self, name: str) -> None:
        """The task's next state."""
        node = self.nodes[name]
        if node.task == "waits" and csi_volume_step.is_usable(node.facts()):
            assert node.mounted
            node.task = "runs"
        elif node.task in ("runs", "ended"):
            node.task = {"runs": "ended", "ended": ""}[node.task]
        elif not node.task and not self.volume.removing:
            node.task = "waits"

    def rest(self) -> None:
        """Everybody goes on, without faults, until nothing is left to do."""
        for _ in range(60):
            moved = self.keep("done")
            for name in NODES:
                self.announce(name)
                moved |= self.act(name, "done")
                before = self.nodes[name].reported
                self.report(name)
                moved |= before != self.nodes[name].reported
            if not moved:
                return
        raise AssertionError("it does not come to rest")


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "tell", "act", "report", "kill", "task"]),
        st.sampled_from(NODES),
        st.sampled_from(["done", "done", "refused", "lost", "told late"]),
        st.integers(0, 3),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(steps=STEPS, mode=st.sampled_from([SINGLE_NODE_WRITER, MULTI_NODE_MULTI_WRITER]), attaches=st.booleans())
def test_whatever_happens(steps: list[tuple[str, str, str, int]], mode: AccessMode.ValueType, attaches: bool) -> None:
    world = World(mode, attaches=attaches)
    for what, name, outcome, choice in steps:
        match what:
            case "keep":
                world.keep(outcome, choice)
            case "tell":
                world.announce(name)
            case "act":
                world.act(name, outcome)
            case "report":
                world.report(name)
            case "kill":
                world.kill(name)
            case "task":
                world.move_on(name)
    for node in world.nodes.values():  # tasks that can run do, one node after the other, and then end
        for _ in range(4):
            world.rest()
            for name, each in world.nodes.items():
                if each.task and (each is node or each.task != "waits"):
                    world.move_on(name)
    for node in world.nodes.values():
        node.task = ""
    world.rest()
    assert world.status is None or not world.status.publications
    world.volume.removing = True
    world.rest()
    assert world.status is not None and world.status.deleted
    assert not world.exists and not world.attached and not any(node.mounted for node in world.nodes.values())
