"""Service modes, job completions, schedules and autoscaling."""

from collections.abc import Mapping

from shoal.api.v1.service_pb2 import Autoscale, Global, GlobalJob, Schedule, ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import parse_choice
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.units import parse_duration_ms

MODES = ("replicated", "global", "replicated-job", "global-job")
OVERLAP_POLICIES = {"forbid": Schedule.FORBID, "allow": Schedule.ALLOW, "replace": Schedule.REPLACE}
MISSED_RUN_POLICIES = {"skip": Schedule.SKIP, "run-once": Schedule.RUN_ONCE}


def set_mode(spec: ServiceSpec, name: str) -> None:
    """Set the mode by its name, with one replica or completion to begin with.

    Raises:
        InvalidInput: there is no such mode.
    """
    match name:
        case "replicated":
            spec.replicated.replicas = 1
        case "global":
            getattr(spec, "global").CopyFrom(Global())
        case "replicated-job":
            spec.replicated_job.total_completions = 1
        case "global-job":
            spec.global_job.CopyFrom(GlobalJob())
        case _:
            raise InvalidInput(f"{name!r} must be one of {', '.join(MODES)}")


def set_replicas(spec: ServiceSpec, number: int) -> None:
    """How many tasks run, or how often a job is to be done.

    Raises:
        InvalidInput: the mode has one task on each node.
    """
    mode = spec.WhichOneof("mode")
    if mode in ("global", "global_job"):
        raise InvalidInput("replicas cannot be used with global or global-job mode")
    if mode == "replicated_job":
        spec.replicated_job.total_completions = number
    else:
        spec.replicated.replicas = number


def autoscale_of(fields: Mapping[str, str]) -> Autoscale:
    """`min`, `max`, `cpu`, `memory` (percent), `up-cooldown`, `down-cooldown`.

    Raises:
        InvalidInput: another field, or a value that is none.
    """
    made = Autoscale(min_replicas=1)
    for name, text in fields.items():
        match name:
            case "min" | "max":
                setattr(made, f"{name}_replicas", parse_count(text, key=name))
            case "cpu" | "memory":
                setattr(made, f"{name}_percent", parse_count(text.removesuffix("%"), key=name))
            case "up-cooldown" | "down-cooldown":
                setattr(made, f"{name.replace('-', '_')}_ms", parse_duration_ms(text))
            case _:
                raise InvalidInput(
                    f"unknown key {name!r}; allowed keys are min, max, cpu, memory, up-cooldown, down-cooldown"
                )
    return made


def schedule_of(fields: Mapping[str, str]) -> Schedule:
    """`cron`, `timezone`, `overlap`, `missed`, `history`.

    Raises:
        InvalidInput: another field, or a value that is none.
    """
    spec = ServiceSpec()
    setters = {
        "cron": set_cron,
        "timezone": set_timezone,
        "overlap": set_overlap,
        "missed": set_missed_policy,
        "history": set_history,
    }
    for name, text in fields.items():
        if name not in setters:
            raise InvalidInput(f"unknown key {name!r}; allowed keys are {', '.join(setters)}")
        setters[name](spec, text)
    return spec.schedule


def set_cron(spec: ServiceSpec, value: str) -> None:
    """The cron expression of the schedule."""
    spec.schedule.cron = value


def set_timezone(spec: ServiceSpec, value: str) -> None:
    """The time zone of the schedule."""
    spec.schedule.timezone = value


def set_overlap(spec: ServiceSpec, value: str) -> None:
    """What happens if the previous run has not finished. Raises InvalidInput."""
    spec.schedule.overlap = Schedule.Overlap.ValueType(parse_choice(value, OVERLAP_POLICIES))


def set_missed_policy(spec: ServiceSpec, value: str) -> None:
    """What happens with runs that were missed. Raises InvalidInput."""
    spec.schedule.missed = Schedule.Missed.ValueType(parse_choice(value, MISSED_RUN_POLICIES))


def set_history(spec: ServiceSpec, value: str) -> None:
    """How many finished runs are kept. Raises InvalidInput."""
    spec.schedule.history = parse_count(value)
