"""What people see: units, tables, bars."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.commands.service.service_listing import service_row
from cli.commands.stack import stack_rows
from cli.render.error_lines import print_errors, warn
from cli.render.progress_display import bar, counts, distinct_problems
from cli.render.progress_lines import ProgressLines
from cli.render.table import natural_order, table
from cli.render.task_rows import rows, short_image
from shoal.api.v1.control_pb2 import ServiceProgress, ServiceView, TaskView
from shoal.api.v1.service_pb2 import PublishedPort, UpdateStatus
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import InvalidInput
from shoal.spec_parsers.units import parse_bytes, parse_duration_ms, parse_nano_cpus
from shoal.unit_formats import age, cpus, duration, size


@pytest.mark.parametrize(
    ("text", "expected"), [("64M", 64 << 20), ("1.5g", 3 << 29), ("512kb", 512 << 10), ("7", 7), ("2GiB", 2 << 30)]
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "-1", "M", "1X", "1e9", "9" * 30])
def test_bad_sizes(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=10**11))
def test_durations_round_trip(milliseconds: int) -> None:
    assert parse_duration_ms(duration(milliseconds)) == milliseconds


@pytest.mark.parametrize("text", ["", "soon", "10", "-1s", "1s2", "999999d"])
def test_bad_durations(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_duration_ms(text)


def test_cpus() -> None:
    assert parse_nano_cpus("0.5") == 500_000_000
    assert cpus(500_000_000) == "0.5"
    for text in ("", "x", "-1", "nan", "inf"):
        with pytest.raises(InvalidInput):
            parse_nano_cpus(text)


def test_words() -> None:
    assert [size(n) for n in (0, 1023, 64 << 20, 3 << 29)] == ["0 B", "1023 B", "64 MiB", "1.5 GiB"]
    assert [age(n) for n in (0, 1000, 125_000, 7_200_000, 172_800_000)] == [
        "0 seconds",
        "1 second",
        "2 minutes",
        "2 hours",
        "2 days",
    ]


@pytest.mark.parametrize("text", ["1ns", "999us", "0.5ms"])
def test_durations_that_would_be_cut_to_nothing_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is too short; the minimum is 1ms"):
        parse_duration_ms(text)
    assert parse_duration_ms("0s") == 0 and parse_duration_ms("1000us") == 1


def test_a_table_lines_up_and_tames_control_characters() -> None:
    text = table([{"name": "a\x1b[31m", "big_one": 1}, {"name": "bb"}], ("name", "big_one"))
    assert text.splitlines() == ["NAME     BIG ONE", "a?[31m   1", "bb"]


def test_a_bar() -> None:
    progress = ServiceProgress(
        name="web", desired=4, running=2, by_state={TaskState.RUNNING: 2, TaskState.PREPARING: 2}
    )
    assert bar(progress, width=4) == "web  [##..]  2/4 running  (2 preparing)"


def test_short_image() -> None:
    assert short_image("r:5/hello:1@sha256:" + "a" * 64) == "r:5/hello:1"
    assert short_image("r:5/hello@sha256:" + "a" * 64) == "r:5/hello@" + "a" * 12


def test_lines_without_a_terminal_are_few_and_the_last_word_is_said() -> None:
    lines = ProgressLines()
    stuck = ServiceProgress(service_id="a", name="web", problems=["no suitable node"])
    lines.update(stuck, "web: 0/9 running")
    assert list(lines.due(10.0)) == ["web: 0/9 running"]
    lines.update(stuck, "web: 4/9 running")
    lines.update(stuck, "web: 5/9 running")
    assert (list(lines.due(10.2)), lines.next_at()) == ([], 11.0)
    assert list(lines.due(11.0)) == ["web: 5/9 running"]
    # What it waits for is told when nothing has changed for a while, and once.
    assert lines.next_at() == 16.0
    assert list(lines.due(16.0)) == ["web: 5/9 running, no suitable node"]
    assert lines.next_at() is None
    lines.update(stuck, "web: 6/9 running")
    assert list(lines.due(16.05)) == [] and list(lines.due(17.0)) == ["web: 6/9 running"]
    assert lines.next_at() is None, "that is known"
    lines.update(ServiceProgress(service_id="a", name="web", converged=True), "web: 9/9 running, converged")
    assert list(lines.due(17.1)) == ["web: 9/9 running, converged"]
    assert lines.next_at() is None


def test_a_problem_within_another_one_is_told_once() -> None:
    assert distinct_problems(["full", "2 pending: full", "b", "c", "d"]) == ["2 pending: full", "b", "c"]


@pytest.mark.parametrize(
    ("state", "reported"),
    [
        (UpdateStatus.UPDATING, "0/6 updated"),
        (UpdateStatus.PAUSED, "0/6 updated"),
        (UpdateStatus.ROLLING_BACK, "0/6 rolled back"),
        (UpdateStatus.COMPLETED, "0/6 running"),
        (UpdateStatus.STATE_UNSPECIFIED, "0/6 running"),
    ],
)
def test_new_tasks_are_counted_as_updated_while_the_others_run(
    state: UpdateStatus.State.ValueType, reported: str
) -> None:
    assert counts(ServiceProgress(name="web", desired=6, update=UpdateStatus(state=state))) == reported


def test_automatic_ports_are_listed_with_their_numbers() -> None:
    view = ServiceView()
    view.service.spec.endpoint.ports.add(target=80)
    view.service.spec.endpoint.ports.add(target=443, published=8443)
    view.service.spec.endpoint.ports.add(target=53, mode=PublishedPort.HOST)
    assert service_row(view)["ports"] == "*:*->80/tcp, *:8443->443/tcp, *:*->53/tcp"
    view.status.mesh_ports.add(target=443, published=8443)
    view.status.mesh_ports.add(target=80, published=30007)
    assert service_row(view)["ports"] == "*:30007->80/tcp, *:8443->443/tcp, *:*->53/tcp"


def test_a_task_that_has_ended_tells_when_its_successor_is_due() -> None:
    view = TaskView(service_name="web", restart_at_ms=62_000)
    view.task.state = TaskState.FAILED
    view.status.message = "exit code 3"
    (row,) = rows([view], now_ms=50_000)
    assert (row["reason"], row["restart_at"]) == ("exit code 3; restarts in 12 seconds", "1970-01-01T00:01:02.000Z")


def test_a_job_that_has_finished_does_not_count_as_missing_in_its_stack() -> None:
    web, job = ServiceView(desired=2, running=2), ServiceView(desired=1, completed=1)
    web.service.spec.stack = job.service.spec.stack = "shop"
    (row,) = stack_rows([web, job, ServiceView(desired=7)])
    assert (row["name"], row["services"], row["tasks"]) == ("shop", 2, "3/3")


def test_what_a_node_says_of_an_error_cannot_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    print_errors("no\x1b]52;c;ZQ==\x07 \x9b2J\u202e")
    warn("a\ttab\nand another line\r")
    assert capsys.readouterr().err == "error: no?]52;c;ZQ==? ?2J?\nwarning: a\ttab\nand another line?\n"


def test_numbers_of_names_and_addresses_sort_as_numbers() -> None:
    addresses = ["10.0.0.10:7440", "10.0.0.9:7440", "m10", "m9", "[fd00::1]:7440", ""]
    assert sorted(addresses, key=natural_order) == [
        "",
        "[fd00::1]:7440",
        "m9",
        "m10",
        "10.0.0.9:7440",
        "10.0.0.10:7440",
    ]
