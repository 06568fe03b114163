"""Whole objects for people and for programs: one rule for every amount, moment and state."""

import json

import click
import pytest

from cli.render.documents import print_documents, to_document
from cli.render.error_lines import sort_faults, warn
from cli.render.humanize import humanize
from cli.render.output_terminal import draw, is_interactive
from cli.render.spec_diff import change_line, changed_paths, lines_of
from shoal.api.v1.control_pb2 import FieldChange
from shoal.api.v1.service_pb2 import RestartPolicy, Service, ServiceSpec, ServiceStatus, UpdateStatus
from shoal.errors import Fault


def spec() -> ServiceSpec:
    made = ServiceSpec(name="web", labels={"cost_bytes": "5", "STATE": "IN_USE"})
    made.task.limits.memory_bytes = 64 << 20
    made.task.limits.nano_cpus = 500_000_000
    made.task.reservations.memory_bytes = 100_000_000
    made.task.container.memory.swap_bytes = -1
    made.task.restart.condition = RestartPolicy.ON_FAILURE
    made.task.restart.delay_ms = 90_000
    made.replicated.replicas = 3
    return made


def test_programs_get_numbers_and_the_names_of_the_protocol() -> None:
    document = json.loads(json.dumps(to_document(spec())))
    task = document["task"]
    assert task["limits"] == {"nano_cpus": 500_000_000, "memory_bytes": 64 << 20}
    assert task["restart"] == {"condition": "ON_FAILURE", "delay_ms": 90_000}
    assert document["labels"] == {"cost_bytes": "5", "STATE": "IN_USE"}


def test_people_get_units_and_the_names_of_the_flags() -> None:
    document = humanize(to_document(spec()))
    task = document["task"]
    assert task["limits"] == {"cpus": "0.5", "memory": "64 MiB"}
    assert task["reservations"] == {"memory": "95 MiB (100000000 bytes)"}
    assert task["container"]["memory"] == {"swap": "unlimited"}
    assert task["restart"] == {"condition": "on-failure", "delay": "1m30s"}
    assert document["labels"] == {"cost_bytes": "5", "STATE": "IN_USE"}  # the user's own words stay as they are


def test_moments_are_rfc_3339_for_both() -> None:
    status = ServiceStatus(
        update=UpdateStatus(started_at_ms=1_000, monitored_since_ms=2_000, state=UpdateStatus.UPDATING)
    )
    status.schedule.next_run_at_ms = 3_000
    document = to_document(status)
    assert document["update"]["started_at"] == "1970-01-01T00:00:01.000Z"
    assert document["update"]["monitored_since"] == "1970-01-01T00:00:02.000Z"
    assert document["schedule"]["next_run_at"] == "1970-01-01T00:00:03.000Z"
    assert humanize(document)["update"]["state"] == "updating"


def test_documents_as_yaml_and_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_documents([to_document(spec())], form="table")
    assert "memory: 64 MiB" in capsys.readouterr().out
    print_documents([to_document(spec())], form="json")
    assert json.loads(capsys.readouterr().out)[0]["task"]["limits"]["memory_bytes"] == 64 << 20
    print_documents([], form="table")
    assert capsys.readouterr().out == ""


def test_differences_are_for_people() -> None:
    other = spec()
    other.task.limits.memory_bytes = 128 << 20
    other.task.restart.condition = RestartPolicy.ANY
    assert changed_paths(spec(), other) == ["task.limits.memory", "task.restart.condition"]
    assert set(lines_of(other)) - set(lines_of(spec())) == {"    memory: 128 MiB", "    condition: any"}


@pytest.mark.parametrize(
    ("change", "reported"),
    [
        (FieldChange(path="task.limits.memory_bytes", before='"67108864"'), "task.limits.memory: 64 MiB -> (none)"),
        (FieldChange(path="replicated.replicas", before="2", after="3"), "replicated.replicas: 2 -> 3"),
        (FieldChange(path="name", before='"a"', after='"b"'), 'name: "a" -> "b"'),
    ],
)
def test_a_change_in_one_line(change: FieldChange, reported: str) -> None:
    assert change_line(change) == reported


def test_faults_are_told_once_and_in_the_order_of_the_file() -> None:
    faults = [Fault(f"a.yaml:{line}:5", "odd") for line in (10, 9, 100, 9)]
    assert sort_faults(faults) == ["a.yaml:9:5: odd", "a.yaml:10:5: odd", "a.yaml:100:5: odd"]


def test_no_color_takes_colours_and_leaves_movements(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = f"\x1b[2A\x1b[2K{click.style('late', fg='yellow')}\n"
    draw(text)
    assert capsys.readouterr().out == text
    monkeypatch.setenv("NO_COLOR", "1")
    draw(text)
    warn("that")
    seen = capsys.readouterr()
    assert (seen.out, seen.err) == ("\x1b[2A\x1b[2Klate\n", "warning: that\n")


class Screen:
    def isatty(self) -> bool:
        return True


def test_a_dumb_terminal_is_not_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert is_interactive(Screen())
    monkeypatch.setenv("TERM", "dumb")
    assert not is_interactive(Screen())


def test_requests_that_are_kept_for_other_clients_are_not_shown() -> None:
    spec = ServiceSpec(name="web", engine_request=b"{}")
    assert to_document(spec) == {"name": "web"}
    assert to_document(Service(spec=spec)) == {"spec": {"name": "web"}}
    assert changed_paths(ServiceSpec(name="web"), spec) == []


def test_people_get_certificates_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    print_documents([{"id": "c1", "ca_certificate": "-----BEGIN\nMIIB\n-----END\n", "label": "one\n"}], form="table")
    assert capsys.readouterr().out.splitlines()[:4] == ["id: c1", "ca_certificate: |", "  -----BEGIN", "  MIIB"]
