"""Modes, schedules, autoscaling and updates, from flags and from Compose; what differs between revisions."""

from pathlib import Path

import pytest

from cli.commands.service.revision_history import history_rows
from cli.flags.click_options import apply_flags
from cli.render.spec_diff import changed_paths
from shoal.api.v1.control_pb2 import RevisionView
from shoal.api.v1.service_pb2 import Schedule, ServiceRevision, ServiceSpec, UpdateConfig
from shoal.compose.load import load_documents
from shoal.compose.reading.yaml_document import parse_document
from shoal.errors import InvalidInput
from shoal.spec_parsers.mode_parser import autoscale_of, set_mode

COMPOSE = """\
services:
  web:
    image: x:1
    deploy:
      replicas: 4
      x-autoscale: {min: 2, max: 10, cpu: 70}
      update_config:
        parallelism: 2
        monitor: 3s
        failure_action: pause
        max_failure_ratio: 0.25
        order: start-first
        x-canary: 1
        x-progress-deadline: 5m
      rollback_config: {parallelism: 0, failure_action: continue, monitor: 0s}
  report:
    image: x:1
    x-schedule: {cron: "0 3 * * *", timezone: Europe/Berlin, overlap: replace, missed: run-once, history: 5}
    deploy: {mode: replicated-job, replicas: 3, x-max-concurrent: 2}
  sweep:
    image: x:1
    x-schedule: "*/5 * * * *"
    deploy: {mode: global-job}
"""


def specs(text: str) -> dict[str, ServiceSpec]:
    project = load_documents("s", [parse_document(Path("compose.yaml"), text)], {}, Path("/srv")).checked().project
    return {spec.name: spec for spec in project.services}


def test_compose_in_full() -> None:
    made = specs(COMPOSE)
    web, report, sweep = made["s_web"], made["s_report"], made["s_sweep"]
    assert (web.autoscale.min_replicas, web.autoscale.max_replicas, web.autoscale.cpu_percent) == (2, 10, 70)
    update = web.update
    assert (update.parallelism, update.monitor_ms, update.max_failure_ratio, update.canary) == (2, 3_000, 0.25, 1)
    assert (update.failure_action, update.progress_deadline_ms) == (UpdateConfig.PAUSE, 300_000)
    assert web.rollback.failure_action == UpdateConfig.CONTINUE
    assert web.rollback.HasField("monitor_ms")
    assert web.rollback.parallelism == 1_000_000  # all at once, as Docker has it
    assert (report.replicated_job.total_completions, report.replicated_job.max_concurrent) == (3, 2)
    schedule = report.schedule
    assert (schedule.cron, schedule.timezone, schedule.history) == ("0 3 * * *", "Europe/Berlin", 5)
    assert (schedule.overlap, schedule.missed) == (Schedule.REPLACE, Schedule.RUN_ONCE)
    assert sweep.HasField("global_job")
    assert sweep.schedule.cron == "*/5 * * * *"


@pytest.mark.parametrize("key", ["schedule", "x-schedule"])
def test_a_schedule_with_and_without_its_prefix(key: str) -> None:
    job = "image: x:1, deploy: {mode: replicated-job}"
    assert specs(f'services: {{job: {{{job}, {key}: "0 3 * * *"}}}}')["s_job"].schedule.cron == "0 3 * * *"
    with pytest.raises(InvalidInput, match=f"services.job.{key}: unknown key 'often'; allowed keys are cron"):
        specs(f"services: {{job: {{{job}, {key}: {{often: 1}}}}}}")
    with pytest.raises(InvalidInput, match="schedule and x-schedule are mutually exclusive"):
        specs(f'services: {{job: {{{job}, schedule: "0 3 * * *", x-schedule: "0 3 * * *"}}}}')


@pytest.mark.parametrize(
    ("deploy", "reported"),
    [
        ("{mode: sometimes}", "'sometimes' must be one of replicated, global, replicated-job, global-job"),
        ("{mode: global, replicas: 3}", "replicas cannot be used with global or global-job mode"),
        ("{x-max-concurrent: 2}", "x-max-concurrent can only be used with replicated-job mode"),
        (
            "{x-autoscale: {minimum: 2}}",
            "unknown key 'minimum'; allowed keys are min, max, cpu, memory, up-cooldown, down-cooldown",
        ),
        ("{rollback_config: {failure_action: rollback}}", "'rollback' must be one of pause, continue"),
        ("{update_config: {max_failure_ratio: 2}}", "'2' must be a ratio from 0 to 1"),
        ("{update_config: {x-canary: -1}}", "'-1' must be an integer"),
    ],
)
def test_compose_faults(deploy: str, reported: str) -> None:
    with pytest.raises(InvalidInput, match=reported.replace("[", r"\[")):
        specs(f"services: {{web: {{image: x, deploy: {deploy}}}}}")


def test_flags() -> None:
    spec = ServiceSpec()
    set_mode(spec, "replicated-job")
    apply_flags(
        spec,
        {
            "replicas": "5",
            "max_concurrent": "2",
            "schedule": "0 3 * * *",
            "schedule_timezone": "Europe/Berlin",
            "schedule_overlap": "allow",
            "schedule_history": "0",
        },
    )
    assert (spec.replicated_job.total_completions, spec.replicated_job.max_concurrent) == (5, 2)
    assert spec.schedule.HasField("history")
    web = ServiceSpec()
    set_mode(web, "replicated")
    given = {"autoscale": "min=2,max=4,cpu=70%,down-cooldown=1m", "update_monitor": "10s", "rollback_monitor": "1s"}
    apply_flags(web, {**given, "update_failure_action": "continue", "update_max_failure_ratio": "0.5"})
    assert (web.autoscale.cpu_percent, web.autoscale.down_cooldown_ms) == (70, 60_000)
    assert (web.update.monitor_ms, web.rollback.monitor_ms, web.update.max_failure_ratio) == (10_000, 1_000, 0.5)
    apply_flags(web, {"autoscale": "none"})
    assert not web.HasField("autoscale")


def test_every_fault_of_the_flags_is_told() -> None:
    spec = ServiceSpec()
    set_mode(spec, "global")
    faults = apply_flags(
        spec,
        {"replicas": "3", "max_concurrent": "1", "autoscale": "two", "update_max_failure_ratio": "many"},
    )
    assert len(faults) == 4
    with pytest.raises(InvalidInput):
        autoscale_of({"cpu": "much"})


def test_what_changed_between_revisions() -> None:
    old, new = ServiceSpec(name="web"), ServiceSpec(name="web")
    old.task.container.image, new.task.container.image = "x:1", "x:2"
    new.update.canary = 2
    new.labels["team"] = "a"
    assert changed_paths(old, new) == ["labels.team", "task.container.image", "update.canary"]
    views = [
        RevisionView(revision=ServiceRevision(number=2, spec=new, created_at_ms=1_000), current=True),
        RevisionView(revision=ServiceRevision(number=1, spec=old, created_at_ms=1_000), effective=True, running=3),
    ]
    newest, first = history_rows(views, now_ms=61_000)
    assert (newest["state"], newest["changes"]) == ("rolled back", "labels.team, task.container.image, update.canary")
    assert (first["state"], first["running"], first["changes"]) == ("active (after rollback)", 3, "")
