"""The course of health, as a pure machine and in virtual time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.health.exec_pool import ExecResult
from agent.health.health_monitor import monitor_health
from agent.health.health_state import HealthState, after_probe, in_start_period, next_delay_ms
from agent.health.healthcheck import effective_healthcheck, exec_command
from agent.health.probes import HealthProber
from shoal.api.v1.container_pb2 import Healthcheck, HttpProbe, TcpProbe
from shoal.api.v1.task_pb2 import TaskStatus
from shoal.errors import Unavailable
from tests.fakes.container_access import ContainersToProbe
from tests.fakes.virtual_time import run_virtual

STARTING, HEALTHY, UNHEALTHY = TaskStatus.STARTING, TaskStatus.HEALTHY, TaskStatus.UNHEALTHY


def check(**given: int) -> Healthcheck:
    whole = effective_healthcheck(Healthcheck(test=["CMD", "probe"], **given), None)  # type: ignore[arg-type]
    assert whole is not None
    return whole


def test_numbers_are_the_specs_then_the_images_then_the_defaults() -> None:
    image = Healthcheck(test=["CMD-SHELL", "curl x"], interval_ms=7_000, retries=9)
    whole = effective_healthcheck(Healthcheck(retries=2), image)
    assert whole is not None
    assert (list(whole.test), whole.interval_ms, whole.retries) == (["CMD-SHELL", "curl x"], 7_000, 2)
    assert (whole.timeout_ms, whole.start_period_ms, whole.start_interval_ms) == (30_000, 0, 5_000)
    assert exec_command(whole) == ("/bin/sh", "-c", "curl x")


def test_a_question_of_the_specs_takes_the_place_of_the_images() -> None:
    image = Healthcheck(test=["CMD", "old"], interval_ms=7_000)
    whole = effective_healthcheck(Healthcheck(http=HttpProbe(port=80)), image)
    assert whole is not None and not whole.test and whole.interval_ms == 7_000
    whole = effective_healthcheck(Healthcheck(test=["CMD", "new"]), Healthcheck(tcp=TcpProbe(port=1)))
    assert whole is not None and not whole.HasField("tcp") and exec_command(whole) == ("new",)


@pytest.mark.parametrize(
    ("own", "image"),
    [
        (Healthcheck(), None),
        (Healthcheck(interval_ms=5), None),
        (Healthcheck(disabled=True), Healthcheck(test=["CMD", "x"])),
        (Healthcheck(test=["NONE"]), Healthcheck(test=["CMD", "x"])),
        (Healthcheck(), Healthcheck(test=["NONE"])),
    ],
)
def test_no_check(own: Healthcheck, image: Healthcheck | None) -> None:
    assert effective_healthcheck(own, image) is None


def test_failures_in_the_grace_do_not_count_and_a_success_ends_it() -> None:
    plan = check(interval_ms=1_000, start_period_ms=10_000, retries=2)
    course = HealthState()
    for age in (100, 5_000, 9_999):
        course = after_probe(course, plan, passed=False, age_ms=age)
    assert (course.health, course.failures) == (STARTING, 0)
    course = after_probe(course, plan, passed=True, age_ms=9_999)
    assert course.health == HEALTHY
    course = after_probe(course, plan, passed=False, age_ms=9_999)
    assert (course.health, course.failures) == (HEALTHY, 1)
    assert after_probe(course, plan, passed=False, age_ms=9_999).health == UNHEALTHY
    assert after_probe(course, plan, passed=True, age_ms=9_999).failures == 0


@given(
    answers=st.lists(st.tuples(st.booleans(), st.integers(0, 60_000)), max_size=40),
    retries=st.integers(1, 5),
    start=st.integers(0, 40_000),
)
def test_unhealthy_needs_as_many_failures_in_a_row_and_is_the_end(
    answers: list[tuple[bool, int]], retries: int, start: int
) -> None:
    plan = check(retries=retries, start_period_ms=start)
    course, age, row = HealthState(), 0, 0
    for passed, wait in answers:
        age += wait
        graced = in_start_period(course, plan, age)
        ended = course.health == UNHEALTHY
        course = after_probe(course, plan, passed=passed, age_ms=age)
        if ended:
            assert course.health == UNHEALTHY
            continue
        row = 0 if passed else row if graced else row + 1
        assert (course.health == UNHEALTHY) == (row >= retries)
        assert course.health != STARTING or not passed
        assert 0 < next_delay_ms(course, plan, age) <= plan.interval_ms


def run(
    plan: Healthcheck, answers: list[int], *, health: TaskStatus.Health.ValueType = STARTING, set_by_ms: int = 0
) -> list[str]:
    """What is told, with the virtual seconds since the container's start; the last answer is for ever.

    Args:
        set_by_ms: the host's clock is set by so much after a second.
    """

    async def body() -> list[str]:
        loop = asyncio.get_running_loop()
        began = loop.time()
        reported: list[str] = []

        def now_ms() -> int:
            return int((loop.time() - began) * 1000)

        async def execute(task_id: str, words: tuple[str, ...]) -> ExecResult:
            code = answers.pop(0) if len(answers) > 1 else answers[0]
            if code < 0:
                await asyncio.sleep(1_000_000)
            return ExecResult(code, f"first\n{code} said\n\n".encode())

        def clock_ms() -> int:
            return now_ms() + (set_by_ms if now_ms() >= 1_000 else 0)

        work = monitor_health(
            prober=HealthProber(containers=ContainersToProbe(execute)),
            task_id="t1",
            check=plan,
            address="127.0.0.1",
            health=health,
            started_ms=0,
            now_ms=clock_ms,
            on_change=lambda state, line: reported.append(
                f"{now_ms() / 1000:g} {TaskStatus.Health.Name(state)} {line}"
            ),
        )
        try:
            async with asyncio.timeout(500):
                await work
        except TimeoutError:
            reported.append("still checked")
        return reported

    return run_virtual(body())


def test_ready_as_soon_as_it_serves() -> None:
    assert run(check(), [0]) == ["0.1 HEALTHY 0 said", "still checked"]
    assert run(check(), [1, 1, 0]) == ["0.1 STARTING 1 said", "0.7 HEALTHY 0 said", "still checked"]


def test_never_healthy_is_unhealthy_when_docker_would_say_so() -> None:
    reported = run(check(interval_ms=10_000, retries=3), [1])
    assert reported[0] == "0.1 STARTING 1 said"
    at, state, _ = reported[1].split(" ", 2)
    assert state == "UNHEALTHY" and 30 <= float(at) <= 45


def test_checks_that_hang_fail_after_the_timeout() -> None:
    reported = run(check(interval_ms=1_000, timeout_ms=2_000, retries=1), [-1])
    assert reported == ["2.1 UNHEALTHY no response within 2 s"]


def test_it_goes_on_after_a_restart_of_the_agent() -> None:
    plan = check(interval_ms=10_000, retries=2)
    assert run(plan, [0], health=HEALTHY) == ["0.1 HEALTHY 0 said", "still checked"]
    assert run(plan, [1], health=HEALTHY)[-1] == "10.1 UNHEALTHY 1 said"


@pytest.mark.parametrize("set_by_ms", [-3_600_000, 3_600_000])
def test_the_start_period_is_as_long_as_it_is_though_the_clock_is_set(set_by_ms: int) -> None:
    plan = check(interval_ms=5_000, start_period_ms=60_000, retries=1)
    assert run(plan, [1], set_by_ms=set_by_ms) == run(plan, [1])


def test_what_the_host_refuses_is_a_failure() -> None:
    async def refuse(task_id: str, words: tuple[str, ...]) -> ExecResult:
        raise Unavailable("crun\nis gone")

    async def body() -> str:
        return (await HealthProber(containers=ContainersToProbe(refuse)).probe("t", check(), "127.0.0.1")).message

    assert run_virtual(body()) == "crun is gone"
