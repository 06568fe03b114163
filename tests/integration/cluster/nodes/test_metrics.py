"""Debian's Prometheus scrapes real managers and agents as deploy/monitoring configures it."""

import json
import os
import re
import ssl
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.playground import daemons
from shoal.contexts.context_store import ContextStore
from shoal.errors import Unavailable
from shoal.monitoring.settings import AGENT_PORT, MANAGER_PORT
from tests.integration.cluster.harness import Cluster
from tests.ports import free_port

MONITORING = Path(__file__).parents[4] / "deploy" / "monitoring"
_NAME = re.compile(r"\b(?:shoal|grpc|process|python)_[a-z_]+\b")
_FUNCTIONS = re.compile(r"\b(?:by|on|without)\s*\([^)]*\)|\{[^}]*\}")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}


def _used_names() -> set[str]:
    """Every metric that an alert or a panel is about."""
    rules = yaml.safe_load((MONITORING / "shoal.rules.yml").read_text())
    expressions = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    panels = json.loads((MONITORING / "grafana-dashboard.json").read_text())["panels"]
    expressions += [target["expr"] for panel in panels for target in panel.get("targets", ())]
    return {name for each in expressions for name in _NAME.findall(_FUNCTIONS.sub("", each))}


def _exposed_names(text: str) -> set[str]:
    """Of all that a program may expose: a metric with labels has no series before the first event."""
    kinds = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {
        (name.removesuffix("_total") if kind == "counter" else name) + suffix
        for name, kind in kinds
        for suffix in _SUFFIXES[kind]
    }


def _check_names(page: str) -> None:
    """Metrics are named as Prometheus' practice has it: base units, `_total` for counters alone, a help text."""
    command = ["promtool", "check", "metrics"]
    ran = subprocess.run(command, input=page, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def _targets(cluster: Cluster) -> tuple[str, list[str]]:
    layout = cluster.layout
    return f"{layout.manager_address}:{MANAGER_PORT}", [f"{each.address}:{AGENT_PORT}" for each in layout.all_hosts()]


def _read(url: str, cluster: Cluster | None = None) -> str:
    """A page of the monitoring address; of a manager or an agent with its token."""
    headers, tls = {}, None
    if cluster is not None:
        headers = {"Authorization": f"Bearer {cluster.layout.monitoring_token_file.read_text()}"}
        tls = ssl.create_default_context(cafile=str(_authority(cluster)))
        tls.check_hostname = False  # the names are those of the cluster, which Prometheus is told
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10, context=tls) as answer:
        return str(answer.read().decode())


def _authority(cluster: Cluster) -> Path:
    return ContextStore(cluster.config).get(cluster.layout.name).directory / "ca.pem"


@contextmanager
def _prometheus(cluster: Cluster, directory: Path) -> Iterator[str]:
    """With the configuration as it is delivered, its directory and intervals aside; its address."""
    manager, agents = _targets(cluster)
    token = cluster.layout.monitoring_token_file.read_text()
    files = {
        "token": token,
        "ca.pem": _authority(cluster).read_text(),
        "managers.json": json.dumps([{"targets": [manager]}]),
        "agents.json": json.dumps([{"targets": agents}]),
        "shoal.rules.yml": (MONITORING / "shoal.rules.yml").read_text(),
    }
    for name, content in files.items():
        (directory / name).write_text(content)
    settings = (MONITORING / "prometheus.yml").read_text().replace("/etc/prometheus/shoal", str(directory))
    (directory / "prometheus.yml").write_text(settings.replace("15s", "1s"))
    address = f"127.0.0.1:{free_port()}"
    options = [f"--config.file={directory / 'prometheus.yml'}", f"--storage.tsdb.path={directory / 'data'}"]
    with (directory / "log").open("wb") as log:
        command = ["prometheus", *options, f"--web.listen-address={address}"]
        with subprocess.Popen(command, stdout=log, stderr=log) as server:
            try:
                yield address
            finally:
                server.terminate()


def _query(address: str, query: str) -> dict[str, float]:
    """Values by instance."""
    url = f"http://{address}/api/v1/query?query={urllib.parse.quote(query)}"
    try:
        found: list[dict[str, Any]] = json.loads(_read(url))["data"]["result"]
    except OSError:  # it is not up yet
        return {}
    return {each["metric"].get("instance", ""): float(each["value"][1]) for each in found}


@contextmanager
def _program(cluster: Cluster, directory: Path, name: str, *options: str) -> Iterator[str]:
    """An engine or a console that serves its metrics; its monitoring address."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(daemons.BIN / f"shoal-{name}"), "--context", cluster.layout.name, *options]
    environment = {
        **os.environ,
        "SHOAL_CONFIG": str(cluster.config),
        f"SHOAL_{name.upper()}_MONITORING_ADDRESS": address,
    }
    with (
        (directory / f"{name}.log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as program,
    ):
        try:
            yield address
        finally:
            program.terminate()


def _is(address: str, query: str, expected: dict[str, int]) -> bool:
    return _query(address, query) == expected


def _ready(url: str) -> bool:
    try:
        return bool(json.loads(_read(url))["status"] == "ok")
    except (OSError, Unavailable):
        return False


def test_prometheus_scrapes_the_cluster_and_finds_all_that_alerts_and_panels_are_about(
    clean: Cluster, tmp_path: Path
) -> None:
    manager, agents = _targets(clean)
    clean.shoal("service", "create", "--name", "web", "--replicas", "3", "registry:5000/hello:1")
    with (
        _prometheus(clean, tmp_path) as prometheus,
        _program(clean, tmp_path, "engine", "--socket", str(tmp_path / "engine.sock")) as engine,
        _program(clean, tmp_path, "console", "--local", "--no-browser", "--listen", "127.0.0.1:0") as console,
    ):
        up = {manager: 1.0} | dict.fromkeys(agents, 1.0)
        clean.until(lambda: _query(prometheus, 'up{job=~"shoal-(manager|agent)"}') == up, "all to be scraped")
        running = 'shoal_agent_tasks{state="running"}'
        clean.until(lambda: sum(_query(prometheus, running).values()) == 3, "three running tasks")
        of_manager = {
            'shoal_manager_tasks{state="running"}': 3,
            'shoal_manager_nodes{state="ready"}': 3,
            "shoal_manager_sessions": 3,
            "shoal_manager_is_leader": 1,
            "shoal_etcd_quota_bytes": 8 << 30,
        }
        for metric, value in of_manager.items():  # as they are at the next time that the manager is asked
            clean.until(partial(_is, prometheus, metric, {manager: value}), f"{metric} to be {value}")
        clean.until(lambda: _ready(f"http://{engine}/readyz"), "the engine to be ready")
        clean.until(lambda: _ready(f"http://{console}/readyz"), "the console to be ready")
        pages = [_read(f"https://{each}/metrics", clean) for each in (manager, agents[0])]
        pages += [_read(f"http://{each}/metrics") for each in (engine, console)]
        missing = _used_names() - {name for page in pages for name in _exposed_names(page)}
        assert not missing
        for page in pages:
            _check_names(page)
        for secret in (clean.layout.monitoring_token_file.read_text(), "PRIVATE KEY", "SHOAL-1-"):
            assert not any(secret in page for page in pages)


def test_metrics_are_for_who_has_the_token_and_health_is_for_all(cluster: Cluster) -> None:
    manager, agents = _targets(cluster)
    trusting = ssl.create_default_context(cafile=str(_authority(cluster)))
    trusting.check_hostname = False
    for target in (manager, agents[0]):
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"https://{target}/metrics", timeout=10, context=trusting)
        with urllib.request.urlopen(f"https://{target}/readyz", timeout=10, context=trusting) as answer:
            assert json.load(answer) == {"status": "ok"}
        checks = json.loads(_read(f"https://{target}/readyz", cluster))["checks"]
        assert {each["status"] for each in checks} == {"ok"}
        with pytest.raises(OSError, match=r"(?i)reset|closed|remote|EOF|bad status"):
            urllib.request.urlopen(f"http://{target}/healthz", timeout=10)
