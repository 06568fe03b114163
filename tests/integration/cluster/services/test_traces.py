"""One trace of a change, from the command to the running container, through all programs; and its id in their logs."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.playground.layout import Layout
from cli.playground.lifecycle import Playground
from shoal.contexts.context_store import ContextStore
from tests.fakes.otlp_receiver import OtlpReceiver, ReceivedSpan, otlp_receiver
from tests.integration.cluster.harness import RUN_ROOT, Cluster
from tests.integration.cluster.subnets import free_subnet

CANARY = "canary-5b1f0e77"
"""Of a secret, and of a variable of the environment."""
IMAGE = Path(__file__).parents[4] / "build" / "images" / "hello-1.tar"


@pytest.fixture
def traced(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Cluster, OtlpReceiver]]:
    """A cluster of one host whose programs log JSON and send their spans to a receiver on this machine."""
    layout = Layout(
        name=f"o{os.getpid() % 100_000}",
        hosts=1,
        subnet=free_subnet(),
        state_root=tmp_path_factory.mktemp("o"),  # paths of etcd's sockets end at 107 bytes
        run_root=RUN_ROOT,
    )
    playground = Playground(layout, contexts=ContextStore(tmp_path / "config"), report=print)
    with otlp_receiver("0.0.0.0") as receiver:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://{layout.uplink_address}:{receiver.port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        for program in ("MANAGER", "AGENT"):
            monkeypatch.setenv(f"SHOAL_{program}_LOG_FORMAT", "json")
            monkeypatch.setenv(f"SHOAL_{program}_LOG_LEVEL", "debug")
        playground.up()
        try:
            yield Cluster(playground, tmp_path / "config"), receiver
        finally:
            playground.down()


def _of_create(receiver: OtlpReceiver) -> dict[str, ReceivedSpan]:
    """By name; of the trace that `shoal service create` has begun."""
    root = next((each for each in receiver.spans if each.name == "shoal service create"), None)
    return {each.name: each for each in receiver.spans if root is not None and each.trace_id == root.trace_id}


def test_a_change_is_one_trace_from_the_command_to_the_running_container(
    traced: tuple[Cluster, OtlpReceiver],
) -> None:
    cluster, receiver = traced
    cluster.shoal("image", "push", "--quiet", str(IMAGE), "registry:5000/hello:1")
    cluster.run("secret", "create", "key", "-", text=CANARY)
    options = ["--secret", "key", "--env", f"PASSWORD={CANARY}"]
    cluster.shoal("service", "create", "--name", "web", *options, "registry:5000/hello:1")
    call = "shoal.api.v1.Control/CreateService"
    steps = {"image", "files", "network", "container"}
    whole = {"shoal service create", call, "commit", "plan", "dispatch", "start", "status running"} | steps
    cluster.until(lambda: whole <= _of_create(receiver).keys(), "all spans of the change")
    spans = _of_create(receiver)
    assert spans[call].parent_id == spans["shoal service create"].span_id
    for name in ("plan", "dispatch", "start", "status running"):
        assert spans[name].parent_id == spans[call].span_id
    assert {spans[name].parent_id for name in steps} == {spans["start"].span_id}
    assert [spans[name].service for name in (call, "start", "shoal service create")] == [
        "shoal-manager",
        "shoal-agent",
        "shoal",
    ]
    order = ["shoal service create", call, "plan", "dispatch", "start", "status running"]
    assert [spans[name].start_ns for name in order] == sorted(spans[name].start_ns for name in order)
    assert not any(each.failed for each in spans.values())
    text = cluster.layout.all_hosts()[0].log.read_text()
    lines = [json.loads(line) for line in text[: text.rindex("\n")].splitlines()]  # the last one may be under way
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    nodes = {line["node"] for line in lines if "node" in line}
    assert len(nodes) == 1
    assert cluster.shoal("secret", "ls", "--quiet").strip()
    for secret in (CANARY, cluster.layout.monitoring_token_file.read_text(), "PRIVATE KEY"):
        assert not receiver.contains(secret)
        for log in (cluster.layout.state / "logs").iterdir():
            assert secret not in log.read_text(), log
