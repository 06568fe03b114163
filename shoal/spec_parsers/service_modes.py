"""Service modes, job completions, schedules and autoscaling."""

from collections.abc import Mapping

from shoal.api.v1.service_pb2 import Autoscale, Global, GlobalJob, Schedule, ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.choices import ValueOption, parse_choice
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
                setattr(made, f"{name}_replicas", parse_count(name, text))
            case "cpu" | "memory":
                setattr(made, f"{name}_percent", parse_count(name, text.removesuffix("%")))
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
    setters = {"cron": _cron, "timezone": _timezone, "overlap": _overlap, "missed": _missed, "history": _history}
    for name, text in fields.items():
        if name not in setters:
            raise InvalidInput(f"unknown key {name!r}; allowed keys are {', '.join(setters)}")
        setters[name](spec, text)
    return spec.schedule


def _replicas(spec: ServiceSpec, value: str) -> None:
    set_replicas(spec, parse_count("--replicas", value))


def _max_concurrent(spec: ServiceSpec, value: str) -> None:
    if spec.WhichOneof("mode") != "replicated_job":
        raise InvalidInput("can only be used with replicated-job mode")
    spec.replicated_job.max_concurrent = parse_count("--max-concurrent", value)


def _cron(spec: ServiceSpec, value: str) -> None:
    spec.schedule.cron = value


def _timezone(spec: ServiceSpec, value: str) -> None:
    spec.schedule.timezone = value


def _overlap(spec: ServiceSpec, value: str) -> None:
    spec.schedule.overlap = Schedule.Overlap.ValueType(parse_choice("overlap", value, OVERLAP_POLICIES))


def _missed(spec: ServiceSpec, value: str) -> None:
    spec.schedule.missed = Schedule.Missed.ValueType(parse_choice("missed", value, MISSED_RUN_POLICIES))


def _history(spec: ServiceSpec, value: str) -> None:
    spec.schedule.history = parse_count("history", value)


def _autoscale(spec: ServiceSpec, value: str) -> None:
    if value == "none":
        spec.ClearField("autoscale")
        return
    parts = [part.partition("=") for part in value.split(",")]
    if faulty := [name for name, sign, _ in parts if not sign]:
        raise InvalidInput(f"{faulty[0]!r} must be in the form KEY=VALUE, such as min=2,max=10,cpu=70")
    spec.autoscale.CopyFrom(autoscale_of({name: text for name, _, text in parts}))


MODE_OPTIONS = (
    ValueOption("--replicas", "NUMBER", "Number of tasks; of a job, number of completions.", _replicas),
    ValueOption(
        "--max-concurrent", "NUMBER", "Number of job tasks to run concurrently (default all).", _max_concurrent
    ),
    ValueOption("--schedule", "CRON", "Cron schedule of the job, such as '0 3 * * *'.", _cron),
    ValueOption("--schedule-timezone", "ZONE", "Time zone of the schedule (default UTC).", _timezone),
    ValueOption(
        "--schedule-overlap",
        "POLICY",
        f"Policy if the previous run has not finished: {', '.join(OVERLAP_POLICIES)}.",
        _overlap,
    ),
    ValueOption("--schedule-missed", "POLICY", f"Policy for missed runs: {', '.join(MISSED_RUN_POLICIES)}.", _missed),
    ValueOption("--schedule-history", "NUMBER", "Number of finished runs to keep (default 3).", _history),
    ValueOption(
        "--autoscale", "min=2,max=10,cpu=70", "Scale replicas by CPU or memory utilization (percent).", _autoscale
    ),
)
