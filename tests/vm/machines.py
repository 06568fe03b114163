"""Machines that systemd runs, inside the virtual machine or any other: containers of systemd-nspawn on one bridge.

Each has a layer of its own over the root file system that build.sh made, and what it writes survives its power. It is
switched off in order (`poweroff`), or loses its power: its first process is killed, and every other one with it.
"""

import os
import shlex
import signal
import subprocess
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from tests.vm.cluster import until

SOURCE = "/src"
"""Where each finds this tree, as here."""
BASE = Path("/run/base")
"""The root file system as build.sh made it."""
DISK = "/dev/vda"
DIRECTORY = Path("/var/lib/machines")
BRIDGE = "lan"
NETWORK = "192.0.2."
"""Addresses of documents (RFC 5737): this network leads nowhere else."""
GATEWAY = f"{NETWORK}1"
"""The machine around them."""
START_SECONDS = 1200.0
COMMAND_SECONDS = 3600.0
SYSTEM_CALLS = "add_key keyctl request_key bpf"
"""That container runtimes make, and systemd-nspawn refuses otherwise."""
# No machine has a network to packages, and all have what is needed; pip takes "0" for "no isolation".
ENVIRONMENT = {
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "COLUMNS": "200",
    "SHOAL_VERIFY": "0",
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_NO_DEPS": "1",
}

MACHINE_ID = Path("/etc/machine-id")


class Machine:
    """One of them, off at first.

    Args:
        number: last part of its address.
        base: the root file system that it has a layer over.
        directory: of its files; on a file system that can be the upper side of an overlay.
        sources: what it has of this machine's directories, by where; it only reads them.
    """

    def __init__(self, name: str, number: int, *, base: Path, directory: Path, sources: dict[str, Path]) -> None:
        self.name = name
        self.address = f"{NETWORK}{number}"
        self._base, self._directory, self._sources = base, directory / name, sources
        self.root = self._directory / "root"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_on(self) -> bool:
        return self._process is not None

    @property
    def log(self) -> Path:
        """What its console said."""
        return self._directory / "console"

    def make(self) -> None:
        """Its root file system, with its name, address and services; of others' services none starts by itself."""
        for each in ("root", "upper", "work", "data"):
            (self._directory / each).mkdir(parents=True)
        layers = f"lowerdir={self._base},upperdir={self._directory / 'upper'},workdir={self._directory / 'work'}"
        mount = ["mount", "-t", "overlay", "-o", layers, self.name, str(self.root)]
        subprocess.run(mount, check=True)
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/machine-id").write_text(f"{uuid.uuid4().hex}\n")
        network = self.root / "etc/systemd/network/10-host0.network"
        network.write_text(f"[Match]\nName=host0\n[Network]\nAddress={self.address}/24\nGateway={GATEWAY}\n")
        chosen = ("enable systemd-networkd", "disable etcd docker-registry", "mask console-getty.service")
        for each in chosen:
            subprocess.run(["chroot", str(self.root), "systemctl", "--quiet", *each.split()], check=True)

    def power_on(self) -> None:
        """Begin to start it."""
        assert self._process is None, f"{self.name} is on"
        sources = [f"--bind-ro={path}:{where}" for where, path in self._sources.items()]
        command = [
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", f"--machine={self.name}"),
            *(f"--directory={self.root}", f"--bind={self._directory / 'data'}:/var/lib/shoal", *sources),
            *(f"--network-bridge={BRIDGE}", "--resolv-conf=off", "--link-journal=no", "--console=pipe"),
            *("--capability=all", f"--system-call-filter={SYSTEM_CALLS}"),
        ]
        with self.log.open("ab") as log:
            self._process = _in_own_cgroup(self.name, command, log)

    def wait(self) -> None:
        """Until its units have started."""
        until(self._has_started, f"{self.name} has started", START_SECONDS)

    def power_off(self) -> None:
        """In order: its programs are stopped first."""
        self.run("poweroff")
        self._end()

    def cut_power(self) -> None:
        """All its programs end at once, and what was not written to its disk is lost."""
        os.kill(self._first_process(), signal.SIGKILL)
        self._end()

    def remove(self) -> None:
        """What it has of this machine's."""
        if self._process is not None:
            self.cut_power()
        subprocess.run(["umount", str(self.root)], check=True)

    def run(self, command: str) -> str:
        """A line of a root shell on it, which has to succeed; what it printed."""
        done = self.shell(command)
        said = f"{self.name}# {command}: exit code {done.returncode}: {done.stdout}{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout

    def shell(self, command: str) -> "subprocess.CompletedProcess[str]":
        """A line of a root shell on it."""
        entering = ["nsenter", f"--target={self._first_process()}", "--all", "--root", "--wd"]
        return subprocess.run(
            [*entering, "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def unit(self, name: str, *properties: str) -> list[str]:
        """Properties of a unit."""
        words = " ".join(f"--property={each}" for each in properties)
        shown = dict(
            line.split("=", 1) for line in self.run(f"systemctl show {words} {shlex.quote(name)}").splitlines()
        )
        return [shown[each] for each in properties]

    def _has_started(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self.name} does not start: {self.log.read_text(errors='replace')}"
        try:
            return self.shell("systemctl is-system-running").stdout.strip() in ("running", "degraded")
        except ValueError:
            return False  # no first process yet

    def _first_process(self) -> int:
        assert self._process is not None, f"{self.name} is off"
        pid = self._process.pid
        (first,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(first)

    def _end(self) -> None:
        assert self._process is not None
        self._process.wait(START_SECONDS)
        self._process = None


def power_on(*machines: Machine) -> None:
    """All of them at once, until their units have started."""
    for machine in machines:
        machine.power_on()
    for machine in machines:
        machine.wait()


def machine(name: str, number: int) -> Machine:
    """One with this tree, in the virtual machine."""
    return Machine(name, number, base=BASE, directory=DIRECTORY, sources={SOURCE: Path(SOURCE)})


def prepare() -> None:
    """The root file system that machines have layers over, the bridge that they are plugged into, and the id of this
    machine, which systemd-nspawn makes the addresses of their network cards of."""
    if not MACHINE_ID.exists() or not MACHINE_ID.read_text().strip():
        MACHINE_ID.write_text(f"{uuid.uuid4().hex}\n")
    BASE.mkdir(exist_ok=True)
    if not any(BASE.iterdir()):
        subprocess.run(["mount", "-o", "ro", DISK, str(BASE)], check=True)
    for line in (f"link add {BRIDGE} type bridge", f"addr add {GATEWAY}/24 dev {BRIDGE}", f"link set {BRIDGE} up"):
        subprocess.run(["ip", *line.split()], check=True)


def print_journals(machines: Iterable[Machine]) -> None:
    """What their programs said last."""
    for each in machines:
        units = "-u shoal-manager -u shoal-agent"
        try:
            said = each.shell(f"journalctl -b --no-pager -n 40 -o cat {units}").stdout if each.is_on else "off"
        except (OSError, ValueError):  # systemd-nspawn has ended, or has no process yet
            said = f"not started: {each.log.read_text(errors='replace')[-2000:]}"
        print(f"--- {each.name}\n{said}", flush=True)


def _in_own_cgroup(name: str, command: list[str], log: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start it in a cgroup of that name, where systemd-nspawn makes those of the machine."""
    groups = [Path("/sys/fs/cgroup") / each / f"machine-{name}" for each in _hierarchies()]
    for group in groups:
        _remove(group)  # of when it was on before: with its controllers it takes no process
        group.mkdir()
    enter = " && ".join(f"echo $$ > {group}/cgroup.procs" for group in groups)
    script = f'{enter} && exec "$@"'
    return subprocess.Popen(["sh", "-c", script, "sh", *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def _remove(group: Path) -> None:
    """A cgroup without processes, and all below it."""
    if group.exists():
        for each in group.iterdir():
            if each.is_dir():
                _remove(each)
        group.rmdir()


def _hierarchies() -> tuple[str, ...]:
    """Where a hierarchy of version 2 is, and beside version 1 also that of systemd."""
    return ("unified", "systemd") if Path("/sys/fs/cgroup/unified").exists() else (".",)
