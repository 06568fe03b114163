"""What pages ask for: the live feed over a manager's own handlers, services, nodes, logs, events."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import WSMsgType
from google.protobuf.message import Message

from console import app as console_app
from console.handlers.streams import SESSION_ENDED
from manager.cluster.cluster_feed import ClusterFeed
from shoal.api.v1.control_pb2 import (
    CreateServiceRequest,
    GetServiceRequest,
    LogSource,
    LogsResponse,
    NodeView,
    RemoveServiceRequest,
    RemoveServiceResponse,
    RunJobRequest,
    RunJobResponse,
    ServiceView,
    StatsResponse,
    UpdateNodeRequest,
    UpdateServiceRequest,
    UpdateServiceResponse,
    WatchClusterRequest,
    WatchEventsResponse,
)
from shoal.api.v1.event_pb2 import Event
from shoal.api.v1.node_pb2 import NodeSpec
from shoal.api.v1.streams_pb2 import LogBatch, LogChunk
from shoal.api.v1.task_pb2 import TaskState
from shoal.errors import NotFound
from tests.unit.console.console_rig import Browser, FakeManagers, browser
from tests.unit.manager_api.control_rig import ADMIN, Api, spec_of, with_api


def with_browser(managers: FakeManagers, scenario: Callable[[Browser], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(60), browser(managers) as page:
            await scenario(page)

    asyncio.run(run())


def stream_of(*messages: Message | Exception) -> Callable[[], AsyncIterator[Message]]:
    """A stream of these, that stays open unless an error ends it."""

    async def stream() -> AsyncGenerator[Message]:
        for each in messages:
            if isinstance(each, Exception):
                raise each
            yield each
        await asyncio.Event().wait()

    return stream


async def received(socket: Any, kind: str) -> Any:
    """The next message of this type."""
    while True:
        message = await socket.receive_json(timeout=5)
        if message["type"] == kind:
            return message


def test_a_change_in_a_managers_store_is_in_the_browser_soon() -> None:
    managers = FakeManagers()

    async def scenario(api: Api) -> None:
        await api.add_node("node1", "h1")
        spec = spec_of("web", replicas=3)
        spec.labels["<script>"] = "\u202e\x1b[31m"
        identifier = (await api.services.create(CreateServiceRequest(spec=spec), ADMIN)).service.meta.id
        managers.streams["WatchCluster"] = lambda: ClusterFeed(store=api.store).watch(WatchClusterRequest(), ADMIN)
        async with browser(managers) as page:
            following = asyncio.create_task(page.console.feed.run())
            socket, other = await page.open("/api/feed"), await page.open("/api/feed")
            snapshot = await received(socket, "snapshot")
            assert [(each["name"], each["state"]) for each in snapshot["nodes"]] == [("h1", "ready")]
            (web,) = snapshot["services"]
            assert (web["name"], web["replicas"], web["labels"]) == ("web", 3, {"<script>": "\u202e\x1b[31m"})
            await received(other, "snapshot")
            begun = asyncio.get_running_loop().time()
            await api.put_task("t1", identifier, state=TaskState.FAILED, message="exit code 3")
            for each in (socket, other):
                (row,) = (await received(each, "changes"))["tasks"]
                assert (row[0], row[3], row[4], row[7]) == ("t1", "node1", "failed", "exit code 3")
            assert asyncio.get_running_loop().time() - begun < 1
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    with_api(scenario)


def test_a_stream_ends_with_its_session(monkeypatch: Any) -> None:
    real = console_app.now

    async def scenario(page: Browser) -> None:
        session = await (await page.get("/api/session")).json()
        clock["now"] = datetime.fromtimestamp(session["until"] / 1000, UTC) - timedelta(milliseconds=100)
        socket = await page.open("/api/feed")
        while (message := await socket.receive(timeout=5)).type is not WSMsgType.CLOSE:
            pass
        assert message.data == SESSION_ENDED

    clock: dict[str, Any] = {}
    monkeypatch.setattr(console_app, "now", lambda: clock.get("now") or real())
    with_browser(FakeManagers(), scenario)


def test_a_service_is_removed_by_its_name_alone() -> None:
    view = ServiceView()
    view.service.meta.id, view.service.spec.name = "s1", "web"
    managers = FakeManagers({"GetService": view, "RemoveService": RemoveServiceResponse(id="s1")})

    async def scenario(page: Browser) -> None:
        assert (await page.post("/api/services/s1/remove", {"name": "wep"})).status == 400
        assert [method for method, _ in managers.requests] == ["GetService"]
        assert (await page.post("/api/services/s1/remove", {"name": "web"})).status == 200
        assert managers.requests[-1] == ("RemoveService", RemoveServiceRequest(service="s1"))

    with_browser(managers, scenario)


def test_an_update_changes_what_it_names_and_no_more() -> None:
    view = ServiceView()
    view.service.meta.id, view.service.meta.version = "s1", 7
    view.service.spec.task.container.image = "hello:1"
    view.service.spec.task.container.env.append("A=1")
    view.service.spec.replicated.replicas, view.service.spec.update.parallelism = 2, 3
    view.service.spec.task.limits.pids = 50
    managers = FakeManagers({"GetService": view, "UpdateService": UpdateServiceResponse()})

    async def scenario(page: Browser) -> None:
        done = await page.post("/api/services/web/update", {"image": "hello:2", "dry_run": True})
        assert done.status == 200
        (_, asked), (_, sent) = managers.requests
        assert asked == GetServiceRequest(service="web")
        assert isinstance(sent, UpdateServiceRequest)
        assert (sent.version, sent.dry_run, sent.spec.task.container.image) == (7, True, "hello:2")
        assert list(sent.spec.task.container.env) == ["A=1"]
        assert (await page.post("/api/services/web/update", {"env": "A=1"})).status == 400
        form = {"replicas": "5", "cpus": "0.5", "memory": "64M", "parallelism": ""}
        await page.post("/api/services/web/update", form)
        sent = managers.requests[-1][1]
        assert isinstance(sent, UpdateServiceRequest)
        limits = sent.spec.task.limits
        assert (limits.nano_cpus, limits.memory_bytes, limits.pids) == (500_000_000, 64 << 20, 50)
        assert (sent.spec.replicated.replicas, sent.spec.update.parallelism) == (5, 3)
        refused = await (await page.post("/api/services/web/update", {"cpus": "many", "parallelism": "x"})).json()
        assert [each["path"] for each in refused["faults"]] == ["cpus", "parallelism"]

    with_browser(managers, scenario)


def test_a_job_runs_now_by_its_schedule_or_once_more() -> None:
    view = ServiceView()
    view.service.meta.id, view.service.meta.version, view.service.spec.name = "s1", 7, "report"
    managers = FakeManagers({"GetService": view, "UpdateService": UpdateServiceResponse(), "RunJob": RunJobResponse()})

    async def scenario(page: Browser) -> None:
        view.service.spec.replicated.replicas = 1
        assert (await page.post("/api/services/report/run", {})).status == 400
        view.service.spec.replicated_job.total_completions = 1
        assert (await page.post("/api/services/report/run", {})).status == 200
        method, sent = managers.requests[-1]
        assert isinstance(sent, UpdateServiceRequest)
        assert (method, sent.version, sent.spec.task.force_update) == ("UpdateService", 7, 1)
        view.service.spec.schedule.cron = "0 3 * * *"
        assert (await page.post("/api/services/report/run", {})).status == 200
        assert managers.requests[-1] == ("RunJob", RunJobRequest(service="s1"))

    with_browser(managers, scenario)


def test_a_nodes_availability() -> None:
    view = NodeView()
    view.node.meta.id, view.node.meta.version = "n1", 4
    view.node.spec.labels["disk"] = "ssd"
    managers = FakeManagers({"GetNode": view, "UpdateNode": view})

    async def scenario(page: Browser) -> None:
        assert (await page.post("/api/nodes/h1/availability", {"availability": "sleep"})).status == 400
        assert (await page.post("/api/nodes/h1/availability", {"availability": "drain"})).status == 200
        method, sent = managers.requests[-1]
        assert isinstance(sent, UpdateNodeRequest)
        assert (method, sent.version, sent.spec.availability) == ("UpdateNode", 4, NodeSpec.DRAIN)
        assert sent.spec.labels["disk"] == "ssd"

    with_browser(managers, scenario)


def log_responses() -> list[LogsResponse]:
    stamp = b"2026-11-23T23:18:27.123456789+00:00"
    lines = stamp + b" stdout F <b>hi</b>\n" + stamp + b" stderr F \x1b[31m\xff\n"
    return [
        LogsResponse(source=LogSource(task_id="t1", task_name="web.1", node_hostname="h1")),
        LogsResponse(batch=LogBatch(chunks=[LogChunk(task_id="t1", lines=lines)])),
        LogsResponse(warning="node h2 is down"),
    ]


def test_lines_of_logs_as_they_come() -> None:
    managers = FakeManagers(streams={"Logs": stream_of(*log_responses())})

    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/logs?target=web&follow=1&tail=10")
        assert await received(socket, "source") == {"type": "source", "id": "t1", "name": "web.1", "node": "h1"}
        first, second = (await received(socket, "lines"))["lines"]
        assert first == ["t1", 1795475907123, 0, "<b>hi</b>"]
        assert second[2:] == [1, "\x1b[31m\ufffd"]
        assert (await received(socket, "warning"))["message"] == "node h2 is down"
        (_, request) = managers.requests[-1]
        assert (request.target, request.follow, request.tail) == ("web", True, 10)  # type: ignore[attr-defined]

    with_browser(managers, scenario)


def test_a_log_as_a_file_and_one_that_is_not_there() -> None:
    async def ended() -> AsyncGenerator[Message]:
        for each in log_responses():
            yield each

    managers = FakeManagers(streams={"Logs": ended})

    async def scenario(page: Browser) -> None:
        response = await page.get("/api/logs/file?target=web")
        assert response.headers["Content-Disposition"].startswith("attachment")
        lines = (await response.read()).split(b"\n")
        assert lines[0] == b"web.1@h1 2026-11-23T23:18:27.123456789+00:00 stdout F <b>hi</b>"
        assert lines[2] == b"# node h2 is down"
        managers.streams["Logs"] = stream_of(NotFound("service nope not found"))
        assert (await page.get("/api/logs/file?target=nope")).status == 404
        for query in ("", "target=a&stack=b", "target=a&since=x", "target=a&since=99999999999999999999"):
            assert (await page.get(f"/api/logs/file?{query}")).status == 400

    with_browser(managers, scenario)


def test_errors_of_a_stream_are_its_last_message() -> None:
    managers = FakeManagers(streams={"Logs": stream_of(NotFound("service nope not found"))})

    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/logs?target=nope")
        assert await received(socket, "error") == {"type": "error", "error": "service nope not found"}
        assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE

    with_browser(managers, scenario)


def test_events() -> None:
    event = Event(at_ms=5, type="task", action="failed", name="web.1", service="web", message="exit code 1")
    managers = FakeManagers(
        streams={"WatchEvents": stream_of(WatchEventsResponse(event=event), WatchEventsResponse(warning="slow"))}
    )

    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/events?since=1")
        found = await received(socket, "event")
        assert (found["kind"], found["action"], found["message"]) == ("task", "failed", "exit code 1")
        assert (await received(socket, "warning"))["message"] == "slow"

    with_browser(managers, scenario)


def test_what_tasks_use() -> None:
    response = StatsResponse(warnings=["node h2 does not respond"])
    task = response.tasks.add(task_id="t1", name="web.1", nano_cpus=250_000_000, memory_bytes=1 << 20)
    task.counters.links.add(received_bytes=5, sent_bytes=7)
    task.counters.links.add(received_bytes=1)
    managers = FakeManagers(streams={"Stats": stream_of(response)})

    async def scenario(page: Browser) -> None:
        socket = await page.open("/api/usage?target=web")
        found = await received(socket, "usage")
        (row,) = found["tasks"]
        assert (row["name"], row["cpus"], row["received"], row["sent"]) == ("web.1", 250, 6, 7)
        assert found["warnings"] == ["node h2 does not respond"]
        for query in ("", "target=a&node=b"):
            assert (await page.get(f"/api/usage?{query}")).status == 400

    with_browser(managers, scenario)
