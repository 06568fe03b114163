"""The planner against a simulated cluster: nodes that die, return and lie, users who change their minds, leaders that
change between any two commits. `World.plan` checks that passes are repeatable and that incremental equals full.
"""

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from manager.planner.spec.effective_spec import rolled_back_to, spec_in_force
from manager.store import kinds
from shoal.api.v1.control_pb2 import ManageUpdateRequest
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.service_pb2 import (
    AutoscaleStatus,
    Global,
    Placement,
    ServiceSpec,
    UpdateConfig,
)
from shoal.api.v1.task_pb2 import TaskState
from shoal.networks.network_modes import network_provider
from tests.unit.planner.model.model_counts import COUNTED
from tests.unit.planner.model.model_nodes import ClusterOfNodes, nodes, services
from tests.unit.planner.model.model_proofs import Wait
from tests.unit.planner.model.model_sharing import share_network
from tests.unit.planner.model.model_specs import (
    FEATURES,
    IMAGES,
    NETWORKS,
    NODES,
    own_volumes,
    specs,
)
from tests.unit.planner.model.model_volumes import split_by_slot

MANAGE = ManageUpdateRequest


canary_policies = st.builds(
    UpdateConfig,
    canary=st.sampled_from([1, 1, 2]),
    parallelism=st.integers(1, 2),
    order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
    monitor_ms=st.sampled_from([0, 1_000]),
    max_failure_ratio=st.sampled_from([0.0, 0.5]),
    failure_action=st.sampled_from([0, 0, UpdateConfig.PAUSE, UpdateConfig.CONTINUE]),
)
move_policies = st.builds(
    UpdateConfig,
    parallelism=st.integers(1, 2),
    delay_ms=st.sampled_from([0, 2_000, 5_000]),
    order=st.sampled_from([UpdateConfig.STOP_FIRST, UpdateConfig.START_FIRST]),
)
narrower = st.builds(
    Placement,
    constraints=st.sampled_from([[], ["node.labels.zone == a"], ["node.labels.zone == b"], ["node.hostname != h1"]]),
    max_per_node=st.sampled_from([0, 0, 1, 2]),
)


class Cluster(ClusterOfNodes):
    """What happens to a cluster, in any order."""

    @initialize(size=st.integers(1, 3), features=st.sets(st.sampled_from(FEATURES), max_size=5))
    def found(self, size: int, features: set[str]) -> None:
        self.features = sorted(features)
        for name in NETWORKS:
            self.world.network(name, "10.7.0.0/28" if name == "back" else "")
        for name in NODES[:size]:
            self.add_node(name)

    # The user.

    @rule(name=services, image=st.sampled_from(IMAGES))
    def change_image(self, name: str, image: str) -> None:
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None:
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            spec.task.container.image = image
            self.world.service(self.ids[name], spec)
            self._wait_for(self.ids[name])

    @rule(name=services, image=st.sampled_from(IMAGES), replicas=st.integers(0, 9))
    def change_image_and_scale(self, name: str, image: str, replicas: int) -> None:
        """Both at once."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None and service.spec.HasField("replicated"):
            spec = ServiceSpec()
            spec.CopyFrom(service.spec)
            spec.task.container.image = image
            spec.replicated.replicas = replicas
            self.world.service(self.ids[name], spec)
            self._wait_for(self.ids[name])

    @rule(name=services, policy=canary_policies, replicas=st.integers(2, 6), rounds=st.integers(1, 4))
    def begin_with_canaries(self, name: str, policy: UpdateConfig, replicas: int, rounds: int) -> None:
        """An update that waits for its promotion, of a service that is well; perhaps with another size."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is None:
            return
        self._go_on(2)
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(self.world.tables, service))
        spec.task.container.image = next(image for image in IMAGES if image != spec.task.container.image)
        spec.update.CopyFrom(policy)
        if spec.HasField("replicated"):
            spec.replicated.replicas = replicas
        COUNTED["changes based on a rollback"] += bool(rolled_back_to(self.world.tables, service))
        self.world.service(self.ids[name], spec)
        self._wait_for(self.ids[name])
        self._go_on(rounds)

    @rule(name=services, number=st.integers(1, 3), rounds=st.integers(1, 3))
    def the_newest_fail(self, name: str, number: int, rounds: int) -> None:
        """Tasks that have to prove themselves end."""
        tasks = [task for task in self.world.desired(self.ids.get(name, "")) if task.node_id and self._is_up(task)]
        for task in sorted(tasks, key=lambda task: (-task.revision, -task.created_at_ms, task.id))[:number]:
            if not self.world.is_checked(task):
                self.world.report(task, TaskState.RUNNING)
            self.world.report(task, TaskState.FAILED)
        self._go_on(rounds)

    @rule(name=services, placement=narrower, policy=move_policies, rounds=st.integers(1, 6))
    def narrow_the_placement(self, name: str, placement: Placement, policy: UpdateConfig, rounds: int) -> None:
        """What runs where it may not any more moves."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is None:
            return
        self._go_on(2)
        spec = ServiceSpec()
        spec.CopyFrom(spec_in_force(self.world.tables, service))
        spec.task.placement.CopyFrom(placement)
        spec.update.MergeFrom(policy)
        self.world.service(self.ids[name], spec)
        self._wait_for(self.ids[name])
        for _ in range(rounds):
            self._go_on(2)
            self.world.now_ms += 1_000

    def _wait_for(self, identifier: str) -> None:
        self.waits[identifier] = Wait(self.world.tables, self.world.tables.services[identifier], self.world.now_ms)

    @rule(name=services, data=st.data())
    def deploy(self, name: str, data: st.DataObject) -> None:
        shares = name == "web" and "sharing" in self.features and data.draw(st.integers(0, 3)) > 0
        self._deploy(name, data.draw(specs(self.features)), shares=shares)

    @precondition(lambda self: "sharing" in self.features)
    @rule(data=st.data(), rounds=st.integers(0, 4))
    def share_a_network(self, data: st.DataObject, rounds: int) -> None:
        """A service, and another one of the same mode whose tasks share the networks of its tasks; they come so far."""
        if self.ids.get("api") not in self.world.tables.services:
            self._deploy("api", data.draw(specs(self.features)))
        provider, spec = self.world.tables.services[self.ids["api"]].spec, data.draw(specs(self.features))
        spec.ClearField(spec.WhichOneof("mode") or "global")
        if provider.HasField("replicated"):
            spec.replicated.replicas = data.draw(st.sampled_from([provider.replicated.replicas] * 2 + [1, 3]))
        else:
            getattr(spec, "global").CopyFrom(Global())
        spec.ClearField("autoscale")
        self._deploy("web", spec, shares=True)
        self._go_on(rounds)

    def _deploy(self, name: str, spec: ServiceSpec, *, shares: bool = False) -> None:
        identifier = self._id(name)
        old = self.world.tables.services.get(identifier)
        if old is not None and old.spec.WhichOneof("mode") != spec.WhichOneof("mode"):
            spec.ClearField(spec.WhichOneof("mode") or "global")
            if old.spec.HasField("replicated"):
                spec.replicated.CopyFrom(old.spec.replicated)
            else:
                getattr(spec, "global").CopyFrom(Global())
                spec.ClearField("autoscale")  # which the control API refuses there
        if shares:
            share_network(spec, self.ids.get("api", "api1"))
        own_volumes(spec, identifier)
        self.world.service(identifier, spec)
        self._wait_for(identifier)

    @rule(name=services, replicas=st.integers(1, 4))
    def split_volume(self, name: str, replicas: int) -> None:
        """The one task's volume comes to be there for each slot."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        spec = split_by_slot(self.world.tables, service) if service is not None else None
        if spec is not None:
            spec.replicated.replicas = replicas
            self.world.service(self.ids[name], spec)

    def _id(self, name: str) -> str:
        """As with real ids, one that is gone does not come back."""
        if name not in self.ids:
            self.made += 1
            self.ids[name] = f"{name}{self.made}"
        return self.ids[name]

    @rule(name=services, image=st.sampled_from(IMAGES), rounds=st.integers(0, 4))
    def there_and_back(self, name: str, image: str, rounds: int) -> None:
        """An update comes so far, and is taken back."""
        self.change_image(name, image)
        self._go_on(rounds)
        self.roll_back(name)
        self._go_on(3)

    @rule(name=services, other=services, more=st.integers(1, 2), at_once=st.sampled_from([None, 1, 2]))
    def contend(self, name: str, other: str, more: int, at_once: int | None) -> None:
        """Another service wants what this one has, or more of it, and comes before it."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is None or name == other or self.ids.get(other, "") in self.world.tables.services:
            return
        if network_provider(service.spec.task):
            return
        self.world.settle()
        spec = ServiceSpec()
        spec.CopyFrom(service.spec)
        spec.priority += 5
        for each in spec.task.reservations.generic_resources:
            each.count = min(3, each.count * more)
        own_volumes(spec, self._id(other))
        self.world.service(self._id(other), spec)
        self.plan(None)
        self.world.settle(at_once=at_once)

    @rule(name=services)
    def roll_back(self, name: str) -> None:
        """To the revision before, as the user asks for it."""
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None and service.revision > 1:
            earlier = self.world.tables.revisions[f"{service.meta.id}/{service.revision - 1}"]
            self.world.service(service.meta.id, earlier.spec, rollback=True)
            self._wait_for(service.meta.id)

    @rule(name=services, replicas=st.integers(0, 9))
    def autoscale(self, name: str, replicas: int) -> None:
        """The autoscaler has a number, of this service or of an earlier one of this name."""
        if name in self.ids:
            status = AutoscaleStatus(service_id=self.ids[name], replicas=replicas)
            self.world.put(kinds.AUTOSCALE, self.ids[name], status)

    @rule(name=services, replicas=st.integers(0, 9))
    def scale(self, name: str, replicas: int) -> None:
        service = self.world.tables.services.get(self.ids.get(name, ""))
        if service is not None and service.spec.HasField("replicated"):
            spec = ServiceSpec()
            spec.CopyFrom(spec_in_force(self.world.tables, service))
            spec.replicated.replicas = replicas
            COUNTED["changes based on a rollback"] += bool(rolled_back_to(self.world.tables, service))
            self.world.service(self.ids[name], spec)
            self._wait_for(self.ids[name])

    @rule(name=services)
    def rebalance(self, name: str) -> None:
        if self.ids.get(name, "") in self.world.tables.services:
            self.world.rebalance(self.ids[name])

    @rule(name=services, action=st.sampled_from([MANAGE.PAUSE, MANAGE.RESUME, MANAGE.RESUME, MANAGE.PROMOTE]))
    def manage(self, name: str, action: MANAGE.Action.ValueType) -> None:
        if self.ids.get(name, "") in self.world.tables.services:
            self.world.manage(self.ids[name], action)

    @rule(name=services)
    def remove_service(self, name: str) -> None:
        identifier = self.ids.pop(name, None)
        if identifier is not None:
            self.world.put(kinds.SERVICE, identifier, None)
            self.waits.pop(identifier, None)

    @rule(name=nodes, availability=st.sampled_from([NodeSpec.ACTIVE, NodeSpec.PAUSE, NodeSpec.DRAIN]))
    def set_availability(self, name: str, availability: NodeSpec.Availability.ValueType) -> None:
        if name in self.world.tables.nodes:
            self.world.set_availability(name, availability)
