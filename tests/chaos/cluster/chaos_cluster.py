"""The cluster that the faults hit: a playground whose processes are children of this one, each with a name."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cli.client import Client
from cli.playground import agents, daemons, manager_servers
from cli.playground.layout import JOIN_PORT, Layout, PlaygroundHost
from cli.playground.lifecycle import Playground
from cli.playground.pids_file import load_pids, save_pids
from shoal.contexts.context_file import Context
from tests.chaos.cluster.etcd_reader import EtcdReader
from tests.chaos.fault_kinds import ETCD_LEADER, LEADER, MANAGERS
from tests.chaos.report import Reached
from tests.chaos.violation import ActiveFault

FIRST = "m1"
_FAULTS = "SHOAL_FAULTS"
_STOP_SECONDS = 10.0
_PLAYGROUND_NAME = {FIRST: "manager"}


@dataclass(frozen=True)
class Ended:
    """A process of the cluster that nobody ended.

    Attributes:
        code: as of `os.waitstatus_to_exitcode`.
        log: its last lines.
    """

    name: str
    code: int
    log: str


class ChaosCluster:
    """Managers m1 to m3 and agents h1 to h5 of a playground that is up.

    Thread-safe: faults are injected from several threads.

    Attributes:
        reached_points: programs and the points of their code at which they ended.
        excuses: what a fault does to nodes beside what its target says.
        notes: what faults measured, for the report.
        load: another number whenever there are more agents, or fewer.

    Args:
        ended: called for each process that ended though no fault had ended it; it is started again.
    """

    def __init__(self, playground: Playground, context: Context, ended: Callable[[Ended], None]) -> None:
        self.playground = playground
        self.context = context
        self.etcd = EtcdReader({name: self.etcd_directory(name) / "client:0" for name in MANAGERS})
        self._ended = ended
        self._lock = threading.RLock()
        self._expected: dict[str, int] = {}
        self.reached_points: list[Reached] = []
        self.excuses: list[ActiveFault] = []
        self.notes: list[str] = []
        self.load = 0
        self._starts: dict[str, int] = {}
        self._joins: dict[str, str] = {}

    @property
    def layout(self) -> Layout:
        return self.playground.layout

    def client(self) -> Client:
        """Of all managers."""
        return Client(self.context)

    def host(self, name: str) -> PlaygroundHost:
        """Of an agent, or of a manager but the first."""
        number = int(name[1:])
        return self.layout.manager_host(number) if name[0] == "m" else self.layout.host(number)

    def namespace(self, name: str) -> str:
        """The network namespace of an agent's or a manager's host."""
        return self.layout.lan if name == FIRST else self.host(name).namespace

    def address(self, name: str) -> str:
        return str(self.layout.manager_address if name == FIRST else self.host(name).address)

    def state(self, name: str) -> Path:
        return self.layout.manager_state if name == FIRST else self.host(name).state

    def etcd_directory(self, manager: str) -> Path:
        return self.state(manager) / "etcd"

    def fault_file(self, name: str) -> Path:
        """Which a program that `start` has started reads at each of its fault points."""
        return self.layout.state / f"faults-{name}"

    def restart(self, name: str) -> None:
        """End it in order, so that the others know, and start it again: by `start` from now on."""
        with self.expected_down(name):
            daemons.stop([self.pid(name)], grace_seconds=_STOP_SECONDS)

    def log(self, name: str) -> Path:
        return self.layout.state / "logs" / f"{_PLAYGROUND_NAME.get(name, name)}.log"

    def api(self, manager: str) -> str:
        """host:port of a manager's API."""
        return self.layout.api if manager == FIRST else manager_servers.manager_api(self.layout, self.host(manager))

    def names(self) -> Iterator[str]:
        """Of all managers and agents."""
        yield from MANAGERS
        yield from (host.name for host in self.layout.all_hosts())

    def pid(self, name: str) -> int:
        """Process id of a manager or an agent; 0: it was not started."""
        with self._lock:
            return load_pids(self.layout).get(_PLAYGROUND_NAME.get(name, name), 0)

    def etcd_pid(self, manager: str) -> int:
        """Process id of a manager's etcd; 0: it does not run."""
        argument = f"--data-dir={self.etcd_directory(manager) / 'data'}".encode()
        return next((pid for pid, words in _commands() if argument in words), 0)

    def resolve(self, target: str) -> str:
        """A manager's name for a role; other targets as they are."""
        if target == ETCD_LEADER:
            return self.etcd.leader() or FIRST
        if target == LEADER:
            return self.leader() or FIRST
        return target

    def leader(self) -> str:
        """The manager that leads; empty: none does, or nobody says so."""
        identifier = self.etcd.leading_manager()
        return next((name for name in MANAGERS if identifier and self.manager_id(name) == identifier), "")

    def manager_id(self, manager: str) -> str:
        """As in its records; empty while it has none."""
        api = self.api(manager)
        return next((each.id for each in self.etcd.managers() if each.api_address == api), "")

    @contextmanager
    def expected_down(self, name: str) -> Iterator[None]:
        """The process may end meanwhile: a fault ends it. At the end of the block it is running again."""
        with self._lock:
            self._expected[name] = self._expected.get(name, 0) + 1
        try:
            yield
        finally:
            with self._lock:
                self._expected[name] -= 1
                if not self._expected[name] and not daemons.is_running(self.pid(name)):
                    self._reap(self.pid(name))
                    self.start(name)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a manager or an agent that does not run, with these variables too; returns at once."""
        command = self._manager_command(name) if name in MANAGERS else self._agent_command(name)
        with self._lock:
            with _environment({_FAULTS: f"@{self.fault_file(name)}", **(environment or {})}):
                pid = daemons.spawn(self.namespace(name), command, self.log(name))
            self._starts[name] = self._starts.get(name, 0) + 1
            save_pids(self.layout, {**load_pids(self.layout), _PLAYGROUND_NAME.get(name, name): pid})

    def join_by(self, manager: str, other: str) -> None:
        """A manager that is started without state joins by this one; empty: the first one creates a cluster."""
        self._joins[manager] = other

    def starts(self, name: str) -> int:
        """How often it was started since the playground was up."""
        return self._starts.get(name, 0)

    def kill(self, name: str) -> None:
        """SIGKILL, and wait for its end. Within `expected_down`."""
        pid = self.pid(name)
        daemons.stop([pid], grace_seconds=0)

    def check_processes(self) -> None:
        """Report and start again what has ended by itself."""
        for name in self.names():
            with self._lock:
                pid = self.pid(name)
                if self._expected.get(name) or daemons.is_running(pid):
                    continue
                code = self._reap(pid)
                self.start(name)
            self._ended(Ended(name, code, daemons.tail(self.log(name), 8)))

    def _reap(self, pid: int) -> int:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(pid, os.WNOHANG)[1])
        except ChildProcessError:
            return 0

    def _manager_command(self, name: str) -> list[str | Path]:
        token = self.layout.state / "manager-token"
        by = self._joins.get(name, "")
        joining = ["--join", f"{self.address(by)}:{JOIN_PORT}", "--token-file", str(token)] if by else []
        if name == FIRST:
            return manager_servers.first_manager_command(self.layout, joining)
        return manager_servers.joining_manager_command(self.layout, self.host(name), token, joining)

    def _agent_command(self, name: str) -> list[str | Path]:
        return agents.agent_command(self.layout, self.host(name), self.layout.state / "token")


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """`daemons.spawn` passes this process's own."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _commands() -> Iterator[tuple[int, list[bytes]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
