"""What makes a service's spec valid. Pure: yields every fault, so that all are told at once."""

from collections.abc import Iterator

from manager.control_api import bounds
from manager.control_api.container_names import check_container_name
from manager.control_api.text_rules import (
    check_duration,
    check_labels,
    check_object_name,
    check_range,
)
from manager.control_api.validate_attachments import check_attachments
from manager.control_api.validate_balance import check_balance
from manager.control_api.validate_container import check_container
from manager.control_api.validate_modes import check_modes
from manager.control_api.validate_placement import check_generic, check_placement, check_priority
from manager.control_api.validate_ports import check_ports
from manager.control_api.validate_shared_network import check_shared_network
from manager.control_api.validate_tuning import check_tuning_of_task
from manager.control_api.validate_volumes import check_slots
from manager.planner.modes import is_on_each_node
from shoal.amounts import cpus, exact_size
from shoal.api.v1.meta_pb2 import Resources
from shoal.api.v1.service_pb2 import (
    Endpoint,
    LogConfig,
    RestartPolicy,
    ServiceSpec,
    TaskTemplate,
    UpdateConfig,
)
from shoal.errors import Fault


def check_service(spec: ServiceSpec) -> Iterator[Fault]:
    """Every fault that the spec shows by itself; paths are those of ServiceSpec's fields."""
    size = spec.ByteSize()
    if size > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is {size:,} bytes; at most {bounds.SPEC_BYTES:,} are allowed")
        return
    yield from check_object_name("name", spec.name, spec.stack, dotted=False)
    yield from check_labels("labels", spec.labels)
    yield from check_modes(spec)
    yield from _check_task("task", spec.task)
    placement, everywhere = spec.task.placement, is_on_each_node(spec)
    yield from check_placement("task.placement", placement, spec.name, on_each_node=everywhere)
    yield from check_priority("priority", spec.priority)
    yield from check_attachments("task.networks", spec)
    yield from check_shared_network(spec)
    yield from _check_update("update", spec.update)
    yield from _check_rollback("rollback", spec.rollback)
    yield from check_ports("endpoint.ports", spec.endpoint.ports)
    yield from check_slots(spec)
    yield from check_container_name(spec)
    yield from check_balance(spec)
    if spec.endpoint.mode not in Endpoint.Mode.values():
        yield Fault("endpoint.mode", "must be vip or dnsrr")


def _check_task(path: str, task: TaskTemplate) -> Iterator[Fault]:
    yield from check_container(f"{path}.container", task.container)
    yield from check_tuning_of_task(path, task)
    yield from _check_resources(f"{path}.reservations", task.reservations)
    yield from _check_resources(f"{path}.limits", task.limits)
    yield from _check_limits(f"{path}.limits", task)
    yield from _check_restart(f"{path}.restart", task.restart)
    yield from check_generic(f"{path}.reservations.generic", task.reservations.generic)
    if task.limits.generic:
        yield Fault(f"{path}.limits.generic", "generic resources are reserved, and a task has no more than those")
    yield from _check_log(f"{path}.log", task.log)
    if task.stop_when_cut_off_ms:
        least, most = bounds.CUT_OFF_LEAST_MS, bounds.DURATION_MS
        yield from check_range(f"{path}.stop_when_cut_off_ms", task.stop_when_cut_off_ms, least, most, "milliseconds")


def _check_resources(path: str, amounts: Resources) -> Iterator[Fault]:
    """0 is "not said" in each field."""
    if amounts.nano_cpus:
        least, most = bounds.NANO_CPUS_LEAST, bounds.NANO_CPUS_MOST
        yield from check_range(f"{path}.nano_cpus", amounts.nano_cpus, least, most, "billionths of a CPU")
    if amounts.memory_bytes:
        least, most = bounds.MEMORY_LEAST_BYTES, bounds.MEMORY_MOST_BYTES
        yield from check_range(f"{path}.memory_bytes", amounts.memory_bytes, least, most, "bytes")
    yield from check_range(f"{path}.pids", amounts.pids, -1 if path.endswith("limits") else 0, bounds.PIDS_MOST)


def _check_limits(path: str, task: TaskTemplate) -> Iterator[Fault]:
    pairs = (
        ("nano_cpus", task.limits.nano_cpus, task.reservations.nano_cpus, cpus),
        ("memory_bytes", task.limits.memory_bytes, task.reservations.memory_bytes, exact_size),
        ("pids", task.limits.pids, task.reservations.pids, str),
    )
    for field, limit, reservation, tell in pairs:
        if 0 < limit < reservation:
            yield Fault(f"{path}.{field}", f"{tell(limit)} is below the reservation of {tell(reservation)}")


def _check_restart(path: str, policy: RestartPolicy) -> Iterator[Fault]:
    if policy.condition not in RestartPolicy.Condition.values():
        yield Fault(f"{path}.condition", "must be none, on-failure or any")
    if policy.HasField("delay_ms"):
        yield from check_duration(f"{path}.delay_ms", policy.delay_ms)
    yield from check_duration(f"{path}.window_ms", policy.window_ms)


def _check_log(path: str, log: LogConfig) -> Iterator[Fault]:
    if log.max_bytes:
        least, most = bounds.LOG_FILE_LEAST_BYTES, bounds.MEMORY_MOST_BYTES
        yield from check_range(f"{path}.max_bytes", log.max_bytes, least, most, "bytes")
    yield from check_range(f"{path}.max_files", log.max_files, 0, bounds.LOG_FILES_MOST)
    if log.disabled and (log.max_bytes or log.max_files):
        yield Fault(f"{path}.disabled", "no log is kept, so it has no size: leave out the size, or the driver none")


def _check_update(path: str, update: UpdateConfig) -> Iterator[Fault]:
    yield from check_range(f"{path}.parallelism", update.parallelism, 0, bounds.REPLICAS)
    yield from check_duration(f"{path}.delay_ms", update.delay_ms)
    if update.order not in UpdateConfig.Order.values():
        yield Fault(f"{path}.order", "must be stop-first or start-first")
    if update.failure_action not in UpdateConfig.FailureAction.values():
        yield Fault(f"{path}.failure_action", "must be rollback, pause or continue")
    if not 0 <= update.max_failure_ratio <= 1:  # NaN too
        yield Fault(f"{path}.max_failure_ratio", f"{update.max_failure_ratio:g} is out of range; 0 to 1 are allowed")
    yield from check_duration(f"{path}.monitor_ms", update.monitor_ms)
    yield from check_duration(f"{path}.progress_deadline_ms", update.progress_deadline_ms)
    yield from check_range(f"{path}.canary", update.canary, 0, bounds.REPLICAS)
    if update.auto_promote and not update.canary:
        yield Fault(f"{path}.auto_promote", "needs canaries: say how many in canary")


def _check_rollback(path: str, rollback: UpdateConfig) -> Iterator[Fault]:
    yield from _check_update(path, rollback)
    if rollback.failure_action == UpdateConfig.ROLLBACK:
        yield Fault(f"{path}.failure_action", "must be pause or continue: a rollback is not rolled back")
    if rollback.canary:
        yield Fault(f"{path}.canary", "a rollback has no canaries")
