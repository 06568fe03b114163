"""Flags of modes, schedules and autoscaling."""

from cli.flags.value_options import ValueOption
from shoal.api.v1.service_pb2 import ServiceSpec
from shoal.errors import InvalidInput
from shoal.spec_parsers.integers import parse_count
from shoal.spec_parsers.mode_parser import (
    MISSED_RUN_POLICIES,
    OVERLAP_POLICIES,
    autoscale_of,
    set_cron,
    set_history,
    set_missed_policy,
    set_overlap,
    set_replicas,
    set_timezone,
)


def _replicas(spec: ServiceSpec, value: str) -> None:
    set_replicas(spec, parse_count(value))


def _max_concurrent(spec: ServiceSpec, value: str) -> None:
    if spec.WhichOneof("mode") != "replicated_job":
        raise InvalidInput("can only be used with replicated-job mode")
    spec.replicated_job.max_concurrent = parse_count(value)


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
    ValueOption("--schedule", "CRON", "Cron schedule of the job, such as '0 3 * * *'.", set_cron),
    ValueOption("--schedule-timezone", "ZONE", "Time zone of the schedule (default UTC).", set_timezone),
    ValueOption(
        "--schedule-overlap",
        "POLICY",
        f"Policy if the previous run has not finished: {', '.join(OVERLAP_POLICIES)}.",
        set_overlap,
    ),
    ValueOption(
        "--schedule-missed", "POLICY", f"Policy for missed runs: {', '.join(MISSED_RUN_POLICIES)}.", set_missed_policy
    ),
    ValueOption("--schedule-history", "NUMBER", "Number of finished runs to keep (default 3).", set_history),
    ValueOption(
        "--autoscale", "min=2,max=10,cpu=70", "Scale replicas by CPU or memory utilization (percent).", _autoscale
    ),
)
