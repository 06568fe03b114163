"""What makes a service's spec valid. Pure: yields every fault, so that all are returned at once."""

from collections.abc import Iterator

from manager.planner.spec.service_modes import is_global
from manager.validation import bounds
from manager.validation.container_name_rules import check_container_name
from manager.validation.containers.container_rules import check_container
from manager.validation.containers.container_sharing_rules import check_without_sharing
from manager.validation.containers.container_tuning_rules import check_tuning_of_task
from manager.validation.load_balancing_rules import check_balance
from manager.validation.network_attachment_rules import check_attachments
from manager.validation.placement_rules import check_generic, check_placement, check_priority
from manager.validation.published_port_rules import check_ports
from manager.validation.service_mode_rules import check_modes
from manager.validation.shared_network_rules import check_shared_network
from manager.validation.text_rules import (
    check_duration,
    check_engine_request,
    check_labels,
    check_object_name,
    check_range,
)
from manager.validation.volume_rules import check_slots
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
from shoal.unit_formats import cpus, exact_size


def check_service(spec: ServiceSpec) -> Iterator[Fault]:
    """Every fault of the spec alone; paths are those of ServiceSpec's fields."""
    size = spec.ByteSize()
    if size > bounds.SPEC_BYTES:
        yield Fault("", f"the spec is too large: {size:,} bytes; the maximum is {bounds.SPEC_BYTES:,}")
        return
    yield from check_object_name("name", spec.name, spec.stack, dotted=False)
    yield from check_labels("labels", spec.labels)
    yield from check_engine_request(spec.engine_request)
    yield from check_modes(spec)
    yield from _check_task("task", spec.task)
    placement, everywhere = spec.task.placement, is_global(spec)
    yield from check_placement("task.placement", placement, spec.name, on_each_node=everywhere)
    yield from check_priority("priority", spec.priority)
    yield from check_attachments("task.networks", spec)
    yield from check_shared_network(spec)
    yield from check_without_sharing(spec)
    yield from _check_update("update", spec.update)
    yield from _check_rollback("rollback", spec.rollback)
    yield from check_ports("endpoint.ports", spec.endpoint.ports)
    yield from check_slots(spec)
    yield from check_container_name(spec)
    yield from check_balance(spec)
    if spec.endpoint.mode not in Endpoint.Mode.values():
        yield Fault("endpoint.mode", "must be one of vip, dnsrr")


def _check_task(path: str, task: TaskTemplate) -> Iterator[Fault]:
    yield from check_container(f"{path}.container", task.container)
    yield from check_tuning_of_task(path, task)
    yield from _check_resources(f"{path}.reservations", task.reservations)
    yield from _check_resources(f"{path}.limits", task.limits)
    yield from _check_limits(f"{path}.limits", task)
    yield from _check_restart(f"{path}.restart", task.restart)
    yield from check_generic(f"{path}.reservations.generic_resources", task.reservations.generic_resources)
    if task.limits.generic_resources:
        yield Fault(f"{path}.limits.generic_resources", "is not supported: generic resources can only be reserved")
    yield from _check_log(f"{path}.log", task.log)
    if task.build_id:
        yield Fault(f"{path}.build_id", "is set by managers alone")
    if task.stop_on_disconnect_ms:
        least, most = bounds.DISCONNECT_MIN_MS, bounds.DURATION_MS
        yield from check_range(f"{path}.stop_on_disconnect_ms", task.stop_on_disconnect_ms, least, most, "milliseconds")


def _check_resources(path: str, amounts: Resources) -> Iterator[Fault]:
    """0 means unset in each field."""
    if amounts.nano_cpus:
        least, most = bounds.NANO_CPUS_MIN, bounds.NANO_CPUS_MAX
        yield from check_range(f"{path}.nano_cpus", amounts.nano_cpus, least, most, "billionths of a CPU")
    if amounts.memory_bytes:
        least, most = bounds.MEMORY_MIN_BYTES, bounds.MEMORY_MAX_BYTES
        yield from check_range(f"{path}.memory_bytes", amounts.memory_bytes, least, most, "bytes")
    yield from check_range(f"{path}.pids", amounts.pids, -1 if path.endswith("limits") else 0, bounds.PIDS_MAX)


def _check_limits(path: str, task: TaskTemplate) -> Iterator[Fault]:
    pairs = (
        ("nano_cpus", task.limits.nano_cpus, task.reservations.nano_cpus, cpus),
        ("memory_bytes", task.limits.memory_bytes, task.reservations.memory_bytes, exact_size),
        ("pids", task.limits.pids, task.reservations.pids, str),
    )
    for field, limit, reservation, text in pairs:
        if 0 < limit < reservation:
            yield Fault(f"{path}.{field}", f"{text(limit)} is less than the reservation of {text(reservation)}")


def _check_restart(path: str, policy: RestartPolicy) -> Iterator[Fault]:
    if policy.condition not in RestartPolicy.Condition.values():
        yield Fault(f"{path}.condition", "must be one of none, on-failure, any")
    if policy.HasField("delay_ms"):
        yield from check_duration(f"{path}.delay_ms", policy.delay_ms)
    yield from check_duration(f"{path}.window_ms", policy.window_ms)


def _check_log(path: str, log: LogConfig) -> Iterator[Fault]:
    if log.max_bytes:
        least, most = bounds.LOG_FILE_MIN_BYTES, bounds.MEMORY_MAX_BYTES
        yield from check_range(f"{path}.max_bytes", log.max_bytes, least, most, "bytes")
    yield from check_range(f"{path}.max_files", log.max_files, 0, bounds.LOG_FILES_MAX)
    if log.disabled and (log.max_bytes or log.max_files):
        yield Fault(f"{path}.disabled", "log size options are not supported with log driver none")


def _check_update(path: str, update: UpdateConfig) -> Iterator[Fault]:
    yield from check_range(f"{path}.parallelism", update.parallelism, 0, bounds.REPLICAS)
    yield from check_duration(f"{path}.delay_ms", update.delay_ms)
    if update.order not in UpdateConfig.Order.values():
        yield Fault(f"{path}.order", "must be one of stop-first, start-first")
    if update.failure_action not in UpdateConfig.FailureAction.values():
        yield Fault(f"{path}.failure_action", "must be one of rollback, pause, continue")
    if not 0 <= update.max_failure_ratio <= 1:  # NaN too
        yield Fault(
            f"{path}.max_failure_ratio", f"{update.max_failure_ratio:g} is out of range; must be between 0 and 1"
        )
    yield from check_duration(f"{path}.monitor_ms", update.monitor_ms)
    yield from check_duration(f"{path}.progress_deadline_ms", update.progress_deadline_ms)
    yield from check_range(f"{path}.canary", update.canary, 0, bounds.REPLICAS)
    if update.auto_promote and not update.canary:
        yield Fault(f"{path}.auto_promote", "requires canaries: set canary")


def _check_rollback(path: str, rollback: UpdateConfig) -> Iterator[Fault]:
    yield from _check_update(path, rollback)
    if rollback.failure_action == UpdateConfig.ROLLBACK:
        yield Fault(f"{path}.failure_action", "must be one of pause, continue: a rollback cannot be rolled back")
    if rollback.canary:
        yield Fault(f"{path}.canary", "is not supported for rollbacks")
