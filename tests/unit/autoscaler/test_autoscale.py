"""The autoscaler's numbers, and the autoscaler on a store with agents that answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.agents.agent_address import AgentAddress
from manager.agents.usage_reader import rates
from manager.controllers.autoscaler.autoscaler import Autoscaler
from manager.controllers.autoscaler.replica_decision import Load, decide_replicas
from manager.planner.spec.effective_spec import replicas_of
from shoal.api.v1.control_pb2 import CreateServiceRequest, GetServiceRequest, UpdateServiceRequest
from shoal.api.v1.service_pb2 import Autoscale, AutoscaleStatus
from shoal.api.v1.streams_pb2 import ReadUsageRequest, ReadUsageResponse, TaskUsage
from shoal.errors import InvalidInput, Unavailable
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api

SCALE = Autoscale(min_replicas=2, max_replicas=10, cpu_percent=50)
LONG_AGO = AutoscaleStatus(replicas=4, changed_at_ms=0)
NOW = 10_000_000


def load(replicas: int, *shares: float, ready: int | None = None) -> Load:
    return Load(replicas=replicas, ready=replicas if ready is None else ready, utilization={"CPU": shares})


@pytest.mark.parametrize(
    ("measured", "replicas"),
    [
        (load(4, 0.5, 0.5, 0.5, 0.5), 4),
        (load(4, 0.54, 0.54, 0.54, 0.54), 4),  # within the tolerance
        (load(4, 0.46, 0.46, 0.46, 0.46), 4),
        (load(4, 0.8, 0.8, 0.8, 0.8), 7),
        (load(4, 9.0, 9.0, 9.0, 9.0), 8),  # a step is at most double, or four more
        (load(4, 0.1, 0.1, 0.1, 0.1), 2),  # never below min
        (load(8, *[0.9] * 8), 10),  # never above max
        (load(4, 0.1, 0.1, 0.1, ready=3), 4),  # never fewer while not all serve
        (load(4, 0.8), 4),  # those that are not measured count as idle on the way up,
        (load(4, 0.1, 0.1), 3),  # and as busy on the way down
        (load(4), 4),
        (load(1), 2),  # bounds hold at once
        (load(30), 10),
    ],
)
def test_the_number_that_brings_the_use_to_its_target(measured: Load, replicas: int) -> None:
    assert decide_replicas(SCALE, LONG_AGO, measured, now_ms=NOW)[0] == replicas


def test_it_rests_between_steps() -> None:
    just_now = AutoscaleStatus(replicas=4, changed_at_ms=NOW - 31_000)
    assert decide_replicas(SCALE, just_now, load(4, *[0.8] * 4), now_ms=NOW)[0] == 7
    assert decide_replicas(SCALE, just_now, load(4, *[0.2] * 4), now_ms=NOW)[0] == 4
    assert decide_replicas(SCALE, just_now, load(4, *[0.2] * 4), now_ms=NOW + 300_000) == (
        2,
        "CPU utilization 20%, target 50%: 4 to 2 replicas",
    )


def test_a_clock_that_was_set_back_is_not_waited_for() -> None:
    ahead = AutoscaleStatus(replicas=4, changed_at_ms=NOW + 3_600_000)
    assert decide_replicas(SCALE, ahead, load(4, *[0.8] * 4), now_ms=NOW)[0] == 7
    another_leader = AutoscaleStatus(replicas=4, changed_at_ms=NOW + 5_000)
    assert decide_replicas(SCALE, another_leader, load(4, *[0.8] * 4), now_ms=NOW)[0] == 4


def test_the_greatest_target_decides() -> None:
    both = Autoscale(min_replicas=1, max_replicas=10, cpu_percent=50, memory_percent=50)
    measured = Load(replicas=4, ready=4, utilization={"CPU": [0.1] * 4, "memory": [0.75] * 4})
    assert decide_replicas(both, LONG_AGO, measured, now_ms=NOW) == (
        6,
        "memory utilization 75%, target 50%: 4 to 6 replicas",
    )


@given(
    replicas=st.integers(0, 30),
    shares=st.lists(st.floats(0, 20), max_size=30),
    bounds=st.tuples(st.integers(1, 20), st.integers(0, 20)),
    percent=st.integers(1, 400),
)
def test_always_within_bounds_and_at_rest_once_there(
    replicas: int, shares: list[float], bounds: tuple[int, int], percent: int
) -> None:
    scale = Autoscale(min_replicas=bounds[0], max_replicas=bounds[0] + bounds[1], cpu_percent=percent)
    found, _ = decide_replicas(scale, LONG_AGO, load(replicas, *shares[:replicas]), now_ms=NOW)
    assert scale.min_replicas <= found <= scale.max_replicas
    # The same work spread over that number asks for no other one at once in the opposite direction.
    if shares[:replicas] and len(shares) >= replicas and found > replicas >= scale.min_replicas:
        mean = sum(shares[:replicas]) / found
        again, _ = decide_replicas(scale, LONG_AGO, load(found, *[mean] * found), now_ms=NOW)
        assert again >= min(found, replicas)


def test_rates_need_two_readings() -> None:
    first = {"a": TaskUsage(task_id="a", at_ns=0, cpu_ns=100), "b": TaskUsage(task_id="b", at_ns=0, cpu_ns=9)}
    second = {
        "a": TaskUsage(task_id="a", at_ns=2_000_000_000, cpu_ns=1_000_000_100, memory_bytes=7, pids=2),
        "b": TaskUsage(task_id="b", at_ns=2_000_000_000, cpu_ns=0),  # it was restarted
        "c": TaskUsage(task_id="c", at_ns=2_000_000_000),
    }
    found = rates(first, second)
    assert (found["a"].nano_cpus, found["a"].memory_bytes, found["a"].pids) == (500_000_000, 7, 2)
    assert found["b"].nano_cpus == 0
    assert "c" not in found


class Agents:
    """Every task uses the share given; time goes on by a second a reading."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.at_ns = 0
        self.away = False

    async def read_usage(self, agent: AgentAddress, request: ReadUsageRequest) -> ReadUsageResponse:
        if self.away:
            raise Unavailable("it does not answer")
        self.at_ns += 1_000_000_000
        cpu_ns = int(self.at_ns * self.share)
        return ReadUsageResponse(
            tasks=[TaskUsage(task_id=task_id, at_ns=self.at_ns, cpu_ns=cpu_ns) for task_id in request.task_ids]
        )


def test_a_busy_service_grows_and_what_is_left_of_a_removed_one_goes() -> None:
    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of(replicas=2)
        spec.task.limits.nano_cpus = 10**9
        spec.autoscale.CopyFrom(SCALE)
        service = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service
        for number in range(2):
            await api.put_task(f"t{number}", service.meta.id)
        agents = Agents(share=0.9)
        scaler = Autoscaler(store=api.store, meters=agents, now_ms=lambda: NOW)
        await scaler.step(None)
        assert replicas_of(api.store.tables, service) == 2
        await scaler.step(None)
        view = await api.services.get(GetServiceRequest(service="web"), ADMIN)
        assert view.desired == 4
        assert view.autoscale_status.message == "CPU utilization 90%, target 50%: 2 to 4 replicas"
        assert view.service.revision == 1  # the spec is the user's

        agents.away = True
        await scaler.step(None)
        assert replicas_of(api.store.tables, service) == 4

        changed = spec_of(replicas=2)
        changed.task.limits.nano_cpus = 10**9
        request = UpdateServiceRequest(service="web", version=service.meta.version, spec=changed)
        await api.services.update(request, ADMIN)
        await scaler.step(None)
        assert not api.store.tables.autoscales

    with_api(scenario)


def test_what_autoscaling_needs_is_told() -> None:
    async def scenario(api: Api) -> None:
        spec = spec_of()
        spec.autoscale.CopyFrom(Autoscale(min_replicas=0, max_replicas=0, cpu_percent=70))
        with pytest.raises(InvalidInput) as caught:
            await api.services.create(CreateServiceRequest(spec=spec), ADMIN)
        assert {fault.path for fault in caught.value.faults} == {"autoscale.min_replicas", "autoscale.cpu_percent"}

    with_api(scenario)
