"""Which revision a service's tasks are to run, and which tasks are outdated."""

from google.protobuf.message import Message

from manager.store.tables import View
from shoal.api.v1.service_pb2 import Service, ServiceSpec, TaskTemplate
from shoal.api.v1.task_pb2 import Task
from shoal.networks.published_ports import is_mesh, mesh_ports


class DesiredTemplate:
    """The desired template of one service; compares each older revision with it once."""

    def __init__(self, view: View, service: Service) -> None:
        self._view = view
        self._service = service
        self._differs: dict[int, bool] = {}
        self.revision = self._choose_revision()

    def differs(self, task: Task) -> bool:
        """Whether the task is outdated: not when only placement, restart policy, labels or the planner's own fields of
        mounts (`shared`, `failover_after_ms`) differ."""
        return self.differs_from(task.revision)

    def differs_from(self, number: int) -> bool:
        """Whether the running part of that revision differs."""
        if number == self.revision:
            return False
        known = self._differs.get(number)
        return known if known is not None else self._differs.setdefault(number, self._compare(number))

    def has_older_number(self, task: Task) -> bool:
        """It runs the desired template under the number of a revision before another template."""
        return task.revision < self._service.task_revision and not self.differs(task)

    def _choose_revision(self) -> int:
        service = self._service
        older = service.task_revision
        # The newest one, unless that of the running tasks has the same running part: then no agent needs a new one.
        return older if older and older != service.revision and not self._compare(older) else service.revision

    def _compare(self, number: int) -> bool:
        revision = self._view.revision_of(self._service.meta.id, number)
        return revision is None or running_part(revision.spec) != running_part(self._service.spec)


def running_part(spec: ServiceSpec) -> tuple[bytes, ...]:
    """The part of a spec that its tasks run: without what matters to the planner alone, with the ports of the node."""
    template = TaskTemplate()
    template.CopyFrom(spec.task)
    template.ClearField("placement")
    template.ClearField("restart")
    for mount in template.container.mounts:
        mount.shared = False
        mount.volume.ClearField("failover_after_ms")
    strip_empty(template)
    # A port of the mesh requires nothing of the task but to be on the mesh's network.
    own = [port for port in spec.endpoint.ports if not is_mesh(port)]
    mesh = b"mesh" if mesh_ports(spec) else b""
    return (mesh, *(part.SerializeToString(deterministic=True) for part in (template, *own)))


def strip_empty(message: Message) -> None:
    """Clear fields that are present but empty, which mean the same as absent ones. Changes the message."""
    for field, value in message.ListFields():
        if field.message_type is None or field.is_repeated or field.containing_oneof is not None:
            continue
        strip_empty(value)
        if value.ByteSize() == 0:
            message.ClearField(field.name)
