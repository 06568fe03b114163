"""Hosts as documents for operators have them: each with its network, host name, state directories and programs.

A host is a namespace of network, mounts and host name on one LAN. There is no systemd in it, so what
`deploy/install.sh` and `systemctl` do is done here: programs are started with the same options, and end by the same
signals. The same lines as they are, with systemd, are for virtual machines (tests/vm).
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from cli.playground import virtual_network
from cli.playground.layout import Layout, PlaygroundHost
from tests.integration.cluster.harness import RUN_ROOT
from tests.integration.cluster.subnets import free_subnet

PROGRAMS = Path(sys.executable).parent
DOCUMENTED_NETWORK = "192.0.2."
NAMES = ("m1", "m2", "m3", "m4", "h1")
"""Their addresses are 192.0.2.11 and so on."""
PRIVATE = ("/var/lib/shoal", "/etc/shoal", "/run/shoal", "/backup")
COMMAND_SECONDS = 120.0
START_SECONDS = 120.0


@dataclass
class DocumentedHost:
    """One of them.

    Attributes:
        namespaces: the process that keeps its namespaces.
        programs: those that systemd would run, by unit; they are started again as they were first.
    """

    name: str
    network: PlaygroundHost
    directory: Path
    namespaces: subprocess.Popen[bytes] | None = None
    options: dict[str, list[str]] = field(default_factory=dict)
    programs: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def power_on(self) -> None:
        """Namespaces with this host's directories, which a loss of power leaves as they are."""
        mounts = []
        for place in PRIVATE:
            kept = self.directory / place.strip("/").replace("/", "-")
            kept.mkdir(parents=True, exist_ok=True, mode=0o700)
            mounts.append(f"mount --bind {kept} {place}")
        script = " && ".join([f"hostname {self.name}", *mounts, "echo ready", "exec sleep infinity"])
        sleeper = subprocess.Popen(
            [
                "nsenter",
                f"--net=/run/netns/{self.network.namespace}",
                "unshare",
                "--mount",
                "--uts",
                "sh",
                "-c",
                script,
            ],
            stdout=subprocess.PIPE,
        )
        assert sleeper.stdout is not None
        with sleeper.stdout as said:
            assert said.readline() == b"ready\n"
        self.namespaces = sleeper

    def entering(self) -> list[str]:
        assert self.namespaces is not None, f"{self.name} is off"
        return ["nsenter", f"--target={self.namespaces.pid}", "--net", "--mount", "--uts", "--"]

    def environment(self) -> dict[str, str]:
        """Contexts are this host's own, and its own programs come first."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("SHOAL_")}
        return {**kept, "PATH": f"{PROGRAMS}:{kept['PATH']}", "SHOAL_CONFIG": "/etc/shoal/user", "COLUMNS": "200"}

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.entering(), "sh", "-c", command],
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=COMMAND_SECONDS,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def start(self, unit: str) -> None:
        command = [*self.entering(), str(PROGRAMS / unit), "run", *self.options[unit]]
        with (self.directory / f"{unit}.log").open("ab") as log:
            self.programs[unit] = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment())

    def log(self, unit: str) -> str:
        return (self.directory / f"{unit}.log").read_text(errors="replace")

    def stop(self, unit: str, number: signal.Signals = signal.SIGTERM) -> None:
        program = self.programs.pop(unit)
        with suppress(ProcessLookupError):
            program.send_signal(number)
        program.wait(timeout=60)

    def power_off(self) -> None:
        """Every process ends at once, etcd too."""
        for process in virtual_network.processes_in(self.network.namespace):
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        ours = [*self.programs.values(), *([self.namespaces] if self.namespaces else [])]
        for each in ours:
            each.wait(timeout=30)
        self.programs.clear()
        self.namespaces = None


@dataclass
class DocumentedHosts:
    """All of them, and the token that a command displayed last."""

    layout: Layout
    hosts: dict[str, DocumentedHost]
    token: str = ""

    def run(self, host: str, command: str) -> subprocess.CompletedProcess[str]:
        """A line of the document on one of its hosts; addresses in it and in its output are the document's."""
        here = self.hosts[host]
        done = self._run(here, self._actual(command))
        said = self._documented(f"{done.stdout}{done.stderr}")
        self.token = next((word for word in said.split() if word.startswith("SHOAL-1-")), self.token)
        return subprocess.CompletedProcess(command, done.returncode, said, "")

    def _run(self, host: DocumentedHost, command: str) -> subprocess.CompletedProcess[str]:
        words = shlex.split(command)
        match words[0]:
            case "deploy/install.sh":
                return self._install(host, words[1], words[2:])
            case "systemctl":
                return self._control(host, words[1], words[2])
            case "poweroff":
                host.power_off()
                return subprocess.CompletedProcess(words, 0, "", "")
            case _:
                return host.run(command)

    def _install(self, host: DocumentedHost, role: str, options: list[str]) -> subprocess.CompletedProcess[str]:
        """As deploy/install.sh, which writes these options to the unit's settings."""
        unit = f"shoal-{role}"
        names = {"--advertise": "--advertise-address"}
        if unit in host.programs:
            host.stop(unit)
        host.options[unit] = [names.get(each, each) for each in options] or host.options[unit]
        host.start(unit)
        return self._wait(host, unit, role)

    def _wait(self, host: DocumentedHost, unit: str, role: str) -> subprocess.CompletedProcess[str]:
        deadline = time.monotonic() + START_SECONDS
        while role == "manager" and host.run("test -e /var/lib/shoal/manager/admin/address").returncode:
            assert time.monotonic() < deadline, host.log(unit)
            assert host.programs[unit].poll() is None, host.log(unit)
            time.sleep(0.1)
        if role == "manager":
            host.run("shoal context create --admin /var/lib/shoal/manager/admin default")
            return subprocess.CompletedProcess(
                [], 0, "The manager is running. To add a host, run: shoal cluster join-token\n", ""
            )
        said = "The agent is running. To list nodes, run where you have a context: shoal node ls\n"
        return subprocess.CompletedProcess([], 0, said, "")

    def _control(self, host: DocumentedHost, verb: str, unit: str) -> subprocess.CompletedProcess[str]:
        if verb in ("stop", "restart") and unit in host.programs:
            host.stop(unit)
        if verb in ("start", "restart"):
            host.start(unit)
        return subprocess.CompletedProcess([verb, unit], 0, "", "")

    def _actual(self, command: str) -> str:
        return command.replace(DOCUMENTED_NETWORK, self._network).replace("SHOAL-1-…", self.token)

    def _documented(self, output: str) -> str:
        return output.replace(self._network, DOCUMENTED_NETWORK)

    @property
    def _network(self) -> str:
        return f"{str(self.layout.subnet.network_address).rpartition('.')[0]}."


@contextmanager
def documented_hosts(directory: Path) -> Iterator[DocumentedHosts]:
    """Hosts with nothing installed; all of them is gone afterwards."""
    made = [Path(place) for place in PRIVATE if not Path(place).exists()]
    for place in made:
        place.mkdir(parents=True)
    layout = Layout(
        name=f"d{os.getpid()}"[:8], hosts=len(NAMES), subnet=free_subnet(), state_root=directory, run_root=RUN_ROOT
    )
    found = {
        name: DocumentedHost(name, network, directory / name)
        for name, network in zip(NAMES, layout.all_hosts(), strict=True)
    }
    try:
        virtual_network.build_network(layout)
        for host in found.values():
            host.power_on()
        yield DocumentedHosts(layout, found)
    finally:
        for host in found.values():
            if "shoal-agent" in host.options and host.namespaces:
                if "shoal-agent" in host.programs:
                    host.stop("shoal-agent")
                host.run("shoal-agent reset --all --yes")
            host.power_off()
        virtual_network.remove_network(layout)
        for place in made:
            with suppress(OSError):
                place.rmdir()
