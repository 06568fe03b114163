"""What is on a host of the cluster, as the kernel and the disk have it, without asking its agent."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from cli.playground.layout import PlaygroundHost
from tests.chaos.checks.hosts import HostFacts

_CGROUPS = (Path("/sys/fs/cgroup/pids/shoal"), Path("/sys/fs/cgroup/shoal"))
"""Of cgroup v1, and of v2."""

_LINK = "sh-"
"""How the host's ends of containers' links begin; the rest is the end of the task's id."""


def conmons_of(host: PlaygroundHost) -> list[int]:
    """Process ids of the host's monitors of containers."""
    return [pid for pid, _ in _conmons(host)]


def read_host(host: PlaygroundHost, node_id: str) -> HostFacts:
    """All of it, at one moment or nearly."""
    runtime = host.state / "runtime"
    return HostFacts(
        host=host.name,
        conmons=frozenset(container for _, container in _conmons(host)),
        cgroups=frozenset(_cgroups(node_id)),
        bundles=frozenset(_names(host.run / "bundles")),
        links=frozenset(_links(host.namespace)),
        root_files=frozenset(each.name for each in runtime.glob("upper/*/*")),
        kept_files=frozenset(each.name for each in runtime.glob("containers/*/*")),
        drafts=frozenset(_names(runtime / "drafts")),
        tables=frozenset(_tables(host.namespace)),
        mounts=frozenset(_mounts(host)),
    )


def running_containers(hosts: Sequence[PlaygroundHost]) -> dict[str, frozenset[str]]:
    """Ids of tasks whose container has a process besides its monitor, by hostname."""
    found: dict[str, set[str]] = {host.name: set() for host in hosts}
    for _, words in _monitors():
        bundle = next((word for word in words if "/bundles/" in word), "")
        host = next((each for each in hosts if bundle.startswith(f"{each.run}/bundles/")), None)
        if host is not None and _is_alive(Path(bundle) / "pid"):
            found[host.name].add(Path(bundle).name)
    return {name: frozenset(containers) for name, containers in found.items()}


def _is_alive(pid_file: Path) -> bool:
    try:
        stat = Path(f"/proc/{int(pid_file.read_text())}/stat").read_text()
    except (OSError, ValueError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def _conmons(host: PlaygroundHost) -> list[tuple[int, str]]:
    bundles = f"{host.run / 'bundles'}/"
    return [
        (pid, words[words.index("--cid") + 1])
        for pid, words in _monitors()
        if any(word.startswith(bundles) for word in words)
    ]


def _monitors() -> Iterator[tuple[int, list[str]]]:
    """Every conmon of the machine, with its arguments."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if Path(words[0]).name == "conmon" and "--cid" in words:
            yield int(entry.name), words


def _cgroups(node_id: str) -> Sequence[str]:
    return [each for root in _CGROUPS for each in _directories(root / node_id)]


def _directories(path: Path) -> list[str]:
    return [each.name for each in path.iterdir() if each.is_dir()] if path.is_dir() else []


def _names(path: Path) -> list[str]:
    return [each.name for each in path.iterdir()] if path.is_dir() else []


def _links(namespace: str) -> list[str]:
    done = subprocess.run(["ip", "-n", namespace, "-json", "link"], capture_output=True, text=True, check=True)
    names = [str(each["ifname"]) for each in json.loads(done.stdout)]
    return [name.removeprefix(_LINK) for name in names if name.startswith(_LINK)]


def _tables(namespace: str) -> list[str]:
    command = ["nsenter", f"--net=/run/netns/{namespace}", "nft", "list", "tables"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def _mounts(host: PlaygroundHost) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split()[4] for line in lines]
    roots = (f"{host.run}/", f"{host.state}/")
    return [place for place in places if place.startswith(roots)]
