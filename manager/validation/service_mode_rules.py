"""What makes a service's mode valid: jobs, schedules, autoscaling. Pure."""

from collections.abc import Iterator

from manager.planner.spec.cron import check_cron, check_zone
from manager.planner.spec.service_modes import is_job
from manager.validation import bounds
from manager.validation.text_rules import check_duration, check_range
from shoal.api.v1.service_pb2 import Autoscale, RestartPolicy, Schedule, ServiceSpec
from shoal.errors import Fault, InvalidInput


def check_modes(spec: ServiceSpec) -> Iterator[Fault]:
    """Settings of a mode, and settings that the mode excludes."""
    yield from check_range("replicated.replicas", spec.replicated.replicas, 0, bounds.REPLICAS)
    job = spec.replicated_job
    yield from check_range("replicated_job.total_completions", job.total_completions, 0, bounds.REPLICAS)
    yield from check_range("replicated_job.max_concurrent", job.max_concurrent, 0, bounds.REPLICAS)
    if is_job(spec):
        yield from _check_job(spec)
    if spec.HasField("schedule"):
        yield from _check_schedule("schedule", spec.schedule)
        if not is_job(spec):
            yield Fault("schedule", "is supported for jobs only: use mode replicated-job or global-job")
    if spec.HasField("autoscale"):
        yield from _check_autoscale("autoscale", spec)


def _check_job(spec: ServiceSpec) -> Iterator[Fault]:
    if spec.task.restart.condition == RestartPolicy.ANY:
        yield Fault("task.restart.condition", "jobs do not restart completed tasks; use on-failure or none")
    for name, config in (("update", spec.update), ("rollback", spec.rollback)):
        if config.ByteSize():
            yield Fault(name, "is not supported for jobs: a changed task template starts a new run")


def _check_schedule(path: str, schedule: Schedule) -> Iterator[Fault]:
    for field, check, text in (("cron", check_cron, schedule.cron), ("timezone", check_zone, schedule.timezone)):
        try:
            check(text)
        except InvalidInput as error:
            yield Fault(f"{path}.{field}", error.faults[0].message)
    if schedule.overlap not in Schedule.Overlap.values():
        yield Fault(f"{path}.overlap", "must be one of forbid, allow, replace")
    if schedule.missed not in Schedule.Missed.values():
        yield Fault(f"{path}.missed", "must be one of skip, run-once")
    yield from check_range(f"{path}.history", schedule.history, 0, bounds.RUNS_KEPT)


def _check_autoscale(path: str, spec: ServiceSpec) -> Iterator[Fault]:
    scale: Autoscale = spec.autoscale
    if spec.WhichOneof("mode") != "replicated":
        yield Fault(path, "is supported for replicated services only")
    yield from check_range(f"{path}.min_replicas", scale.min_replicas, 1, bounds.REPLICAS)
    if scale.max_replicas < scale.min_replicas or scale.max_replicas > bounds.REPLICAS:
        yield Fault(
            f"{path}.max_replicas",
            f"{scale.max_replicas:,} is out of range; must be between {scale.min_replicas:,} and {bounds.REPLICAS:,}",
        )
    if not scale.cpu_percent and not scale.memory_percent:
        yield Fault(path, "requires a target: cpu_percent or memory_percent")
    for field, percent, resource in (
        ("cpu_percent", scale.cpu_percent, "nano_cpus"),
        ("memory_percent", scale.memory_percent, "memory_bytes"),
    ):
        yield from check_range(f"{path}.{field}", percent, 0, bounds.TARGET_PERCENT)
        task = spec.task
        if percent and not getattr(task.reservations, resource) and not getattr(task.limits, resource):
            yield Fault(f"{path}.{field}", f"requires task.reservations.{resource} or task.limits.{resource}")
    yield from check_duration(f"{path}.up_cooldown_ms", scale.up_cooldown_ms)
    yield from check_duration(f"{path}.down_cooldown_ms", scale.down_cooldown_ms)
