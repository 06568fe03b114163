"""A local cluster: real manager, etcd, registry and agents; each host is a network namespace.

The tests run on it too. `up` makes everything or nothing; `down` works from what it finds on the machine, so it
also cleans up after a crash.
"""

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cli.client import Client
from cli.playground import agents, console_server, daemons, engine_server, manager_servers, subnets, virtual_network
from cli.playground.layout import REGISTRY_PORT, Layout, PlaygroundHost
from cli.playground.leftovers import agent_processes, leftovers, summarize
from cli.playground.monitoring import write_token as write_monitoring_token
from cli.playground.pids_file import load_pids, save_pids
from cli.playground.registry_server import RegistryAccess, answers_http, registry_settings
from shoal.api.v1.control_pb2 import (
    CreateJoinTokenRequest,
    GetClusterRequest,
    ListNodesRequest,
    UpdateClusterRequest,
)
from shoal.api.v1.node_pb2 import NodeStatus
from shoal.contexts.context_store import ContextStore
from shoal.errors import NotFound, Refused, ShoalError, Timeout, Unavailable
from shoal.identity.identity import Identity
from shoal.tree_removal import delete_trees

PROGRAMS = ("ip", "nsenter", "etcd", "docker-registry", "crun", "conmon")
READY_SECONDS = 180.0
GRACE_SECONDS = 10.0
_HOSTS_AT_ONCE = 8
"""Hosts that are removed at the same time: each waits for its containers and its agent."""

ReportStep = Callable[[str], None]


class Playground:
    """One playground. Blocking calls for the command line, `async with` for tests.

    Args:
        layout: where everything is.
        contexts: of the user; the playground's context is made in it, named as the playground.
        report: takes a line on each step.
        ready_seconds: within which each part has to be; a slow machine needs more.
        manager_options: more of `shoal-manager run`.
        any_subnet: where the layout's subnet is in use on this machine, take the next one that is free.
        with_engine: serve Docker's clients too, on `Layout.engine_socket`.
        with_console: serve the web console too, and report its address.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        contexts: ContextStore,
        report: ReportStep = lambda _: None,
        ready_seconds: float = READY_SECONDS,
        manager_options: Sequence[str] = (),
        any_subnet: bool = False,
        with_engine: bool = False,
        with_console: bool = False,
    ) -> None:
        self.layout = layout
        self._any_subnet = any_subnet
        self._with_engine = with_engine
        self._with_console = with_console
        self._manager_options = manager_options
        self._ready_seconds = ready_seconds
        self._contexts = contexts
        self._report = report

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.up)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.down)

    def up(self) -> None:
        """Start everything, from nothing, and wait until every node is ready.

        Raises:
            Refused: it is up already, or its subnet is on another link of this machine.
            Unavailable, Timeout: a part did not start; nothing is left behind.
        """
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing:
            raise NotFound(f"{', '.join(missing)} not found; install the packages listed in deploy/packages.txt")
        if virtual_network.playground_namespaces(self.layout):
            raise Refused(
                f"playground {self.layout.name!r} is already running; see `shoal playground hints{self._name_option}`, "
                f"or stop it with `shoal playground down{self._name_option}`"
            )
        if self.layout.state.exists() or self.layout.run.exists():
            self._report("removing what an earlier playground left behind")
            self.down()
        try:
            with subnets.subnet_lock():
                self._choose_subnet()
                self._report(f"network: {self.layout.hosts} hosts on {self.layout.subnet}")
                virtual_network.build_network(self.layout)
            self._start()
        except BaseException:
            self._report("startup failed; cleaning up")
            self.down()
            raise

    @property
    def _name_option(self) -> str:
        """The option that names it, where it is not the usual one."""
        return "" if self.layout.name == Layout().name else f" --name {self.layout.name}"

    def _choose_subnet(self) -> None:
        if self._any_subnet:
            self.layout = replace(self.layout, subnet=subnets.first_free(subnets.in_use(), first=self.layout.subnet))
        elif link := virtual_network.link_with_subnet(self.layout.subnet):
            raise Refused(
                f"{self.layout.subnet} is in use by link {link} of this machine; choose another subnet with "
                "--subnet, or stop the playground that uses it"
            )

    def _start(self) -> None:
        layout = self.layout
        layout.state.mkdir(parents=True, exist_ok=True)
        layout.registries_file.write_text(layout.registries())
        self._report(f"registry: {layout.manager_address}:{REGISTRY_PORT}")
        self.start_registry()
        self._report(f"manager: {layout.api}")
        self.start_manager()
        self._make_context()
        for host in layout.other_managers():
            self._report(f"manager: {manager_servers.manager_api(layout, host)}")
            self.start_other_manager(host)
        for host in layout.all_hosts():
            self._report(f"agent: {host.name} ({host.address})")
            self.start_agent(host)
        self.wait_for_nodes(layout.hosts)
        if self._with_engine:
            self._report(f"engine: unix://{layout.engine_socket}")
            self.start_engine()
        if self._with_console:
            self.start_console()
            self._report(f"console: {console_server.address_of(layout)}")

    def down(self) -> None:
        """End every process and remove every trace but the user's images on disk. Works on half a playground too.

        Raises:
            Unavailable: something is left, which the text names; another call tries again.
        """
        layout = self.layout
        outside = [*engine_server.engine_processes(layout), *console_server.console_processes(layout)]
        daemons.stop(outside, grace_seconds=GRACE_SECONDS)
        hosts = [name for name in virtual_network.playground_namespaces(layout) if name != layout.lan]
        for name in hosts:
            self._report(f"removing {name.removeprefix(f'{layout.name}-')}")
        with ThreadPoolExecutor(max_workers=_HOSTS_AT_ONCE) as at_once:
            failures = [each for each in at_once.map(self._remove_host, hosts) if each]
        if failures:  # its namespace and its state are needed to try again
            raise Unavailable(f"{'; '.join(failures)}. Run `shoal playground down{self._name_option}` again")
        if layout.lan in virtual_network.playground_namespaces(layout):
            daemons.stop(virtual_network.processes_in(layout.lan), grace_seconds=GRACE_SECONDS)
        virtual_network.remove_network(layout)
        with suppress(Unavailable):  # what is left is told below
            delete_trees(layout.state, layout.run)
        for root in (layout.state_root, layout.run_root):
            with suppress(OSError):
                root.rmdir()
        with suppress(NotFound):
            self._contexts.remove(layout.name, force=True)
        if left := leftovers(layout):
            raise Unavailable(f"playground {layout.name} was not fully removed; remaining: {summarize(left)}")

    def _remove_host(self, namespace: str) -> str:
        """Why it could not be removed; empty when it is."""
        kind, number = namespace.removeprefix(f"{self.layout.name}-")[0], int(namespace.rpartition("-")[2][1:])
        if kind == "m":
            daemons.stop(virtual_network.processes_in(namespace), grace_seconds=GRACE_SECONDS)
            return ""
        host = self.layout.host(number)
        # Whoever started them: an agent that runs keeps its containers from being removed.
        daemons.stop(agent_processes(host), grace_seconds=GRACE_SECONDS)
        try:
            self.reset_agent(host)
        except ShoalError as error:
            return f"cannot remove {host.name}: {error}"
        daemons.stop(virtual_network.processes_in(namespace), grace_seconds=GRACE_SECONDS)
        return ""

    def start_registry(self) -> None:
        """Start the shared registry on the LAN."""
        state = self.layout.registry_state
        state.mkdir(parents=True, exist_ok=True)
        config = state / "config.json"
        listen = f"{self.layout.manager_address}:{REGISTRY_PORT}"
        config.write_text(json.dumps(registry_settings(state, listen, RegistryAccess())))
        log = self.layout.state / "logs" / "registry.log"
        self._spawn("registry", self.layout.lan, ["docker-registry", "serve", str(config)], log)
        url = f"http://{self.layout.manager_address}:{REGISTRY_PORT}/v2/"
        self.wait_until(lambda: answers_http(url), "the registry", {"registry": log})

    def start_manager(self) -> None:
        """Start the manager with its own etcd, and wait until its API answers."""
        log = self.layout.state / "logs" / "manager.log"
        write_monitoring_token(self.layout)
        command = manager_servers.first_manager_command(self.layout, self._manager_options)
        self._spawn("manager", self.layout.lan, command, log)
        self.wait_until(self._manager_answers, "the manager", {"manager": log})

    def start_other_manager(self, host: PlaygroundHost) -> None:
        """Start one of `Layout.other_managers`, and wait until it votes; it joins when it has not yet."""
        token = self.layout.state / "manager-token"
        if not (host.state / "identity").exists():  # else no manager may be there to create one
            with self.client() as client:
                manager_servers.write_token(client, token)
        command = manager_servers.joining_manager_command(self.layout, host, token, self._manager_options)
        self._spawn(host.name, host.namespace, command, host.log)
        votes = partial(manager_servers.votes, self._contexts.get(self.layout.name), self.layout, host)
        self.wait_until(votes, f"manager {host.name}", {host.name: host.log})
        manager_servers.refresh_context(self._contexts.get(self.layout.name))

    def start_engine(self) -> None:
        """Serve Docker's clients on this machine, and wait until they can connect."""
        log = self.layout.state / "logs" / "engine.log"
        self._spawn("engine", "", engine_server.engine_command(self.layout, self._contexts.directory), log)
        self.wait_until(lambda: engine_server.accepts(self.layout.engine_socket), "the engine", {"engine": log})

    def start_console(self) -> None:
        """Serve the web console on this machine, and wait until its address can be opened."""
        log = self.layout.state / "logs" / "console.log"
        self.layout.console_address_file.unlink(missing_ok=True)
        self._spawn("console", "", console_server.console_command(self.layout, self._contexts.directory), log)
        self.wait_until(lambda: bool(console_server.address_of(self.layout)), "the console", {"console": log})

    def restart_console(self) -> None:
        """Serve the web console anew: with another address, and without the sessions of before."""
        daemons.stop(console_server.console_processes(self.layout), grace_seconds=GRACE_SECONDS)
        self.start_console()

    def start_agent(self, host: PlaygroundHost) -> None:
        """Start the agent of a host; it joins when it has no identity yet."""
        command = agents.agent_command(self.layout, host, self.layout.state / "token")
        self._spawn(host.name, host.namespace, command, host.log)

    def stop_agent(self, host: PlaygroundHost, *, kill: bool = False) -> None:
        """End a host's agent; its containers live on."""
        self._stop(host.name, kill=kill)

    def stop_manager(self, *, kill: bool = False) -> None:
        """End the manager, and with it its etcd."""
        self._stop("manager", kill=kill)

    def reset_agent(self, host: PlaygroundHost) -> None:
        """Remove every container of a host, and all else that its agent made."""
        daemons.run(host.namespace, agents.reset_command(host), seconds=120)

    def pid(self, name: str) -> int:
        """Process id of a daemon: "manager", "registry", or a host's name ("m2": another manager)."""
        return int(load_pids(self.layout).get(name, 0))

    def client(self) -> Client:
        """A client of the playground's cluster."""
        return Client(self._contexts.get(self.layout.name))

    def wait_for_nodes(self, count: int) -> None:
        """Until so many nodes are READY.

        Raises:
            Timeout: they are not in time; with the end of a log.
        """

        def ready() -> bool:
            with self.client() as client:
                views = client.call(client.control.ListNodes, ListNodesRequest()).nodes
            return sum(view.status.state == NodeStatus.READY for view in views) >= count

        self.wait_until(ready, f"{count} nodes", {host.name: host.log for host in self.layout.all_hosts()})

    def wait_until(self, condition: Callable[[], bool], what: str, logs: Mapping[str, Path]) -> None:
        """Poll a condition; errors of Shoal count as not yet.

        Args:
            logs: of the parts that are waited for, by their names.
        Raises:
            Timeout: it did not come true; with the end of the first log.
            Unavailable: a part has ended; with the end of its log.
        """
        deadline = time.monotonic() + self._ready_seconds
        while time.monotonic() < deadline:
            with suppress(ShoalError):
                if condition():
                    return
            for name, pid in load_pids(self.layout).items():
                if name in logs and not daemons.is_running(pid):
                    raise Unavailable(f"{name} exited; end of {logs[name]}: {daemons.tail(logs[name])}")
            time.sleep(0.05)
        log = next(iter(logs.values()))
        raise Timeout(f"{what} not ready after {self._ready_seconds:.0f} s; end of {log}: {daemons.tail(log)}")

    def _admin(self) -> Path:
        return self.layout.manager_state / "admin"

    def _manager_answers(self) -> bool:
        if not (self._admin() / "key.pem").exists():
            return False
        with suppress(NotFound):
            self._contexts.remove(self.layout.name, force=True)
        self._contexts.create(
            self.layout.name, Identity.load(self._admin()), [self.layout.api], registries=self.layout.registries_file
        )
        with self.client() as client:
            return bool(client.call(client.control.GetCluster, GetClusterRequest()).join_addresses)

    def _make_context(self) -> None:
        self._contexts.use(self.layout.name)
        with self.client() as client:
            # A host that was reset joins anew, for as long as the playground is up.
            request = CreateJoinTokenRequest(ttl_ms=365 * 24 * 3_600_000, uses=10_000)
            made = client.call(client.control.CreateJoinToken, request)
            images = UpdateClusterRequest(image_repository=f"registry:{REGISTRY_PORT}")
            client.call(client.control.UpdateCluster, images)
        token = self.layout.state / "token"
        token.touch(mode=0o600)
        token.write_text(made.token)

    def _spawn(self, name: str, namespace: str, command: list[str | Path], log: Path) -> None:
        pid = daemons.spawn(namespace, command, log)
        save_pids(self.layout, {**load_pids(self.layout), name: pid})

    def _stop(self, name: str, *, kill: bool) -> None:
        pids = load_pids(self.layout)
        pid = pids.pop(name, None)
        if pid is not None:
            daemons.stop([pid], grace_seconds=0 if kill else GRACE_SECONDS)
            save_pids(self.layout, pids)
