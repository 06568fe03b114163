"""Flags of what a service is: its mode, a job's numbers, a schedule, autoscaling."""

from collections.abc import Mapping

from cli.flags.numbers import count
from cli.flags.scalars import Scalar, choice
from cli.render.units import parse_duration_ms
from shoal.api.v1.service_pb2 import Autoscale, Global, GlobalJob, Schedule, ServiceSpec
from shoal.errors import InvalidInput

MODES = ("replicated", "global", "replicated-job", "global-job")
OVERLAPS = {"forbid": Schedule.FORBID, "allow": Schedule.ALLOW, "replace": Schedule.REPLACE}
MISSED = {"skip": Schedule.SKIP, "run-once": Schedule.RUN_ONCE}


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
            raise InvalidInput(f"{name!r} is not one of {', '.join(MODES)}")


def set_replicas(spec: ServiceSpec, number: int) -> None:
    """How many tasks run, or how often a job is to be done.

    Raises:
        InvalidInput: the mode has one task on each node.
    """
    mode = spec.WhichOneof("mode")
    if mode in ("global", "global_job"):
        raise InvalidInput("a global service has one task on each node: replicas does not belong here")
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
                setattr(made, f"{name}_replicas", count(name, text))
            case "cpu" | "memory":
                setattr(made, f"{name}_percent", count(name, text.removesuffix("%")))
            case "up-cooldown" | "down-cooldown":
                setattr(made, f"{name.replace('-', '_')}_ms", parse_duration_ms(text))
            case _:
                raise InvalidInput(f"{name!r} is not one of min, max, cpu, memory, up-cooldown, down-cooldown")
    return made


def schedule_of(fields: Mapping[str, str]) -> Schedule:
    """`cron`, `timezone`, `overlap`, `missed`, `history`.

    Raises:
        InvalidInput: another field, or a value that is none.
    """
    spec = ServiceSpec()
    setters = {"cron": _cron, "timezone": _timezone, "overlap": _overlap, "missed": _missed, "history": _history}
    for name, text in fields.items():
        if name not in setters:
            raise InvalidInput(f"{name!r} is not one of {', '.join(setters)}")
        setters[name](spec, text)
    return spec.schedule


def _replicas(spec: ServiceSpec, value: str) -> None:
    set_replicas(spec, count("--replicas", value))


def _max_concurrent(spec: ServiceSpec, value: str) -> None:
    if spec.WhichOneof("mode") != "replicated_job":
        raise InvalidInput("is for --mode replicated-job")
    spec.replicated_job.max_concurrent = count("--max-concurrent", value)


def _cron(spec: ServiceSpec, value: str) -> None:
    spec.schedule.cron = value


def _timezone(spec: ServiceSpec, value: str) -> None:
    spec.schedule.timezone = value


def _overlap(spec: ServiceSpec, value: str) -> None:
    spec.schedule.overlap = Schedule.Overlap.ValueType(choice("overlap", value, OVERLAPS))


def _missed(spec: ServiceSpec, value: str) -> None:
    spec.schedule.missed = Schedule.Missed.ValueType(choice("missed", value, MISSED))


def _history(spec: ServiceSpec, value: str) -> None:
    spec.schedule.history = count("history", value)


def _autoscale(spec: ServiceSpec, value: str) -> None:
    if value == "none":
        spec.ClearField("autoscale")
        return
    parts = [part.partition("=") for part in value.split(",")]
    if faulty := [name for name, sign, _ in parts if not sign]:
        raise InvalidInput(f"{faulty[0]!r} is not of the form name=value; write it like min=2,max=10,cpu=70")
    spec.autoscale.CopyFrom(autoscale_of({name: text for name, _, text in parts}))


MODE_SCALARS = (
    Scalar("--replicas", "NUMBER", "Tasks to run; of a job, to complete.", _replicas),
    Scalar("--max-concurrent", "NUMBER", "Tasks of a job that run at once (all).", _max_concurrent),
    Scalar("--schedule", "CRON", "Run the job at these times: '0 3 * * *'.", _cron),
    Scalar("--schedule-timezone", "ZONE", "Time zone of the schedule (UTC).", _timezone),
    Scalar("--schedule-overlap", "POLICY", f"When a run still goes on: {', '.join(OVERLAPS)}.", _overlap),
    Scalar("--schedule-missed", "POLICY", f"Runs that were missed: {', '.join(MISSED)}.", _missed),
    Scalar("--schedule-history", "NUMBER", "Finished runs kept (3).", _history),
    Scalar("--autoscale", "min=2,max=10,cpu=70", "Replicas by the percentage of CPU or memory used.", _autoscale),
)
