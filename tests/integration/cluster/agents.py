"""Agents of a playground that are killed and started again."""

from cli.playground.layout import PlaygroundHost
from tests.integration.cluster.harness import Cluster
from tests.integration.cluster.restored_hosts import connections


def start_agent(cluster: Cluster, host: PlaygroundHost) -> None:
    """Start it, and wait for its session: until it is DOWN, a node whose agent was killed looks as if it had one."""
    before = connections(host)
    cluster.playground.start_agent(host)
    cluster.until(lambda: connections(host) > before, f"{host.name} to connect")


def restart_agent(cluster: Cluster, host: PlaygroundHost) -> None:
    """Kill it and start it again, while no manager could take its node for lost, however long it takes."""
    starts, sessions = _starts(host), connections(host)
    cluster.playground.stop_manager(kill=True)
    cluster.playground.stop_agent(host, kill=True)
    cluster.playground.start_agent(host)
    cluster.until(lambda: _starts(host) > starts, f"the agent of {host.name}")
    cluster.playground.start_manager()
    cluster.until(lambda: connections(host) > sessions, f"{host.name} to connect")
    cluster.playground.wait_for_nodes(len(cluster.layout.all_hosts()))


def _starts(host: PlaygroundHost) -> int:
    return host.log.read_text(errors="replace").count("is running at")
